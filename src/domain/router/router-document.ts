import type { Surface } from './snapshot.ts'

// The router config as an operator writes it: JSON, a superset of AIRI's LLM_ROUTER_CONFIG. docs/router-config.md explains
// every member. These types hold once parseRouterConfig has accepted a value; defaults are applied later, by compileRouter.

export type JsonObject = Readonly<Record<string, unknown>>

export interface RouterDocument {
  readonly llm?: ModelSection
  readonly embedding?: ModelSection
  readonly tts?: ModelSection
  readonly asr?: ModelSection
  readonly defaults?: DefaultsDocument
}

interface ModelSection {
  readonly models: Readonly<Record<string, ModelDocument>>
}

export interface TimesDocument {
  /** Of one attempt, to the first byte. */
  readonly perAttemptTimeoutMs?: number
  /** Of all attempts together, to the first byte. */
  readonly fullChainTimeoutMs?: number
  readonly idleTimeoutMs?: number
  readonly totalTimeoutMs?: number
}

export interface DefaultsDocument extends TimesDocument {
  readonly fallbackHttpCodes?: readonly number[]
  readonly chatModel?: string
  readonly speechModel?: string
  readonly transcriptionModel?: string
  readonly embeddingModel?: string
}

export interface FallbackDocument {
  readonly httpCodes?: readonly number[]
  readonly onTimeout?: boolean
}

export interface PriceDocument {
  /** Usage kind → pico-dollars per unit, as decimal strings. */
  readonly lines: Readonly<Record<string, string>>
  readonly longContext?: { readonly aboveTokens: number; readonly lines: Readonly<Record<string, string>> }
  /** The least that a call with usage costs, in nano-dollars, as a decimal string. */
  readonly minimumNanousd?: string
}

interface PricedDocument {
  readonly price?: PriceDocument
  /** `provider/model` of the price book. */
  readonly priceRef?: string
}

export interface ModelDocument extends TimesDocument, PricedDocument {
  /** Speech only: the adapter of all upstreams that name none. */
  readonly provider?: string
  readonly upstreams: readonly UpstreamDocument[]
  readonly fallbackTriggers?: FallbackDocument
  readonly routing?: { readonly groups: readonly GroupDocument[] }
  readonly limits?: { readonly maxTokens?: number; readonly maxConcurrency?: number }
  readonly hedge?: { readonly afterMs: number }
  readonly voices?: {
    readonly recommended?: Readonly<Record<string, string>>
    readonly mapping?: Readonly<Record<string, Readonly<Record<string, string>>>>
  }
}

export interface UpstreamDocument extends PricedDocument {
  readonly id?: string
  /** Text: the name on receipts and in the price book. Speech: the adapter. */
  readonly provider?: string
  readonly preset?: string
  readonly baseURL: string
  readonly overrideModel?: string
  readonly keys?: readonly KeyDocument[]
  readonly headerTemplate?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
  readonly weight?: number
  readonly maxConcurrency?: number
  readonly adapterParams?: JsonObject
  /** Which wire protocols it speaks; what is not said, the preset says. */
  readonly protocols?: readonly string[]
}

export interface KeyDocument {
  readonly id: string
  readonly ciphertext: string
  readonly weight?: number
  readonly disabled?: boolean
}

interface GroupDocument {
  readonly id: string
  readonly upstreamIds: readonly string[]
  readonly strategy?: 'ordered' | 'least-inflight' | 'weighted'
  readonly retryOn?: FallbackDocument
  readonly continueOn?: FallbackDocument
  readonly maxConcurrency?: number
}

/** What is wrong, and where: `llm.models["gpt"].upstreams[0].baseURL`. The message never repeats a value that may be secret. */
export interface ConfigProblem {
  readonly path: string
  readonly message: string
}

export const timesMembers = [
  'perAttemptTimeoutMs',
  'fullChainTimeoutMs',
  'idleTimeoutMs',
  'totalTimeoutMs',
] as const satisfies readonly (keyof TimesDocument)[]

/** The sections of a document, and which of its defaults names the model that `auto` stands for. */
export const surfaces = ['llm', 'embedding', 'tts', 'asr'] as const satisfies readonly Surface[]

export const defaultModelMembers = {
  llm: 'chatModel',
  embedding: 'embeddingModel',
  tts: 'speechModel',
  asr: 'transcriptionModel',
} as const satisfies Record<Surface, keyof DefaultsDocument>
