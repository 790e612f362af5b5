import type { Json, Reply } from '#test/support/gateway.ts'

/** How the scenarios of failover are put to one protocol, and how its clients see what comes back. */
export interface Column {
  path: string
  body(model: string, stream: boolean, messages: readonly ChatMessage[]): object
  /** `200`, `200, then code` for an error inside of a stream, or the status with the code of the error. */
  viewOf(reply: Reply): string
  /** The text of the answer. */
  textOf(reply: Reply): string
}

export interface ChatMessage {
  role: 'user' | 'assistant'
  content: string
}

export type ColumnName = 'chat' | 'responses' | 'messages'

/** The parsed data of every whole event, the mark at the end of a chat left out. */
function eventsOf({ text }: Reply): Json[] {
  return [...text.slice(0, text.lastIndexOf('\n\n') + 2).matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) =>
    JSON.parse(data),
  )
}

function isStream({ headers }: Reply): boolean {
  return /^text\/event-stream/.test(headers['content-type'] ?? '')
}

function errorCode(error: Json): string {
  return error.code ?? error.type
}

export const columns: Readonly<Record<ColumnName, Column>> = {
  chat: {
    path: '/v1/chat/completions',
    body: (model, stream, messages) => ({ model, stream, messages }),
    viewOf(reply) {
      if (reply.status !== 200) return `${reply.status} ${errorCode(reply.json.error)}`
      if (!isStream(reply)) return '200'
      const broken = eventsOf(reply).find(({ error }) => error !== undefined)
      if (broken !== undefined) return `200, then ${errorCode(broken.error)}`
      return reply.text.endsWith('data: [DONE]\n\n') ? '200' : '200, then nothing'
    },
    textOf: (reply) =>
      isStream(reply)
        ? eventsOf(reply)
            .map(({ choices }) => choices?.[0]?.delta?.content ?? '')
            .join('')
        : reply.json.choices[0].message.content,
  },
  responses: {
    path: '/v1/responses',
    body: (model, stream, messages) => ({ model, stream, store: false, input: messages }),
    viewOf(reply) {
      if (reply.status !== 200) return `${reply.status} ${errorCode(reply.json.error)}`
      if (!isStream(reply)) return '200'
      const last = eventsOf(reply).at(-1)
      if (last?.type === 'response.failed') return `200, then ${errorCode(last.response.error)}`
      return last?.type === 'response.completed' ? '200' : '200, then nothing'
    },
    textOf: (reply) =>
      isStream(reply)
        ? eventsOf(reply)
            .filter(({ type }) => type === 'response.output_text.delta')
            .map(({ delta }) => delta)
            .join('')
        : reply.json.output.flatMap((item: Json) => item.content ?? []).map(({ text }: Json) => text)[0],
  },
  messages: {
    path: '/v1/messages',
    body: (model, stream, messages) => ({ model, stream, max_tokens: 1_000, messages }),
    viewOf(reply) {
      if (reply.status !== 200) return `${reply.status} ${errorCode(reply.json.error)}`
      if (!isStream(reply)) return '200'
      const last = eventsOf(reply).at(-1)
      if (last?.type === 'error') return `200, then ${errorCode(last.error)}`
      return last?.type === 'message_stop' ? '200' : '200, then nothing'
    },
    textOf: (reply) =>
      isStream(reply)
        ? eventsOf(reply)
            .map(({ delta }) => delta?.text ?? '')
            .join('')
        : reply.json.content[0].text,
  },
}
