import type { FastifyReply, FastifyRequest } from 'fastify'

const METHODS = 'GET, POST, PUT, PATCH, DELETE, OPTIONS'
const HEADERS = 'authorization, x-api-key, x-project-key, content-type, idempotency-key, if-none-match'
const EXPOSED = 'content-disposition, etag, link, retry-after, x-next-cursor, x-request-id, x-should-retry'
const PREFLIGHT_SECONDS = 600

/**
 * A hook that lets pages of the named origins call; `*` stands for all. Cookies are never part of it: who calls is told by
 * a key in a header.
 */
export function allowOrigins(origins: readonly string[], covers: (path: string) => boolean) {
  const all = origins.includes('*')
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { origin } = request.headers
    const [path = '/'] = request.url.split('?')
    if (origins.length === 0 || origin === undefined || !covers(path)) return
    reply.header('vary', 'Origin')
    if (!all && !origins.includes(origin)) return
    reply.headers({ 'access-control-allow-origin': all ? '*' : origin, 'access-control-expose-headers': EXPOSED })
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return
    await reply
      .code(204)
      .headers({
        'access-control-allow-methods': METHODS,
        'access-control-allow-headers': HEADERS,
        'access-control-max-age': PREFLIGHT_SECONDS,
      })
      .send()
  }
}
