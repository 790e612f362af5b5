import { isObject } from './json-values.ts'
import { characterCount, countWideHan } from './speech-count.ts'
import { checkExtra, checkSpeed, checkText, joinUrl, option, parseJson, text, withHeaders } from './speech-fields.ts'
import {
  misconfigured,
  refuse,
  type SpeechEndpoint,
  type SpeechFormat,
  type SpeechInput,
  type SpeechRefusal,
  type VendorError,
  type WholeAnswer,
} from './speech-format.ts'
import { reportedCharacters } from './speech-usage.ts'
import { voicesOf } from './voices/shipped-voices.ts'

const PATH = '/api/v1/services/audio/tts/SpeechSynthesizer'
const hosts: ReadonlyMap<unknown, string> = new Map([
  ['cn', 'https://dashscope.aliyuncs.com'],
  ['intl', 'https://dashscope-intl.aliyuncs.com'],
])
const DEFAULT_MODEL = 'cosyvoice-v2'
const DEFAULT_VOICE = 'longxiaochun_v2'
/** By the vendor's own way of counting. */
const CHARACTERS_MAX = 20_000
/** Clients of OpenAI's `pcm` play it at this rate; the vendor's own default is another. */
const PCM_SAMPLE_RATE = 24_000
const sampleRates = [8_000, 12_000, 16_000, 22_050, 24_000, 44_100, 48_000]
const types: ReadonlyMap<string, string> = new Map([
  ['mp3', 'audio/mpeg'],
  ['opus', 'audio/ogg'],
  ['wav', 'audio/wav'],
  ['pcm', 'audio/L16'],
])

/** Alibaba's CosyVoice over HTTP: an order first, then the audio behind the link in its answer. */
export const cosyvoiceSpeech: SpeechFormat = {
  id: 'dashscope-cosyvoice',
  formats: [...types.keys()],
  defaultVoice: DEFAULT_VOICE,
  shippedVoices: voicesOf('dashscope-cosyvoice'),

  call(input, endpoint) {
    const url = addressOf(endpoint)
    if (typeof url !== 'string') return url
    const { params } = endpoint
    const problem =
      checkText(input.text) ??
      checkSpeed(input.speed, 0.5, 2) ??
      checkExtra(input.extra, ['volume', 'pitch', 'sample_rate'])
    if (problem) return problem
    if (input.streamFormat === 'sse') return refuse('stream_format', 'sse is not supported for this model')
    if (charactersOf(input.text) > CHARACTERS_MAX) return refuse('input', 'is too long for this model')
    const format = input.format ?? 'mp3'
    const contentType = types.get(format)
    if (contentType === undefined) return refuse('response_format', 'is not a format of this model')
    const model = text(params.model) ?? (input.model === '' ? DEFAULT_MODEL : input.model)
    // Each model has voices of its own, so this one is no default for the others.
    const voice = input.voice ?? text(params.voice) ?? (model === DEFAULT_MODEL ? DEFAULT_VOICE : undefined)
    if (voice === undefined) return refuse('voice', 'is needed for this model')
    const settings = settingsOf(input, params, format)
    if ('refused' in settings) return settings as unknown as SpeechRefusal
    const instructed = input.instructions !== undefined && model.startsWith('cosyvoice-v3')
    return {
      method: 'POST',
      url,
      headers: withHeaders(
        { authorization: `Bearer ${endpoint.key}`, 'content-type': 'application/json' },
        endpoint.headers,
      ),
      body: JSON.stringify({
        model,
        input: { text: input.text, voice, format, ...settings, ...(instructed && { instruction: input.instructions }) },
      }),
      answer: 'linked_json',
      contentType,
      dropped: input.instructions === undefined || instructed ? [] : ['instructions'],
    }
  },

  count(input) {
    return characterCount('dashscope-characters', charactersOf(input.text))
  },

  readError(_status, body): VendorError {
    return errorOf(parseJson(body))
  },

  readWhole(body): WholeAnswer {
    if (!isObject(body)) return { error: { code: 'malformed' }, status: 502 }
    const output = isObject(body.output) ? body.output : {}
    const audio = isObject(output.audio) ? output.audio : {}
    const url = text(audio.url)
    const usage = isObject(body.usage) ? reportedCharacters(body.usage.characters) : undefined
    if (url !== undefined) return { url, ...(usage && { usage }) }
    const error = errorOf(body)
    return { error: Object.keys(error).length > 0 ? error : { code: 'empty' }, status: 200 }
  },
}

function addressOf(endpoint: SpeechEndpoint): string | SpeechRefusal {
  const base = endpoint.baseUrl === '' ? hosts.get(endpoint.params.region) : endpoint.baseUrl
  if (base === undefined) return misconfigured('region', 'the upstream needs a base URL or a region, cn or intl')
  return new URL(base).pathname === '/' ? joinUrl(base, PATH) : base
}

function settingsOf(input: SpeechInput, params: Readonly<Record<string, unknown>>, format: string) {
  const settings: Record<string, number> = {}
  if (input.speed !== undefined && input.speed !== 1) settings.rate = input.speed
  for (const [name, min, max] of [
    ['volume', 0, 100],
    ['pitch', 0.5, 2],
  ] as const) {
    const value = option(input, params, name)
    if (value === undefined || value === null) continue
    if (typeof value !== 'number' || !(value >= min && value <= max))
      return refuse(`extra_body.${name}`, `must be a number from ${min} to ${max}`)
    settings[name] = value
  }
  const rate = option(input, params, 'sample_rate') ?? (format === 'pcm' ? PCM_SAMPLE_RATE : undefined)
  if (rate !== undefined) {
    if (typeof rate !== 'number' || !sampleRates.includes(rate))
      return refuse('extra_body.sample_rate', `must be one of ${sampleRates.join(', ')}`)
    settings.sample_rate = rate
  }
  return settings
}

/** Tags of SSML are not counted. */
function charactersOf(spoken: string): number {
  const trimmed = spoken.trim()
  const ssml = trimmed.startsWith('<speak') && trimmed.endsWith('</speak>')
  return countWideHan(ssml ? trimmed.replace(/<[^>]*>/g, '') : spoken)
}

/** An account in arrears is told apart only by its code: the status is that of a bad request. */
function errorOf(body: unknown): VendorError {
  if (!isObject(body)) return {}
  const code = text(body.code)
  const message = text(body.message)
  const error: VendorError = { ...(code && { code: code.slice(0, 60) }), ...(message && { message }) }
  if (code === undefined) return error
  if (/^(?:Arrearage|InvalidApiKey|AccessDenied|Model\.AccessDenied|AllocationQuota)/.test(code))
    error.class = 'credential'
  else if (/^(?:Throttling|ModelNotFound|model_not_found)/.test(code)) error.class = 'target'
  else if (/^(?:InternalError|SystemError|ModelUnavailable|RequestTimeOut)/.test(code)) error.class = 'provider'
  return error
}
