import type { Usage } from '#billing/usage.ts'

/** Text to be spoken, in the words of OpenAI's API. */
export interface SpeechInput {
  text: string
  /** What the vendor calls the model. */
  model: string
  voice?: string | undefined
  speed?: number | undefined
  /** `mp3`, `opus`, `aac`, `flac`, `wav`, `pcm`, or a name of the vendor's own. */
  format?: string | undefined
  instructions?: string | undefined
  /** `sse` wants OpenAI's speech events instead of bytes; only vendors that speak them can serve it. */
  streamFormat?: 'audio' | 'sse' | undefined
  /** The client's `extra_body`. */
  extra?: Readonly<Record<string, unknown>> | undefined
}

/** Where and with what a vendor is called. */
export interface SpeechEndpoint {
  /** As configured; what an empty one means is the format's to say. */
  baseUrl: string
  key: string
  /** The operator's settings for this upstream: defaults and what only the vendor needs. */
  params: Readonly<Record<string, unknown>>
  /** Sent as they are, and instead of the format's own of the same name. */
  headers: Readonly<Record<string, string>>
  /** Fresh for every call. */
  callId: string
}

/** What to send, and in which shape the audio comes back. */
export interface SpeechCall {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  body: string | undefined
  /** The bytes themselves; base64 in server-sent events; base64 in JSON; JSON with a link to them. */
  answer: 'audio' | 'events' | 'json' | 'linked_json'
  /** Of the audio that the client is given, where the vendor does not say. */
  contentType: string
  /** Names of what the client asked for and this vendor cannot do without changing the words. */
  dropped: readonly string[]
}

/** Nothing is sent: the client asks for what cannot be, or the operator has not configured enough. */
export interface SpeechRefusal {
  refused: 'caller' | 'config'
  path: string
  message: string
}

/** What a vendor says about a failed call. An absent member leaves it to the status. */
export interface VendorError {
  class?: 'caller' | 'credential' | 'target' | 'provider'
  message?: string
  type?: string
  code?: string
  timedOut?: boolean
}

/** What a call will be billed for. */
export interface SpeechCount {
  /** The id of the rule, for the record. */
  rule: string
  usage: Usage
  /** False where only the vendor can know: a bound for the hold, not a charge. */
  exact: boolean
}

/** A JSON answer, read. */
export type WholeAnswer =
  | { audio: string; usage?: Usage }
  | { url: string; usage?: Usage }
  | { error: VendorError; status: number }

/** What a piece of an event stream held. */
export interface SpeechEvents {
  audio: Buffer[]
  usage?: Usage
  done: boolean
  error?: VendorError
}

export interface VoiceFormat {
  name: string
  extension: string
  mime_type: string
  sample_rate?: number
  bitrate?: number
  format_code?: string
}

/** One voice, in the shape that `unspeech` made common. */
export interface Voice {
  id: string
  name: string
  description?: string
  languages: readonly { code: string; title: string }[]
  formats: readonly VoiceFormat[]
  labels: Readonly<Record<string, string>>
  tags: readonly string[]
  /** Empty: all of the vendor's. */
  compatible_models: readonly string[]
  preview_audio_url?: string
}

/** One vendor's format: pure, so that nothing of it needs a network to be tested. */
export interface SpeechFormat {
  id: string
  /** Names that a client may ask for, OpenAI's first. */
  formats: readonly string[]
  /** Where the vendor documents one. */
  defaultVoice: string | undefined
  shippedVoices: readonly Voice[]
  call(input: SpeechInput, endpoint: SpeechEndpoint): SpeechCall | SpeechRefusal
  /** `params` are the operator's, as in the call. */
  count(input: SpeechInput, params: Readonly<Record<string, unknown>>): SpeechCount
  /** `body` is at most the first 64 KB of an answer that is not 2xx, or of a 2xx that holds no audio. */
  readError(status: number, body: string): VendorError
  /** Of JSON answers. */
  readWhole?(body: unknown): WholeAnswer
  /** What the headers say that the call cost. */
  readHeaders?(headers: Readonly<Record<string, string | string[] | undefined>>): Usage | undefined
  /** Of event streams: bytes in, in any pieces. Throws on frames that are too long. */
  createEventReader?(): { push(chunk: Buffer): SpeechEvents }
  /** Where the vendor lists its voices. */
  voiceList?: {
    ttlMs: number
    call(endpoint: SpeechEndpoint): SpeechCall | SpeechRefusal
    /** Throws on an answer that is no list. */
    read(body: unknown): Voice[]
  }
}

export function isRefusal(value: object): value is SpeechRefusal {
  return 'refused' in value
}

export function refuse(path: string, message: string): SpeechRefusal {
  return { refused: 'caller', path, message }
}

export function misconfigured(path: string, message: string): SpeechRefusal {
  return { refused: 'config', path, message }
}
