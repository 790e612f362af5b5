import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { clientAddress, type ProxyTrust } from '#lib/client-address.ts'
import { isLoopback } from '#lib/loopback.ts'
import { createWindowLimiter } from '#lib/window-limiter.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { answers } from '#routes/schemas.ts'
import { AppError } from '#src/errors.ts'

/** How people sign in. */
export interface Accounts {
  handle(request: Request): Promise<Response>
  /** Where clients reach this gateway; undefined on this machine alone. */
  publicUrl: string | undefined
  /** Whether people sign in to apps with their account here. */
  hasApps: boolean
  social: readonly string[]
  /** Requests of one address below /api/auth. */
  limit(): { max: number; windowMs: number }
  proxies: ProxyTrust | undefined
  /** Whether cookies may speak for a page of this origin. */
  trusts(origin: string): boolean
}

/** Where clients look: at the root, or where the path of the issuer leads. Below /api/auth it is there as well. */
const DISCOVERY_PATHS = ['openid-configuration', 'oauth-authorization-server'].flatMap((name) => [
  `/.well-known/${name}`,
  `/.well-known/${name}/api/auth`,
])
const OPEN_PATHS = new Set([
  ...['token', 'userinfo', 'revoke', 'end-session'].map((name) => `/api/auth/oauth2/${name}`),
  ...['/api/auth/jwks', '/api/auth/get-session', '/api/auth/sign-out'],
  ...['/api/auth/.well-known/openid-configuration', '/api/auth/.well-known/oauth-authorization-server'],
  ...DISCOVERY_PATHS,
])

/** What apps call from pages of their own: cookies play no part in it. */
export function isAppPath(path: string): boolean {
  return OPEN_PATHS.has(path)
}

const BODY_BYTES_MAX = 64 * 1024
const ADDRESSES_MAX = 100_000
/** Of the connection, not of the message; the body is counted anew. */
const HOP_HEADERS = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'expect',
  'te',
  'trailer',
])

/** Signing up, in and out: what Better Auth answers below /api/auth, counted by address. docs/accounts.md. */
export function accountRoutes(app: HttpInstance, accounts: Accounts) {
  const limiter = createWindowLimiter({ subjectsMax: ADDRESSES_MAX })

  app.get(
    '/api/auth/providers',
    {
      schema: {
        summary: 'The ways to sign in that this gateway has',
        response: answers({
          200: Type.Object({
            emailAndPassword: Type.Boolean(),
            magicLink: Type.Boolean(),
            social: Type.Array(Type.String(), {
              description: '`google`, `github`, `apple`: those that are configured.',
            }),
          }),
        }),
      },
    },
    async () => ({ emailAndPassword: true, magicLink: true, social: [...accounts.social] }),
  )

  app.register((scope: HttpInstance, _options: unknown, done: () => void) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(
      '*',
      { parseAs: 'buffer', bodyLimit: BODY_BYTES_MAX },
      async (_request: unknown, body: Buffer) => body,
    )
    scope.addHook('onRequest', async (request, reply) => {
      const limit = accounts.limit()
      const { allowed, remaining, resetMs } = limiter.take(clientAddress(request.raw, accounts.proxies), limit)
      const reset = Math.ceil(resetMs / 1000)
      // Draft 6, as AIRI sends them.
      reply.headers({
        'ratelimit-policy': `${limit.max};w=${Math.ceil(limit.windowMs / 1000)}`,
        'ratelimit-limit': limit.max,
        'ratelimit-remaining': remaining,
        'ratelimit-reset': reset,
      })
      if (!allowed)
        throw new AppError('too_many_requests', {
          message: 'Too many requests',
          headers: { 'retry-after': String(reset) },
        })
    })
    const relayed = async (request: FastifyRequest, reply: FastifyReply) =>
      relay(await accounts.handle(toFetch(request, accounts)), reply)
    if (accounts.hasApps)
      for (const path of DISCOVERY_PATHS) scope.get(path, { exposeHeadRoute: false, schema: { hide: true } }, relayed)
    for (const method of ['GET', 'POST'] as const)
      scope.route({
        method,
        url: '/api/auth/*',
        ...(method === 'GET' && { exposeHeadRoute: false }),
        schema: { hide: true },
        handler: relayed,
      })
    done()
  })
}

function toFetch(request: FastifyRequest, { publicUrl }: Accounts): Request {
  const { host = '' } = request.headers
  // The host decides where links in mails lead: what a client writes there counts only on this machine.
  if (publicUrl === undefined && !isLoopback(hostname(host)))
    throw new AppError('not_found', {
      message: 'Accounts are reached from other machines once API_SERVER_URL says where this gateway is.',
    })
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || HOP_HEADERS.has(name) || name.startsWith('x-forwarded-')) continue
    headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  }
  const body = request.body instanceof Buffer && request.body.length > 0 ? request.body : undefined
  return new Request(new URL(request.url, publicUrl ?? `http://${host}`), {
    method: request.method,
    headers,
    ...(body !== undefined && { body: new Uint8Array(body) }),
  })
}

function hostname(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
}

async function relay(response: Response, reply: FastifyReply): Promise<FastifyReply> {
  const body = Buffer.from(await response.arrayBuffer())
  reply.code(response.status)
  for (const [name, value] of response.headers)
    if (name !== 'set-cookie' && name !== 'content-length' && name !== 'cache-control') reply.header(name, value)
  for (const cookie of response.headers.getSetCookie()) reply.header('set-cookie', cookie)
  return reply.send(body)
}
