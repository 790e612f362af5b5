import { LockfileError } from './errors.ts'

/** JSON that keeps integers and floats apart: `1` becomes a bigint, `1.0` a number. Throws LockfileError `lockfile_syntax`. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, readNumber)
  } catch (cause) {
    throw new LockfileError('lockfile_syntax', `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

/** Where a runtime does not hand over the source text yet, a whole number counts as an integer. */
function readNumber(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number') return value
  const source = context?.source
  if (source === undefined) return Number.isSafeInteger(value) ? BigInt(value) : value
  return /^-?\d+$/.test(source) ? BigInt(source) : value
}
