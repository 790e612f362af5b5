import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface CloudRequest {
  method: string
  /** As it came, with its query. */
  url: string
  headers: IncomingHttpHeaders
  body: string
}

export interface CloudAnswer {
  status: number
  headers?: Record<string, string>
  /** Text is sent as it is, anything else as JSON. */
  body: unknown
}

/** A loopback server that keeps every request and answers by a function; undefined never answers. */
export async function createCloudServer(answer: (request: CloudRequest) => CloudAnswer | undefined) {
  const requests: CloudRequest[] = []
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const { method = '', url = '', headers } = incoming
    const request = { method, url, headers, body: Buffer.concat(chunks).toString() }
    requests.push(request)
    const answered = answer(request)
    if (answered === undefined) return
    const text = typeof answered.body === 'string' ? answered.body : JSON.stringify(answered.body)
    outgoing.writeHead(answered.status, { 'content-type': 'application/json', ...answered.headers }).end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const usage = { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 }

/** A chat answer as OpenAI-compatible clouds give it, whole or as a stream; `first` goes before its chunks. */
export function chatAnswer(request: CloudRequest, first: readonly unknown[] = []): CloudAnswer {
  const { model, stream, stream_options: options } = JSON.parse(request.body)
  const base = { id: 'chatcmpl-1', created: 1_770_000_000, model }
  if (stream !== true)
    return {
      status: 200,
      body: {
        ...base,
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: 'Hello.' }, finish_reason: 'stop' }],
        usage,
      },
    }
  const chunk = { ...base, object: 'chat.completion.chunk' }
  const chunks = [
    ...first,
    { ...chunk, choices: [{ index: 0, delta: { role: 'assistant', content: 'Hello.' }, finish_reason: null }] },
    { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    ...(options?.include_usage === true ? [{ ...chunk, choices: [], usage }] : []),
  ]
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    body: [...chunks.map((data) => `data: ${JSON.stringify(data)}\n\n`), 'data: [DONE]\n\n'].join(''),
  }
}
