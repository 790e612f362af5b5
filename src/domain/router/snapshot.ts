import type { Price } from '#billing/price.ts'
import type { UpstreamProtocol } from '#domain/presets.ts'

/** What a model of the router is for: which routes may ask for it. */
export type Surface = 'llm' | 'embedding' | 'tts' | 'asr'

/** Which failures of a candidate move on. Without a rule every fault but the caller's own does. */
export interface FallbackRule {
  httpCodes: ReadonlySet<number>
  onTimeout: boolean
}

export type Strategy = 'ordered' | 'weighted' | 'least_inflight'

/** One API key of an upstream, sealed as it is stored. */
interface SealedCredential {
  /** As the operator calls it; part of the AAD, so without `|`. */
  id: string
  /** `v1.<iv>.<ciphertext>.<tag>`. */
  ciphertext: string
  weight: number
}

/** One company's endpoint that can serve a model. */
export interface RoutedUpstream {
  /** Unique in its model. */
  id: string
  /** Name of the provider, as on receipts: a preset's, or the operator's. */
  provider: string
  /** Row of the preset table whose address, authentication and quirks apply; `openai-compatible` where nothing is said. */
  preset: string
  /** Undefined takes the preset's, or the speech adapter's, own. */
  baseUrl: string | undefined
  /** What the provider calls the model. */
  model: string
  /** In the order in which they are tried. Empty: the provider wants none. */
  credentials: readonly SealedCredential[]
  /** `Bearer {KEY}`. */
  headerTemplate: string | undefined
  headers: Readonly<Record<string, string>>
  /** Of one attempt, to the first byte; undefined takes the model's. */
  timeoutMs: number | undefined
  weight: number
  /** Calls at once, of this process. */
  maxConcurrency: number | undefined
  /** What it is spoken to in; undefined leaves that to the preset. */
  protocols: readonly UpstreamProtocol[] | undefined
  /** Speech only. */
  adapter: string | undefined
  /** What the speech adapter, or the preset's address, needs. */
  adapterParams: Readonly<Record<string, unknown>>
  /** What a call costs here, with the digest of the book or version of the config it comes from; undefined has none. */
  price: { price: Price; book: string } | undefined
  /** From the price book, where it knows the model. */
  limits: { maxOutputTokens: number | undefined; hiddenReasoning: boolean }
}

export interface RoutedGroup {
  id: string
  strategy: Strategy
  upstreams: readonly RoutedUpstream[]
  /** To the next candidate of this group. */
  retryOn: FallbackRule | undefined
  /** To the next group. */
  continueOn: FallbackRule | undefined
}

/** A model name and all that it stands for. */
export interface RoutedModel {
  name: string
  surface: Surface
  groups: readonly RoutedGroup[]
  timeouts: {
    /** To the first byte of one attempt. */
    attemptMs: number
    /** The whole chain of attempts, until the first byte. */
    chainMs: number
    /** Undefined takes the gateway's own. */
    idleMs: number | undefined
    totalMs: number | undefined
  }
  limits: { maxTokens: number | undefined; maxConcurrency: number | undefined }
  /** A second attempt after this long without a first byte; undefined never. */
  hedgeAfterMs: number | undefined
  /** Speech only. Locale → voice, and one voice's name at each upstream: voice → upstream id → voice. */
  voices: {
    recommended: Readonly<Record<string, string>>
    mapping: Readonly<Record<string, Readonly<Record<string, string>>>>
  }
}

/** The router config as it serves: compiled, checked, immutable; swapped whole. */
export interface RouterSnapshot {
  /** Of the stored config; 0 when none is stored. */
  version: number
  /** `sha256:` and 64 hex digits of the canonical config. */
  digest: string
  models: ReadonlyMap<string, RoutedModel>
  /** Model that `auto` stands for, per surface. */
  defaults: Readonly<Partial<Record<Surface, string>>>
  /** Speech over WebSocket; undefined is not configured. */
  streamingTts: StreamingTts | undefined
}

export interface StreamingTts {
  /** Called `streaming-tts`, which its keys are sealed for. */
  route: RoutedModel
  /** What clients may ask for; empty allows every model. */
  models: readonly { readonly id: string; readonly name?: string; readonly description?: string }[]
  defaultModel: string | undefined
}

/** Before any config was ever written. */
export const EMPTY_SNAPSHOT: RouterSnapshot = Object.freeze({
  version: 0,
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  models: new Map<string, RoutedModel>(),
  defaults: {},
  streamingTts: undefined,
})
