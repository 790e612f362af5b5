import { createSignInServer, type SignInServer } from '#adapters/better-auth.ts'
import { createTokenIssuer } from '#adapters/token-issuer.ts'
import type { Db } from '#db/pool.ts'
import { createFluxGrants } from '#domain/flux/flux-grants.ts'
import { createFluxHistory } from '#domain/flux/flux-history.ts'
import { createGrantReversals } from '#domain/flux/reverse-grants.ts'
import type { Grants } from '#domain/grants.ts'
import { createMemberProjects } from '#domain/members/member-projects.ts'
import { createAdministrators } from '#domain/people/administrators.ts'
import type { PersonDeletion } from '#domain/people/delete-person.ts'
import type { DeletionPart } from '#domain/people/deletion.ts'
import { createExternalIdentities } from '#domain/people/external-identities.ts'
import type { SendMail } from '#domain/people/mail.ts'
import { createPersonalProjects } from '#domain/people/personal-project.ts'
import type { Capture } from '#domain/people/product-event.ts'
import { createSessionSweeper } from '#domain/people/session-sweeper.ts'
import { type Credential, createSignedIn } from '#domain/people/signed-in.ts'
import { createUsers, type Users } from '#domain/people/users.ts'
import type { Settings } from '#domain/settings.ts'
import { isLoopback } from '#lib/loopback.ts'
import type { Secret } from '#lib/secret.ts'
import type { Accounts } from '#routes/person/accounts.ts'
import { openDeletion } from './open-deletion.ts'
import { type Oidc, openOidc } from './open-oidc.ts'
import type { Parts } from './parts.ts'
import { socialDeletionPart } from './social-deletion-part.ts'

const ISSUER_MS_MAX = 3_000
const SWEEP_MS = 10 * 60_000
const JWT = /^eyJ/
/** With any port, and with none where that is the one of HTTP. */
const LOCAL_ORIGINS = ['localhost', '127.0.0.1', '[::1]'].flatMap((host) => [`http://${host}`, `http://${host}:*`])

interface Below {
  db: Db
  grants: Grants
  slot: { current(): { slot: number; epoch: bigint } }
  settings: () => Settings
  sendMail: SendMail
  capture?: Capture | undefined
  /** What goes with an account beside what people are here: subscriptions, for one. */
  deletionParts?: readonly DeletionPart[]
}

/** People: how they sign in, and their Flux. */
export function openPeople(parts: Parts, below: Below) {
  const { config, installation } = parts
  const { db, grants, slot, settings } = below
  const fluxNanousd = BigInt(config.FLUX_NANOUSD)
  const users = createUsers({ db })
  const personalProjects = createPersonalProjects({
    ...{ db, grants, settings, fluxNanousd },
    digestKey: installation.authSecret,
  })
  // Also where accounts are off by now: what was begun is finished.
  const deletion = openDeletion(parts, db, deletionParts(parts, below))
  const oidc = installation.authSecret === undefined ? undefined : openOidc(parts, { db, users })
  const signIn =
    installation.authSecret === undefined
      ? undefined
      : openSignIn(parts, { ...below, secret: installation.authSecret, users, deletion, oidc })
  const findToken = openTokenIssuer(parts, db)
  const signedIn =
    signIn === undefined && findToken === undefined
      ? undefined
      : createSignedIn({
          users,
          personalProjects,
          async findUserId(credential) {
            if (credential.kind === 'bearer' && JWT.test(credential.text))
              return oidc?.issued(credential.text) ? oidc.findUserId(credential.text) : findToken?.(credential.text)
            return (await (await signIn?.server())?.findSession(headersOf(credential)))?.userId
          },
        })
  return {
    users,
    memberProjects: createMemberProjects({ db }),
    signedIn,
    trusts: signIn?.accounts.trusts ?? (() => false),
    accounts: signIn?.accounts,
    isAdministrator: createAdministrators({ users, emails: config.ADMIN_EMAILS ?? new Set() }),
    flux: {
      fluxHistory: createFluxHistory({ db }),
      fluxGrants: createFluxGrants({ ...{ db, grants, users, fluxNanousd }, openProject: personalProjects.open }),
      grantReversals: createGrantReversals({ db, slot }),
    },
  }
}

function deletionParts(parts: Parts, { db, deletionParts: given = [] }: Below): DeletionPart[] {
  const { config, installation } = parts
  if (installation.authSecret === undefined) return [...given]
  return [
    ...given,
    socialDeletionPart(parts, { db, providers: config.socialProviders, secret: installation.authSecret }),
  ]
}

interface SignInDeps {
  secret: Secret
  users: Users
  deletion: PersonDeletion
  oidc: Oidc | undefined
}

function openSignIn(parts: Parts, below: Below & SignInDeps) {
  const { config, log, opened } = parts
  const { db, sendMail, settings, secret, users, capture, deletion, oidc } = below
  const onError = (error: unknown) => log.warn({ err: error }, 'signing in did not go well')
  const sweeper = createSessionSweeper({ db, everyMs: SWEEP_MS, onError })
  opened.defer(() => sweeper.close())
  const publicUrl = config.API_SERVER_URL
  const origins = config.ADDITIONAL_TRUSTED_ORIGINS ?? []
  // Pages of this machine are trusted only by a gateway that nobody else reaches.
  const isLocal = isLoopback(config.HOST) && publicUrl === undefined
  let server: Promise<SignInServer> | undefined
  const open = async () => {
    await oidc?.prepare()
    return createSignInServer({
      ...{ pool: db, secret, publicUrl, onError, sendMail, oidc: oidc?.settings },
      trustedOrigins: [...origins, ...(isLocal ? LOCAL_ORIGINS : [])],
      social: config.socialProviders,
      sendChangeMail: (to, data) => sendMail(to, 'change_email', data),
      maySignIn: async (userId) => (await users.find(userId))?.banned === false,
      deletePerson: (id) => deletion.run({ id }),
      onSignUp(userId) {
        log.info({ user: userId }, 'signed up')
        capture?.({ event: 'user_signed_up', userId })
      },
      onSession: (userId) => capture?.({ event: 'session_started', userId }),
    })
  }
  const start = () => {
    server ??= open().catch((error: unknown) => {
      // A database that was away at the first request is asked again at the next.
      server = undefined
      throw error
    })
    return server
  }
  const accounts: Accounts = {
    handle: async (request) => (await start()).handle(request),
    publicUrl,
    hasApps: oidc !== undefined,
    social: config.socialProviders.map(({ id }) => id),
    limit: () => ({
      max: settings().get('AUTH_RATE_LIMIT_MAX'),
      windowMs: settings().get('AUTH_RATE_LIMIT_WINDOW_SEC') * 1000,
    }),
    proxies: config.RATE_LIMIT_TRUSTED_PROXY,
    trusts: (origin) => origins.includes(origin) || origin === publicUrl || (isLocal && isLocalOrigin(origin)),
  }
  return { server: start, accounts }
}

/** Finds who a token of another issuer stands for; undefined where none is configured. */
function openTokenIssuer({ config }: Parts, db: Db): ((token: string) => Promise<string | undefined>) | undefined {
  const url = config.AUTH_SERVER_URL?.replace(/\/$/, '')
  if (url === undefined) return undefined
  const place = config.AUTH_SERVER_INTERNAL_URL?.replace(/\/$/, '') ?? url
  const issuer = createTokenIssuer({
    issuers: [url, `${url}/api/auth`],
    audiences: config.API_SERVER_URL === undefined ? [url] : [url, config.API_SERVER_URL],
    jwksUrl: `${place}/api/auth/jwks`,
    timeoutMs: ISSUER_MS_MAX,
  })
  const identities = createExternalIdentities({ db })
  return async (token) => {
    const claims = await issuer.verify(token)
    return claims === undefined ? undefined : identities.userIdOf(claims)
  }
}

/** Better Auth takes the host for its own when it has no address; sessions do not depend on it. */
function headersOf({ kind, text }: Credential): Headers {
  const name = kind === 'cookie' ? 'cookie' : 'authorization'
  return new Headers({ host: 'localhost', [name]: kind === 'cookie' ? text : `Bearer ${text}` })
}

function isLocalOrigin(origin: string): boolean {
  return URL.canParse(origin) && new URL(origin).protocol === 'http:' && isLoopback(new URL(origin).hostname)
}
