import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { webhookHosts } from './http-api.ts'

/** What a receiver got. */
interface ReceivedMessage {
  id: string
  headers: IncomingHttpHeaders
  body: string
  path: string
}

/** A receiver on this machine. `answer` decides what it says; 204 unless told otherwise. */
export async function createWebhookReceiver(
  answer: (message: ReceivedMessage, response: ServerResponse) => void = (_message, response) =>
    void response.writeHead(204).end(),
) {
  const messages: ReceivedMessage[] = []
  let open = 0
  let openMax = 0
  const server = createServer((request, response) => {
    open += 1
    openMax = Math.max(openMax, open)
    response.once('close', () => {
      open -= 1
    })
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const message = {
        id: String(request.headers['webhook-id']),
        headers: request.headers,
        body,
        path: request.url ?? '',
      }
      messages.push(message)
      answer(message, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  webhookHosts.push(host)
  return {
    host,
    url: `http://${host}/hook`,
    messages,
    /** The most requests that were open at once. */
    openMax: () => openMax,
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type WebhookReceiver = Awaited<ReturnType<typeof createWebhookReceiver>>
