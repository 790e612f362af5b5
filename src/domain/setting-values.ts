import type { RateLimit } from './limits/rate-limit.ts'
import type { JsonObject, KeyDocument, PriceDocument } from './router/router-document.ts'

/** An endpoint for speech over WebSocket, with keys that are sealed for the model name `streaming-tts`. */
interface StreamingUpstream {
  /** ws:// or wss:// */
  readonly baseURL: string
  readonly keys: readonly KeyDocument[]
  readonly headerTemplate?: string
  readonly adapterParams?: JsonObject
  readonly maxConcurrency?: number
  /** What clients may name in their `start` frame; empty allows every model. */
  readonly models?: readonly { readonly id: string; readonly name?: string; readonly description?: string }[]
  readonly defaultModel?: string
  /** Ours: beside the Flux rule. */
  readonly price?: PriceDocument
  readonly priceRef?: string
}

interface UnspeechUpstream {
  readonly restBaseURL: string
  readonly streaming?: StreamingUpstream
}

/** The hot settings beside the router config, by the names of AIRI's ConfigKV. Amounts are Flux; fractions are exact. */
export interface SettingValues {
  FLUX_PER_REQUEST: number
  INITIAL_USER_FLUX: number
  FLUX_PER_1K_TOKENS: number
  FLUX_PER_1K_CHARS_TTS: number
  TTS_DEBT_TTL_SECONDS: number
  AUTH_RATE_LIMIT_MAX: number
  AUTH_RATE_LIMIT_WINDOW_SEC: number
  RATE_LIMIT_KEY: RateLimit
  RATE_LIMIT_USER: RateLimit
  RATE_LIMIT_PROJECT: RateLimit
  PEOPLE_CREATE_PROJECTS: boolean
  STRIPE_FLUX_PRODUCT_ID: string
  STRIPE_PAYMENT_METHODS: readonly string[]
  STRIPE_PAYMENT_METHOD_OPTIONS: JsonObject
  DEFAULT_TTS_VOICES: Readonly<Record<string, Readonly<Record<string, string>>>>
  DEFAULT_CHAT_MODEL: string
  DEFAULT_TTS_MODEL: string
  STREAMING_TTS_UPSTREAM: StreamingUpstream
  UNSPEECH_UPSTREAM: UnspeechUpstream
}

export type SettingName = keyof SettingValues

/** What `get` falls back to. A name that is missing here has no default: it is set, or it is not. */
export const settingDefaults = {
  FLUX_PER_REQUEST: 5,
  INITIAL_USER_FLUX: 0,
  FLUX_PER_1K_TOKENS: 1,
  TTS_DEBT_TTL_SECONDS: 86_400,
  AUTH_RATE_LIMIT_MAX: 20,
  AUTH_RATE_LIMIT_WINDOW_SEC: 60,
  PEOPLE_CREATE_PROJECTS: false,
  STRIPE_PAYMENT_METHOD_OPTIONS: {},
  DEFAULT_TTS_VOICES: {},
} as const satisfies Partial<SettingValues>

export type DefaultedSetting = keyof typeof settingDefaults
