import { LockfileError, ResolutionError } from './errors.ts'
import { own } from './lock-value.ts'
import { findBinding, type Lockfile, listAliases } from './lockfile.ts'
import { isKnownProvider, parseModelRef } from './model-ref.ts'

const NAMES_SHOWN = 20

/** A lockfile with those that it extends, by namespace; one that could not be had stands there as the error that says why. */
export interface LockfileSet {
  lockfile: Lockfile
  extended: ReadonlyMap<string, Lockfile | LockfileError>
}

/** Environment variables, handed in by whoever may read them. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface ResolveOptions {
  /** Goes before `LLMRING_PROFILE` of `env`, which goes before the file's `default_profile`. Empty counts as absent. */
  profile?: string | undefined
  env?: Environment | undefined
  /** Drops models of other providers. `ollama` needs no key and always stays. Without this nothing is dropped. */
  availableProviders?: Iterable<string> | undefined
}

export interface Resolution {
  asked: string
  /** The label of the call. Absent when a model was asked for directly. */
  alias?: string
  profile: string
  /** `provider:model`, in the order of preference, never empty. A model that was asked for directly stands alone. */
  pool: readonly [string, ...string[]]
  /** Models that were dropped because their provider has no key. */
  dropped: readonly string[]
}

/**
 * Leads a name to its models. `provider:model` of a provider that llmring knows is that model; `namespace:alias` is an override in the
 * lockfile itself, then an alias of what it extends; anything else with a colon is a model; the rest are aliases of the profile. There is
 * no fallback from one profile to another, and what an extended lockfile extends is not looked at. Throws ResolutionError, or the
 * LockfileError of an extended lockfile that is needed.
 */
export function resolveModel(set: LockfileSet, asked: string, options: ResolveOptions = {}): Resolution {
  const { lockfile, extended } = set
  const profile = profileOf(lockfile, options)
  const direct: Resolution = { asked, profile, pool: [asked], dropped: [] }
  if (!asked.includes(':')) {
    const models = findBinding(lockfile, profile, asked)?.models ?? []
    return select({ asked, alias: asked, profile }, models, options) ?? unknownAlias(lockfile, asked, asked, profile)
  }
  const parsed = parseModelRef(asked)
  if (parsed === undefined)
    throw new ResolutionError('alias_invalid', asked, `${show(asked)} has nothing on one side of the colon`)
  if (isKnownProvider(parsed.provider)) return direct

  const override = findBinding(lockfile, profile, asked)?.models ?? []
  const found = select({ asked, alias: asked, profile }, override, options)
  if (found !== undefined) return found
  if (!namespacesOf(lockfile).includes(parsed.provider)) return direct

  const source = extended.get(parsed.provider)
  if (source === undefined)
    throw new ResolutionError('namespace_unknown', asked, `the lockfile of ${show(parsed.provider)} was not loaded`)
  if (source instanceof LockfileError) throw source
  // Without a profile of the caller's choice the package's own default counts, as in llmring.
  const theirs = profileOf(source, options)
  const models = findBinding(source, theirs, parsed.model)?.models ?? []
  return (
    select({ asked, alias: asked, profile: theirs }, models, options) ??
    unknownAlias(source, asked, parsed.model, theirs)
  )
}

/** The profile that counts: the argument, then `LLMRING_PROFILE`, then the default of the file. */
export function profileOf(lockfile: Lockfile, { profile, env }: ResolveOptions = {}): string {
  return profile || env?.LLMRING_PROFILE || lockfile.defaultProfile
}

/** What may stand before the colon of an alias: the packages and files that a lockfile extends. */
export function namespacesOf({ extends: { packages, files } }: Lockfile): string[] {
  return [...packages, ...Object.keys(files)]
}

/** The providers whose API key is in the environment, for callers that talk to providers and not to a gateway. */
export function providersWithKeys(env: Environment): string[] {
  const keys = {
    openai: ['OPENAI_API_KEY'],
    anthropic: ['ANTHROPIC_API_KEY'],
    google: ['GOOGLE_API_KEY', 'GEMINI_API_KEY'],
  }
  return Object.entries(keys).flatMap(([provider, names]) => (names.some((name) => env[name]) ? [provider] : []))
}

function select(
  head: { asked: string; alias: string; profile: string },
  models: readonly string[],
  { availableProviders }: ResolveOptions,
): Resolution | undefined {
  if (models.length === 0) return undefined
  const available = availableProviders === undefined ? undefined : new Set([...availableProviders, 'ollama'])
  const kept = models.filter((model) => {
    const provider = parseModelRef(model)?.provider
    return provider !== undefined && (available === undefined || available.has(provider))
  })
  const [first, ...others] = kept
  if (first !== undefined)
    return { ...head, pool: [first, ...others], dropped: models.filter((model) => !kept.includes(model)) }
  throw new ResolutionError(
    'providers_unavailable',
    head.asked,
    `no provider of alias ${show(head.asked)} has a key: ${models.join(', ')}`,
    head.profile,
  )
}

function unknownAlias(lockfile: Lockfile, asked: string, alias: string, profile: string): never {
  const elsewhere = Object.keys(lockfile.profiles).filter((name) => findBinding(lockfile, name, alias) !== undefined)
  const hint =
    own(lockfile.profiles, profile) === undefined
      ? `there is no such profile; there are ${list(Object.keys(lockfile.profiles))}`
      : elsewhere.length > 0
        ? `it is bound in ${list(elsewhere)}`
        : `its aliases are ${list(listAliases(lockfile, profile))}`
  const message = `alias ${show(asked)} is not bound in profile ${show(profile)}: ${hint}. A model is asked for as provider:model.`
  throw new ResolutionError('alias_unknown', asked, message, profile)
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'none'
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : ''
  return `${names.slice(0, NAMES_SHOWN).join(', ')}${more}`
}

function show(name: string): string {
  return JSON.stringify(name.slice(0, 300))
}
