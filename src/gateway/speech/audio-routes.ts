import type { PriceBook, PriceBookEntry } from '#domain/price-book.ts'
import type { RoutedModel, RoutedUpstream, RouterSnapshot, Surface } from '#domain/router/snapshot.ts'
import type { CandidateGroup } from '#gateway/dispatch/candidate.ts'
import { createRouteCache } from '#gateway/route-cache.ts'
import { atLeastOne, type Exclusion, pricingMissing, unknownModel } from '#gateway/route-errors.ts'
import { type CallRoute, type ListedModel, type RouteTimeouts, timeoutsOf } from '#gateway/routes.ts'
import type { CallTarget } from '#gateway/target.ts'
import type { Provider } from '#gateway/targets.ts'
import { AppError } from '#src/errors.ts'

/** What a model of speech stands for. */
export interface AudioRoute<T extends CallTarget> extends CallRoute<T> {
  voices: RoutedModel['voices']
}

export interface AudioRoutesDeps<T extends CallTarget> {
  surface: Extract<Surface, 'tts' | 'asr'>
  providers: readonly Provider[]
  priceBook: PriceBook
  /** What the router config says now. */
  snapshot: () => RouterSnapshot
  /** Every model that can be named. */
  models: () => readonly ListedModel[]
  /** Of models that have none of their own. */
  timeouts: RouteTimeouts
  fromConfig: (model: RoutedModel, upstream: RoutedUpstream, groupIndex: number) => (T | Exclusion)[]
  fromEnvironment: (provider: Provider, name: string, entry: PriceBookEntry) => T | Exclusion
}

const ORDERED: CandidateGroup = { strategy: 'ordered' }
const NO_VOICES: RoutedModel['voices'] = { recommended: {}, mapping: {} }

/** Resolves names of speech models: those of the router config, and `provider/model` of the environment's providers. */
export function createAudioRoutes<T extends CallTarget>(deps: AudioRoutesDeps<T>) {
  const { surface, priceBook } = deps
  const providers = new Map(deps.providers.map((provider) => [provider.name, provider]))
  const kept = createRouteCache<AudioRoute<T>>(deps.snapshot)

  function compile(snapshot: RouterSnapshot, name: string): AudioRoute<T> {
    const model = name === 'auto' ? snapshot.defaults[surface] : name
    if (model === undefined)
      throw new AppError('config_not_set', { message: 'No default model is configured for `auto`.', param: 'model' })
    const routed = snapshot.models.get(model)
    if (routed !== undefined && routed.surface === surface) return fromConfig(snapshot, routed)
    return fromEnvironment(model)
  }

  function fromConfig(snapshot: RouterSnapshot, model: RoutedModel): AudioRoute<T> {
    const all = model.groups.flatMap((group, index) =>
      group.upstreams.flatMap((upstream) => deps.fromConfig(model, upstream, index)),
    )
    return {
      model: model.name,
      label: model.name,
      configVersion: snapshot.version,
      targets: atLeastOne(
        all.filter((target) => typeof target !== 'string'),
        model.name,
        all.filter((target) => typeof target === 'string'),
      ),
      groups: model.groups,
      timeouts: timeoutsOf(model, deps.timeouts),
      maxConcurrency: model.limits.maxConcurrency,
      voices: model.voices,
    }
  }

  function fromEnvironment(model: string): AudioRoute<T> {
    const slash = model.indexOf('/')
    const provider = providers.get(model.slice(0, slash))
    if (slash < 1 || provider === undefined) throw unknown(model)
    const name = model.slice(slash + 1)
    const entry = priceBook.find(provider.name, name)
    if (entry === undefined) {
      const catalogued = priceBook.models().some((known) => known.provider === provider.name)
      throw catalogued ? unknown(model) : pricingMissing(model, ' in the price book')
    }
    const target = deps.fromEnvironment(provider, name, entry)
    const excluded = typeof target === 'string'
    return {
      model,
      label: `${entry.provider}/${entry.model}`,
      configVersion: undefined,
      targets: atLeastOne(excluded ? [] : [target], model, excluded ? [target] : []),
      groups: [ORDERED],
      timeouts: deps.timeouts,
      maxConcurrency: undefined,
      voices: NO_VOICES,
    }
  }

  function unknown(model: string): AppError {
    return unknownModel(
      model,
      listed().map(({ id }) => id),
    )
  }

  function listed(): ListedModel[] {
    return deps.models().filter((model) => model.surface === surface)
  }

  return {
    /**
     * Undefined and `auto` stand for the default. Throws AppError: model_not_found, pricing_missing, config_not_set,
     * protocol_unsupported, decrypt_failed.
     */
    resolve(model: string | undefined): AudioRoute<T> {
      const name = model ?? 'auto'
      return kept(name, (snapshot) => compile(snapshot, name))
    },

    models: listed,

    /** What `auto` stands for. */
    defaultModel: (): string | undefined => deps.snapshot().defaults[surface],
  }
}

export type AudioRoutes<T extends CallTarget> = ReturnType<typeof createAudioRoutes<T>>
