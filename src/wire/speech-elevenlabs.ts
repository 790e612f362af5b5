import { isObject } from './json-values.ts'
import { countCodePoints } from './speech-count.ts'
import { checkExtra, checkSpeed, checkText, joinUrl, parseJson, text, withHeaders } from './speech-fields.ts'
import {
  refuse,
  type SpeechEndpoint,
  type SpeechFormat,
  type SpeechInput,
  type SpeechRefusal,
  type VendorError,
  type Voice,
} from './speech-format.ts'
import { reportedCharacters } from './speech-usage.ts'
import { formatsOf, languagesOf, voicesOf } from './voices/shipped-voices.ts'

const ADDRESS = 'https://api.elevenlabs.io'
const HOURS_24_MS = 24 * 3_600_000
const voiceId = /^[A-Za-z0-9_-]{1,64}$/

const outputs: ReadonlyMap<string, string> = new Map([
  ['mp3', 'mp3_44100_128'],
  ['opus', 'opus_48000_64'],
  ['pcm', 'pcm_24000'],
  ...[
    'mp3_22050_32',
    'mp3_44100_32',
    'mp3_44100_64',
    'mp3_44100_96',
    'mp3_44100_128',
    'mp3_44100_192',
    'pcm_8000',
    'pcm_16000',
    'pcm_22050',
    'pcm_24000',
    'pcm_44100',
    'pcm_48000',
    'ulaw_8000',
    'alaw_8000',
    'opus_48000_32',
    'opus_48000_64',
    'opus_48000_96',
    'opus_48000_128',
    'opus_48000_192',
  ].map((name): [string, string] => [name, name]),
])

const families: ReadonlyMap<string, string> = new Map([
  ['mp3', 'audio/mpeg'],
  ['opus', 'audio/opus'],
  ['pcm', 'audio/L16'],
  ['ulaw', 'audio/basic'],
  ['alaw', 'audio/x-alaw-basic'],
])

/** Characters of one request, by model. */
const longest: readonly [model: RegExp, characters: number][] = [
  [/_v2_5$/, 40_000],
  [/^eleven_(?:flash|turbo)_v2$/, 30_000],
  [/^eleven_v3/, 5_000],
]
const CHARACTERS_MAX = 10_000

/** ElevenLabs: the voice stands in the path, the format in the query, the audio comes as it is made. */
export const elevenlabsSpeech: SpeechFormat = {
  id: 'elevenlabs',
  formats: [...outputs.keys()],
  defaultVoice: undefined,
  shippedVoices: voicesOf('elevenlabs'),

  call(input, endpoint) {
    const problem =
      checkText(input.text) ??
      checkSpeed(input.speed, 0.7, 1.2) ??
      checkExtra(input.extra, ['voice_settings', 'language_code', 'seed', 'apply_text_normalization'])
    if (problem) return problem
    if (input.streamFormat === 'sse') return refuse('stream_format', 'sse is not supported for this model')
    const charactersMax = longest.find(([model]) => model.test(input.model))?.[1] ?? CHARACTERS_MAX
    if (countCodePoints(input.text) > charactersMax)
      return refuse('input', `must be at most ${charactersMax} characters for this model`)
    const output = outputs.get(input.format ?? 'mp3')
    if (output === undefined) return refuse('response_format', 'is not a format of this model')
    const voice = input.voice ?? text(endpoint.params.voice)
    if (voice === undefined) return refuse('voice', 'is needed for this model')
    // It becomes part of the path.
    if (!voiceId.test(voice)) return refuse('voice', 'must be the id of a voice')
    const settings = settingsOf(input, endpoint.params)
    if ('refused' in settings) return settings as unknown as SpeechRefusal
    const url = new URL(addressOf(endpoint, `/v1/text-to-speech/${voice}/stream`))
    url.searchParams.set('output_format', output)
    return {
      method: 'POST',
      url: url.href,
      headers: withHeaders({ 'xi-api-key': endpoint.key, 'content-type': 'application/json' }, endpoint.headers),
      body: JSON.stringify({ text: input.text, model_id: input.model, ...settings }),
      answer: 'audio',
      contentType: families.get(output.split('_')[0] ?? '') ?? 'audio/mpeg',
      dropped: input.instructions === undefined ? [] : ['instructions'],
    }
  },

  /** Credits: one per character, one per two characters with the fast models. What a voice adds, only the answer says. */
  count(input) {
    const characters = countCodePoints(input.text)
    const half = /^eleven_(?:flash|turbo)_/.test(input.model)
    return {
      rule: 'elevenlabs-credits',
      usage: { characters: half ? Math.ceil(characters / 2) : characters },
      exact: true,
    }
  },

  readHeaders(headers) {
    const cost = headers['character-cost']
    return typeof cost === 'string' && /^\d{1,9}$/.test(cost) ? reportedCharacters(Number(cost)) : undefined
  },

  readError(status, body): VendorError {
    const parsed = parseJson(body)
    const detail = isObject(parsed) ? parsed.detail : undefined
    if (typeof detail === 'string') return { message: detail }
    if (Array.isArray(detail)) {
      const said = isObject(detail[0]) ? text(detail[0].msg) : undefined
      return said === undefined ? {} : { message: said }
    }
    if (!isObject(detail)) return {}
    const code = text(detail.status) ?? text(detail.code)
    const message = text(detail.message)
    const error: VendorError = { ...(message && { message }), ...(code && { code }) }
    if (code === undefined) return error
    if (/^(?:quota_exceeded|invalid_api_key|missing_permissions|payment_|detected_unusual)/.test(code))
      error.class = 'credential'
    else if (code === 'voice_not_found' || code === 'max_character_limit_exceeded') error.class = 'caller'
    else if (code === 'model_not_found') error.class = 'target'
    else if (status === 429) error.class = 'target'
    return error
  },

  voiceList: {
    ttlMs: HOURS_24_MS,
    call(endpoint) {
      return {
        method: 'GET',
        url: addressOf(endpoint, '/v1/voices'),
        headers: withHeaders({ 'xi-api-key': endpoint.key }, endpoint.headers),
        body: undefined,
        answer: 'json',
        contentType: 'application/json',
        dropped: [],
      }
    },
    read: readVoiceList,
  },
}

/** The base address is configured with or without its version. */
function addressOf(endpoint: SpeechEndpoint, path: string): string {
  const base = endpoint.baseUrl === '' ? ADDRESS : endpoint.baseUrl
  return joinUrl(base.replace(/\/v1\/?$/, ''), path)
}

function settingsOf(input: SpeechInput, params: Readonly<Record<string, unknown>>) {
  const result: Record<string, unknown> = {}
  const voice: Record<string, unknown> = {}
  for (const settings of [params.voice_settings, input.extra?.voice_settings]) {
    if (settings === undefined || settings === null) continue
    if (!isObject(settings)) return refuse('extra_body.voice_settings', 'must be an object')
    const unknown = checkExtra(
      settings,
      ['stability', 'similarity_boost', 'style', 'use_speaker_boost', 'speed'],
      'extra_body.voice_settings',
    )
    if (unknown) return unknown
    Object.assign(voice, settings)
  }
  if (input.speed !== undefined) voice.speed = input.speed
  for (const [name, value] of Object.entries(voice)) {
    const range = name === 'speed' ? ([0.7, 1.2] as const) : ([0, 1] as const)
    const right =
      name === 'use_speaker_boost'
        ? typeof value === 'boolean'
        : typeof value === 'number' && value >= range[0] && value <= range[1]
    if (!right) return refuse(`extra_body.voice_settings.${name}`, 'is not a value of this setting')
  }
  if (Object.keys(voice).length > 0) result.voice_settings = voice
  const { language_code: language, seed, apply_text_normalization: normalization } = input.extra ?? {}
  if (language !== undefined) {
    if (typeof language !== 'string' || !/^[a-z]{2,3}$/.test(language))
      return refuse('extra_body.language_code', 'must be a code such as en')
    result.language_code = language
  }
  if (seed !== undefined) {
    if (typeof seed !== 'number' || !Number.isInteger(seed) || seed < 0 || seed > 4_294_967_295)
      return refuse('extra_body.seed', 'must be a whole number from 0 to 4294967295')
    result.seed = seed
  }
  if (normalization !== undefined) {
    if (!['auto', 'on', 'off'].includes(normalization as string))
      return refuse('extra_body.apply_text_normalization', 'must be auto, on or off')
    result.apply_text_normalization = normalization
  }
  return result
}

function readVoiceList(body: unknown): Voice[] {
  if (!isObject(body) || !Array.isArray(body.voices)) throw new TypeError('the voice list has no voices')
  return body.voices.flatMap((row: unknown): Voice[] => {
    if (!isObject(row)) return []
    const id = text(row.voice_id)
    if (id === undefined) return []
    const description = text(row.description)
    const preview = text(row.preview_url)
    const labels = Object.entries(isObject(row.labels) ? row.labels : {}).flatMap(([name, value]) =>
      text(value) === undefined ? [] : [[name, String(value)] as const],
    )
    const verified = Array.isArray(row.verified_languages) ? row.verified_languages.filter(isObject) : []
    const codes = [...verified.map((entry) => text(entry.locale) ?? text(entry.language)), labelOf(labels, 'language')]
    const models = Array.isArray(row.high_quality_base_model_ids) ? row.high_quality_base_model_ids : []
    return [
      {
        id,
        name: text(row.name) ?? id,
        ...(description && { description }),
        languages: languagesOf([...new Set(codes.flatMap((code) => code ?? []))]),
        formats: formatsOf('elevenlabs'),
        labels: { ...Object.fromEntries(labels), ...(text(row.category) && { category: String(row.category) }) },
        tags: [labelOf(labels, 'use_case') ?? labelOf(labels, 'use case')].flatMap((tag) => tag ?? []),
        compatible_models: models.flatMap((model) => text(model) ?? []),
        ...(preview?.startsWith('https://') && { preview_audio_url: preview }),
      },
    ]
  })
}

function labelOf(labels: readonly (readonly [string, string])[], name: string): string | undefined {
  return labels.find(([label]) => label === name)?.[1]
}
