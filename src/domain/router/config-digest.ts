import { createHash } from 'node:crypto'
import { CanonicalJsonError, canonicalJson } from '#lib/canonical-json.ts'

/**
 * `sha256:` and 64 hex digits of a JSON value's canonical text: order and white space do not count. Fractions and null, which
 * canonical JSON refuses and only the parameters of an adapter can have, count as texts.
 */
export function configDigest(value: unknown): string {
  return `sha256:${createHash('sha256').update(canonicalText(value)).digest('hex')}`
}

function canonicalText(value: unknown): string {
  try {
    return canonicalJson(value)
  } catch (error) {
    if (!(error instanceof CanonicalJsonError)) throw error
    return canonicalJson(withoutFractions(value))
  }
}

function withoutFractions(value: unknown): unknown {
  if (value === null) return '$null'
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : `$${value}`
  if (Array.isArray(value)) return value.map(withoutFractions)
  if (typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutFractions(inner)]))
}
