import { AppError } from '#src/errors.ts'

/** How a session is ended: what the client is told, and the code that its socket closes with. */
export interface SessionEnd {
  /** Undefined: nothing is said. */
  code: string | undefined
  message: string
  close: number
}

const NORMAL = 1000
const GOING_AWAY = 1001
const POLICY = 1008
const BROKEN = 1011
const TRY_LATER = 1013
/** AIRI's own. */
const UNAUTHORIZED = 4001

/** A client that is at fault, or asks for too much. */
export class SessionRefusal extends Error {
  override readonly name = 'SessionRefusal'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const ends: Readonly<Record<string, readonly [code: string, close: number]>> = {
  insufficient_quota: ['insufficient_flux', POLICY],
  budget_exceeded: ['insufficient_flux', POLICY],
  model_not_allowed: ['model_not_allowed', POLICY],
  wallet_frozen: ['insufficient_flux', POLICY],
  streaming_speech_not_configured: ['streaming_tts_not_configured', POLICY],
  pricing_missing: ['streaming_tts_not_configured', POLICY],
  config_not_set: ['streaming_tts_not_configured', POLICY],
  config_invalid: ['config_unavailable', BROKEN],
  config_unavailable: ['config_unavailable', BROKEN],
  decrypt_failed: ['decrypt_failed', BROKEN],
  ledger_unavailable: ['ledger_unavailable', BROKEN],
  settlement_pending: ['settlement_pending', BROKEN],
  overloaded: ['overloaded', TRY_LATER],
  shutting_down: ['shutting_down', GOING_AWAY],
}

/** What a client is told of whatever ended its session. */
export function sessionEndOf(error: unknown): SessionEnd {
  if (error instanceof SessionRefusal) return { code: error.code, message: error.message, close: POLICY }
  if (!(error instanceof AppError)) return { code: 'internal_error', message: 'The session failed.', close: BROKEN }
  const { message } = error
  if (error.code === 'invalid_api_key') return { code: undefined, message: 'unauthorized', close: UNAUTHORIZED }
  const known = ends[error.code]
  if (known !== undefined) return { code: known[0], message, close: known[1] }
  if (error.code.startsWith('upstream_') || error.code === 'rate_limit_exceeded')
    return { code: 'upstream_error', message, close: NORMAL }
  if (error.status < 500) return { code: error.code, message, close: POLICY }
  return { code: 'internal_error', message: 'The session failed.', close: BROKEN }
}
