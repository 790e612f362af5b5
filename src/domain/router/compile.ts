import { STREAMING_TTS } from '#domain/credentials-in-config.ts'
import { type Preset, presetNames, resolvePreset } from '#domain/presets.ts'
import type { PriceBook } from '#domain/price-book.ts'
import type { Settings } from '#domain/settings.ts'
import { configDigest } from './config-digest.ts'
import { defaultModels } from './default-models.ts'
import { protocolNames } from './parse-upstream.ts'
import { createPricing, type PricedUpstream } from './price-of.ts'
import { at } from './read-json.ts'
import {
  type ConfigProblem,
  type DefaultsDocument,
  type FallbackDocument,
  type ModelDocument,
  type RouterDocument,
  surfaces,
  type TimesDocument,
  type UpstreamDocument,
} from './router-document.ts'
import type {
  FallbackRule,
  RoutedGroup,
  RoutedModel,
  RoutedUpstream,
  RouterSnapshot,
  StreamingTts,
  Surface,
} from './snapshot.ts'

const ATTEMPT_MS_DEFAULT = 30_000
const CHAIN_MS_DEFAULT = 60_000

/** AIRI's own list, for triggers that are written without one. */
const FALLBACK_CODES_DEFAULT = [401, 402, 403, 429, 500, 502, 503, 504]

/** What the config has no say in. */
export interface CompileRules {
  priceBook: PriceBook
  /** Nano-dollars in one Flux. */
  fluxNanousd: bigint
}

export interface CompileInput extends CompileRules {
  document: RouterDocument
  version: number
  digest: string
  settings: Settings
}

export interface CompiledRouter {
  snapshot: RouterSnapshot
  /** Slips that a writer must mend. A stored config is served all the same, since each of them closes only its own model. */
  problems: ConfigProblem[]
  warnings: ConfigProblem[]
}

interface UpstreamPlace {
  name: string
  surface: Surface
  path: string
  id: string
  groupConcurrency: number | undefined
  pricing: ReturnType<typeof createPricing>
}

/** Turns a checked document into what the router serves from: defaults are applied, prices found, groups made. */
export function compileRouter(input: CompileInput): CompiledRouter {
  const { document, settings } = input
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  const pricing = createPricing({ ...input, configDigest: input.digest })
  const defaults = document.defaults ?? {}

  function priced(path: string, found: PricedUpstream): PricedUpstream {
    const { problem } = found
    if (problem !== undefined) (problem.fatal ? problems : warnings).push({ path, message: problem.message })
    return found
  }

  function compileUpstream(
    model: ModelDocument,
    upstream: UpstreamDocument,
    place: UpstreamPlace,
  ): RoutedUpstream | undefined {
    const { surface, path } = place
    const keys = upstream.keys ?? []
    const credentials = keys
      .filter((key) => key.disabled !== true)
      .map((key) => ({ id: key.id, ciphertext: key.ciphertext, weight: key.weight ?? 1 }))
    if (credentials.length === 0 && keys.length > 0) {
      warnings.push({ path: at(path, 'keys'), message: 'are all disabled, so this upstream is not used' })
      return undefined
    }
    const { provider, preset, adapter } = identify(model, upstream, surface)
    const name = upstream.overrideModel ?? place.name
    const { price, limits } = priced(path, place.pricing.priceOf(model, upstream, { surface, provider, name }))
    const protocols = upstream.protocols?.flatMap((protocol) => protocolNames.get(protocol) ?? [])
    return Object.freeze({
      id: place.id,
      provider,
      preset,
      baseUrl: upstream.baseURL,
      protocols: protocols === undefined ? undefined : [...new Set(protocols)],
      model: name,
      credentials,
      headerTemplate: upstream.headerTemplate,
      headers: upstream.headers ?? {},
      timeoutMs: upstream.timeoutMs,
      weight: upstream.weight ?? 1,
      maxConcurrency: upstream.maxConcurrency ?? place.groupConcurrency,
      adapter,
      adapterParams: upstream.adapterParams ?? {},
      price,
      limits,
    })
  }

  function compileModel(name: string, model: ModelDocument, surface: Surface, path: string): RoutedModel {
    const listed = [...model.upstreams.entries()]
    const ids = upstreamIds(model)
    const upstreamOf = ([index, upstream]: [number, UpstreamDocument], groupConcurrency: number | undefined) =>
      compileUpstream(model, upstream, {
        ...{ name, surface, groupConcurrency, pricing },
        id: ids[index] ?? '',
        path: at(at(path, 'upstreams'), index),
      }) ?? []
    const walk = retryRule(model.fallbackTriggers, defaults)
    const groups: RoutedGroup[] =
      model.routing === undefined
        ? [
            {
              id: 'all',
              strategy: 'ordered',
              upstreams: listed.flatMap((entry) => upstreamOf(entry, undefined)),
              retryOn: walk,
              continueOn: undefined,
            },
          ]
        : model.routing.groups.map((group) => ({
            id: group.id,
            strategy: group.strategy === 'least-inflight' ? 'least_inflight' : (group.strategy ?? 'ordered'),
            upstreams: group.upstreamIds.flatMap((id) =>
              listed
                .filter(([, upstream]) => upstream.id === id)
                .flatMap((entry) => upstreamOf(entry, group.maxConcurrency)),
            ),
            retryOn: group.retryOn === undefined ? walk : allowList(group.retryOn),
            continueOn: allowList(group.continueOn ?? {}),
          }))
    if (groups.every((group) => group.upstreams.length === 0))
      warnings.push({ path, message: 'has no upstream that can be used, so its calls fail' })
    const timeouts = timeoutsOf(model, defaults)
    if (timeouts.chainMs < timeouts.attemptMs)
      warnings.push({ path, message: 'fullChainTimeoutMs ends every attempt before its perAttemptTimeoutMs' })
    return Object.freeze({
      name,
      surface,
      groups,
      timeouts,
      limits: { maxTokens: model.limits?.maxTokens, maxConcurrency: model.limits?.maxConcurrency },
      hedgeAfterMs: model.hedge?.afterMs,
      voices: {
        recommended: { ...voicesOf(settings, name), ...model.voices?.recommended },
        mapping: model.voices?.mapping ?? {},
      },
    })
  }

  const models = new Map<string, RoutedModel>()
  for (const surface of surfaces) {
    for (const [name, model] of Object.entries(document[surface]?.models ?? {}))
      models.set(name, compileModel(name, model, surface, at(at(surface, 'models'), name)))
  }

  function compileStreaming(): StreamingTts | undefined {
    const unspeech = settings.stored('UNSPEECH_UPSTREAM')?.streaming
    const streaming = unspeech ?? settings.stored('STREAMING_TTS_UPSTREAM')
    if (streaming === undefined) return undefined
    const path = unspeech === undefined ? 'STREAMING_TTS_UPSTREAM' : 'UNSPEECH_UPSTREAM.streaming'
    const { models: listed, defaultModel, ...upstream } = streaming
    const model: ModelDocument = { provider: 'unspeech', upstreams: [upstream] }
    const routed = compileUpstream(model, upstream, {
      ...{ name: STREAMING_TTS, surface: 'tts', path, id: STREAMING_TTS, groupConcurrency: undefined },
      // The setting has lines of its own, so it and not the config is their source.
      pricing: createPricing({ ...input, configDigest: configDigest(streaming) }),
    })
    if (routed === undefined) return undefined
    const group: RoutedGroup = {
      id: 'all',
      strategy: 'ordered',
      upstreams: [routed],
      retryOn: retryRule(undefined, defaults),
      continueOn: undefined,
    }
    const route: RoutedModel = Object.freeze({
      name: STREAMING_TTS,
      surface: 'tts',
      groups: [group],
      timeouts: timeoutsOf({}, defaults),
      limits: { maxTokens: undefined, maxConcurrency: undefined },
      hedgeAfterMs: undefined,
      voices: { recommended: {}, mapping: {} },
    })
    return { route, models: listed ?? [], defaultModel }
  }

  const chosen = defaultModels(document, settings)
  warnings.push(...chosen.warnings)
  const snapshot: RouterSnapshot = Object.freeze({
    version: input.version,
    digest: input.digest,
    models,
    defaults: chosen.defaults,
    streamingTts: compileStreaming(),
  })
  return { snapshot, problems, warnings }
}

/** An id for each upstream of a model: its own, or one after its place that no other has. */
function upstreamIds({ upstreams }: ModelDocument): string[] {
  const taken = new Set(upstreams.map(({ id }) => id))
  return upstreams.map(({ id }, index) => {
    if (id !== undefined) return id
    let made = `upstream-${index + 1}`
    while (taken.has(made)) made += '-'
    taken.add(made)
    return made
  })
}

/** What an upstream is called on receipts, and who speaks to it. */
function identify(
  model: ModelDocument,
  upstream: UpstreamDocument,
  surface: Surface,
): { provider: string; preset: string; adapter: string | undefined } {
  if (surface === 'tts' || surface === 'asr') {
    const adapter = upstream.provider ?? model.provider ?? ''
    return { provider: adapter, preset: 'openai-compatible', adapter }
  }
  const preset =
    upstream.preset ??
    presetNames.find((name) => name === upstream.provider) ??
    presetAt(upstream.baseURL) ??
    'openai-compatible'
  const host = upstream.baseURL === undefined ? preset : new URL(upstream.baseURL).hostname
  const named = upstream.preset ?? presetAt(upstream.baseURL)
  return { provider: upstream.provider ?? named ?? host, preset, adapter: undefined }
}

const presetByOrigin: ReadonlyMap<string, string> = new Map(
  presetNames
    .map(resolvePreset)
    .filter(
      (preset): preset is Preset & { baseUrl: string } => preset.baseUrl !== undefined && URL.canParse(preset.baseUrl),
    )
    .map((preset) => [new URL(preset.baseUrl).origin, preset.name]),
)

/** The preset that is served at exactly this origin: a fact, where a part of a host's name would be a guess. */
function presetAt(baseUrl: string | undefined): string | undefined {
  return baseUrl === undefined ? undefined : presetByOrigin.get(new URL(baseUrl).origin)
}

/** Without triggers and a default list every fault but the caller's own moves on. */
function retryRule(triggers: FallbackDocument | undefined, defaults: DefaultsDocument): FallbackRule | undefined {
  if (triggers === undefined && defaults.fallbackHttpCodes === undefined) return undefined
  return {
    httpCodes: new Set(triggers?.httpCodes ?? defaults.fallbackHttpCodes ?? FALLBACK_CODES_DEFAULT),
    onTimeout: triggers?.onTimeout ?? true,
  }
}

/** Across the borders of a group only what is listed moves on. */
function allowList(document: FallbackDocument): FallbackRule {
  return { httpCodes: new Set(document.httpCodes ?? []), onTimeout: document.onTimeout ?? false }
}

function timeoutsOf(model: TimesDocument, defaults: TimesDocument): RoutedModel['timeouts'] {
  return {
    attemptMs: model.perAttemptTimeoutMs ?? defaults.perAttemptTimeoutMs ?? ATTEMPT_MS_DEFAULT,
    chainMs: model.fullChainTimeoutMs ?? defaults.fullChainTimeoutMs ?? CHAIN_MS_DEFAULT,
    idleMs: model.idleTimeoutMs ?? defaults.idleTimeoutMs,
    totalMs: model.totalTimeoutMs ?? defaults.totalTimeoutMs,
  }
}

function voicesOf(settings: Settings, model: string): Readonly<Record<string, string>> {
  const all = settings.stored('DEFAULT_TTS_VOICES') ?? {}
  return Object.hasOwn(all, model) ? (all[model] ?? {}) : {}
}
