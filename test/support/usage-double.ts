import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface DoubleEntry {
  idempotency_key: string
  model: string
  [member: string]: unknown
}

/** How the double treats one batch, instead of keeping it. */
export type Fault =
  | { status: number; headers?: Record<string, string>; body?: unknown }
  /** Hangs up: before it has kept the batch, or after. */
  | 'hang_up'
  | 'keep_and_hang_up'
  | 'garbage'
  | 'silence'

/** Stands in for the gateway where it has to misbehave: keeps what is logged by its keys, in memory. */
export async function createUsageDouble({ port = 0 } = {}) {
  const kept = new Map<string, DoubleEntry>()
  const requests: { at: number; entries: number; key: string | undefined }[] = []
  let faultOf: (request: number, entries: readonly DoubleEntry[]) => Fault | undefined = () => undefined
  let duplicates = 0
  let isRefused: (entry: DoubleEntry) => boolean = () => false

  function keep(entries: readonly DoubleEntry[]): unknown[] {
    return entries.map((entry) => {
      if (isRefused(entry)) return { status: 'refused', status_code: 422, code: 'body_invalid', detail: 'not this one' }
      if (kept.has(entry.idempotency_key)) {
        duplicates += 1
        return { status: 'duplicate', log_id: entry.idempotency_key }
      }
      kept.set(entry.idempotency_key, entry)
      return { status: 'created', log_id: entry.idempotency_key }
    })
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += chunk
    const { logs } = JSON.parse(text) as { logs: DoubleEntry[] }
    requests.push({ at: performance.now(), entries: logs.length, key: request.headers.authorization })
    const fault = faultOf(requests.length, logs)
    if (fault === 'silence') return
    if (fault === 'hang_up') {
      request.socket.destroy()
      return
    }
    if (fault === 'keep_and_hang_up') {
      keep(logs)
      request.socket.destroy()
      return
    }
    if (fault === 'garbage') {
      response.end('<html>welcome to the hotel</html>')
      return
    }
    if (fault !== undefined) {
      response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers })
      response.end(JSON.stringify(fault.body ?? { detail: 'no', code: 'body_invalid' }))
      return
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ results: keep(logs) }))
  }

  // A client that is killed in the middle of a request is nothing to report.
  const server = createServer(
    (request, response) => void answer(request, response).catch(() => request.socket.destroy()),
  )
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    kept,
    requests,
    duplicates: () => duplicates,
    faults(next: typeof faultOf) {
      faultOf = next
    },
    refuse(next: typeof isRefused) {
      isRefused = next
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export type UsageDouble = Awaited<ReturnType<typeof createUsageDouble>>
