/**
 * Whether a text is a real instant written as `2026-11-22T01:41:15.123Z`: UTC, three digits of a second, year 1970 to
 * 9999. Two such texts compare as strings in the order of time.
 */
export function isUtcMillis(value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/.test(value)) return false
  const millis = Date.parse(value)
  // The way back refuses 30 February and 24:00, which Date.parse may forgive.
  return millis >= 0 && new Date(millis).toISOString() === value
}
