import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { createTestClient } from './gateway.ts'

export const ORIGIN = 'https://gateway.example'
export const REDIRECT_URI = 'https://app.example/callback'
const APP = { client_id: 'stage-web' }

/** What a person has in the browser. */
export interface Browser {
  cookie: string
}

export interface Tokens {
  accessToken: string
  refreshToken: string
  idToken: string
  subject: string
}

/** An app that signs people in as any would, with a library that knows nothing of this gateway. */
export function createOidcApp(
  urlOf: () => string,
  options: { client?: { client_id: string }; redirectUri?: string } = {},
) {
  const { client = APP, redirectUri = REDIRECT_URI } = options
  /** The public name leads to the gateway of the test. */
  const through = {
    [oauth.customFetch]: (address: string, init: object) => fetch(address.replace(ORIGIN, urlOf()), init),
  }
  let found: Promise<oauth.AuthorizationServer> | undefined

  const server = () => {
    found ??= (async () => {
      const issuer = new URL(`${ORIGIN}/api/auth`)
      return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, through))
    })()
    return found
  }

  /** Goes to an address as a browser does; nothing is followed. */
  const visit = (address: string, browser?: Browser) => {
    const { pathname, search } = new URL(address)
    return createTestClient(urlOf()).chat(undefined, {
      ...{ method: 'GET', path: pathname + search, key: null },
      headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate', ...(browser && { cookie: browser.cookie }) },
    })
  }

  /** The request for an authorization, with a verifier for its answer. */
  async function ask(change: Record<string, string | undefined> = {}) {
    const verifier = oauth.generateRandomCodeVerifier()
    const state = oauth.generateRandomState()
    const params = {
      ...{ response_type: 'code', client_id: client.client_id, redirect_uri: redirectUri, state },
      scope: 'openid profile email offline_access',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...change,
    }
    const url = new URL((await server()).authorization_endpoint ?? '')
    for (const [name, value] of Object.entries(params)) if (value !== undefined) url.searchParams.set(name, value)
    return { url: url.href, verifier, state }
  }

  /** What the app was sent back with. */
  const readAnswer = async (location: URL, state: string) =>
    oauth.validateAuthResponse(await server(), client, location, state)

  /** The code for somebody who is signed in, and what it is to be exchanged with. */
  async function authorize(browser: Browser, change: Record<string, string | undefined> = {}) {
    const { url, verifier, state } = await ask(change)
    const answer = await visit(url, browser)
    assert.equal(answer.status, 302, answer.text)
    const location = new URL(String(answer.headers.location), ORIGIN)
    return { callback: await readAnswer(location, state), verifier, location }
  }

  const exchangeRaw = async (callback: URLSearchParams, verifier: string, address = redirectUri) =>
    oauth.authorizationCodeGrantRequest(await server(), client, oauth.None(), callback, address, verifier, through)

  async function exchange(callback: URLSearchParams, verifier: string, address = redirectUri): Promise<Tokens> {
    const answer = await exchangeRaw(callback, verifier, address)
    const result = await oauth.processAuthorizationCodeResponse(await server(), client, answer, {
      requireIdToken: true,
    })
    return tokensOf(result, oauth.getValidatedIdTokenClaims(result)?.sub ?? '')
  }

  const refreshRaw = async (refreshToken: string) =>
    oauth.refreshTokenGrantRequest(await server(), client, oauth.None(), refreshToken, through)

  return {
    ...{ server, ask, visit, readAnswer, authorize, exchange, exchangeRaw, refreshRaw },

    /** All of it at once. */
    async signIn(browser: Browser): Promise<Tokens> {
      const { callback, verifier } = await authorize(browser)
      return exchange(callback, verifier)
    },

    async refresh(tokens: Tokens): Promise<Tokens> {
      const answer = await refreshRaw(tokens.refreshToken)
      return tokensOf(await oauth.processRefreshTokenResponse(await server(), client, answer), tokens.subject)
    },

    async userInfo(tokens: Tokens): Promise<oauth.UserInfoResponse> {
      const answer = await oauth.userInfoRequest(await server(), client, tokens.accessToken, through)
      return oauth.processUserInfoResponse(await server(), client, tokens.subject, answer)
    },
  }
}

function tokensOf(result: oauth.TokenEndpointResponse, subject: string): Tokens {
  return {
    accessToken: result.access_token,
    refreshToken: result.refresh_token ?? '',
    idToken: result.id_token ?? '',
    subject,
  }
}
