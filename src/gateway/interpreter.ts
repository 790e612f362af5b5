import { withMembers } from '#lib/json-members.ts'
import { AppError } from '#src/errors.ts'
import type { Loss } from '#wire/neutral.ts'
import type { DecodedUsage } from '#wire/openai-usage.ts'
import type { EventEncoder, Protocol, StreamFormat, StreamVoice, WholeFacts } from '#wire/protocol.ts'
import { createStreamTranslator, type StreamTranslator } from '#wire/stream-translator.ts'
import type { TextRequest } from '#wire/text-request.ts'
import { type Codec, codecs, type Dialect, dialects } from './codecs.ts'
import type { Target } from './target.ts'

/** How one request is put to targets of one protocol, and how their answers come back to the client in its own. */
export interface Interpreter {
  /** The request as `target` gets it. `limit`: tokens of each answer, where it must be another than the caller's. */
  body(target: Target, limit: number | undefined): string
  /** A stream's two sides: what the upstream says is inspected, what we add ourselves is said by the voice. */
  stream(): { format: Pick<StreamFormat, 'inspect'>; voice: StreamVoice; translator?: StreamTranslator }
  parseWhole(body: string): WholeFacts
  /** A whole answer as the client gets it. Throws WireError. */
  render(body: Buffer): Buffer
  decodeUsage(value: unknown): DecodedUsage
  losses: readonly Loss[]
}

/** What an interpreter needs to know of the exchange it serves. */
export interface InterpreterOptions {
  id: string
  /** Unix seconds. */
  created: number
}

/** `target`: one of those that speak its protocol; all of them are served. */
export function createInterpreter(request: TextRequest, target: Target, options: InterpreterOptions): Interpreter {
  const { protocol: spoken } = target
  const upstream = codecs[spoken]
  if (request.protocol === spoken) return nativeInterpreter(request, upstream, options)
  const dialect = { from: dialectOf(request.protocol), to: dialectOf(spoken) }
  return translatingInterpreter(request, upstream, dialect, target, options)
}

/** Whether requests of one protocol can be put to targets that speak the other. */
export function canTranslate(from: Protocol, to: Protocol): boolean {
  return dialects[from] !== undefined && dialects[to] !== undefined
}

function dialectOf(protocol: Protocol): Dialect {
  const dialect = dialects[protocol]
  if (dialect === undefined) throw new AppError('internal', { details: { protocol } })
  return dialect
}

/** The client's own text with as few members changed as possible; answers pass byte for byte. */
function nativeInterpreter(request: TextRequest, codec: Codec, { id, created }: InterpreterOptions): Interpreter {
  return {
    body(target, limit) {
      const changes: Record<string, string> = { ...codec.fixed, model: JSON.stringify(target.priced.model) }
      // Usage is always asked for, whether the client wants to see it or not: it is what the call is charged by.
      if (codec.asksForUsage && request.stream && target.streamOptions && !request.includeUsage)
        changes.stream_options = JSON.stringify({ ...request.streamOptions, include_usage: true })
      if (limit !== undefined) {
        const own = codec.maxTokensMember === 'target' ? target.maxTokensMember : codec.maxTokensMember
        const names = request.maxTokensMembers.length > 0 ? request.maxTokensMembers : [own]
        for (const name of names) changes[name] = String(limit)
        Object.assign(changes, codec.lowered?.(request.body, limit))
      }
      return withMembers(request.text, request.members, changes)
    },
    stream() {
      const format = codec.format({
        includeUsage: request.includeUsage,
        fallback: { id, model: request.model, created },
      })
      return { format, voice: format }
    },
    parseWhole: codec.parseWhole,
    render: (body) => body,
    decodeUsage: codec.decodeUsage,
    losses: request.losses ?? [],
  }
}

function translatingInterpreter(
  request: TextRequest,
  codec: Codec,
  { from, to }: { from: Dialect; to: Dialect },
  sample: Target,
  options: InterpreterOptions,
): Interpreter {
  const decoded = from.decodeRequest(request.body)
  const encode = (target: Target, limit?: number) => {
    const neutral = limit === undefined ? decoded.request : { ...decoded.request, maxTokens: limit }
    return to.encodeRequest(neutral, { ...target, model: target.priced.model })
  }

  return {
    body(target, limit) {
      const { body } = encode(target, limit)
      return JSON.stringify({ ...body, model: target.priced.model })
    },
    stream() {
      const encoder: EventEncoder = from.createEncoder({ ...options, includeUsage: request.includeUsage, request })
      const format = codec.format({ includeUsage: true, fallback: { ...options, model: request.model } })
      return { format, voice: encoder, translator: createStreamTranslator(to.createDecoder(), encoder) }
    },
    parseWhole: codec.parseWhole,
    render(body) {
      const answer = to.decodeAnswer(JSON.parse(body.toString('utf8')))
      return Buffer.from(JSON.stringify(from.encodeAnswer(answer, { ...options, request })))
    },
    decodeUsage: codec.decodeUsage,
    losses: [...(request.losses ?? []), ...decoded.losses, ...encode(sample).losses],
  }
}
