import { decodeJwt, errors } from 'jose'
import { createAccessTokens } from '#adapters/access-tokens.ts'
import type { OidcSettings } from '#adapters/oidc-provider.ts'
import type { Db } from '#db/pool.ts'
import { createAppSessions } from '#domain/people/app-sessions.ts'
import type { Users } from '#domain/people/users.ts'
import type { Parts } from './parts.ts'

/** The apps of the configuration, and their tokens. Undefined where there are none. */
export function openOidc({ config }: Pick<Parts, 'config'>, { db, users }: { db: Db; users: Users }) {
  const { OIDC_CLIENTS: clients, API_SERVER_URL: audience } = config
  if (clients === undefined || audience === undefined) return undefined
  const issuer = `${audience}/api/auth`
  const sessions = createAppSessions({ db })
  const tokens = createAccessTokens({
    ...{ issuer, audience, signingKeys: sessions.signingKeys },
    clientIds: new Set(clients.map(({ id }) => id)),
  })
  /** The living session of an access token that is good. Rejects when that cannot be told. */
  async function findSession(accessToken: string) {
    const holder = await tokens.verify(accessToken)
    if (holder === undefined) return undefined
    const session = await sessions.find(holder.sessionId)
    return session?.userId === holder.userId ? session : undefined
  }
  const settings: OidcSettings = {
    ...{ clients, audience, issuer, readIdToken: tokens.readIdToken, endSession: sessions.end },
    sessionTokenOf: async (accessToken) => (await findSession(accessToken))?.token,
    async mayIssue({ userId, sessionId, renews }) {
      if ((await sessions.find(sessionId))?.userId !== userId) return false
      if ((await users.find(userId))?.banned !== false) return false
      if (renews) await sessions.renew(sessionId)
      return true
    },
  }
  return {
    settings,
    prepare: () => sessions.admitAudience(audience),

    /** Whether a token says that it is of this installation. */
    issued: (token: string) => issuerOf(token) === issuer,

    /** Undefined for an access token that is not good, or whose session is over. Rejects when that cannot be told. */
    findUserId: async (accessToken: string) => (await findSession(accessToken))?.userId,
  }
}

export type Oidc = NonNullable<ReturnType<typeof openOidc>>

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined
    throw error
  }
}
