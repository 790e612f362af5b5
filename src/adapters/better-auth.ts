import { randomBytes } from 'node:crypto'
import type { BetterAuthOptions } from 'better-auth'
import type pg from 'pg'
import type { Secret } from '#lib/secret.ts'
import { snakeNames as snake } from '#lib/snake-names.ts'
import { createFirstPartyRequests } from './first-party-requests.ts'
import { createOidcPlugins, type OidcSettings } from './oidc-provider.ts'

/** A way to sign in with an account elsewhere. */
export interface SocialProvider {
  id: 'google' | 'github' | 'apple'
  clientId: string
  clientSecret: Secret
  /** Apple only: whose native tokens are taken too. */
  appBundleIdentifier?: string
}

export interface BetterAuthSettings {
  pool: pg.Pool
  secret: Secret
  /** Where clients reach this server. Undefined: on this machine alone, under whatever name of it they use. */
  publicUrl: string | undefined
  /** Pages of these origins may sign people in, and are where links of mails may lead. */
  trustedOrigins: readonly string[]
  social: readonly SocialProvider[]
  sendMail(
    to: string,
    template: 'verification' | 'password_reset' | 'magic_link' | 'delete_account',
    data: { url: string },
  ): Promise<void>
  sendChangeMail(to: string, data: { url: string; newEmail: string }): Promise<void>
  /** False for who is banned. */
  maySignIn(userId: string): Promise<boolean>
  onSignUp(userId: string): void
  onSession(userId: string): void
  /** Undefined: nobody signs in to apps with an account here. */
  oidc?: OidcSettings | undefined
  /** Deletes the account of who has confirmed it; what of it lies in Better Auth's tables, too. Rejects when it is not done yet. */
  deletePerson(userId: string): Promise<void>
  /** A mail that was not sent, and whatever else goes wrong behind an answer. */
  onError(error: unknown): void
}

/** Who a request's cookie or token belongs to. */
interface SignedInUser {
  userId: string
  sessionId: string
}

export interface SignInServer {
  /** Answers a request below /api/auth. Rejects with what is no fault of the request, such as a database that is away. */
  handle(request: Request): Promise<Response>
  /** Undefined without a living session. Rejects when the database is away. */
  findSession(headers: Headers): Promise<SignedInUser | undefined>
}

const SESSION_SECONDS = 30 * 24 * 3600
const SESSION_RENEWED_SECONDS = 24 * 3600
const LINK_SECONDS = 3600
const MAGIC_LINK_SECONDS = 600
const LOOPBACK = ['localhost', 'localhost:*', '127.0.0.1', '127.0.0.1:*', '[::1]', '[::1]:*']

/** Who signs in may be somebody else at the same browser. */
const WITHOUT_SESSION = /^\/api\/auth\/(?:sign-(?:in|up)(?:\/[\w-]+)?|sign-out|oauth2\/end-session(?:\/confirm)?)$/
const BANNED = { code: 'BANNED_USER', message: 'This account is suspended.' }

/** Better Auth on our tables. It is loaded here, at the first use: it takes a good part of a second. */
export async function createSignInServer(settings: BetterAuthSettings): Promise<SignInServer> {
  const [{ betterAuth }, { APIError, isAPIError }, { bearer, magicLink }] = await Promise.all([
    import('better-auth'),
    import('better-auth/api'),
    import('better-auth/plugins'),
  ])
  const { oidc } = settings
  const refuseBanned = async (userId: string) => {
    if (await settings.maySignIn(userId)) return
    throw new APIError('FORBIDDEN', BANNED)
  }
  const auth = betterAuth({
    ...optionsOf(settings),
    // Tokens are for apps: a session is no way to one.
    disabledPaths: ['/token'],
    onAPIError: {
      // What is not an answer of its own, such as a database that is away, is told by who called.
      onError(error) {
        if (!isAPIError(error) || error.statusCode >= 500) throw error
      },
    },
    databaseHooks: {
      user: { create: { after: async ({ id }) => settings.onSignUp(id) } },
      session: {
        create: {
          before: ({ userId }) => refuseBanned(userId),
          after: async ({ userId }) => settings.onSession(userId),
        },
      },
    },
    plugins: [
      bearer(),
      magicLink({
        expiresIn: MAGIC_LINK_SECONDS,
        storeToken: 'hashed',
        sendMagicLink: ({ email, url }) => settings.sendMail(email, 'magic_link', { url }),
      }),
      ...(oidc === undefined ? [] : await createOidcPlugins(oidc)),
    ],
  })
  const findSession = async (headers: Headers) => {
    const found = await auth.api.getSession({ headers, query: { disableCookieCache: true } })
    return found === null ? undefined : { userId: found.user.id, sessionId: found.session.id }
  }
  /** A session that was begun before the ban does nothing any more but end. */
  const isBanned = async ({ headers, url }: Request) => {
    if (!headers.has('cookie') && !headers.has('authorization')) return false
    if (WITHOUT_SESSION.test(new URL(url).pathname)) return false
    const found = await auth.api.getSession({ headers, query: { disableCookieCache: true, disableRefresh: true } })
    return found !== null && !(await settings.maySignIn(found.user.id))
  }
  const handle = async (request: Request) =>
    (await isBanned(request)) ? Response.json(BANNED, { status: 403 }) : auth.handler(request)
  if (oidc === undefined) return { handle, findSession }
  const handleApps = createFirstPartyRequests({
    ...{ oidc, findSession, handle },
    signOut: (headers) => auth.api.signOut({ headers, asResponse: true }),
  })
  return { handle: handleApps, findSession }
}

function optionsOf(settings: BetterAuthSettings): BetterAuthOptions {
  const { publicUrl, sendMail } = settings
  return {
    appName: 'Fluxgate',
    basePath: '/api/auth',
    baseURL: publicUrl ?? { allowedHosts: LOOPBACK, protocol: 'http' },
    secret: settings.secret.reveal(),
    trustedOrigins: [...settings.trustedOrigins],
    database: settings.pool,
    user: {
      modelName: 'auth_user',
      fields: snake(['emailVerified', 'createdAt', 'updatedAt']),
      changeEmail: {
        enabled: true,
        sendChangeEmailConfirmation: ({ user, newEmail, url }) =>
          settings.sendChangeMail(user.email, { url, newEmail }),
      },
      deleteUser: {
        enabled: true,
        deleteTokenExpiresIn: LINK_SECONDS,
        sendDeleteAccountVerification: ({ user, url }) => sendMail(user.email, 'delete_account', { url }),
        beforeDelete: ({ id }) => settings.deletePerson(id),
      },
    },
    session: {
      modelName: 'auth_session',
      fields: snake(['userId', 'expiresAt', 'createdAt', 'updatedAt', 'ipAddress', 'userAgent']),
      expiresIn: SESSION_SECONDS,
      updateAge: SESSION_RENEWED_SECONDS,
    },
    account: {
      modelName: 'auth_account',
      fields: snake([
        ...['userId', 'accountId', 'providerId', 'accessToken', 'refreshToken', 'idToken'],
        ...['accessTokenExpiresAt', 'refreshTokenExpiresAt', 'createdAt', 'updatedAt'],
      ]),
      encryptOAuthTokens: true,
    },
    verification: {
      modelName: 'auth_verification',
      fields: snake(['expiresAt', 'createdAt', 'updatedAt']),
      storeIdentifier: 'hashed',
    },
    emailAndPassword: {
      enabled: true,
      requireEmailVerification: true,
      revokeSessionsOnPasswordReset: true,
      sendResetPassword: ({ user, url }) => sendMail(user.email, 'password_reset', { url }),
    },
    emailVerification: {
      sendOnSignUp: true,
      sendOnSignIn: true,
      autoSignInAfterVerification: true,
      expiresIn: LINK_SECONDS,
      sendVerificationEmail: ({ user, url }) => sendMail(user.email, 'verification', { url }),
    },
    socialProviders: Object.fromEntries(
      settings.social.map(({ id, clientId, clientSecret, appBundleIdentifier }) => [
        id,
        { clientId, clientSecret: clientSecret.reveal(), ...(appBundleIdentifier && { appBundleIdentifier }) },
      ]),
    ),
    // Counted in front of it, by settings that change while it runs.
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: {
      level: 'error',
      log: (_level, message, ...rest) => settings.onError(new Error(message, { cause: rest[0] })),
    },
    advanced: {
      database: { generateId: ({ model }) => `${model === 'user' ? 'usr_' : ''}${randomBytes(16).toString('hex')}` },
      // How long a mail takes must not tell whether the address is known.
      backgroundTasks: { handler: (task) => void task.catch(settings.onError) },
      ipAddress: { disableIpTracking: true },
    },
  }
}
