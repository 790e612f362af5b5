import { isObject } from './json-values.ts'
import { azureFormats } from './speech-azure-formats.ts'
import { characterCount, countWideHan } from './speech-count.ts'
import { checkExtra, checkText, option, text, withHeaders } from './speech-fields.ts'
import {
  isRefusal,
  misconfigured,
  refuse,
  type SpeechEndpoint,
  type SpeechFormat,
  type SpeechInput,
  type SpeechRefusal,
  type VendorError,
  type Voice,
} from './speech-format.ts'
import {
  billedMarkup,
  buildSsml,
  type Prosody,
  rateOfSpeed,
  signedPercent,
  ssmlVoice,
  stripIllegal,
} from './speech-ssml.ts'
import { languagesOf, voicesOf } from './voices/shipped-voices.ts'

const DEFAULT_VOICE = 'en-US-AvaMultilingualNeural'
const SYNTHESIS_PATH = '/cognitiveservices/v1'
const LIST_PATH = '/cognitiveservices/voices/list'
/** The service's own limit on one document. */
const SSML_BYTES_MAX = 64 * 1024
const HOURS_6_MS = 6 * 3_600_000

const levels = {
  pitch: ['x-low', 'low', 'medium', 'high', 'x-high', 'default'],
  volume: ['silent', 'x-soft', 'soft', 'medium', 'loud', 'x-loud', 'default'],
}
const notations = {
  pitch: /^[+-]?\d{1,4}(?:\.\d{1,2})?(?:%|Hz|st)$/,
  volume: /^(?:[+-]?\d{1,3}(?:\.\d{1,2})?%?|[+-]\d{1,2}(?:\.\d{1,2})?dB)$/,
}

/** Azure AI Speech over REST: SSML in, streamed audio out. */
export const azureSpeech: SpeechFormat = {
  id: 'azure',
  formats: Object.keys(azureFormats),
  defaultVoice: DEFAULT_VOICE,
  shippedVoices: voicesOf('azure'),

  call(input, endpoint) {
    const url = addressOf(endpoint, SYNTHESIS_PATH)
    if (typeof url !== 'string') return url
    const problem = checkText(stripIllegal(input.text)) ?? checkExtra(input.extra, ['pitch', 'volume'])
    if (problem) return problem
    if (input.streamFormat === 'sse') return refuse('stream_format', 'sse is not supported for this model')
    const format = azureFormats[input.format ?? 'mp3']
    if (format === undefined) return refuse('response_format', 'is not a format of this model')
    const voice = input.voice ?? text(endpoint.params.voice) ?? DEFAULT_VOICE
    if (!ssmlVoice.test(voice))
      return refuse('voice', 'must be the name of a voice, such as en-US-AvaMultilingualNeural')
    const prosody = prosodyOf(input, endpoint.params)
    if (isRefusal(prosody)) return prosody
    const body = buildSsml({ text: input.text, voice, prosody })
    if (Buffer.byteLength(body) > SSML_BYTES_MAX) return refuse('input', 'is too long for this model')
    return {
      method: 'POST',
      url,
      headers: withHeaders(
        {
          'ocp-apim-subscription-key': endpoint.key,
          'x-microsoft-outputformat': format.name,
          'content-type': 'application/ssml+xml',
          'user-agent': 'fluxgate',
        },
        endpoint.headers,
      ),
      body,
      answer: 'audio',
      contentType: format.type,
      dropped: input.instructions === undefined ? [] : ['instructions'],
    }
  },

  /**
   * All that stands between the voice tags: the text and the markup that shapes it, ideographs twice. A character that must
   * be escaped is the one character it stands for.
   */
  count(input, params) {
    const prosody = prosodyOf(input, params)
    const markup = isRefusal(prosody) ? '' : billedMarkup(prosody)
    return characterCount('azure-billable-characters', countWideHan(stripIllegal(input.text)) + markup.length)
  },

  /** The reason is plain text, and often nothing at all. */
  readError(status, body): VendorError {
    const message = body.trim().slice(0, 256)
    if (status === 400 && message !== '' && !message.startsWith('<')) return { message }
    return {}
  },

  voiceList: {
    ttlMs: HOURS_6_MS,
    call(endpoint) {
      const url = addressOf(endpoint, LIST_PATH)
      if (typeof url !== 'string') return url
      return {
        method: 'GET',
        url,
        headers: withHeaders({ 'ocp-apim-subscription-key': endpoint.key, 'user-agent': 'fluxgate' }, endpoint.headers),
        body: undefined,
        answer: 'json',
        contentType: 'application/json',
        dropped: [],
      }
    },
    read: readVoiceList,
  },
}

/** The whole address is configured, or only the host, or only the region. */
function addressOf(endpoint: SpeechEndpoint, path: string): string | SpeechRefusal {
  if (endpoint.baseUrl !== '') {
    const url = new URL(endpoint.baseUrl)
    if (path === LIST_PATH) {
      url.pathname = LIST_PATH
      url.search = ''
    } else if (url.pathname === '/') url.pathname = SYNTHESIS_PATH
    return url.href
  }
  const { region } = endpoint.params
  if (typeof region !== 'string' || !/^[a-z0-9]{1,40}$/.test(region))
    return misconfigured('region', 'the upstream needs a base URL or a region, such as eastasia')
  return `https://${region}.tts.speech.microsoft.com${path}`
}

function prosodyOf(input: SpeechInput, params: Readonly<Record<string, unknown>>): Prosody | SpeechRefusal {
  const prosody: Prosody = {}
  const rate = rateOfSpeed(input.speed)
  if (rate !== undefined) prosody.rate = rate
  for (const name of ['pitch', 'volume'] as const) {
    const value = option(input, params, name)
    if (value === undefined || value === null) continue
    const told = typeof value === 'number' ? percentOf(value) : value
    if (told === undefined) continue
    if (typeof told !== 'string' || !(levels[name].includes(told) || notations[name].test(told)))
      return refuse(`extra_body.${name}`, 'must be a change in per cent, or one of the words of SSML')
    prosody[name] = told
  }
  return prosody
}

/** False, which no notation accepts, for what is no sensible change. */
function percentOf(value: number): string | false | undefined {
  return Number.isFinite(value) && Math.abs(value) <= 200 ? signedPercent(Math.round(value)) : false
}

function readVoiceList(body: unknown): Voice[] {
  if (!Array.isArray(body)) throw new TypeError('the voice list is not an array')
  return body.flatMap((row: unknown): Voice[] => {
    if (!isObject(row)) return []
    const id = text(row.ShortName)
    const locale = text(row.Locale)
    if (id === undefined || locale === undefined) return []
    const display = text(row.DisplayName) ?? id
    const local = text(row.LocalName)
    const others = Array.isArray(row.SecondaryLocaleList) ? row.SecondaryLocaleList.filter((code) => text(code)) : []
    const styles = Array.isArray(row.StyleList) ? row.StyleList.filter((style) => text(style)) : []
    return [
      {
        id,
        name: display,
        ...(local !== undefined && local !== display && { description: local }),
        languages: languagesOf([locale, ...others]),
        formats: azureVoiceFormats,
        labels: {
          ...(text(row.Gender) && { gender: String(row.Gender).toLowerCase() }),
          ...(text(row.VoiceType) && { type: String(row.VoiceType) }),
          ...(text(row.Status) && { status: String(row.Status) }),
        },
        tags: styles,
        compatible_models: [],
      },
    ]
  })
}

const azureVoiceFormats = voicesOf('azure')[0]?.formats ?? []
