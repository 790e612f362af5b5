import { isTransient } from '#db/failures.ts'
import { AppError } from '#src/errors.ts'

/**
 * What an edge renders for any error that a domain function threw: an AppError as it is, a database that is away as
 * ledger_unavailable. Undefined for everything else, which is a bug.
 */
export function asAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error
  if (isTransient(error)) return new AppError('ledger_unavailable', { cause: error })
  return undefined
}
