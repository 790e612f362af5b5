import { createHash } from 'node:crypto'
import { canonicalJson } from '#lib/canonical-json.ts'

/**
 * `sha256:` and 64 hex digits of a JSON value's canonical text: order and white space do not count. Fractions and null, which
 * canonical JSON refuses and only the parameters of an adapter can have, count as texts.
 */
export function configDigest(value: unknown): string {
  const hash = createHash('sha256')
    .update(canonicalJson(withoutFractions(value)))
    .digest('hex')
  return `sha256:${hash}`
}

function withoutFractions(value: unknown): unknown {
  if (value === null) return '$null'
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : `$${value}`
  if (Array.isArray(value)) return value.map(withoutFractions)
  if (typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutFractions(inner)]))
}
