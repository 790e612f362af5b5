import { isUtcMillis } from './utc-millis.ts'

/**
 * Whether a text is a real instant written as `2026-11-22T01:41:15.123456Z`: UTC, six digits of a second, year 1970 to
 * 9999. Two such texts compare as strings in the order of time. PostgreSQL keeps times to the microsecond.
 */
export function isUtcMicros(value: unknown): value is string {
  return typeof value === 'string' && /^.{19}\.\d{6}Z$/.test(value) && isUtcMillis(`${value.slice(0, 23)}Z`)
}
