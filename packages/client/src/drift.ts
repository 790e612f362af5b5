import { isTable, own } from './lock-value.ts'
import type { Lockfile } from './lockfile.ts'

const REGISTRY_MODELS_MAX = 10_000

/** The members of a model in llmring's registry that are prices, all in dollars per million units. */
const PRICE =
  /^(dollars_per_million_tokens_\w+|cache_storage_cost_per_million_tokens_per_hour|long_context_threshold_tokens)$/

/** One provider's file of the registry: `{ provider, version, models: { "provider:model": { …prices } } }`. */
export interface RegistryDocument {
  provider: string
  version: number
  models: Readonly<Record<string, Readonly<Record<string, number>>>>
}

export interface PriceChange {
  model: string
  /** The name of the price in the registry, as in `dollars_per_million_tokens_input`. */
  price: string
  /** Absent where the version has no such price, which is not the same as zero. */
  pinned?: number
  current?: number
}

export interface Drift {
  provider: string
  pinnedVersion: number
  currentVersion: number
  /** Negative when the pin is ahead of the document. */
  versionsBehind: number
  hasDrift: boolean
  /** Absent when the document of the pinned version was not at hand to compare with. */
  changes?: { addedModels: string[]; removedModels: string[]; prices: PriceChange[] }
}

/** Throws TypeError for anything that is not a file of the registry. Members that are not prices are left out. */
export function parseRegistryDocument(value: unknown): RegistryDocument {
  if (!isTable(value)) throw new TypeError('a registry document must be an object')
  const { provider, models } = value
  const version = typeof value.version === 'bigint' ? Number(value.version) : value.version
  if (typeof provider !== 'string' || provider === '') throw new TypeError('a registry document must name its provider')
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1)
    throw new TypeError('the version of a registry document must be an integer of 1 or more')
  if (!isTable(models)) throw new TypeError('the models of a registry document must be an object')
  const entries: [string, unknown][] = Object.entries(models)
  if (entries.length > REGISTRY_MODELS_MAX)
    throw new TypeError(`a registry document has at most ${REGISTRY_MODELS_MAX} models`)
  return { provider, version, models: Object.fromEntries(entries.map(([model, row]) => [model, pricesOf(model, row)])) }
}

/** Compares the version that a profile is pinned to with the current one. Pass the document of the pinned version too, to see prices. */
export function compareVersions(
  pin: { provider: string; version: number },
  current: RegistryDocument,
  pinned?: RegistryDocument,
): Drift {
  for (const document of [current, ...(pinned === undefined ? [] : [pinned])]) {
    if (document.provider !== pin.provider)
      throw new TypeError(`the pin is of ${pin.provider}, the document of ${document.provider}`)
  }
  if (pinned !== undefined && pinned.version !== pin.version)
    throw new TypeError(`the pin is version ${pin.version}, the document ${pinned.version}`)
  const changes = pinned === undefined ? undefined : compareModels(pinned, current)
  const hasChanges =
    changes !== undefined && changes.addedModels.length + changes.removedModels.length + changes.prices.length > 0
  return {
    provider: pin.provider,
    pinnedVersion: pin.version,
    currentVersion: current.version,
    versionsBehind: current.version - pin.version,
    hasDrift: pin.version !== current.version || hasChanges,
    ...(changes === undefined ? {} : { changes }),
  }
}

/**
 * The drift of every provider that a profile pins and `current` has a document of, and the providers without one, which stay unchecked.
 * `pinned` may hold documents of any versions; those that fit a pin are compared price by price.
 */
export function checkDrift(
  lockfile: Lockfile,
  profile: string,
  documents: { current: readonly RegistryDocument[]; pinned?: readonly RegistryDocument[] },
): { drifts: Drift[]; unchecked: string[] } {
  const drifts: Drift[] = []
  const unchecked: string[] = []
  for (const [provider, version] of Object.entries(own(lockfile.profiles, profile)?.registryVersions ?? {})) {
    const current = documents.current.find((document) => document.provider === provider)
    const pinned = documents.pinned?.find((document) => document.provider === provider && document.version === version)
    if (current === undefined) unchecked.push(provider)
    else drifts.push(compareVersions({ provider, version }, current, pinned))
  }
  return { drifts, unchecked }
}

function compareModels(pinned: RegistryDocument, current: RegistryDocument): NonNullable<Drift['changes']> {
  const prices: PriceChange[] = []
  for (const [model, before] of Object.entries(pinned.models)) {
    const after = own(current.models, model)
    if (after === undefined) continue
    for (const price of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const old = own(before, price)
      const now = own(after, price)
      if (old === now) continue
      prices.push({
        model,
        price,
        ...(old === undefined ? {} : { pinned: old }),
        ...(now === undefined ? {} : { current: now }),
      })
    }
  }
  return {
    addedModels: Object.keys(current.models).filter((model) => own(pinned.models, model) === undefined),
    removedModels: Object.keys(pinned.models).filter((model) => own(current.models, model) === undefined),
    prices,
  }
}

function pricesOf(model: string, row: unknown): Record<string, number> {
  if (!isTable(row)) throw new TypeError(`the registry's entry of ${model} must be an object`)
  const prices: Record<string, number> = {}
  for (const [name, value] of Object.entries(row)) {
    if (!PRICE.test(name) || value === null) continue
    const number = typeof value === 'bigint' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isFinite(number))
      throw new TypeError(`${name} of ${model} must be a number`)
    prices[name] = number
  }
  return prices
}
