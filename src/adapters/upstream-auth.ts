import { createSign } from 'node:crypto'
import type { UpstreamAuth } from '#domain/presets.ts'
import { parseAwsCredentials, signAwsRequest } from '#lib/aws-signature.ts'
import { fillHeaderTemplates, HeaderTemplateError } from '#lib/header-template.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { UpstreamAuthError } from './upstream-auth-error.ts'
import { createUpstreamTokens, type TokenRequest } from './upstream-token.ts'

export { UpstreamAuthError } from './upstream-auth-error.ts'

/** The request that is to be sent: some credentials sign it, so nothing of it may change afterwards. */
export interface AuthenticatedRequest {
  origin: string
  path: string
  headers: Readonly<Record<string, string>>
  body: string
  /** Parameters of the preset. */
  params: Readonly<Record<string, string>>
}

export interface UpstreamAuthOptions {
  /** For a token to be fetched. */
  timeoutMs: number
  /** Address that service account keys may name beside Google's own. */
  googleTokenUrl?: string | undefined
  /** Microsoft's login, as in `https://login.microsoftonline.us` for a sovereign cloud. */
  azureAuthorityHost?: string | undefined
  /** Unix milliseconds. */
  now?: () => number
}

const GOOGLE_TOKEN_URL = 'https://oauth2.googleapis.com/token'
/** Where Google's own key files point, older ones included. */
const googleTokenUrls: readonly string[] = [
  GOOGLE_TOKEN_URL,
  'https://www.googleapis.com/oauth2/v4/token',
  'https://accounts.google.com/o/oauth2/token',
]
const GOOGLE_SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const AZURE_AUTHORITY_HOST = 'https://login.microsoftonline.com'
const AZURE_SCOPE = 'https://cognitiveservices.azure.com/.default'
const CREDENTIAL_CHARS_MAX = 65_536

/**
 * Makes the headers that authenticate a request: from a template, from a token that is fetched and kept, or by a signature.
 * They are to be added to those of the request as they are.
 */
export function createUpstreamAuth(options: UpstreamAuthOptions) {
  const now = options.now ?? Date.now
  const tokens = createUpstreamTokens({ timeoutMs: options.timeoutMs, now })
  const trusted = [...googleTokenUrls, ...(options.googleTokenUrl === undefined ? [] : [options.googleTokenUrl])]
  const authority = options.azureAuthorityHost ?? AZURE_AUTHORITY_HOST

  return {
    /**
     * A promise only where a token is needed. Throws, or rejects with, UpstreamAuthError: of the fault `credential` for a
     * credential that cannot be used or is refused.
     */
    headersFor(
      auth: UpstreamAuth,
      credential: string | undefined,
      request: AuthenticatedRequest,
    ): Record<string, string> | Promise<Record<string, string>> {
      if (auth.kind === 'none') return {}
      if (auth.kind === 'headers')
        return auth.optional && credential === undefined ? {} : filled(auth.headers, credential)
      if (credential === undefined || credential === '' || credential.length > CREDENTIAL_CHARS_MAX)
        throw new UpstreamAuthError('credential', 'there is no credential, or it is too long')
      if (auth.kind === 'aws') return awsHeaders(auth.service, credential, request, new Date(now()))
      if (auth.kind === 'google') return bearer(tokens.get(credential, () => googleRequest(credential, trusted, now())))
      if (!credential.trimStart().startsWith('{')) return filled({ 'api-key': '{KEY}' }, credential)
      return bearer(tokens.get(credential, () => entraRequest(credential, authority)))
    },

    /** The provider refused the credential: a token that was kept for it is not used again. */
    rejected(credential: string): void {
      tokens.forget(credential)
    },

    close: () => tokens.close(),
  }
}

export type UpstreamAuthenticator = ReturnType<typeof createUpstreamAuth>

function filled(headers: Readonly<Record<string, string>>, credential: string | undefined): Record<string, string> {
  try {
    return fillHeaderTemplates(headers, credential)
  } catch (error) {
    if (error instanceof HeaderTemplateError) throw new UpstreamAuthError('credential', error.message)
    throw error
  }
}

async function bearer(token: Promise<string>): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await token}` }
}

function awsHeaders(
  service: string,
  credential: string,
  request: AuthenticatedRequest,
  at: Date,
): Record<string, string> {
  const credentials = parseAwsCredentials(credential)
  // A Bedrock API key has no colon in it; anything else with one is a pair that was mistyped, and no bearer token.
  if (credentials === undefined) {
    if (credential.includes(':'))
      throw new UpstreamAuthError('credential', 'the credential is not ACCESS_KEY_ID:SECRET[:SESSION]')
    return filled({ authorization: 'Bearer {KEY}' }, credential)
  }
  const { region } = request.params
  if (region === undefined) throw new UpstreamAuthError('credential', 'a signature needs the parameter region')
  const { origin, path, body } = request
  // Of the headers only the type is signed: proxies may touch others on the way.
  const type = request.headers['content-type']
  const headers = type === undefined ? {} : { 'content-type': type }
  return signAwsRequest({ method: 'POST', origin, path, headers, body }, credentials, { region, service, at })
}

/** RFC 7523: the service account says who it is by a token that it signs itself. */
function googleRequest(credential: string, trusted: readonly string[], nowMs: number): TokenRequest {
  const key = readFields(credential, 'a service account key')
  const { client_email: email, private_key: privateKey, private_key_id: keyId, token_uri: uri = GOOGLE_TOKEN_URL } = key
  if (key.type !== 'service_account' || email === undefined || privateKey === undefined)
    throw new UpstreamAuthError('credential', 'the credential is not a service account key')
  // The address comes out of the credential, and what is sent there could be used in its name.
  if (!trusted.includes(uri))
    throw new UpstreamAuthError('credential', 'the token_uri of the service account key is not one of Google')
  const seconds = Math.floor(nowMs / 1000)
  const head = { alg: 'RS256', typ: 'JWT', ...(keyId !== undefined && { kid: keyId }) }
  const claims = { iss: email, scope: GOOGLE_SCOPE, aud: uri, iat: seconds, exp: seconds + 3600 }
  const text = `${base64url(head)}.${base64url(claims)}`
  return {
    url: uri,
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: `${text}.${signRs256(text, privateKey)}`,
    },
  }
}

function signRs256(text: string, privateKey: string): string {
  try {
    return createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')
  } catch {
    // The reasons that OpenSSL gives may quote the key.
    throw new UpstreamAuthError('credential', 'the private_key of the service account key cannot sign')
  }
}

function entraRequest(credential: string, authority: string): TokenRequest {
  const { tenant_id: tenant, client_id: clientId, client_secret: secret } = readFields(credential, 'an Entra client')
  if (tenant === undefined || clientId === undefined || secret === undefined)
    throw new UpstreamAuthError('credential', 'the credential lacks tenant_id, client_id or client_secret')
  if (!/^(?!\.)[A-Za-z0-9.-]{1,253}$/.test(tenant))
    throw new UpstreamAuthError('credential', 'the tenant_id of the credential is not a tenant')
  return {
    url: `${authority.replace(/\/+$/, '')}/${tenant}/oauth2/v2.0/token`,
    form: { grant_type: 'client_credentials', client_id: clientId, client_secret: secret, scope: AZURE_SCOPE },
  }
}

/** The members of a JSON object that are text. */
function readFields(credential: string, what: string): Record<string, string | undefined> {
  let value: unknown
  try {
    value = parseStrictJson(credential, CREDENTIAL_CHARS_MAX)
  } catch {
    // The parser's message may quote the credential.
    throw new UpstreamAuthError('credential', `the credential is not ${what} as JSON`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UpstreamAuthError('credential', `the credential is not ${what} as a JSON object`)
  return Object.fromEntries(Object.entries(value).filter(([, member]) => typeof member === 'string'))
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
