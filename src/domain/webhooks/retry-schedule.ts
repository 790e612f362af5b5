const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** How long after each failed attempt the next one comes, before jitter: ten attempts in about three days. */
export const retryDelaysMs = [
  5_000,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
] as const

/** A receiver that asks for more time is not left alone longer than this. */
export const RETRY_AFTER_MS_MAX = 24 * HOUR_MS

/**
 * How long to wait after the `tries`-th attempt has failed; undefined: no more. Up to a fifth longer or shorter, so that what
 * failed together does not come back together. `retryAfterMs` is what the receiver asked for at least.
 */
export function retryDelayMs(tries: number, retryAfterMs = 0, random = Math.random): number | undefined {
  const whole = retryDelaysMs[tries - 1]
  if (whole === undefined) return undefined
  return Math.round(Math.max(whole * (0.8 + 0.4 * random()), Math.min(retryAfterMs, RETRY_AFTER_MS_MAX)))
}

/** What a Retry-After header asks for: seconds, or a date. Undefined where it is neither. */
export function parseRetryAfter(value: string | undefined, nowMs = Date.now()): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const at = /^[A-Z][a-z]{2}, /.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}
