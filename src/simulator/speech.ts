import { isFields, textAt } from './json-fields.ts'
import { findModel } from './models.ts'
import { openai } from './openai-vendor.ts'
import {
  type Answer,
  type CallRequest,
  type Chunk,
  type ErrorPlace,
  eventStream,
  type Frame,
  type Identity,
  jsonBody,
  type Protocol,
} from './protocol.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { type SoundFormat, soundHeader, soundOf, soundTypes } from './speech-sound.ts'
import { parseSwitches } from './switches.ts'
import { countTokens } from './tokens.ts'
import { claimedUsage, promptUsage } from './usage.ts'

interface Wanted {
  characters: readonly string[]
  format: SoundFormat
  /** As server-sent events, the last of which tells the usage. */
  events: boolean
}

interface SpeechRequest extends CallRequest, Wanted {
  billsTokens: boolean
}

type SpeechAnswer = Answer & Wanted

const CHARACTERS_MAX = 4096
const CHUNK_CHARACTERS = 4

/**
 * OpenAI's speech. The sound is always streamed. `gpt-sim-tts` bills a token for each four bytes of text and one for each
 * character's sound, and says so in events alone; `speak` bills characters and says nothing.
 */
export const speech: Protocol<SpeechRequest, SpeechAnswer> = {
  name: 'speech',
  idPrefix: 'speech-',
  vendor: openai,
  parse,
  compose({ characters, format, events, billsTokens, promptTokens, sim }) {
    const usage = promptUsage(billsTokens ? promptTokens : 0, sim)
    if (billsTokens) usage.completion = characters.length
    else usage.characters = characters.length
    return { kind: 'answer', stream: true, usage, characters, format, events, sim }
  },
  carriage({ events, format, sim }) {
    if (events) return eventStream
    // An error that takes the place of sound is JSON.
    return sim.error_in_200 === true ? jsonBody : { contentType: soundTypes[format], events: false, encoding: 'latin1' }
  },
  body: () => '',
  chunks: renderChunks,
  failedBody: errorText,
  errorFrame: (place) => (place.answer.events ? { data: errorText(place) } : undefined),
  brokenFrame: { data: '{"type":"speech.audio.del' },
}

function errorText({ refusal, identity }: ErrorPlace<SpeechAnswer>): string {
  return openai.errorBody(refusal, identity.requestId)
}

function parse(body: unknown): SpeechRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest('You must provide a model parameter.', 'model')
  const found = findModel(asked, 'speech')
  if ('status' in found) return found
  const { input, response_format: format = 'mp3', stream_format: streamFormat = 'audio' } = body
  if (typeof input !== 'string' || input === '') return badRequest("'input' must be a text.", 'input')
  const characters = [...input]
  if (characters.length > CHARACTERS_MAX)
    return badRequest(`'input' must be at most ${CHARACTERS_MAX} characters.`, 'input')
  if (!isFormat(format))
    return badRequest(`'response_format' must be one of ${Object.keys(soundTypes).join(', ')}.`, 'response_format')
  if (streamFormat !== 'audio' && streamFormat !== 'sse')
    return badRequest("'stream_format' must be audio or sse.", 'stream_format')
  const billsTokens = found.model === 'gpt-sim-tts'
  if (streamFormat === 'sse' && !billsTokens)
    return badRequest("'stream_format' sse is not supported by this model.", 'stream_format')
  const parsed = parseSwitches(body.sim)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)
  return {
    model: found.model,
    modelAsked: asked,
    stream: true,
    hasStreamOptions: false,
    promptTokens: countTokens(input) + countTokens(textAt(body, 'instructions')),
    lastRole: '',
    characters,
    format,
    events: streamFormat === 'sse',
    billsTokens,
    sim: parsed.switches,
  }
}

function isFormat(value: unknown): value is SoundFormat {
  return typeof value === 'string' && Object.hasOwn(soundTypes, value)
}

function* renderChunks(answer: SpeechAnswer, _identity: Identity): Generator<Chunk, void, undefined> {
  const { characters, format, events, usage, sim } = answer
  const perChunk = CHUNK_CHARACTERS * (sim.chunk_tokens ?? 1)
  const billsTokens = usage.characters === 0
  const header = soundHeader(format, characters.length)
  for (let at = 0; at < characters.length; at += perChunk) {
    const spoken = characters.slice(at, at + perChunk)
    const sound = soundOf(format, spoken)
    const frame = frameOf(at === 0 ? Buffer.concat([header, sound]) : sound, events)
    yield {
      ...frame,
      tokens: billsTokens ? spoken.length : 0,
      reasoning: 0,
      characters: spoken.length,
      part: 'content',
    }
  }
  if (!events) return
  const { prompt, completion } = claimedUsage(usage, sim.usage)
  const told = { input_tokens: prompt, output_tokens: completion, total_tokens: prompt + completion }
  const done = { type: 'speech.audio.done', ...(sim.usage !== 'none' && { usage: told }) }
  yield { data: JSON.stringify(done), tokens: 0, reasoning: 0, part: 'mark' }
}

function frameOf(sound: Buffer, events: boolean): Frame {
  if (!events) return { data: sound.toString('latin1') }
  return { data: JSON.stringify({ type: 'speech.audio.delta', audio: sound.toString('base64') }) }
}
