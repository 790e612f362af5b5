import { type Usage, validateUsage } from '#billing/usage.ts'

/** What an answer says of a transcription. */
export interface Heard {
  /** For want of a better count. */
  text: string
  /** As the provider bills it: seconds, or tokens of text and of audio. */
  usage: Usage | undefined
}

/** A whole answer of one of OpenAI's formats; a fault where it is none. `body` is text. */
export function readTranscription(format: string, body: string): Heard | { fault: string } {
  if (format === 'text') return body.trim() === '' ? { text: '', usage: undefined } : { text: body, usage: undefined }
  if (format === 'srt' || format === 'vtt') {
    if (format === 'vtt' && !body.startsWith('WEBVTT')) return { fault: 'malformed' }
    const seconds = lastCue(body)
    return { text: body, usage: seconds === undefined ? undefined : valid({ seconds: Math.ceil(seconds) }) }
  }
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return { fault: 'malformed' }
  }
  if (!isObject(value)) return { fault: 'malformed' }
  if (value.error !== undefined && value.error !== null) return { fault: 'error_in_200' }
  if (typeof value.text !== 'string') return { fault: 'malformed' }
  return { text: value.text, usage: reportedUsage(value.usage) ?? duration(value.duration) }
}

/** What one event of a stream says. */
export type TranscriptEvent =
  | { kind: 'delta'; text: string }
  | { kind: 'done'; text: string | undefined; usage: Usage | undefined }
  | { kind: 'error' }
  | { kind: 'other' }

export function readTranscriptEvent(data: string): TranscriptEvent {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return data === '[DONE]' ? { kind: 'other' } : { kind: 'error' }
  }
  if (!isObject(value)) return { kind: 'error' }
  if (value.type === 'transcript.text.delta')
    return { kind: 'delta', text: typeof value.delta === 'string' ? value.delta : '' }
  if (value.type === 'transcript.text.done')
    return {
      kind: 'done',
      text: typeof value.text === 'string' ? value.text : undefined,
      usage: reportedUsage(value.usage),
    }
  return value.type === 'error' || isObject(value.error) ? { kind: 'error' } : { kind: 'other' }
}

/** `{type: 'duration', seconds}` or `{type: 'tokens', input_tokens, …}`; undefined for what cannot be a count. */
function reportedUsage(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined
  if (value.type === 'duration') return duration(value.seconds)
  const { input_tokens: input, output_tokens: output, input_token_details: details } = value
  if (typeof input !== 'number' || typeof output !== 'number') return undefined
  const told = isObject(details) && typeof details.audio_tokens === 'number' ? details.audio_tokens : input
  const audio = Math.min(told, input)
  return valid({ input: input - audio, audio_input: audio, output })
}

function duration(seconds: unknown): Usage | undefined {
  return typeof seconds === 'number' && Number.isFinite(seconds) ? valid({ seconds: Math.ceil(seconds) }) : undefined
}

function valid(usage: Usage): Usage | undefined {
  return validateUsage(usage).ok ? usage : undefined
}

/** Where the last cue of subtitles ends, in seconds. */
function lastCue(subtitles: string): number | undefined {
  let last: number | undefined
  for (const match of subtitles.matchAll(/--> *(?:(\d{1,3}):)?(\d{2}):(\d{2})[.,](\d{3})/g)) {
    const [, hours = '0', minutes, seconds, millis] = match
    last = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(millis) / 1000
  }
  return last
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
