import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

/** What a token of the issuer says of its holder. */
export interface TokenClaims {
  issuer: string
  subject: string
  email: string | undefined
  emailVerified: boolean
  name: string | undefined
}

export interface TokenIssuerSettings {
  /** Values of `iss` that are taken. */
  issuers: readonly string[]
  /** Values of `aud` that are taken. */
  audiences: readonly string[]
  jwksUrl: string
  timeoutMs: number
}

const KEYS_KEPT_MS = 10 * 60_000
/** An unknown key id makes the keys be fetched again, but not more often. */
const KEYS_COOLDOWN_MS = 10_000
const CLOCK_SECONDS = 30
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'ES256', 'ES384', 'EdDSA']

/** Checks tokens of another issuer by its published keys. */
export function createTokenIssuer(settings: TokenIssuerSettings) {
  const keys = createRemoteJWKSet(new URL(settings.jwksUrl), {
    timeoutDuration: settings.timeoutMs,
    cooldownDuration: KEYS_COOLDOWN_MS,
    cacheMaxAge: KEYS_KEPT_MS,
  })
  return {
    /** Undefined for a token that is not good, or not the issuer's. Rejects when its keys cannot be fetched. */
    async verify(token: string): Promise<TokenClaims | undefined> {
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer: [...settings.issuers],
          audience: [...settings.audiences],
          algorithms: ALGORITHMS,
          requiredClaims: ['sub', 'exp'],
          clockTolerance: CLOCK_SECONDS,
        })
        const { iss, sub, email, email_verified, name } = payload
        if (iss === undefined || sub === undefined || sub === '' || sub.length > 255) return undefined
        return {
          issuer: iss,
          subject: sub,
          email: typeof email === 'string' ? email : undefined,
          emailVerified: email_verified === true,
          name: typeof name === 'string' ? name : undefined,
        }
      } catch (error) {
        if (isAboutTheToken(error)) return undefined
        throw error
      }
    },
  }
}

/** Everything else is about the issuer: a time-out, a refused connection, an answer that holds no keys. */
function isAboutTheToken(error: unknown): boolean {
  return (
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  )
}
