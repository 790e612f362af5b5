import { isUtcMillis } from '#lib/utc-millis.ts'
import { type Field, field, hasFields, isCount, pattern } from './fields.ts'

// Members that several kinds of signed documents have.

export const ordinal = field('an integer of at least 1', (value) => isCount(value) && value >= 1)
export const time = field('a UTC time with milliseconds', isUtcMillis)
export const logOrigin = pattern('visible ASCII without +', /^[!-*,-~]{1,255}$/)
export const account = pattern('acc_ and 1 to 64 of A-Z a-z 0-9 _ -', /^acc_[A-Za-z0-9_-]{1,64}$/)
export const projectKey = pattern('prj_ and 1 to 64 of A-Z a-z 0-9 _ -', /^prj_[A-Za-z0-9_-]{1,64}$/)

/** An object of exactly these members. */
export function object(expects: string, known: Readonly<Record<string, Field>>): Field {
  return field(expects, (value) => hasFields(value, known))
}
