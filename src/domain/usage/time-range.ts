import { isZoneName } from './civil-days.ts'

const MICROS_PER_DAY = 86_400_000_000n
const MICROS_PER_BUCKET = 900_000_000n
const DEFAULT_DAYS = 30n
/** Ten years and a day: the most days that one question may span. */
const RANGE_DAYS_MAX = 3_660n

/** From `from` up to, and without, `to`: microseconds since 1970, UTC. */
export interface TimeRange {
  from: bigint
  to: bigint
}

export interface RangeQuery {
  /** A date, or a date and a time; in `zone` where it names no offset. */
  start?: string | undefined
  /** Like `start`. A date is included to its last moment, an instant is not included. */
  end?: string | undefined
  /** An IANA time zone. */
  zone: string
}

export type ParsedRange =
  | { ok: true; range: TimeRange; hasEnd: boolean }
  | { ok: false; param: 'start_date' | 'end_date' | 'tz'; message: string; input: string }

/** The range that a request asks for: by default the 30 days before its end, and up to now. */
export function parseTimeRange({ start, end, zone }: RangeQuery, nowMs: number): ParsedRange {
  if (!isZoneName(zone)) return { ok: false, param: 'tz', message: 'is not an IANA time zone', input: zone }
  const to = end === undefined ? BigInt(nowMs) * 1_000n : parsePoint(end, zone, 'end')
  if (to === undefined) return { ok: false, param: 'end_date', message: POINT_EXPECTED, input: end ?? '' }
  const from = start === undefined ? to - DEFAULT_DAYS * MICROS_PER_DAY : parsePoint(start, zone, 'start')
  if (from === undefined) return { ok: false, param: 'start_date', message: POINT_EXPECTED, input: start ?? '' }
  if (from >= to) return { ok: false, param: 'start_date', message: 'is not before the end', input: start ?? '' }
  if (to - from > RANGE_DAYS_MAX * MICROS_PER_DAY) {
    const message = `is more than ${RANGE_DAYS_MAX} days before the end`
    return { ok: false, param: 'start_date', message, input: start ?? '' }
  }
  return { ok: true, range: { from, to }, hasEnd: end !== undefined }
}

const POINT_EXPECTED = 'should be a date such as 2026-11-22, or a time such as 2026-11-22T10:00:00Z'

/** The whole quarter hours that a range touches: nothing that was asked for is left out. */
export function wholeBuckets({ from, to }: TimeRange): TimeRange {
  return { from: from - modulo(from), to: to + modulo(-to) }
}

function modulo(micros: bigint): bigint {
  return ((micros % MICROS_PER_BUCKET) + MICROS_PER_BUCKET) % MICROS_PER_BUCKET
}

/** As PostgreSQL reads it, to the microsecond: `2026-11-22T01:41:15.123456Z`. */
export function microsToText(micros: bigint): string {
  const rest = ((micros % 1_000n) + 1_000n) % 1_000n // Never negative, also before 1970.
  return `${new Date(Number((micros - rest) / 1_000n)).toISOString().slice(0, -1)}${String(rest).padStart(3, '0')}Z`
}

// A plus sign that nobody escaped arrives as a space.
const POINT =
  /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(?:([Zz])|([+\- ])(\d{2}):?(\d{2}))?)?$/

/** Undefined for what is no date and no time of the years 1970 to 9998. */
function parsePoint(text: string, zone: string, side: 'start' | 'end'): bigint | undefined {
  const [, date, time, utc, sign, hours, minutes] = POINT.exec(text) ?? []
  if (date === undefined || !isYearKnown(date)) return undefined
  try {
    if (time === undefined) {
      const day = Temporal.PlainDate.from(date)
      return microsOf((side === 'end' ? day.add({ days: 1 }) : day).toZonedDateTime(zone))
    }
    const offset = utc === undefined ? sign && `${sign === ' ' ? '+' : sign}${hours}:${minutes}` : 'Z'
    if (offset === undefined) return microsOf(Temporal.PlainDateTime.from(`${date}T${time}`).toZonedDateTime(zone))
    return microsOf(Temporal.Instant.from(`${date}T${time}${offset}`))
  } catch (error) {
    if (error instanceof RangeError) return undefined // The 30th of February, or 25 o'clock.
    throw error
  }
}

function isYearKnown(date: string): boolean {
  return date >= '1970-01-02' && date < '9999'
}

function microsOf({ epochNanoseconds }: { epochNanoseconds: bigint }): bigint {
  return epochNanoseconds / 1_000n
}
