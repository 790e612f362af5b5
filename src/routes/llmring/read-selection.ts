import type { LogSelection } from '#domain/certificates/select-logs.ts'
import { atOffset, parseIsoTime } from '#lib/iso-time.ts'
import { AppError } from '#src/errors.ts'

const MS_PER_DAY = 86_400_000

/** Which logs a request asks for, by the members of its body. */
export interface SelectionBody {
  conversation_id?: string
  start_date?: string
  end_date?: string
  log_ids?: readonly string[]
  since_last_receipt?: boolean
}

/** The first way to choose that is there counts. Throws AppError: selection_missing, body_invalid. */
export function readSelection(body: SelectionBody): LogSelection {
  const { conversation_id, start_date, end_date, log_ids = [] } = body
  if (conversation_id !== undefined) return { mode: 'conversation', conversationId: plainUuid(conversation_id) }
  if (start_date !== undefined && end_date !== undefined) {
    const start = readPoint(start_date, 'start_date', 0)
    const end = readPoint(end_date, 'end_date', MS_PER_DAY)
    if (start >= end) throw new AppError('body_invalid', { param: 'start_date', message: 'is not before end_date' })
    return { mode: 'range', start, end }
  }
  if (log_ids.length > 0) return { mode: 'log_ids', ids: [...new Set(log_ids.map(plainUuid))] }
  if (body.since_last_receipt === true) return { mode: 'since_last_receipt' }
  throw new AppError('selection_missing')
}

/** Lower-case with dashes, as the database writes it. */
export function plainUuid(text: string): string {
  return text
    .replaceAll('-', '')
    .toLowerCase()
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** To the millisecond; UTC where no zone is named. `dayMs` is added to a date without a time. */
function readPoint(text: string, param: string, dayMs: number): Date {
  const isDate = /^\d{4}-\d{2}-\d{2}$/.test(text)
  const time = parseIsoTime(isDate ? `${text}T00:00` : text)
  const utc = time && atOffset(time, 0)
  const ms =
    utc === undefined ? Number.NaN : utc.wallSeconds * 1000 + Math.floor(utc.micros / 1000) + (isDate ? dayMs : 0)
  const point = new Date(ms)
  // What a certificate can state.
  if (Number.isNaN(ms) || ms < 0 || point.getUTCFullYear() > 9999) {
    throw new AppError('body_invalid', { param, message: 'should be a date, or a date and a time, from 1970 to 9999' })
  }
  return point
}
