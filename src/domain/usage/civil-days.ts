import { assert } from '#lib/assert.ts'

export const periodKinds = ['day', 'week', 'month'] as const
export type PeriodKind = (typeof periodKinds)[number]

/** A stretch of days: one day, an ISO week from Monday to Sunday, or a month of the calendar. */
interface Period {
  /** `2026-11-22`, `2026-W47` or `2026-11`. */
  name: string
  /** Its first and its last day, whether or not the range covers them. */
  firstDate: string
  lastDate: string
}

/** The days of a time zone that a range touches, oldest first, and the periods that they belong to. */
export interface CivilDays {
  dates: string[]
  /** When each of them begins, in milliseconds since 1970: a day of 23, 24 or 25 hours ends where the next begins. */
  startsMs: number[]
  periods: Period[]
  /** For each day the index of its period. */
  periodOf: number[]
}

export function civilDays(range: { fromMs: number; toMs: number }, zone: string, kind: PeriodKind): CivilDays {
  assert(range.fromMs < range.toMs, 'a range has a length')
  const days: CivilDays = { dates: [], startsMs: [], periods: [], periodOf: [] }
  let date = Temporal.Instant.fromEpochMilliseconds(range.fromMs).toZonedDateTimeISO(zone).toPlainDate()
  for (;;) {
    const startMs = date.toZonedDateTime(zone).epochMilliseconds
    if (startMs >= range.toMs) return days
    const period = periodOf(date, kind)
    if (days.periods.at(-1)?.name !== period.name) days.periods.push(period)
    days.dates.push(date.toString())
    days.startsMs.push(startMs)
    days.periodOf.push(days.periods.length - 1)
    date = date.add({ days: 1 })
  }
}

function periodOf(date: Temporal.PlainDate, kind: PeriodKind): Period {
  switch (kind) {
    case 'day':
      return { name: date.toString(), firstDate: date.toString(), lastDate: date.toString() }
    case 'week': {
      const monday = date.subtract({ days: date.dayOfWeek - 1 })
      const name = `${date.yearOfWeek}-W${String(date.weekOfYear).padStart(2, '0')}`
      return { name, firstDate: monday.toString(), lastDate: monday.add({ days: 6 }).toString() }
    }
    case 'month': {
      const first = date.with({ day: 1 })
      const name = first.toPlainYearMonth().toString()
      return { name, firstDate: first.toString(), lastDate: first.with({ day: first.daysInMonth }).toString() }
    }
  }
}

/** A name of the IANA database that this runtime knows, such as `Asia/Kathmandu`. Bare offsets are no zones. */
export function isZoneName(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
