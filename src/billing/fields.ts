// How signed documents are read to the letter: every field known, every mandatory field there, every value in range.

import { LABEL_CHARS_MAX } from './receipt.ts'
import { isUsageKind } from './usage.ts'

export interface Field {
  optional: boolean
  expects: string
  accepts: (value: unknown) => boolean
}

export type Fields<Members> = Readonly<Record<keyof Members, Field>>

export function field(expects: string, accepts: (value: unknown) => boolean): Field {
  return { optional: false, expects, accepts }
}

export function pattern(expects: string, shape: RegExp, also: (text: string) => boolean = () => true): Field {
  return field(expects, (value) => typeof value === 'string' && shape.test(value) && also(value))
}

export function optional(inner: Field): Field {
  return { ...inner, optional: true }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** Counts characters as code points, as PostgreSQL does. */
function isLabel(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && [...value].length <= LABEL_CHARS_MAX
}

function isInt64(text: string): boolean {
  return BigInt(text) < 1n << 63n
}

function isUsage(value: unknown): boolean {
  if (!isRecord(value)) return false
  return Object.entries(value).every(([kind, units]) => isUsageKind(kind) && isCount(units) && units >= 1)
}

export const digest = pattern('sha256: and 64 hex digits', /^sha256:[0-9a-f]{64}$/)
export const amount = pattern('a decimal string of nano-dollars below 2^63', /^(?:0|[1-9][0-9]{0,18})$/, isInt64)
export const label = field(`text of 1 to ${LABEL_CHARS_MAX} characters`, isLabel)
export const count = field('an integer of at least 0', isCount)
export const usage = field('an object of known kinds, each an integer of at least 1', isUsage)

/** Whether these are exactly the known fields, each in range. */
export function hasFields(value: unknown, known: Readonly<Record<string, Field>>): boolean {
  return isRecord(value) && wrongField(value, known) === undefined
}

/** The first field that is not known, is missing, or is out of range. */
export function wrongField(
  value: Record<string, unknown>,
  known: Readonly<Record<string, Field>>,
): { name: string; why: 'unknown' | 'missing' | 'invalid'; message: string } | undefined {
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(known, name)) continue
    return { name, why: 'unknown', message: 'there is a field that this version lacks' }
  }
  for (const [name, inner] of Object.entries(known)) {
    if (!Object.hasOwn(value, name)) {
      if (inner.optional) continue
      return { name, why: 'missing', message: `${name} is missing` }
    }
    if (!inner.accepts(value[name])) return { name, why: 'invalid', message: `${name} is not ${inner.expects}` }
  }
  return undefined
}
