import { countTokens } from './count-tokens.ts'
import { isObject } from './json-values.ts'
import { audioTypes } from './speech-audio-type.ts'
import { characterCount, countCodePoints } from './speech-count.ts'
import { checkSpeed, checkText, joinUrl, parseJson, text, withHeaders } from './speech-fields.ts'
import { misconfigured, refuse, type SpeechFormat, type SpeechInput, type VendorError } from './speech-format.ts'
import { createSpeechEventReader } from './speech-openai-events.ts'
import { voicesOf } from './voices/shipped-voices.ts'

const CHARACTERS_MAX = 4_096
/** What a voice needs at most for a character, at its slowest: 0.6 seconds, at about 21 tokens a second. */
const AUDIO_TOKENS_PER_CHARACTER = 13
const AUDIO_TOKENS_MIN = 200
const formats = Object.keys(audioTypes)

/** OpenAI's own API and everything that imitates it, `unspeech` among them. */
export const openaiSpeech: SpeechFormat = {
  id: 'openai',
  formats,
  defaultVoice: undefined,
  shippedVoices: voicesOf('openai'),

  call(input, endpoint) {
    const { params } = endpoint
    if (endpoint.baseUrl === '') return misconfigured('baseUrl', 'the upstream needs a base URL')
    const problem = checkText(input.text) ?? checkSpeed(input.speed, 0.25, 4)
    if (problem) return problem
    const charactersMax = typeof params.input_chars_max === 'number' ? params.input_chars_max : CHARACTERS_MAX
    if (countCodePoints(input.text) > charactersMax)
      return refuse('input', `must be at most ${charactersMax} characters for this model`)
    if (input.format !== undefined && !formats.includes(input.format))
      return refuse('response_format', 'is not a format of this model')
    const voice = input.voice ?? text(params.voice)
    const events = wantsEvents(input, params)
    if (input.streamFormat === 'sse' && !events) return refuse('stream_format', 'sse is not supported for this model')
    const { model, voice: _, input: __, ...extra } = input.extra ?? {}
    const nested = params.extra_body !== 'merge'
    return {
      method: 'POST',
      url: joinUrl(endpoint.baseUrl, '/audio/speech'),
      headers: withHeaders(
        {
          ...(endpoint.key !== '' && { authorization: `Bearer ${endpoint.key}` }),
          'content-type': 'application/json',
        },
        endpoint.headers,
      ),
      body: JSON.stringify({
        ...(!nested && extra),
        model: input.model,
        input: input.text,
        ...(voice !== undefined && { voice }),
        ...(input.speed !== undefined && { speed: input.speed }),
        ...(input.format !== undefined && { response_format: input.format }),
        ...(input.instructions !== undefined && { instructions: input.instructions }),
        ...(events && { stream_format: 'sse' }),
        ...(nested && input.extra !== undefined && { extra_body: input.extra }),
      }),
      answer: events ? 'events' : 'audio',
      contentType: audioTypes[input.format ?? 'mp3'] ?? 'audio/mpeg',
      dropped: [],
    }
  },

  /** Models of the tts-1 kind cost characters; the later ones tokens of text and of audio, which only the answer tells. */
  count(input) {
    const characters = countCodePoints(input.text)
    if (!billsTokens(input.model)) return characterCount('openai-characters', characters)
    const slowed = characters / Math.min(input.speed ?? 1, 1)
    return {
      rule: 'openai-tokens',
      usage: {
        input: countTokens(input.text) + countTokens(input.instructions ?? ''),
        audio_output: Math.ceil(slowed * AUDIO_TOKENS_PER_CHARACTER) + AUDIO_TOKENS_MIN,
      },
      exact: false,
    }
  },

  readError(_status, body): VendorError {
    const parsed = parseJson(body)
    const outer = Array.isArray(parsed) ? parsed[0] : parsed
    if (!isObject(outer)) return {}
    // `unspeech` answers with a list of errors that have a detail.
    const listed = Array.isArray(outer.errors) && isObject(outer.errors[0]) ? outer.errors[0] : undefined
    const error = isObject(outer.error) ? outer.error : (listed ?? outer)
    const message = text(outer.error) ?? text(error.message) ?? text(error.detail)
    const type = text(error.type)
    const code = text(error.code)
    return { ...(message && { message }), ...(type && { type }), ...(code && { code }) }
  },

  createEventReader: createSpeechEventReader,
}

/** The usage stands in events alone, so they are asked for wherever tokens are billed, also for a client of plain bytes. */
function wantsEvents(input: SpeechInput, params: Readonly<Record<string, unknown>>): boolean {
  if (params.events === false || /^tts-1/.test(input.model)) return false
  return input.streamFormat === 'sse' || params.events === true || billsTokens(input.model)
}

function billsTokens(model: string): boolean {
  return /(?:^|\/)gpt-.*-tts(?:-\d{4}-\d{2}-\d{2})?$/.test(model)
}
