const SHAPE =
  /^(\d{4}-\d{2}-\d{2})[Tt _](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?:([Zz])|([+-])(\d{2}):?(\d{2})?)?$/

/** A time as somebody wrote it. */
export interface IsoTime {
  /** Whole seconds of the wall clock, counted as if it were UTC. */
  wallSeconds: number
  /** 0 to 999,999. */
  micros: number
  /** Minutes east of UTC; null where none is written. */
  offsetMinutes: number | null
}

/**
 * Reads a date and time in the forms of ISO 8601 that Python's pydantic reads, digits after the microsecond cut off.
 * Undefined for anything else, also for a day or an hour that does not exist.
 */
export function parseIsoTime(text: string): IsoTime | undefined {
  const [, date, minute, second = '00', fraction = '', zulu, sign, hours, minutes = '00'] = SHAPE.exec(text) ?? []
  if (date === undefined || minute === undefined) return undefined
  const wall = `${date}T${minute}:${second}.000Z`
  const ms = Date.parse(wall)
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== wall) return undefined
  const offset = zulu !== undefined ? 0 : sign === undefined ? null : readOffset(sign, Number(hours), Number(minutes))
  if (offset === undefined) return undefined
  return { wallSeconds: ms / 1000, micros: Number(fraction.slice(0, 6).padEnd(6, '0')), offsetMinutes: offset }
}

function readOffset(sign: string, hours: number, minutes: number): number | undefined {
  if (hours > 23 || minutes > 59) return undefined
  return (sign === '-' ? -1 : 1) * (hours * 60 + minutes)
}

/**
 * The time as Python's `isoformat()` prints it: UTC as `+00:00` and never `Z`, six digits of a second or none. Undefined
 * outside of the years 1 to 9999, which Python does not know either.
 */
export function isoformat({ wallSeconds, micros, offsetMinutes }: IsoTime): string | undefined {
  const date = new Date(wallSeconds * 1000)
  const year = date.getUTCFullYear()
  if (Number.isNaN(year) || year < 1 || year > 9999) return undefined
  const fraction = micros === 0 ? '' : `.${String(micros).padStart(6, '0')}`
  return date.toISOString().slice(0, 19) + fraction + offsetText(offsetMinutes)
}

/** The same instant by the clock of another place. */
export function atOffset(time: IsoTime, offsetMinutes: number): IsoTime {
  return { ...time, wallSeconds: time.wallSeconds + (offsetMinutes - (time.offsetMinutes ?? 0)) * 60, offsetMinutes }
}

function offsetText(minutes: number | null): string {
  if (minutes === null) return ''
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return `${minutes < 0 ? '-' : '+'}${String(hours).padStart(2, '0')}:${String(rest).padStart(2, '0')}`
}
