import type { OidcClient, OidcSettings } from './oidc-provider.ts'

export interface FirstPartyRequestsOptions {
  oidc: OidcSettings
  /** Answers whatever is not answered here. */
  handle(request: Request): Promise<Response>
  findSession(headers: Headers): Promise<{ sessionId: string } | undefined>
  /** Ends the session of these cookies. The answer takes them away. */
  signOut(headers: Headers): Promise<Response>
}

const BASE = '/api/auth'
/** What of Better Auth's provider can be reached. Its other routes manage clients and their consents, and both are configured. */
const OPEN_PATHS = new Set([
  ...['/oauth2/authorize', '/oauth2/token', '/oauth2/userinfo', '/oauth2/introspect', '/oauth2/revoke'],
  ...['/oauth2/end-session', '/oauth2/end-session/confirm'],
])
/** What apps ask of the session with their access token. */
const SESSION_PATHS = new Set(['/get-session', '/sign-out'])
const ACCESS_TOKEN = /^Bearer +(eyJ[\w-]+\.[\w-]+\.[\w-]+)$/i
const FORM = 'application/x-www-form-urlencoded'
const JSON_TYPE = 'application/json'
const GUARDED = /^\/+(?:oauth2|admin)(?:\/|$)/i
const WELL_KNOWN = /^(?:\/api\/auth)?\/\.well-known\/(openid-configuration|oauth-authorization-server)(?:\/api\/auth)?$/

/** Stands before Better Auth's provider, and makes of it one whose clients are all the operator's own. */
export function createFirstPartyRequests(options: FirstPartyRequestsOptions) {
  const { oidc, handle } = options
  const clients = new Map(oidc.clients.map((client) => [client.id, client]))

  /** Better Auth asks the person, and ends nothing before that, when the app does not show whose session it means. */
  async function endSession(request: Request, asked: URLSearchParams): Promise<Response> {
    const hint = asked.get('id_token_hint')
    if (hint === null) return handle(withParams(request, asked))
    asked.delete('id_token_hint')
    const token = await oidc.readIdToken(hint)
    const client = token && clients.get(token.clientId)
    if (token === undefined || client === undefined || (asked.get('client_id') ?? client.id) !== client.id)
      return handle(withParams(request, asked))
    asked.set('client_id', client.id)
    const current = await options.findSession(cookiesOf(request))
    if (current !== undefined && current.sessionId !== token.sessionId) return handle(withParams(request, asked))
    const headers = new Headers()
    if (current === undefined) await oidc.endSession(token.sessionId)
    else
      for (const cookie of (await options.signOut(cookiesOf(request))).headers.getSetCookie())
        headers.append('set-cookie', cookie)
    return signedOut(request, headers, addressAfter(client, asked) ?? new URL('/auth/sign-in', oidc.audience))
  }

  /** The session of an access token is asked about, or ended. Its own token stays here: it would outlive the other. */
  async function asSession(request: Request, accessToken: string): Promise<Response> {
    const headers = new Headers(request.headers)
    headers.delete('cookie')
    headers.set('authorization', `Bearer ${(await oidc.sessionTokenOf(accessToken)) ?? ''}`)
    const answer = await handle(new Request(request, { headers }))
    const body: unknown = await answer.json().catch(() => null)
    const session: unknown = Reflect.get(Object(body), 'session')
    if (session instanceof Object) Reflect.set(session, 'token', accessToken)
    return Response.json(body, { status: answer.status })
  }

  return async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    const wellKnown = WELL_KNOWN.exec(url.pathname)?.[1]
    if (wellKnown !== undefined) {
      url.pathname = `${BASE}/.well-known/${wellKnown}`
      return handle(new Request(url, { method: request.method, headers: request.headers }))
    }
    const path = url.pathname.slice(BASE.length)
    if (GUARDED.test(path) && !OPEN_PATHS.has(path)) return Response.json({ error: 'not_found' }, { status: 404 })
    if (path === '/oauth2/authorize') {
      const asked = await paramsOf(request)
      return handle(withParams(request, asFirstParty(asked, oidc.audience, clients.get(asked.get('client_id') ?? ''))))
    }
    if (path === '/oauth2/token') return handle(withParams(request, namingUs(await paramsOf(request), oidc.audience)))
    if (path === '/oauth2/end-session') return endSession(request, await paramsOf(request))
    const token = SESSION_PATHS.has(path) ? accessTokenOf(request) : undefined
    return token === undefined ? handle(request) : asSession(request, token)
  }
}

/**
 * What an app asks for, as Better Auth has to be asked: tokens are for this gateway, consent is given, and an address on this
 * machine has the port that is configured, unless any will do.
 */
function asFirstParty(asked: URLSearchParams, audience: string, client: OidcClient | undefined): URLSearchParams {
  const params = namingUs(asked, audience)
  if (!params.has('resource')) params.set('resource', audience)
  const prompt = params.get('prompt')
  if (prompt !== null && params.getAll('prompt').length === 1) {
    const words = prompt.split(' ').map((word) => (word === 'select_account' ? 'login' : word))
    const rest = [...new Set(words)].filter((word) => word !== 'consent' && word !== '')
    if (rest.length > 0) params.set('prompt', rest.join(' '))
    else params.delete('prompt')
  }
  const redirectUri = params.get('redirect_uri')
  if (client?.anyLoopbackPort === false && redirectUri !== null && !client.redirectUris.includes(redirectUri))
    params.delete('redirect_uri')
  return params
}

/** Libraries of URLs put a slash behind a name without a path. */
function namingUs(asked: URLSearchParams, audience: string): URLSearchParams {
  const isUs = (name: string, value: string) => name === 'resource' && value === `${audience}/`
  return new URLSearchParams([...asked].map(([name, value]) => [name, isUs(name, value) ? audience : value]))
}

/** Undefined when the app named none, or one that is not configured. */
function addressAfter(client: OidcClient, asked: URLSearchParams): URL | undefined {
  const address = asked.get('post_logout_redirect_uri')
  if (address === null || !client.postLogoutRedirectUris.includes(address)) return undefined
  const url = new URL(address)
  const state = asked.get('state')
  if (state !== null) url.searchParams.set('state', state)
  return url
}

/** A browser is sent on; a program is told. */
function signedOut(request: Request, headers: Headers, next: URL): Response {
  headers.set('cache-control', 'no-store')
  const isNavigation =
    request.headers.get('sec-fetch-mode') === 'navigate' || /\btext\/html\b/.test(request.headers.get('accept') ?? '')
  if (!isNavigation) return Response.json({ success: true, url: next.href }, { headers })
  headers.set('location', next.href)
  return new Response(null, { status: 302, headers })
}

async function paramsOf(request: Request): Promise<URLSearchParams> {
  const params = new URL(request.url).searchParams
  if (request.method === 'GET') return params
  const text = await request.clone().text()
  const type = (request.headers.get('content-type') ?? '').toLowerCase()
  const entries = type.startsWith(FORM)
    ? [...new URLSearchParams(text)]
    : type.startsWith(JSON_TYPE)
      ? members(text)
      : []
  for (const [name, value] of entries) params.append(name, value)
  return params
}

function members(text: string): [string, string][] {
  try {
    return Object.entries(Object(JSON.parse(text))).map(([name, value]) => [name, String(value)])
  } catch {
    return []
  }
}

/** The same request with other parameters. */
function withParams(request: Request, params: URLSearchParams): Request {
  const url = new URL(request.url)
  url.search = request.method === 'GET' ? params.toString() : ''
  if (request.method === 'GET') return new Request(url, { headers: request.headers })
  const headers = new Headers(request.headers)
  headers.set('content-type', FORM)
  return new Request(url, { method: request.method, headers, body: params.toString() })
}

function accessTokenOf(request: Request): string | undefined {
  return ACCESS_TOKEN.exec(request.headers.get('authorization') ?? '')?.[1]
}

/** Of the browser alone: a token would be another session's. */
function cookiesOf(request: Request): Headers {
  return new Headers({ cookie: request.headers.get('cookie') ?? '' })
}
