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

let second = Number.NaN
let secondText = ''

/** The same as toISOString of a Date, for a clock: the second is written once and not for every instant in it. */
export function utcMillis(ms: number): string {
  const current = Math.floor(ms / 1000)
  if (current !== second) {
    secondText = new Date(current * 1000).toISOString().slice(0, -4)
    second = current
  }
  const rest = Math.trunc(ms - current * 1000)
  return `${secondText}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`
}
