import type { IncomingMessage, ServerResponse } from 'node:http'
import { authenticate } from '#gateway/authenticate.ts'
import { type Exchange, exchangeHeaders } from '#gateway/call.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { handleText } from '#gateway/handle-text.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { AppError, errorBody, errorHeaders } from '#src/errors.ts'

type Handler = (req: IncomingMessage, exchange: Exchange) => Promise<void>

const EXPOSED_HEADERS = [
  'x-request-id',
  'x-fluxgate-receipt',
  'x-fluxgate-model',
  'x-fluxgate-attempts',
  'x-fluxgate-charged-nanousd',
  'x-upstream-request-id',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
].join(', ')

/**
 * The routes under /v1 that carry inference, on plain node:http: a framework would cost more than everything else that
 * the gateway does to a call. Returns false for a request that is not theirs.
 */
export function createInferenceRoutes(gateway: Gateway, deps: { modelsCreatedAt: number }) {
  const { metrics, openCalls, limits, log } = gateway

  const models: Handler = async (req, { res, ...exchange }) => {
    await authenticate(gateway, req)
    const data = gateway.routes.models().map(({ id, ownedBy }) => ({
      id,
      object: 'model',
      created: deps.modelsCreatedAt,
      owned_by: ownedBy,
    }))
    const asked = /^\/v1\/models\/([^?]+)/.exec(req.url ?? '')?.[1]
    const body = asked === undefined ? { object: 'list', data } : data.find(({ id }) => id === decodeName(asked))
    sendJson(res, 200, exchangeHeaders({ res, ...exchange }), body ?? unlisted(decodeName(asked ?? '')))
  }

  /** A model that is served but not listed: an alias, or one of a provider with one price for all. Throws, with near names. */
  function unlisted(name: string) {
    const { model, targets } = gateway.routes.resolve(name, 'chat')
    return { id: model, object: 'model', created: deps.modelsCreatedAt, owned_by: targets[0].priced.provider }
  }

  const chat: Handler = async (req, exchange) => {
    openCalls.enter()
    try {
      await handleText(gateway, req, exchange, { protocol: 'chat' })
    } catch (error) {
      // Told before the call leaves: shutdown waits for the calls, and closes their connections after that.
      fail(exchange, error)
    } finally {
      openCalls.leave()
    }
  }

  function match(method: string, path: string): { route: string; handler: Handler } | undefined {
    if (path === '/v1/chat/completions') return { route: path, handler: method === 'POST' ? chat : notAllowed('POST') }
    if (path === '/v1/models' || path.startsWith('/v1/models/'))
      return { route: '/v1/models', handler: method === 'GET' || method === 'HEAD' ? models : notAllowed('GET') }
    return undefined
  }

  async function serve(req: IncomingMessage, exchange: Exchange, handler: Handler): Promise<void> {
    try {
      if (req.rawHeaders.length / 2 > limits.headersMax)
        throw new AppError('headers_too_many', { message: `A request has at most ${limits.headersMax} headers.` })
      await handler(req, exchange)
    } catch (error) {
      fail(exchange, error)
    }
  }

  function fail(exchange: Exchange, error: unknown): void {
    const { res } = exchange
    const known = error instanceof AppError ? error : new AppError('internal', { cause: error })
    logError(exchange, known)
    if (res.headersSent) res.destroy()
    else sendJson(res, known.status, { ...exchangeHeaders(exchange), ...failureHeaders(known) }, errorBody(known))
  }

  function logError(exchange: Exchange, error: AppError): void {
    const fields = { request: `req_${exchange.id}`, status: error.status, code: error.code, ...error.details }
    if (error.status >= 500) log.error({ ...fields, err: error.cause ?? error }, 'request failed')
    else log.info(fields, 'request refused')
  }

  return function inference(req: IncomingMessage, res: ServerResponse): boolean {
    const url = req.url ?? ''
    if (!url.startsWith('/v1/')) return false
    if (req.headers.origin !== undefined && allowOrigin(req, res)) return true
    const query = url.indexOf('?')
    const found = match(req.method ?? '', query === -1 ? url : url.slice(0, query))
    if (found === undefined) return false
    const exchange = { id: uuidv7Hex(), res, startedAt: performance.now() }
    void serve(req, exchange, found.handler)
      .catch((error: unknown) => {
        // Not even the error could be told. One exchange is lost, never the process.
        log.error({ err: error, request: `req_${exchange.id}` }, 'an answer could not be written')
        res.destroy()
      })
      .finally(() => metrics.requests.inc({ route: found.route, status: res.statusCode }))
    return true
  }
}

/** Browsers may call with a key of their own; there are no cookies here to protect. True when it was a preflight. */
function allowOrigin(req: IncomingMessage, res: ServerResponse): boolean {
  res.setHeader('access-control-allow-origin', '*')
  res.setHeader('access-control-expose-headers', EXPOSED_HEADERS)
  if (req.method !== 'OPTIONS') return false
  res.writeHead(204, {
    'x-request-id': `req_${uuidv7Hex()}`,
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': req.headers['access-control-request-headers'] ?? 'authorization, content-type',
    'access-control-max-age': '86400',
  })
  res.end()
  return true
}

/** What clients act upon: whether to try again and when, and how to present a key. */
function failureHeaders(error: AppError): Record<string, string> {
  const again = error.status === 429 || error.status === 503
  const headers = errorHeaders(error)
  return {
    ...(again && headers['x-should-retry'] === 'true' && { 'retry-after': '1' }),
    ...(error.status === 401 && { 'www-authenticate': 'Bearer' }),
    ...headers,
  }
}

function notAllowed(allow: string): Handler {
  return () => Promise.reject(new AppError('method_not_allowed', { headers: { allow } }))
}

function sendJson(res: ServerResponse, status: number, headers: Record<string, string>, body: unknown): void {
  const text = JSON.stringify(body)
  res.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...headers,
  })
  res.end(text)
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
