/**
 * A value as a lockfile holds it. Integers are bigint and floats are numbers, because `1` and `1.0` are different texts and so
 * have different digests.
 */
export type LockValue = string | boolean | bigint | number | null | LockValue[] | LockTable
export interface LockTable {
  [key: string]: LockValue
}

export const DEPTH_MAX = 32

export function isTable(value: unknown): value is LockTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member by its own name: `constructor` and `__proto__` are names like any other. */
export function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined
}
