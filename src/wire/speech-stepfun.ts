import { isObject } from './json-values.ts'
import { audioTypes } from './speech-audio-type.ts'
import { characterCount, countCodePoints } from './speech-count.ts'
import { checkExtra, checkSpeed, checkText, joinUrl, option, parseJson, text, withHeaders } from './speech-fields.ts'
import {
  misconfigured,
  refuse,
  type SpeechEndpoint,
  type SpeechFormat,
  type SpeechInput,
  type SpeechRefusal,
  type VendorError,
  type Voice,
} from './speech-format.ts'
import { formatsOf, languagesOf, voicesOf } from './voices/shipped-voices.ts'

const DEFAULT_MODEL = 'stepaudio-2.5-tts'
const DEFAULT_VOICE = 'cixingnansheng'
const CHARACTERS_MAX = 1_000
const INSTRUCTION_CHARS_MAX = 2_000
const PRONUNCIATIONS_MAX = 200
const HOURS_24_MS = 24 * 3_600_000
/** The only model whose voices the vendor lists. */
const LISTED_MODEL = 'step-tts-2'
const sampleRates = [8_000, 16_000, 22_050, 24_000]
const formats = ['mp3', 'opus', 'flac', 'wav', 'pcm']
const profiles: ReadonlyMap<unknown, string> = new Map([
  ['default', 'https://api.stepfun.com/v1'],
  ['step-plan', 'https://api.stepfun.com/step_plan/v1'],
])
const extras = ['volume', 'sample_rate', 'pronunciation_map', 'markdown_filter', 'instruction', 'voice_label']

/** StepFun: OpenAI's request with members of its own, audio streamed back. */
export const stepfunSpeech: SpeechFormat = {
  id: 'stepfun',
  formats,
  defaultVoice: DEFAULT_VOICE,
  shippedVoices: voicesOf('stepfun'),

  call(input, endpoint) {
    const base = addressOf(endpoint)
    if (typeof base !== 'string') return base
    const problem = checkText(input.text) ?? checkSpeed(input.speed, 0.5, 2) ?? checkExtra(input.extra, extras)
    if (problem) return problem
    if (input.streamFormat === 'sse') return refuse('stream_format', 'sse is not supported for this model')
    if (countCodePoints(input.text) > CHARACTERS_MAX)
      return refuse('input', `must be at most ${CHARACTERS_MAX} characters for this model`)
    const format = input.format ?? 'mp3'
    if (!formats.includes(format)) return refuse('response_format', 'is not a format of this model')
    const model = text(endpoint.params.model) ?? (input.model === '' ? DEFAULT_MODEL : input.model)
    const settings = settingsOf(input, endpoint.params, model)
    if (!Array.isArray(settings)) return settings
    const instructed = settings.some(([name]) => name === 'instruction')
    return {
      method: 'POST',
      url: joinUrl(base, '/audio/speech'),
      headers: withHeaders(
        { authorization: `Bearer ${endpoint.key}`, 'content-type': 'application/json' },
        endpoint.headers,
      ),
      body: JSON.stringify({
        model,
        input: input.text,
        voice: input.voice ?? text(endpoint.params.voice) ?? DEFAULT_VOICE,
        response_format: format,
        ...(input.speed !== undefined && { speed: input.speed }),
        ...Object.fromEntries(settings),
      }),
      answer: 'audio',
      contentType: audioTypes[format] ?? 'audio/mpeg',
      dropped: input.instructions === undefined || instructed ? [] : ['instructions'],
    }
  },

  count(input) {
    return characterCount('stepfun-characters', countCodePoints(input.text))
  },

  readError(_status, body): VendorError {
    const parsed = parseJson(body)
    const error = isObject(parsed) ? (isObject(parsed.error) ? parsed.error : parsed) : {}
    const message = text(error.message)
    const type = text(error.type)
    return { ...(message && { message }), ...(type && { type }) }
  },

  voiceList: {
    ttlMs: HOURS_24_MS,
    call(endpoint) {
      const base = addressOf(endpoint)
      if (typeof base !== 'string') return base
      const url = new URL(joinUrl(base, '/audio/system_voices'))
      url.searchParams.set('model', LISTED_MODEL)
      return {
        method: 'GET',
        url: url.href,
        headers: withHeaders({ authorization: `Bearer ${endpoint.key}` }, endpoint.headers),
        body: undefined,
        answer: 'json',
        contentType: 'application/json',
        dropped: [],
      }
    },
    read: readVoiceList,
  },
}

/** Which of the vendor's addresses is the operator's choice: they have different prices. */
function addressOf(endpoint: SpeechEndpoint): string | SpeechRefusal {
  if (endpoint.baseUrl !== '') return endpoint.baseUrl
  const base = profiles.get(endpoint.params.endpoint_profile ?? 'default')
  return base ?? misconfigured('endpoint_profile', 'must be default or step-plan')
}

/** The vendor's own members, checked, in the order of its documentation. */
function settingsOf(
  input: SpeechInput,
  params: Readonly<Record<string, unknown>>,
  model: string,
): [name: string, value: unknown][] | SpeechRefusal {
  const settings: [string, unknown][] = []
  const newest = model === DEFAULT_MODEL
  const given = (name: string) => option(input, params, name) ?? undefined
  const wrong = (name: string, message: string) => refuse(`extra_body.${name}`, message)

  const volume = given('volume')
  if (volume !== undefined) {
    if (typeof volume !== 'number' || !(volume >= 0.1 && volume <= 2)) return wrong('volume', 'must be from 0.1 to 2')
    settings.push(['volume', volume])
  }
  const rate = given('sample_rate')
  if (rate !== undefined) {
    if (typeof rate !== 'number' || !sampleRates.includes(rate))
      return wrong('sample_rate', `must be one of ${sampleRates.join(', ')}`)
    settings.push(['sample_rate', rate])
  }
  const map = given('pronunciation_map')
  if (map !== undefined) {
    const tones = isObject(map) && Object.keys(map).length === 1 ? map.tone : undefined
    if (!Array.isArray(tones) || tones.length > PRONUNCIATIONS_MAX || !tones.every((tone) => text(tone)))
      return wrong('pronunciation_map', 'must be an object with an array of strings, tone')
    settings.push(['pronunciation_map', map])
  }
  const filter = given('markdown_filter')
  if (filter !== undefined) {
    if (typeof filter !== 'boolean') return wrong('markdown_filter', 'must be a boolean')
    settings.push(['markdown_filter', filter])
  }
  const asked = given('instruction')
  if (asked !== undefined) {
    if (!newest) return wrong('instruction', `is only supported by ${DEFAULT_MODEL}`)
    if (!text(asked) || String(asked).length > INSTRUCTION_CHARS_MAX)
      return wrong('instruction', 'must be a short text')
    settings.push(['instruction', asked])
  } else if (newest && input.instructions !== undefined) settings.push(['instruction', input.instructions])
  const label = given('voice_label')
  if (label !== undefined) {
    if (newest) return wrong('voice_label', `is not supported by ${DEFAULT_MODEL}: use instruction`)
    const entries = isObject(label) ? Object.entries(label) : []
    const [entry] = entries
    if (entries.length !== 1 || !entry || !['language', 'emotion', 'style'].includes(entry[0]) || !text(entry[1]))
      return wrong('voice_label', 'must have one of language, emotion and style')
    settings.push(['voice_label', label])
  }
  return settings
}

/** Not inside of brackets. */
const betweenScenes = /、(?![^(（]*[)）])/

function readVoiceList(body: unknown): Voice[] {
  if (!isObject(body) || !Array.isArray(body.voices)) throw new TypeError('the voice list has no voices')
  const details = isObject(body['voices-details']) ? body['voices-details'] : {}
  const ids = new Set([...body.voices, ...Object.keys(details)].flatMap((id) => text(id) ?? []))
  return [...ids].map((id) => {
    const detail = isObject(details[id]) ? details[id] : {}
    const description = text(detail['voice-description'])
    const scenes = text(detail.recommended_scene)
    const gender = description?.startsWith('女') ? 'female' : description?.startsWith('男') ? 'male' : undefined
    return {
      id,
      name: text(detail['voice-name']) ?? id,
      ...(description && { description }),
      languages: languagesOf(['zh-CN']),
      formats: formatsOf('stepfun'),
      labels: { ...(gender && { gender }) },
      tags: scenes === undefined ? [] : scenes.split(betweenScenes),
      compatible_models: [],
    }
  })
}
