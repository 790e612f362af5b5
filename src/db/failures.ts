import pg from 'pg'

/** SQLSTATE that `require_slot` raises: this process was taken for dead and must claim a new slot. */
export const SLOT_LOST = 'FG001'

/** No session could be opened: whatever the reason, it is no fault of the statement that waits for one. */
export class NoConnectionError extends Error {
  override readonly name = 'NoConnectionError'
  constructor(cause: unknown) {
    super(`no connection to the database: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/**
 * Whether the same statement may succeed when it is sent again: the server was away, restarting, overloaded, or chose us
 * as a victim. Such a statement may also have been committed, so only idempotent ones are sent again.
 */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof NoConnectionError) return true
  const code = sqlState(error)
  if (code === undefined) return isConnectionError(error)
  if (code.startsWith('08') || code.startsWith('53') || code.startsWith('57')) return true
  return ['40001', '40P01', '55P03', '25006', '25P03'].includes(code)
}

/** The five-character SQLSTATE of a server error. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

const connectionCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT', // The socket file of an embedded server that is restarting.
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
])

/** Whether the connection is gone, or may as well be: nothing that is sent on it arrives. */
export function isConnectionError(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof pg.DatabaseError) return false
  if ('code' in error && typeof error.code === 'string') return connectionCodes.has(error.code)
  // The driver reports these without a code.
  return /connection (terminated|timeout|ended)|timeout (exceeded|expired)|read timeout|not queryable|client was closed|connection error/i.test(
    error.message,
  )
}
