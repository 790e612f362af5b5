import type { Refusal } from './refusal.ts'
import type { Switches } from './switches.ts'
import type { TrueUsage } from './usage.ts'
import type { Vendor } from './vendor.ts'

export type ProtocolName =
  | 'chat'
  | 'messages'
  | 'count_tokens'
  | 'responses'
  | 'completions'
  | 'embeddings'
  | 'speech'
  | 'transcription'

/** What every request has, whatever its protocol. */
export interface CallRequest {
  /** Without `sim/`. */
  model: string
  /** As the caller wrote it; answers repeat it. */
  modelAsked: string
  stream: boolean
  hasStreamOptions: boolean
  promptTokens: number
  /** Of the last message, where there are messages; else empty. */
  lastRole: string
  /** What is said of reasoning in the request that the simulator did not sign; absent when there is none. */
  foreignReasoning?: string | undefined
  sim: Switches
}

/** What every answer has: the truth about it, and the switches that shape its delivery. */
export interface Answer {
  kind: 'answer'
  stream: boolean
  usage: TrueUsage
  sim: Switches
}

/** What names one answer: the same in every part of it. */
export interface Identity {
  /** `serial` with the protocol's prefix. */
  id: string
  serial: string
  /** Of the HTTP exchange. */
  requestId: string
  /** Unix seconds. */
  created: number
}

/** One event of a stream. */
export interface Frame {
  /** Its data: JSON text, or audio as Latin-1. */
  data: string
  /** The line before the data, where the protocol has one. */
  event?: string
}

/** One part of a stream and what it delivers; `reasoning` is the hidden or shown part of `tokens`. */
export interface Chunk extends Frame {
  tokens: number
  reasoning: number
  /** Characters that were spoken. */
  characters?: number
  /** Content is what the switches `…_after` count. `mark` says that the answer is whole, and is what `no_done` leaves out. */
  part: 'opening' | 'content' | 'closing' | 'mark'
}

/** How the bytes of an answer travel. */
export interface Carriage {
  contentType: string
  /** Chunks are server-sent events; otherwise they are sent as they are. */
  events: boolean
  encoding: 'utf8' | 'latin1'
}

export const jsonBody: Carriage = { contentType: 'application/json', events: false, encoding: 'utf8' }
export const eventStream: Carriage = {
  contentType: 'text/event-stream; charset=utf-8',
  events: true,
  encoding: 'utf8',
}

/** An error in the middle of a stream: behind `framesSent` frames of the answer, or as its first one. */
export interface ErrorPlace<A> {
  refusal: Refusal
  answer: A
  identity: Identity
  framesSent: number
}

/** How one protocol writes its answers down. Pure. */
export interface Rendering<A extends Answer> {
  vendor: Vendor
  carriage(answer: A): Carriage
  /** The body of an answer that is not streamed. `extra` is further members of the top object, as JSON text. */
  body(answer: A, identity: Identity, extra: string): string
  /** The parts of a streamed answer in order. Lazy: a long answer is never held whole. */
  chunks(answer: A, identity: Identity): Iterable<Chunk>
  /** A failed answer that is not streamed, with status 200. */
  failedBody(place: ErrorPlace<A>): string
  /** Undefined where a stream has no way to say that it failed. */
  errorFrame(place: ErrorPlace<A>): Frame | undefined
  /** An event that is no JSON. */
  brokenFrame: Frame
}

/** One protocol of the simulator; everything else, faults above all, is common. */
export interface Protocol<R extends CallRequest, A extends Answer> extends Rendering<A> {
  name: ProtocolName
  idPrefix: string
  /** A typed request, or the refusal of the vendor. */
  parse(body: unknown): R | Refusal
  compose(request: R): A
}
