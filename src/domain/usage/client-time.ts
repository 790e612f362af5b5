const EARLIEST_MS = Date.UTC(2000, 0, 1)
/** A client's clock may be ahead of ours by this much. */
const AHEAD_MS_MAX = 5 * 60_000

const pattern = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?([Zz]|[+-]\d\d(?::?\d\d)?)?$/

export type ClientTime = { time: string } | { problem: string }

/**
 * A moment by a client's clock, as ISO 8601 in UTC to the microsecond. A time without a zone is one of UTC. What lies before
 * 2000 or more than five minutes ahead is no time of a call.
 */
export function readClientTime(text: string, nowMs: number): ClientTime {
  const [, date = '', minutes = '', seconds = '00', fraction = '', zone = 'Z'] = pattern.exec(text) ?? []
  if (date === '') return { problem: 'Input should be a time as in 2026-12-31T23:59:59Z' }
  const civil = `${date}T${minutes}:${seconds}`
  const asUtc = Date.parse(`${civil}Z`)
  // Date rolls the 31st of February over; nobody meant that.
  if (Number.isNaN(asUtc) || new Date(asUtc).toISOString().slice(0, 19) !== civil)
    return { problem: 'Input should be a time that exists' }
  const ahead = aheadOfUtcMs(zone)
  if (ahead === undefined) return { problem: 'Input should have a zone from -23:59 to +23:59' }
  const atMs = asUtc - ahead
  if (atMs < EARLIEST_MS) return { problem: 'Input should not be before 2000-01-01' }
  if (atMs > nowMs + AHEAD_MS_MAX) return { problem: 'Input should not be more than 5 minutes in the future' }
  return { time: `${new Date(atMs).toISOString().slice(0, 19)}.${fraction.slice(0, 6).padEnd(6, '0')}Z` }
}

function aheadOfUtcMs(zone: string): number | undefined {
  if (zone === 'Z' || zone === 'z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(3).replace(':', ''))
  if (hours > 23 || minutes > 59) return undefined
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
}
