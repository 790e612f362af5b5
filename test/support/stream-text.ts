import type { Json } from '#test/support/gateway.ts'

/** The frames of a stream as they came, each with its blank line. */
export function framesOf(stream: string): string[] {
  return stream.match(/.+?\n\n|.+$/gs) ?? []
}

/** The parsed data of every frame but comments and `[DONE]`. */
function eventsOf(stream: string): Json[] {
  return framesOf(stream)
    .filter((frame) => frame.startsWith('data: {'))
    .map((frame) => JSON.parse(frame.slice('data: '.length)))
}

/** What the first choice of a stream says. */
export function textOf(stream: string): string {
  return eventsOf(stream)
    .map((event) => event.choices?.find((choice: Json) => choice.index === 0)?.delta?.content ?? '')
    .join('')
}

/** What a caller is told in the end: the status and, for an error, its code, also when it comes inside of a stream. */
export function verdictOf(reply: { status: number; text: string; json: Json }): string {
  const code = (error: Json) => `\`${error.code ?? error.type}\``
  if (reply.status !== 200) return `${reply.status} ${code(reply.json.error)}`
  const last = eventsOf(reply.text).at(-1)
  if (last?.error !== undefined) return `200, then ${code(last.error)}`
  if (last?.fluxgate !== undefined) return `200, then \`${last.choices[0].finish_reason}\``
  return '200'
}
