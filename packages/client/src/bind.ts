import { aliasProblem } from './check-lockfile.ts'
import { LockfileError } from './errors.ts'
import { type LockTable, own } from './lock-value.ts'
import { BINDINGS_MAX, createProfile, type Lockfile, POOL_MAX, PROFILES_MAX, type Profile } from './lockfile.ts'
import { isKnownProvider, parseModelRef } from './model-ref.ts'
import { pythonTimeOf } from './python-time.ts'

/** A profile that is not given is the default one; `now` becomes the time of the change. */
export interface BindOptions {
  profile?: string | undefined
  now: Date
}

/**
 * A lockfile in which the alias leads to these models, in this order. A text may hold several, separated by commas. As in llmring, a
 * profile that is not there is made and a binding that is replaced moves to the end. Throws LockfileError `lockfile_invalid`.
 */
export function bindAlias(
  lockfile: Lockfile,
  alias: string,
  models: string | readonly string[],
  options: BindOptions & { constraints?: LockTable },
): Lockfile {
  const wrong = aliasProblem(alias) ?? namespaceProblem(alias)
  if (wrong !== undefined) throw invalid('alias', wrong)
  const pool = typeof models === 'string' ? models.split(',').map((model) => model.trim()) : [...models]
  const bad = pool.find((model) => parseModelRef(model) === undefined || model.includes(','))
  if (bad !== undefined) throw invalid('models', `must read provider:model, not ${JSON.stringify(bad)}`)
  if (pool.length === 0) throw invalid('models', 'is empty')
  if (pool.length > POOL_MAX) throw invalid('models', `has more than ${POOL_MAX} entries`)
  return changeProfile(lockfile, options, (profile) => {
    const others = profile.bindings.filter((binding) => binding.alias !== alias)
    if (others.length >= BINDINGS_MAX) throw invalid('bindings', `has more than ${BINDINGS_MAX} entries`)
    const rest = profile.bindings.find((binding) => binding.alias === alias)?.rest ?? {}
    return [...others, { alias, models: pool, constraints: options.constraints ?? null, rest }]
  })
}

/** A lockfile without the alias in that profile. The same one if it was not there. */
export function unbindAlias(lockfile: Lockfile, alias: string, options: BindOptions): Lockfile {
  const profile = own(lockfile.profiles, options.profile ?? lockfile.defaultProfile)
  if (profile?.bindings.some((binding) => binding.alias === alias) !== true) return lockfile
  return changeProfile(lockfile, options, ({ bindings }) => bindings.filter((binding) => binding.alias !== alias))
}

function changeProfile(
  lockfile: Lockfile,
  { profile: asked, now }: BindOptions,
  change: (profile: Profile) => Profile['bindings'],
): Lockfile {
  const name = asked ?? lockfile.defaultProfile
  if (name.trim() === '') throw invalid('profile', 'is empty')
  const profile = own(lockfile.profiles, name) ?? createProfile(name)
  const entries = Object.entries(lockfile.profiles).filter(([key]) => key !== name)
  if (entries.length >= PROFILES_MAX) throw invalid('profiles', `has more than ${PROFILES_MAX} entries`)
  const place = Object.keys(lockfile.profiles).indexOf(name)
  entries.splice(place < 0 ? entries.length : place, 0, [name, { ...profile, bindings: change(profile) }])
  return { ...lockfile, updatedAt: pythonTimeOf(now), profiles: Object.fromEntries(entries) }
}

function namespaceProblem(alias: string): string | undefined {
  if (!alias.includes(':')) return undefined
  const namespace = parseModelRef(alias)?.provider
  if (namespace === undefined) return 'has nothing on one side of the colon'
  return isKnownProvider(namespace) ? 'begins with the name of a provider, so it is always taken as a model' : undefined
}

function invalid(at: string, message: string): LockfileError {
  return new LockfileError('lockfile_invalid', `${at} ${message}`, { problems: [{ severity: 'error', at, message }] })
}
