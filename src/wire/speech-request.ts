import { isObject } from './json-values.ts'

import type { RequestProblem } from './text-request.ts'

/** A request for speech, read. */
export interface SpeechRequest {
  /** Undefined: the default of the router. */
  model: string | undefined
  input: string
  voice: string | undefined
  speed: number | undefined
  format: string | undefined
  instructions: string | undefined
  streamFormat: 'audio' | 'sse'
  /** `extra_body` without what is meant for us. */
  extra: Readonly<Record<string, unknown>> | undefined
  /** What a client of AIRI says beside: why it speaks, and with which voice pack. */
  airi: { trigger: string | undefined; voicePackId: string | undefined }
}

const MODEL_CHARS_MAX = 255
const VOICE_CHARS_MAX = 200
const FORMAT_CHARS_MAX = 64
const INSTRUCTIONS_CHARS_MAX = 4_096
/** The most that any vendor takes at once; each has a limit of its own. */
const SPEECH_INPUT_CHARS_MAX = 50_000
const EXTRA_CHARS_MAX = 16_384
const LEVELS_MAX = 16
const formats = ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm']

/** The body of `POST /v1/audio/speech`, as OpenAI documents it. Throws SyntaxError for text that is not JSON. */
export function parseSpeechRequest(text: string): SpeechRequest | RequestProblem {
  const body: unknown = JSON.parse(text)
  if (!isObject(body)) return problem('', 'the body must be a JSON object')
  const { input, voice, response_format: format, speed, instructions, stream_format: stream } = body
  if (typeof input !== 'string') return problem('input', 'must be a string')
  const id = isObject(voice) ? voice.id : voice
  if (present(voice) && typeof id !== 'string') return problem('voice', 'must be a string or an object with an id')
  if (present(speed) && !(typeof speed === 'number' && speed >= 0.25 && speed <= 4))
    return problem('speed', 'must be a number from 0.25 to 4')
  if (present(format) && !formats.includes(format as string))
    return problem('response_format', `must be one of ${formats.join(', ')}`)
  if (present(instructions) && typeof instructions !== 'string') return problem('instructions', 'must be a string')
  if (present(stream) && stream !== 'audio' && stream !== 'sse') return problem('stream_format', 'must be audio or sse')
  return checked(body, {
    input,
    voice: id,
    speed: present(speed) ? speed : undefined,
    format: present(format) ? format : undefined,
  })
}

/**
 * The body of AIRI's own route: a format may be a vendor's own name, an empty model or `auto` stands for the default, and
 * numbers may come as text. Input that is no string is refused like input that is empty: it was spoken for nothing before.
 */
export function parseAiriSpeechRequest(text: string): SpeechRequest | RequestProblem {
  const body: unknown = JSON.parse(text)
  if (!isObject(body)) return problem('', 'the body must be a JSON object')
  const { input, voice, response_format: format, speed } = body
  const pace = typeof speed === 'string' && speed.trim() !== '' ? Number(speed) : speed
  if (present(pace) && !(typeof pace === 'number' && pace >= 0.25 && pace <= 4))
    return problem('speed', 'must be a number from 0.25 to 4')
  if (present(format) && typeof format !== 'string') return problem('response_format', 'must be a string')
  const id = isObject(voice) ? voice.id : voice
  if (present(voice) && typeof id !== 'string') return problem('voice', 'must be a string or an object with an id')
  return checked(body, {
    input: typeof input === 'string' ? input : '',
    voice: id,
    speed: present(pace) ? pace : undefined,
    format: present(format) && format !== '' ? format : undefined,
  })
}

/** What both have in common. */
function checked(
  body: Record<string, unknown>,
  read: { input: string; voice: unknown; speed: number | undefined; format: unknown },
): SpeechRequest | RequestProblem {
  const { input } = read
  // Nothing to say is nothing to charge, and nothing that a vendor is asked for.
  if (!/[^\s\p{Cc}]/u.test(input)) return problem('input', 'must hold something to say')
  if (input.length > SPEECH_INPUT_CHARS_MAX)
    return problem('input', `must be at most ${SPEECH_INPUT_CHARS_MAX} characters`)
  // Half a character has no bytes: what would be sent and billed is another text.
  if (!input.isWellFormed()) return problem('input', 'must be well-formed text')
  const { model, extra_body: extra, instructions, stream_format: stream } = body
  if (present(model) && typeof model !== 'string') return problem('model', 'must be a string')
  const name = present(model) && model !== '' && model !== 'auto' ? String(model) : undefined
  const voice = typeof read.voice === 'string' && read.voice !== '' ? read.voice : undefined
  const format = typeof read.format === 'string' ? read.format : undefined
  for (const [path, value, charsMax] of [
    ['model', name, MODEL_CHARS_MAX],
    ['voice', voice, VOICE_CHARS_MAX],
    ['response_format', format, FORMAT_CHARS_MAX],
  ] as const) {
    if (value === undefined) continue
    if (value.length > charsMax) return problem(path, `must be at most ${charsMax} characters`)
    if (/\p{Cc}|\p{Cs}/u.test(value)) return problem(path, 'must be text without control characters')
  }
  if (typeof instructions === 'string' && instructions.length > INSTRUCTIONS_CHARS_MAX)
    return problem('instructions', `must be at most ${INSTRUCTIONS_CHARS_MAX} characters`)
  if (present(extra) && !isObject(extra)) return problem('extra_body', 'must be an object')
  const { airi_analytics: analytics, voice_pack: pack, ...rest } = isObject(extra) ? extra : {}
  if (nestsDeeper(rest, LEVELS_MAX)) return problem('extra_body', `must nest at most ${LEVELS_MAX} levels deep`)
  if (JSON.stringify(rest).length > EXTRA_CHARS_MAX)
    return problem('extra_body', `must be at most ${EXTRA_CHARS_MAX} characters of JSON`)
  return {
    model: name,
    input,
    voice,
    speed: read.speed,
    format,
    instructions: typeof instructions === 'string' && instructions !== '' ? instructions : undefined,
    streamFormat: stream === 'sse' ? 'sse' : 'audio',
    extra: Object.keys(rest).length > 0 ? rest : undefined,
    airi: { trigger: member(analytics, 'trigger'), voicePackId: member(pack, 'pack_id') },
  }
}

function member(value: unknown, name: string): string | undefined {
  const found = isObject(value) ? value[name] : undefined
  return typeof found === 'string' && found.length <= 200 ? found : undefined
}

function nestsDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  return Object.values(value).some((inner) => nestsDeeper(inner, levels - 1))
}

function present<Value>(value: Value | null | undefined): value is Value {
  return value !== undefined && value !== null
}

function problem(path: string, message: string): RequestProblem {
  return { path, message }
}
