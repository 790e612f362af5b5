import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { type ModelLimits, mayUse, requireModel } from '#domain/allowed-models.ts'
import { authenticate } from '#gateway/authenticate.ts'
import { type Exchange, exchangeHeaders } from '#gateway/call.ts'
import { explainRoute } from '#gateway/explain-route.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { handleCount } from '#gateway/handle-count.ts'
import { handleText } from '#gateway/handle-text.ts'
import { readClientRetry } from '#gateway/read-call-headers.ts'
import type { ListedModel } from '#gateway/routes.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { renderExplanation } from './explain.ts'
import { modelShape } from './model-lists.ts'
import { sendJson } from './send-json.ts'
import type { SpeechPath } from './speech.ts'
import { anthropic, openai, type Surface, type TextPath, textPaths } from './surfaces.ts'

type Handler = (req: IncomingMessage, exchange: Exchange) => Promise<void>

const EXPOSED_HEADERS = [
  'x-request-id',
  'request-id',
  'x-fluxgate-receipt',
  'x-fluxgate-model',
  'x-fluxgate-attempts',
  'x-fluxgate-charged-nanousd',
  'x-fluxgate-dropped',
  'x-fluxgate-replayed',
  'x-fluxgate-voice',
  'x-upstream-request-id',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-tokens',
  'x-ratelimit-limit-concurrent',
  'x-ratelimit-remaining-concurrent',
  'ratelimit-policy',
  'ratelimit',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
].join(', ')

/**
 * The routes under /v1 that carry inference, on plain node:http: a framework would cost more than everything else that
 * the gateway does to a call. Returns false for a request that is not theirs.
 */
export function createInferenceRoutes(
  gateway: Gateway,
  deps: { modelsCreatedAt: number; speech?: ReadonlyMap<string, SpeechPath> },
) {
  const { metrics, openCalls, limits, log } = gateway

  const models: Handler = async (req, { res, ...exchange }) => {
    const key = await authenticate(gateway, req)
    const listed = gateway.routes.models().filter(({ id }) => mayUse(key, id))
    const asked = /^\/v1\/models\/([^?]+)/.exec(req.url ?? '')?.[1]
    const shape = modelShape(req.headers)
    const body =
      asked === undefined
        ? shape.list(listed, deps.modelsCreatedAt)
        : shape.one(findModel(key, listed, decodeName(asked)), deps.modelsCreatedAt)
    sendJson(res, 200, exchangeHeaders(exchange), body)
  }

  /** One that is served but not listed, of a provider with one price for all, counts too. Throws, with near names. */
  function findModel(key: ModelLimits, listed: readonly ListedModel[], name: string): ListedModel {
    const found = listed.find(({ id }) => id === name)
    if (found !== undefined) return found
    const { model, targets } = gateway.routes.resolve(name, 'chat')
    requireModel(key, model)
    return { id: model, surface: 'llm', ownedBy: targets[0].priced.provider }
  }

  function textHandler(path: TextPath): Handler {
    return async (req, exchange) => {
      try {
        openCalls.enter()
        try {
          await handleText(gateway, req, exchange, path)
        } catch (error) {
          // Told before the call leaves: shutdown waits for the calls, and closes their connections after that.
          fail(exchange, error, path.surface)
        } finally {
          openCalls.leave()
        }
      } catch (error) {
        fail(exchange, error, path.surface)
      }
    }
  }

  const count: Handler = async (req, exchange) => {
    openCalls.enter()
    try {
      const { inputTokens, source } = await handleCount(gateway, req, exchange)
      const headers = { ...exchangeHeaders(exchange), 'x-fluxgate-usage-source': source }
      sendJson(exchange.res, 200, headers, { input_tokens: inputTokens })
    } finally {
      openCalls.leave()
    }
  }

  const explain: Handler = async (req, exchange) => {
    openCalls.enter()
    try {
      const explanation = await explainRoute(gateway, req, exchange)
      sendJson(exchange.res, 200, exchangeHeaders(exchange), renderExplanation(explanation))
    } finally {
      openCalls.leave()
    }
  }

  const textHandlers = new Map(
    Object.entries<TextPath>(textPaths).map(([path, text]) => [path, { ...text, handler: textHandler(text) }]),
  )

  function match(
    method: string,
    path: string,
    headers: IncomingHttpHeaders,
  ): { route: string; surface: Surface; handler: Handler } | undefined {
    const text = textHandlers.get(path)
    if (text !== undefined)
      return { route: path, surface: text.surface, handler: method === 'POST' ? text.handler : notAllowed('POST') }
    const speech = deps.speech?.get(path)
    if (speech !== undefined)
      return { ...speech, route: path, handler: method === speech.method ? speech.handler : notAllowed(speech.method) }
    if (path === '/v1/messages/count_tokens')
      return { route: path, surface: anthropic, handler: method === 'POST' ? count : notAllowed('POST') }
    if (path === '/v1/route:explain')
      return { route: path, surface: openai, handler: method === 'POST' ? explain : notAllowed('POST') }
    if (path === '/v1/models' || path.startsWith('/v1/models/')) {
      const isRead = method === 'GET' || method === 'HEAD'
      const surface = headers['anthropic-version'] === undefined ? openai : anthropic
      return { route: '/v1/models', surface, handler: isRead ? models : notAllowed('GET') }
    }
    return undefined
  }

  async function serve(req: IncomingMessage, exchange: Exchange, handler: Handler, surface: Surface): Promise<void> {
    if (surface.idHeader !== undefined) exchange.res.setHeader(surface.idHeader, `req_${exchange.id}`)
    try {
      if (req.rawHeaders.length / 2 > limits.headersMax)
        throw new AppError('headers_too_many', { message: `A request has at most ${limits.headersMax} headers.` })
      await handler(req, exchange)
    } catch (error) {
      fail(exchange, error, surface)
    }
  }

  function fail(exchange: Exchange, error: unknown, surface: Surface): void {
    const { res } = exchange
    const known = error instanceof AppError ? error : new AppError('internal', { cause: error })
    logError(exchange, known)
    if (res.headersSent) res.destroy()
    else {
      const { status, headers, body } = surface.error(known, exchange)
      sendJson(res, status, { ...exchangeHeaders(exchange), ...headers }, body)
    }
  }

  function logError(exchange: Exchange, error: AppError): void {
    const fields = { request: `req_${exchange.id}`, status: error.status, code: error.code, ...error.details }
    if (error.status >= 500) log.error({ ...fields, err: error.cause ?? error }, 'request failed')
    else log.info(fields, 'request refused')
  }

  return function inference(req: IncomingMessage, res: ServerResponse): boolean {
    const url = req.url ?? ''
    if (!url.startsWith('/v1/') && !url.startsWith('/api/v1/')) return false
    const query = url.indexOf('?')
    const found = match(req.method ?? '', query === -1 ? url : url.slice(0, query), req.headers)
    if (req.headers.origin !== undefined && (found !== undefined || url.startsWith('/v1/')) && allowOrigin(req, res))
      return true
    if (found === undefined) return false
    const exchange = {
      id: uuidv7Hex(),
      res,
      startedAt: performance.now(),
      forwarded: {},
      dropped: [],
      clientRetry: readClientRetry(req),
    }
    void serve(req, exchange, found.handler, found.surface)
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

function notAllowed(allow: string): Handler {
  return () => Promise.reject(new AppError('method_not_allowed', { headers: { allow } }))
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
