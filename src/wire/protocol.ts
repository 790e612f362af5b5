import type { Usage } from '#billing/usage.ts'
import type { AnswerEvent, TextProtocol } from './neutral.ts'

/** What clients may speak to the gateway, and a target to its provider. */
export type Protocol = TextProtocol | 'completions' | 'embeddings'

/** What a provider calls its answer. */
export interface AnswerIdentity {
  id?: string
  model?: string
}

/** What the relay must know of one frame of a stream. `text` is raw JSON text, bytes as Latin-1: for counting only. */
export type FrameFacts =
  | { kind: 'silent' } // A comment, a ping, a frame without data.
  /** The protocol's mark after a whole answer. `frame`: whether the client is to see it, as the last frame. */
  | { kind: 'done'; frame: boolean }
  | { kind: 'error'; error: unknown }
  | { kind: 'malformed' }
  | {
      kind: 'chunk'
      /** Text that the model generated, as it stands in the JSON. */
      text: string
      /** Whether it carries anything that was generated, also what is no text. */
      content: boolean
      /** The choices that end with this frame, by index; protocols with one answer say 0. */
      finished: readonly number[]
      /** The usage object, where the frame carries one. Protocols that spread it over frames merge it first. */
      usage: unknown
      /** Carries usage and nothing else, and a client may not have asked for it. */
      bare: boolean
      /** The protocol allows nothing after this frame. */
      closing?: boolean
      identity?: AnswerIdentity
    }

/** What is known when a stream must be ended by us. */
export interface CutEnd {
  /** As on the receipt, e.g. `insufficient_credits`. */
  reason: string
  /** Of the call: where the provider has not yet named its answer or model. */
  fallback: { id: string; model: string }
  created: number
  choices: number
  /** What the call is charged for, where it is known. */
  usage: Usage | undefined
}

/** What a client is told of an error inside a stream. */
export interface ErrorWords {
  message: string
  type: string
  code: string | null
  param: string | null
  status: number
}

/** How a running stream says what is ours and not the provider's. Returns whole SSE frames. */
export interface StreamVoice {
  /** In-band error: the stream ends after it. */
  error(words: ErrorWords): string
  /** Ends the answer cleanly before its time, as if a length limit had been reached. */
  cut(end: CutEnd): string
  /** What follows the last frame of a whole answer, e.g. `data: [DONE]`; may be empty. */
  done(): string
}

/** One stream in a protocol that client and upstream share: frames pass byte for byte, and we watch. */
export interface StreamFormat extends StreamVoice {
  /** Reads one frame of `buffer`. With `parse` nothing may be skipped: no content has been seen yet. */
  inspect(buffer: Buffer, start: number, end: number, parse: boolean): FrameFacts
}

/** Reads a provider's stream for translation. `data` is the frame's data, never a comment. Throws WireError. */
export interface EventDecoder {
  decode(data: string): AnswerEvent[]
  /** The stream has ended as its protocol says: what was waiting for that. Asking again gives nothing. */
  end(): AnswerEvent[]
}

/** Writes a translated stream for a client. */
export interface EventEncoder extends StreamVoice {
  encode(event: AnswerEvent): string
}

/** What an upstream said is not what its protocol allows. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** A whole answer, as far as metering needs it, or what makes it a failure in spite of its status. */
export type WholeFacts =
  | { identity: AnswerIdentity; usage: unknown; text: string }
  | { fault: 'malformed' | 'error_in_200' | 'empty' }
