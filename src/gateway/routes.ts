import { unpricedKinds } from '#billing/price.ts'
import type { Credentials } from '#domain/credentials.ts'
import type { PriceBook } from '#domain/price-book.ts'
import type { RoutedModel, RouterSnapshot, Surface } from '#domain/router/snapshot.ts'
import { AppError } from '#src/errors.ts'
import type { Protocol } from '#wire/protocol.ts'
import type { CandidateGroup } from './dispatch/candidate.ts'
import { createRouteCache } from './route-cache.ts'
import { atLeastOne, type Exclusion, pricingMissing, unknownModel } from './route-errors.ts'
import type { CallTarget, Target } from './target.ts'
import { type Authenticator, createTargets, type Provider } from './targets.ts'

/** What a model name stands for: its targets, group by group. */
export interface CallRoute<T extends CallTarget = CallTarget> {
  model: string
  /** What metrics call it: a name of the router config or the price book, so that clients cannot make up any number. */
  label: string
  /** Version of the router config; undefined for models of the environment. */
  configVersion: number | undefined
  targets: readonly [T, ...T[]]
  groups: readonly CandidateGroup[]
  timeouts: RouteTimeouts
  /** Calls at once, of this process. */
  maxConcurrency: number | undefined
}

/** The same for text, asked in one protocol. */
export interface Route extends CallRoute<Target> {
  /** Upstreams, or keys of theirs, that are configured and cannot serve. */
  excluded: readonly ExcludedUpstream[]
  /** A second attempt after this long without a first byte. */
  hedgeAfterMs: number | undefined
  /** The most that one answer may hold, whatever was asked for. */
  maxTokens: number | undefined
}

export interface ExcludedUpstream {
  /** The operator's own id of it. */
  upstream: string
  provider: string
  /** As the provider knows it. */
  model: string
  groupIndex: number
  reason: Exclusion
}

export interface RouteTimeouts {
  /** Of a stream's first byte; targets may have their own. */
  firstByteMs: number
  idleMs: number
  totalMs: number
  /** From the hold to the first byte, over all attempts. */
  chainMs: number | undefined
}

export interface RoutesDeps {
  providers: readonly Provider[]
  priceBook: PriceBook
  /** What the router config says now. */
  snapshot: () => RouterSnapshot
  /** Opens the keys of the router config. */
  credentials: Pick<Credentials, 'open'>
  auth: Authenticator
  /** Of models that have none of their own. */
  timeouts: RouteTimeouts
}

const ORDERED: CandidateGroup = { strategy: 'ordered' }
const surfaceOf: Record<Protocol, Surface> = {
  chat: 'llm',
  responses: 'llm',
  messages: 'llm',
  completions: 'llm',
  embeddings: 'embedding',
}
const endpointOf: Record<Surface, string> = { llm: 'chat', embedding: 'embedding', tts: 'speech', asr: 'transcription' }

/** The times of a configured model; what it leaves open is the gateway's own. */
export function timeoutsOf({ timeouts }: RoutedModel, own: RouteTimeouts): RouteTimeouts {
  const { attemptMs, chainMs, idleMs, totalMs } = timeouts
  return { firstByteMs: attemptMs, idleMs: idleMs ?? own.idleMs, totalMs: totalMs ?? own.totalMs, chainMs }
}

/**
 * Resolves model names: those of the router config, and `provider/model` of the environment's providers. Nothing is guessed: a
 * model without a price is refused, a near name is only named.
 */
export function createRoutes(deps: RoutesDeps) {
  const { priceBook } = deps
  const makeTargets = createTargets({ ...deps, bookDigest: priceBook.digest })
  const providers = new Map(deps.providers.map((provider) => [provider.name, provider]))
  const priced = priceBook
    .models()
    .filter((entry) => entry.active && providers.has(entry.provider) && !entry.model.includes('*'))
  const catalogued = new Set(priceBook.models().map((entry) => entry.provider))
  const kept = createRouteCache<Route>(deps.snapshot)

  function resolve(model: string, protocol: Protocol): Route {
    return kept(`${protocol} ${model}`, (snapshot) => compile(snapshot, model, protocol))
  }

  function compile(snapshot: RouterSnapshot, asked: string, protocol: Protocol): Route {
    const surface = surfaceOf[protocol]
    const model = asked === 'auto' ? snapshot.defaults[surface] : asked
    if (model === undefined)
      throw new AppError('config_not_set', { message: 'No default model is configured for `auto`.', param: 'model' })
    const routed = snapshot.models.get(model)
    if (routed !== undefined && routed.surface === surface) return fromConfig(snapshot, routed, protocol)
    return fromEnvironment(model, protocol, surface)
  }

  function fromConfig(snapshot: RouterSnapshot, model: RoutedModel, protocol: Protocol): Route {
    const targets: Target[] = []
    const excluded: ExcludedUpstream[] = []
    for (const [index, group] of model.groups.entries())
      for (const upstream of group.upstreams)
        for (const made of makeTargets.fromConfig(model, upstream, index, protocol))
          if (typeof made !== 'string') targets.push(made)
          else {
            const { id, provider, model } = upstream
            excluded.push({ upstream: id, provider, model, groupIndex: index, reason: made })
          }
    return {
      model: model.name,
      label: model.name,
      configVersion: snapshot.version,
      targets: atLeastOne(
        targets,
        model.name,
        excluded.map(({ reason }) => reason),
      ),
      excluded,
      groups: model.groups,
      timeouts: timeoutsOf(model, deps.timeouts),
      hedgeAfterMs: model.hedgeAfterMs,
      maxTokens: model.limits.maxTokens,
      maxConcurrency: model.limits.maxConcurrency,
    }
  }

  function fromEnvironment(model: string, protocol: Protocol, surface: Surface): Route {
    const slash = model.indexOf('/')
    const provider = providers.get(model.slice(0, slash))
    if (slash < 1 || provider === undefined) throw unknownModel(model, listed(surface))
    const name = model.slice(slash + 1)
    const entry = priceBook.find(provider.name, name)
    // Where the book knows a provider's models, one that it does not know is a slip; elsewhere only its price is unknown.
    if (entry === undefined && catalogued.has(provider.name)) throw unknownModel(model, listed(surface))
    const kinds = surface === 'embedding' ? (['input'] as const) : (['input', 'output'] as const)
    if (entry === undefined || unpricedKinds(entry.price.lines, kinds).length > 0)
      throw pricingMissing(model, ' in the price book')
    const target = makeTargets.fromEnvironment(provider, name, entry, protocol)
    return {
      model,
      label: `${entry.provider}/${entry.model}`,
      configVersion: undefined,
      targets: atLeastOne(
        typeof target === 'string' ? [] : [target],
        model,
        typeof target === 'string' ? [target] : [],
      ),
      excluded: [],
      groups: [ORDERED],
      timeouts: deps.timeouts,
      hedgeAfterMs: undefined,
      maxTokens: undefined,
      maxConcurrency: undefined,
    }
  }

  function listed(surface: Surface): string[] {
    return models()
      .filter((model) => model.surface === surface)
      .map(({ id }) => id)
  }

  /** Every model that can be named, those of the config first. */
  function models(): ListedModel[] {
    const configured = [...deps.snapshot().models.values()].map(({ name, surface }) => ({
      id: name,
      surface,
      ownedBy: 'fluxgate',
    }))
    const names = new Set(configured.map(({ id }) => id))
    const others = priced.flatMap((entry) => {
      const id = `${entry.provider}/${entry.model}`
      const surface = (Object.keys(endpointOf) as Surface[]).find((key) => endpointOf[key] === entry.endpoint)
      return surface === undefined || names.has(id) ? [] : [{ id, surface, ownedBy: entry.provider }]
    })
    return [...configured, ...others]
  }

  return {
    /** Throws AppError: model_not_found, pricing_missing, config_not_set, protocol_unsupported, decrypt_failed. */
    resolve,
    models,
  }
}

export type Routes = ReturnType<typeof createRoutes>

export interface ListedModel {
  id: string
  surface: Surface
  ownedBy: string
}
