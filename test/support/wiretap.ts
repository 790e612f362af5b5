import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Json } from '#test/support/gateway.ts'

export interface Tapped {
  path: string
  headers: IncomingHttpHeaders
  body: Json
}

/** Stands before an upstream, passes everything on, and keeps what was asked. */
export async function createWiretap(upstream: string) {
  const requests = new Map<string, Tapped>()
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const { url = '', method = 'GET', headers } = req
      requests.set(String(headers['x-client-request-id']), {
        path: url,
        headers,
        body: JSON.parse(bytes.toString('utf8')),
      })
      const onward = httpRequest(new URL(url, upstream), { method, headers })
      onward.on('response', (response) => {
        res.writeHead(response.statusCode ?? 502, response.headers)
        response.pipe(res)
        response.on('error', () => res.destroy())
      })
      onward.on('error', () => res.destroy())
      res.on('close', () => onward.destroy())
      onward.end(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    /** What was asked for the call of this receipt, last. */
    asked: (receiptId: string) => requests.get(receiptId.slice('rcp_'.length)),
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type Wiretap = Awaited<ReturnType<typeof createWiretap>>
