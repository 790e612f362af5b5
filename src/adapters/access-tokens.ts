import { createLocalJWKSet, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'

/** A key that this installation signs tokens with, as the database has it. */
interface SigningKey {
  id: string
  /** JWK. */
  publicKey: string
}

export interface AccessTokensOptions {
  issuer: string
  audience: string
  clientIds: ReadonlySet<string>
  signingKeys(): Promise<readonly SigningKey[]>
}

const ALGORITHM = 'RS256'
/** A key that was deleted is believed for so long at most. */
const KEYS_KEPT_MS = 60_000
/** An unknown key id makes the keys be read again, unless one was in vain so shortly before. */
const KEYS_COOLDOWN_MS = 1_000
/** The clocks of several gateways. */
const CLOCK_SECONDS = 5
const ID_CHARS_MAX = 255

type Keys = ReturnType<typeof createLocalJWKSet>

/** Checks tokens that this installation has issued to apps, by the keys in the database. */
export function createAccessTokens(options: AccessTokensOptions) {
  const { issuer, audience, clientIds } = options
  let keys: Keys | undefined
  let reading: Promise<Keys> | undefined
  let readAt = Number.NEGATIVE_INFINITY
  let missedAt = Number.NEGATIVE_INFINITY

  /** At most one at a time: whoever comes meanwhile waits for it. */
  function readKeys(): Promise<Keys> {
    reading ??= (async () => {
      const startedAt = performance.now()
      const found = await options.signingKeys()
      readAt = startedAt
      keys = createLocalJWKSet({
        keys: found.map(({ id, publicKey }) => ({ ...JSON.parse(publicKey), kid: id, alg: ALGORITHM })),
      })
      return keys
    })().finally(() => {
      reading = undefined
    })
    return reading
  }

  /** Undefined for a token that is not good. Rejects when the keys cannot be read. */
  async function verify(token: string, expected: JWTVerifyOptions): Promise<JWTPayload | undefined> {
    const rules = { ...expected, issuer, algorithms: [ALGORITHM] }
    const check = async (by: Keys) => (await jwtVerify(token, by, rules)).payload
    const known = keys !== undefined && performance.now() - readAt < KEYS_KEPT_MS ? keys : await readKeys()
    try {
      return await check(known)
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error
      const isNewKey = error instanceof errors.JWKSNoMatchingKey
      if (!isNewKey || performance.now() - missedAt < KEYS_COOLDOWN_MS) return undefined
    }
    const fresh = await readKeys()
    try {
      return await check(fresh)
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error
      if (error instanceof errors.JWKSNoMatchingKey) missedAt = performance.now()
      return undefined
    }
  }

  return {
    /** Whose an access token is, and of which session; whether that lives has to be looked up. */
    async verify(token: string): Promise<{ userId: string; sessionId: string } | undefined> {
      const payload = await verify(token, {
        audience,
        typ: 'at+jwt',
        requiredClaims: ['sub', 'sid', 'exp', 'client_id'],
        clockTolerance: CLOCK_SECONDS,
      })
      if (payload === undefined) return undefined
      const { sub, sid, client_id: clientId, cnf } = payload
      // Bound to a key that its user would have to show (RFC 9449): here nobody asks for it.
      if (cnf !== undefined || typeof clientId !== 'string' || !clientIds.has(clientId)) return undefined
      return isId(sub) && isId(sid) ? { userId: sub, sessionId: sid } : undefined
    },

    /** To whom an ID token was issued, and of which session, however old it is. */
    async readIdToken(token: string): Promise<{ clientId: string; sessionId: string } | undefined> {
      const payload = await verify(token, { clockTolerance: Number.MAX_SAFE_INTEGER })
      if (payload === undefined) return undefined
      const { aud, sid } = payload
      return isId(aud) && isId(sid) ? { clientId: aud, sessionId: sid } : undefined
    },
  }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= ID_CHARS_MAX
}
