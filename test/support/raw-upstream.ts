import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

interface RawRequest {
  /** Request line and headers as they came. */
  head: string
  body: Buffer
}

/** What to do with one request; `number` counts them from 1. */
export type RawHandler = (socket: Socket, request: RawRequest, number: number) => void

/** An upstream that writes exactly the bytes a test tells it to, and keeps exactly the bytes it gets. */
export async function createRawUpstream(handler: RawHandler) {
  const requests: RawRequest[] = []
  const sockets = new Set<Socket>()
  const used = new Set<Socket>()
  let current = handler
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.setEncoding('latin1')
    let waiting = ''
    socket.on('close', () => {
      sockets.delete(socket)
      used.delete(socket)
    })
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      waiting += chunk
      for (;;) {
        const headEnd = waiting.indexOf('\r\n\r\n')
        if (headEnd === -1) return
        const head = waiting.slice(0, headEnd)
        const bytes = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
        const end = headEnd + 4 + bytes
        if (waiting.length < end) return
        const request = { head, body: Buffer.from(waiting.slice(headEnd + 4, end), 'latin1') }
        waiting = waiting.slice(end)
        requests.push(request)
        used.add(socket)
        current(socket, request, requests.length)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    /** Open connections that a request has come through. */
    used,
    /** From the next request on. */
    answerWith(next: RawHandler): void {
      current = next
    },
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type RawUpstream = Awaited<ReturnType<typeof createRawUpstream>>

/** A whole HTTP answer with its length. */
export function httpAnswer(body: string | Buffer, headers: Record<string, string> = {}, status = '200 OK'): Buffer {
  const bytes = Buffer.from(body)
  const all = { 'content-type': 'application/json', 'content-length': String(bytes.length), ...headers }
  return Buffer.concat([Buffer.from(`${headOf(status, all)}\r\n`, 'utf8'), bytes])
}

/** The head of an answer that ends with its connection, for bodies that are written bit by bit. */
export function streamHead(headers: Record<string, string> = {}): string {
  return `${headOf('200 OK', { 'content-type': 'text/event-stream', connection: 'close', ...headers })}\r\n`
}

function headOf(status: string, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status}\r\n${lines.join('')}`
}
