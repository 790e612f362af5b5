import { parse, TomlDate } from 'smol-toml'
import { LockfileError } from './errors.ts'
import { pythonTime } from './python-time.ts'

/**
 * TOML that keeps integers (bigint) and floats (number) apart. Dates become text, as llmring writes them back. Throws LockfileError
 * `lockfile_syntax`, whose message shows the line.
 */
export function parseToml(text: string): unknown {
  try {
    return withoutDates(parse(text, { integersAsBigInt: true }))
  } catch (cause) {
    throw new LockfileError('lockfile_syntax', `not TOML: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

function withoutDates(value: unknown): unknown {
  if (value instanceof TomlDate) {
    const text = value.toISOString()
    if (value.isDate()) return text
    return value.isTime() ? text.replace(/\.0+$/, '') : pythonTime(text, 'Z')
  }
  if (Array.isArray(value)) return value.map(withoutDates)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withoutDates(member)]))
}
