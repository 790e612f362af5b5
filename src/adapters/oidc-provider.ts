import type { BetterAuthPlugin } from 'better-auth'
import { snakeNames as snake } from '#lib/snake-names.ts'

/** An app that people sign in to with their account here. It is the operator's own: nobody is asked for consent. */
export interface OidcClient {
  id: string
  name: string
  /** Where an authorization may be answered to, letter by letter. */
  redirectUris: readonly string[]
  /** Whether addresses on this machine match with any port: RFC 8252, 7.3. */
  anyLoopbackPort: boolean
  postLogoutRedirectUris: readonly string[]
}

/** For whom tokens are about to be issued. */
interface TokenHolder {
  userId: string
  sessionId: string
  /** An app goes on with a session, rather than beginning with it. */
  renews: boolean
}

export interface OidcSettings {
  clients: readonly OidcClient[]
  /** Of every token: what it is for. Also where clients reach this server. */
  audience: string
  issuer: string
  /** False when the session is over, or its person is banned. */
  mayIssue(holder: TokenHolder): Promise<boolean>
  /** What an ID token of ours says, however old it is; undefined when it is none. */
  readIdToken(token: string): Promise<{ clientId: string; sessionId: string } | undefined>
  /** The token of the session that an access token belongs to; undefined when that is over. */
  sessionTokenOf(accessToken: string): Promise<string | undefined>
  endSession(sessionId: string): Promise<void>
}

/** How long an access token is good for; its session is looked up all the same, whenever it is used. */
const ACCESS_SECONDS = 5 * 60
const REFRESH_SECONDS = 30 * 24 * 3600
/** Also how long a sign-in may take that an app has asked for, before it has to be asked again. */
const CODE_SECONDS = 10 * 60
/** A key signs for so long, and is published for a while after: what it signed at last is good for so much less. */
const KEY_SECONDS = 90 * 24 * 3600
const KEY_GRACE_SECONDS = 30 * 24 * 3600
const SCOPES = ['openid', 'profile', 'email', 'offline_access']

/** Makes Better Auth issue tokens to the clients of the configuration. */
export async function createOidcPlugins(settings: OidcSettings): Promise<BetterAuthPlugin[]> {
  const [{ oauthProvider }, { jwt }, { APIError }] = await Promise.all([
    import('@better-auth/oauth-provider'),
    import('better-auth/plugins'),
    import('better-auth/api'),
  ])
  const clients = new Map(settings.clients.map((client) => [client.id, client]))
  const provider = oauthProvider({
    scopes: SCOPES,
    grantTypes: ['authorization_code', 'refresh_token'],
    loginPage: '/auth/sign-in',
    signup: { page: '/auth/sign-up' },
    // Never shown: no client asks for consent.
    consentPage: '/auth/sign-in',
    accessTokenExpiresIn: ACCESS_SECONDS,
    idTokenExpiresIn: ACCESS_SECONDS,
    refreshTokenExpiresIn: REFRESH_SECONDS,
    codeExpiresIn: CODE_SECONDS,
    enforcePerClientResources: false,
    clientPrivileges: () => false,
    resourcePrivileges: () => false,
    silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
    extensions: [
      {
        clientDiscovery: {
          id: 'configuration',
          matches: (id) => clients.has(id),
          resolve(_ctx, id) {
            const client = clients.get(id)
            return client === undefined ? null : clientRecord(client)
          },
        },
        claims: {
          async accessToken({ user, sessionId, grantType }) {
            const holder = { userId: user?.id ?? '', sessionId: sessionId ?? '', renews: grantType === 'refresh_token' }
            if (!(await settings.mayIssue(holder)))
              throw new APIError('BAD_REQUEST', { error: 'invalid_grant', error_description: 'the session is over' })
            return {}
          },
          async userInfo({ user, jwt: { sid } }) {
            const sessionId = typeof sid === 'string' ? sid : ''
            if (!(await settings.mayIssue({ userId: user.id, sessionId, renews: false })))
              throw new APIError('UNAUTHORIZED', { error: 'invalid_token', error_description: 'the session is over' })
            return {}
          },
        },
      },
    ],
  })
  return [
    jwt({
      jwt: { issuer: settings.issuer, audience: settings.audience },
      jwks: {
        keyPairConfig: { alg: 'RS256', modulusLength: 2048 },
        rotationInterval: KEY_SECONDS,
        gracePeriod: KEY_GRACE_SECONDS,
      },
      // Sessions have tokens of their own.
      disableSettingJwtHeader: true,
      schema: {
        jwks: { modelName: 'auth_jwk', fields: snake(['publicKey', 'privateKey', 'createdAt', 'expiresAt']) },
      },
    }),
    { ...provider, schema: schemaOf(provider.schema) } as BetterAuthPlugin,
  ]
}

function clientRecord({ id, name, redirectUris, postLogoutRedirectUris }: OidcClient) {
  return {
    clientId: id,
    clientDiscoveryId: 'configuration',
    name,
    redirectUris: [...redirectUris],
    postLogoutRedirectUris: [...postLogoutRedirectUris],
    scopes: SCOPES,
    tokenEndpointAuthMethod: 'none' as const,
    grantTypes: ['authorization_code', 'refresh_token'] as ['authorization_code', 'refresh_token'],
    responseTypes: ['code'] as ['code'],
    requirePKCE: true,
    skipConsent: true,
    enableEndSession: true,
    disabled: false,
  }
}

type Schema = NonNullable<BetterAuthPlugin['schema']>

/** The tables that are used here, under our names. Without the others whatever would need them fails. */
function schemaOf(schema: Schema): Schema {
  const model = (name: string, modelName: string, only?: readonly string[]): Schema[string] => {
    const fields = Object.entries(schema[name]?.fields ?? {}).filter(([field]) => only?.includes(field) ?? true)
    const names = snake(fields.map(([field]) => field))
    return {
      modelName,
      fields: Object.fromEntries(
        fields.map(([field, attribute]) => [field, { ...attribute, fieldName: names[field] }]),
      ),
    } as Schema[string]
  }
  return {
    oauthClient: model('oauthClient', 'oauth_client', ['clientId']),
    oauthResource: model('oauthResource', 'oauth_resource', ['identifier']),
    oauthRefreshToken: model('oauthRefreshToken', 'oauth_refresh_token'),
    oauthAccessToken: model('oauthAccessToken', 'oauth_access_token'),
  }
}
