import { assert } from '#lib/assert.ts'
import { AppError } from '#src/errors.ts'

/**
 * What a key may be for: `inference` calls models, `ingest` reports usage, `read` sees usage, receipts and the wallet, `admin`
 * manages the keys of its own project. None of them includes another.
 */
export const scopes = ['inference', 'ingest', 'read', 'admin'] as const

export type Scope = (typeof scopes)[number]

export const defaultScopes: readonly Scope[] = ['inference', 'ingest', 'read']

const sets = new Map<string, ReadonlySet<Scope>>()

/** The same set for the same scopes, whatever their order: there are fifteen. */
export function scopeSet(list: readonly Scope[]): ReadonlySet<Scope> {
  const ordered = scopes.filter((scope) => list.includes(scope))
  assert(ordered.length > 0, 'a key has a scope')
  const name = ordered.join()
  const known = sets.get(name)
  if (known !== undefined) return known
  const made: ReadonlySet<Scope> = new Set(ordered)
  sets.set(name, made)
  return made
}

/** Throws AppError forbidden, naming the scope that is missing. */
export function requireScope(key: { scopes: ReadonlySet<Scope> }, scope: Scope): void {
  if (!key.scopes.has(scope)) throw new AppError('forbidden', { message: `This key lacks the scope '${scope}'.` })
}
