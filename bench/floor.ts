import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { type Dispatcher, Pool } from 'undici'

const BODY_BYTES_MAX = 32 * 1024 * 1024
const CONNECTIONS_MAX = 4096

/** What belongs to one connection and not to the message on it. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'host', 'content-length', 'expect'])

/**
 * The floor of every comparison: the least that a proxy on node:http and undici can do and still be a proxy. It reads the
 * request, sends it on, and passes the answer back as it comes, with back-pressure and with aborts in both directions. It
 * looks at nothing.
 */
export function createFloor(upstream: string): Server {
  const pool = new Pool(upstream, {
    connections: CONNECTIONS_MAX,
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
  })
  return createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > BODY_BYTES_MAX) req.destroy()
      else chunks.push(chunk)
    })
    req.on('end', () => {
      const [first] = chunks
      const body = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
      relay(pool, { path: req.url ?? '/', method: 'POST', headers: endToEnd(req.headers), body }, res)
    })
  })
}

function relay(
  pool: Pool,
  request: Dispatcher.DispatchOptions & { body: Buffer },
  res: import('node:http').ServerResponse,
): void {
  let controller: Dispatcher.DispatchController | undefined
  let over = false
  res.on('close', () => {
    if (over) return
    over = true
    controller?.abort(new Error('the client hung up'))
  })
  res.on('drain', () => controller?.resume())
  pool.dispatch(request, {
    onRequestStart(started) {
      controller = started
      if (over) started.abort(new Error('the client hung up'))
    },
    onResponseStart(_controller, status, headers) {
      if (!over) res.writeHead(status, endToEnd(headers, true))
    },
    onResponseData(started, chunk) {
      if (!over && !res.write(chunk)) started.pause()
    },
    onResponseEnd() {
      if (over) return
      over = true
      res.end()
    },
    onResponseError() {
      if (over) return
      over = true
      if (res.headersSent) res.destroy()
      else res.writeHead(502).end()
    },
  })
}

/** A length that is known stays known on the way back; on the way out undici states it. */
function endToEnd(headers: IncomingHttpHeaders, withLength = false): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue
    if (!HOP_BY_HOP.has(name) || (withLength && name === 'content-length')) kept[name] = value
  }
  return kept
}
