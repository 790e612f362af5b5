import type { Json } from '#test/support/gateway.ts'
import type { TextProtocol } from '#wire/neutral.ts'

// What the tests know of the three protocols, written without a look at the gateway's own translators.

/** A conversation and what is wanted, in no protocol. */
export interface Ask {
  system?: string
  turns: Turn[]
  tools?: readonly { name: string; schema: object }[]
  maxTokens?: number
  schema?: object
  thinks?: boolean
  stream?: boolean
}

export type Turn =
  | { role: 'user'; text: string; image?: string }
  /** What the model said before, as `Said.replay` gave it. */
  | { role: 'model'; replay: readonly Json[] }
  | { role: 'results'; results: readonly { id: string; text: string }[] }

/** What a client of a protocol was told. */
export interface Said {
  text: string
  reasoning: string
  refusal: string
  calls: { id: string; name: string; arguments: unknown }[]
  finish: 'stop' | 'length' | 'tool_calls' | 'content_filter'
  usage: { input: number; cached: number; output: number }
  /** What a client sends back of it. */
  replay: Json[]
}

/** How a stream that broke off told so. */
export interface Broken {
  message: string
  /** What was said before. */
  text: string
}

/** What a provider was asked, in no protocol. Tool calls and their results are named by the order of the calls. */
export interface Asked {
  system: string
  texts: string[]
  images: string[]
  tools: { name: string; schema: object }[]
  calls: { name: string; arguments: unknown }[]
  /** Of each result the number of its call, and its text. */
  results: { call: number; text: string }[]
  maxTokens: number | undefined
  schema: object | undefined
  /** Reasoning that comes back: with what proves it, where the protocol has a proof. */
  reasoning: { text: string; proof: string | undefined }[]
}

/** A client and a reader of one protocol. Readers throw where an answer is not what the protocol allows. */
export interface Speaker {
  protocol: TextProtocol
  path: string
  build(model: string, ask: Ask): Json
  readWhole(body: Json): Said
  readStream(text: string): Said | Broken
  readRequest(body: Json): Asked
  /** The message of an error that is the whole answer. */
  readError(body: Json): string
}

/** A frame of a stream: its event's name and its data. Comments are left out. */
export function framesOf(text: string): { event: string | undefined; data: string }[] {
  if (text !== '' && !text.endsWith('\n\n')) throw new Error(`the stream ends within a frame: ${text.slice(-200)}`)
  return text.split('\n\n').flatMap((frame) => {
    const lines = frame.split('\n').filter((line) => line !== '' && !line.startsWith(':'))
    if (lines.length === 0) return []
    const [event] = lines.flatMap((line) => (line.startsWith('event: ') ? [line.slice('event: '.length)] : []))
    const data = lines.flatMap((line) => (line.startsWith('data: ') ? [line.slice('data: '.length)] : []))
    if (data.length + (event === undefined ? 0 : 1) !== lines.length) throw new Error(`no frame of SSE: ${frame}`)
    return [{ event, data: data.join('\n') }]
  })
}
