const FORM = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?(Z|[+-]\d{2}:?\d{2})?)?$/

/**
 * A time as Python's `isoformat` prints it: microseconds only when there are any, and UTC as `utc` says. Undefined for a text that is
 * not a date or a date with a time.
 */
export function pythonTime(text: string, utc: '+00:00' | 'Z' = '+00:00'): string | undefined {
  const found = FORM.exec(text)
  if (found === null) return undefined
  const [, year = '', month = '', day = '', hour = '00', minute = '00', second = '00', fraction = '', zone] = found
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`)
  // A day that the month does not have rolls over into the next one.
  if (year === '0000' || Number.isNaN(date.getTime()) || date.getUTCDate() !== Number(day)) return undefined
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  const micros = fraction.slice(0, 6).padEnd(6, '0')
  const offset = pythonOffset(zone, utc)
  if (offset === undefined) return undefined
  return `${year}-${month}-${day}T${hour}:${minute}:${second}${Number(micros) === 0 ? '' : `.${micros}`}${offset}`
}

export function pythonTimeOf(date: Date): string {
  return pythonTime(date.toISOString()) ?? date.toISOString()
}

function pythonOffset(zone: string | undefined, utc: string): string | undefined {
  if (zone === undefined) return ''
  if (zone === 'Z') return utc
  const hours = zone.slice(1, 3)
  const minutes = zone.slice(-2)
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined
  return Number(hours) + Number(minutes) === 0 ? utc : `${zone[0]}${hours}:${minutes}`
}
