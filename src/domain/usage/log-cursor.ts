/** Where a page ended: the next one begins with what is older. */
export interface LogCursor {
  /** Of the last entry, ISO 8601 to the microsecond. */
  occurredAt: string
  id: string
  /** Where the range began when the first page was asked for: later pages keep to it. */
  from: string
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/

export function encodeCursor({ occurredAt, id, from }: LogCursor): string {
  return Buffer.from(`1 ${occurredAt} ${id} ${from}`).toString('base64url')
}

/** Undefined for anything that encodeCursor did not make. */
export function decodeCursor(text: string): LogCursor | undefined {
  const [version, occurredAt = '', id = '', from = '', ...more] = Buffer.from(text, 'base64url').toString().split(' ')
  const isOurs = version === '1' && more.length === 0 && UUID.test(id) && [occurredAt, from].every(isTime)
  return isOurs ? { occurredAt, id, from } : undefined
}

/** A moment that PostgreSQL has too: no year 0, no 30th of February. */
function isTime(text: string): boolean {
  if (!TIME.test(text) || text < '0001') return false
  const ms = Date.parse(text)
  return !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 23) === text.slice(0, 23)
}
