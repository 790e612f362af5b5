import { AppError } from '#src/errors.ts'
import { redact } from './redact.ts'

/**
 * Whose fault a failed attempt is. Only `caller` faults are passed on to the client as they are; everything else moves on
 * to the next target while nothing of an answer has been sent.
 */
type FaultClass = 'caller' | 'credential' | 'target' | 'provider'

export interface UpstreamFault {
  class: FaultClass
  /** Short and constant, for logs and metrics. */
  code: string
  status?: number
  retryAfterMs?: number
  /** What the provider says, for a caller whose own fault it is. */
  error?: { message: string; type: string; param: string | null; code: string | null }
  timedOut?: boolean
  cause?: unknown
}

/** No upstream's fault: the process is about to end, so no further one is asked. */
export const SHUTTING_DOWN: UpstreamFault = { class: 'provider', code: 'shutting_down' }

/** The time of the whole call is over, or that of all attempts until there is something for the client. */
export const TOTAL_OVER: UpstreamFault = { class: 'provider', code: 'timeout_total', timedOut: true }
export const CHAIN_OVER: UpstreamFault = { class: 'provider', code: 'timeout_chain', timedOut: true }

const ERROR_TEXT_CHARS_MAX = 2_000
const ERROR_NAME_CHARS_MAX = 100

/** Classifies an answer that is not 2xx. `body` is at most its first 64 KB; `credential` is what the provider was sent. */
export function faultOfStatus(
  status: number,
  headers: Record<string, string | string[] | undefined>,
  body: string,
  credential: string | undefined,
): UpstreamFault {
  const retryAfterMs = parseRetryAfter(headers, Date.now())
  const error = providerError(body, credential)
  return {
    class: classOfStatus(status),
    code: `status_${status}`,
    status,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(error && { error }),
  }
}

/** Of a key that cannot be opened or exchanged: no fault of the call, since another key may serve. */
export function faultOfCredential(cause: unknown): UpstreamFault {
  if (cause instanceof AppError && cause.code === 'decrypt_failed')
    return { class: 'credential', code: cause.code, cause }
  if (cause instanceof Error && 'fault' in cause && cause.fault === 'provider') {
    const timedOut = 'timedOut' in cause && cause.timedOut === true
    return { class: 'provider', code: 'token_unavailable', timedOut, cause }
  }
  return { class: 'credential', code: 'credential_unusable', cause }
}

function classOfStatus(status: number): FaultClass {
  if (status === 401 || status === 402 || status === 403) return 'credential'
  if (status === 404 || status === 408 || status === 429) return 'target'
  if (status >= 400 && status < 500) return 'caller'
  return 'provider'
}

/** The error that a client sees when no target is left. The provider's own words only where the caller is at fault. */
export function errorOfFaults(faults: readonly UpstreamFault[]): AppError {
  const last = faults.at(-1)
  const details = { faults: faults.map(({ class: kind, code, status }) => ({ class: kind, code, status })) }
  const cause = last?.cause
  if (last?.class === 'caller') {
    const { status = 400, error } = last
    return new AppError('upstream_rejected', {
      status,
      ...(error && { message: error.message, upstream: { type: error.type, code: error.code } }),
      ...(error?.param && { param: error.param }),
      details,
      cause,
    })
  }
  if (faults.every((fault) => fault.class === 'credential'))
    return new AppError('upstream_credential', { details, cause })
  const retryAfterMs = faults.reduce<number | undefined>(
    (least, { retryAfterMs: ms }) => (ms === undefined ? least : Math.min(ms, least ?? ms)),
    undefined,
  )
  const headers: Record<string, string> =
    retryAfterMs === undefined
      ? {}
      : { 'retry-after': String(Math.ceil(retryAfterMs / 1000)), 'retry-after-ms': String(retryAfterMs) }
  if (last?.status === 429)
    return new AppError('rate_limit_exceeded', { headers: { 'retry-after': '1', ...headers }, details, cause })
  if (last?.timedOut) return new AppError('upstream_timeout', { headers, details, cause })
  return new AppError('upstream_failed', { headers, details, cause })
}

const RETRY_AFTER_MS_MAX = 3_600_000

/** `retry-after-ms`, or `retry-after` as seconds (also fractional) or as a date. */
export function parseRetryAfter(
  headers: Record<string, string | string[] | undefined>,
  nowMs: number,
): number | undefined {
  const ms = Number(single(headers['retry-after-ms']) ?? Number.NaN)
  if (Number.isFinite(ms)) return clampMs(ms)
  const text = single(headers['retry-after'])
  if (text === undefined) return undefined
  if (/^\s*\d+(\.\d+)?\s*$/.test(text)) return clampMs(Number(text) * 1000)
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : clampMs(date - nowMs)
}

function clampMs(ms: number): number {
  return Math.round(Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX))
}

function single(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value[0] : value
  return text === '' ? undefined : text
}

/** OpenAI's error object, where the body is one; never anything else of it. Some providers quote the credential they got. */
export function providerError(body: string, credential: string | undefined): UpstreamFault['error'] {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return undefined
  }
  // Google wraps the object in an array.
  const outer = Array.isArray(value) ? value[0] : value
  const error = isObject(outer) ? outer.error : undefined
  const message = typeof error === 'string' ? error : isObject(error) ? error.message : undefined
  if (typeof message !== 'string') return undefined
  const member = (name: string) => {
    const text = isObject(error) ? error[name] : undefined
    return typeof text === 'string' ? redact(text, credential).slice(0, ERROR_NAME_CHARS_MAX) : null
  }
  return {
    message: redact(message, credential).slice(0, ERROR_TEXT_CHARS_MAX),
    type: member('type') ?? 'invalid_request_error',
    param: member('param'),
    code: member('code'),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
