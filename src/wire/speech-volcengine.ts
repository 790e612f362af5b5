import { isObject } from './json-values.ts'
import { characterCount, countCodePoints } from './speech-count.ts'
import { checkExtra, checkSpeed, checkText, parseJson, text, withHeaders } from './speech-fields.ts'
import { misconfigured, refuse, type SpeechFormat, type SpeechRefusal, type VendorError } from './speech-format.ts'
import { voicesOf } from './voices/shipped-voices.ts'

const ADDRESS = 'https://openspeech.bytedance.com/api/v1/tts'
const DEFAULT_VOICE = 'BV001_streaming'
const DEFAULT_CLUSTER = 'volcano_tts'
const SUCCESS = 3000
/** Of UTF-8. Cloned voices, whose names start with S_, have no limit of their own. */
const TEXT_BYTES_MAX = 1_024

const encodings: ReadonlyMap<string, { name: string; type: string }> = new Map([
  ['mp3', { name: 'mp3', type: 'audio/mpeg' }],
  ['opus', { name: 'ogg_opus', type: 'audio/ogg' }],
  ['wav', { name: 'wav', type: 'audio/wav' }],
  ['pcm', { name: 'pcm', type: 'audio/L16' }],
])

/** Settings of the `audio` part that a client may choose. */
const audioSettings = [
  'emotion',
  'enable_emotion',
  'emotion_scale',
  'rate',
  'bitrate',
  'explicit_language',
  'context_language',
  'language',
  'loudness_ratio',
  'volume_ratio',
  'pitch_ratio',
]

/** ByteDance's speech over HTTP, version 1: JSON in, base64 in JSON out, and a code of its own inside of every answer. */
export const volcengineSpeech: SpeechFormat = {
  id: 'volcengine',
  formats: [...encodings.keys()],
  defaultVoice: DEFAULT_VOICE,
  shippedVoices: voicesOf('volcengine'),

  call(input, endpoint) {
    const { params } = endpoint
    // Never the caller's fault, whatever the status of the vendor's own complaint would be.
    const appid = typeof params.appid === 'number' ? String(params.appid) : text(params.appid)
    if (appid === undefined) return misconfigured('appid', 'the upstream needs the appid of its application')
    const problem =
      checkText(input.text) ??
      checkSpeed(input.speed, 0.2, 3) ??
      checkExtra(input.extra, ['audio', 'request']) ??
      checkSettings(input.extra?.audio, audioSettings, 'extra_body.audio') ??
      checkSettings(input.extra?.request, ['silence_duration'], 'extra_body.request')
    if (problem) return problem
    if (input.streamFormat === 'sse') return refuse('stream_format', 'sse is not supported for this model')
    const encoding = encodings.get(input.format ?? 'mp3')
    if (encoding === undefined) return refuse('response_format', 'is not a format of this model')
    const voice = input.voice ?? text(params.voice) ?? DEFAULT_VOICE
    if (Buffer.byteLength(input.text) > TEXT_BYTES_MAX && !voice.startsWith('S_'))
      return refuse('input', `must be at most ${TEXT_BYTES_MAX} bytes of UTF-8 for this model`)
    return {
      method: 'POST',
      url: endpoint.baseUrl === '' ? ADDRESS : endpoint.baseUrl,
      headers: withHeaders(
        // The semicolon is the vendor's.
        { authorization: `Bearer; ${endpoint.key}`, 'content-type': 'application/json' },
        endpoint.headers,
      ),
      body: JSON.stringify({
        app: { appid, token: endpoint.key, cluster: text(params.cluster) ?? DEFAULT_CLUSTER },
        user: { uid: text(params.uid) ?? 'fluxgate' },
        audio: {
          voice_type: voice,
          encoding: encoding.name,
          speed_ratio: input.speed ?? 1,
          ...(isObject(input.extra?.audio) && input.extra.audio),
        },
        request: {
          reqid: endpoint.callId,
          text: input.text,
          operation: 'query',
          ...(isObject(input.extra?.request) && input.extra.request),
        },
      }),
      answer: 'json',
      contentType: encoding.type,
      dropped: input.instructions === undefined ? [] : ['instructions'],
    }
  },

  /** Characters of the text. */
  count(input) {
    return characterCount('volcengine-characters', countCodePoints(input.text))
  },

  readError(_status, body): VendorError {
    const parsed = parseJson(body)
    // Without a code of the vendor's own it is some server in between that answers.
    return isObject(parsed) && typeof parsed.code === 'number' ? errorOf(parsed) : {}
  },

  readWhole(body) {
    if (!isObject(body)) return { error: { code: 'malformed' }, status: 502 }
    if (body.code !== SUCCESS) {
      const error = errorOf(body)
      return { error, status: statuses[error.class ?? 'provider'] }
    }
    const audio = text(body.data)
    return audio === undefined ? { error: { code: 'empty' }, status: 200 } : { audio }
  },
}

const statuses = { caller: 400, credential: 401, target: 429, provider: 502 }

function checkSettings(value: unknown, known: readonly string[], path: string): SpeechRefusal | undefined {
  if (value === undefined) return undefined
  if (!isObject(value)) return refuse(path, 'must be an object')
  for (const [name, setting] of Object.entries(value))
    if (typeof setting === 'object')
      return refuse(`${path}.${name.slice(0, 60)}`, 'must be a string, number or boolean')
  return checkExtra(value, known, path)
}

/** By the vendor's table of codes; an account that is not allowed to speak is told apart by its message alone. */
function errorOf(body: Record<string, unknown>): VendorError {
  const code = typeof body.code === 'number' && Number.isSafeInteger(body.code) ? body.code : undefined
  const message = text(body.message) ?? text(body.Message)
  const error: VendorError = {
    class: 'provider',
    code: code === undefined ? 'malformed' : String(code),
    ...(message && { message }),
  }
  if (message !== undefined && /authenticate request|requested grant not found|access denied|_lifetime/i.test(message))
    error.class = 'credential'
  else if (code === 3003 || /quota exceeded for types: (?:concurrency|qps)/i.test(message ?? '')) error.class = 'target'
  else if (code === 3001 || code === 3010 || code === 3011 || code === 3050) error.class = 'caller'
  else if (code === 3030 || code === 3032) error.timedOut = true
  return error
}
