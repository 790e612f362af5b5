import type { PriceLines } from '#billing/price.ts'
import { type Usage, type UsageSource, usageWithin } from '#billing/usage.ts'
import { countTokens } from '#wire/count-tokens.ts'
import { BYTES_PER_SECOND_USUAL } from '#wire/transcription-duration.ts'

/** What is known of the audio of one call. */
export interface HeardAudio {
  /** By its container; undefined where that does not tell. */
  seconds: number | undefined
  /** The most that it can be. */
  secondsMax: number
  bytes: number
  /** UTF-8 bytes of text that the model reads beside it. */
  promptBytes: number
}

/** Providers round to a whole second, and some bill the last one that began. */
const SECONDS_ROUNDED = 1
/** OpenAI hears ten tokens a second; others up to twice as many. */
const AUDIO_TOKENS_PER_SECOND = 10
const AUDIO_TOKENS_PER_SECOND_MAX = 25
/** Nobody says more in a second. */
const TEXT_TOKENS_PER_SECOND_MAX = 12
const TEXT_TOKENS_MIN = 64

/** The most that hearing it can use, by the kinds that the price lists; what a hold covers. */
export function hearingBound(lines: PriceLines, audio: HeardAudio): Usage {
  const calls = lines.calls === undefined ? {} : { calls: 1 }
  const seconds = Math.ceil(audio.secondsMax) + SECONDS_ROUNDED
  if (lines.seconds !== undefined) return { seconds, ...calls }
  if (lines.output === undefined) return calls
  const heard = seconds * AUDIO_TOKENS_PER_SECOND_MAX
  const output = seconds * TEXT_TOKENS_PER_SECOND_MAX + TEXT_TOKENS_MIN
  const input = audio.promptBytes + TEXT_TOKENS_MIN
  if (lines.audio_input === undefined) return { input: input + heard, output, ...calls }
  return { ...(lines.input !== undefined && { input }), audio_input: heard, output, ...calls }
}

/**
 * What a call has used: the provider's figures where they are possible, else by the length of the audio and the text that
 * came of it. `text` is undefined where nothing came.
 */
export function hearingUsage(
  lines: PriceLines,
  audio: HeardAudio,
  reported: Usage | undefined,
  text: string | undefined,
): { usage: Usage; usageSource: UsageSource; reason?: string } {
  const calls = lines.calls === undefined ? {} : { calls: 1 }
  const bySecond = lines.seconds !== undefined
  if (!bySecond && lines.output === undefined) return { usage: calls, usageSource: 'counted' }
  const told = reported && priced(lines, reported)
  if (told !== undefined && isPossible(audio, told)) return { usage: { ...told, ...calls }, usageSource: 'provider' }
  const reason = told === undefined ? 'usage_missing' : 'usage_impossible'
  const known = audio.seconds !== undefined
  const seconds = Math.min(audio.seconds ?? audio.bytes / BYTES_PER_SECOND_USUAL, audio.secondsMax)
  if (bySecond)
    return { usage: { seconds: Math.ceil(seconds), ...calls }, usageSource: known ? 'counted' : 'estimated', reason }
  const heard = Math.ceil(seconds * AUDIO_TOKENS_PER_SECOND)
  const output = text === undefined ? 0 : countTokens(text)
  const kinds = lines.audio_input === undefined ? { input: heard } : { audio_input: heard }
  return { usage: { ...kinds, output, ...calls }, usageSource: 'estimated', reason }
}

/** The reported kinds as the price has them; undefined where it is priced by something that was not told. */
function priced(lines: PriceLines, { seconds, input = 0, audio_input = 0, output }: Usage): Usage | undefined {
  if (lines.seconds !== undefined) return seconds === undefined ? undefined : { seconds }
  if (output === undefined) return undefined
  if (lines.audio_input === undefined) return { input: input + audio_input, output }
  return lines.input === undefined ? { audio_input: audio_input + input, output } : { input, audio_input, output }
}

function isPossible(audio: HeardAudio, usage: Usage): boolean {
  const seconds = Math.ceil(audio.secondsMax) + SECONDS_ROUNDED
  return usageWithin(usage, {
    promptTokensMax: seconds * AUDIO_TOKENS_PER_SECOND_MAX + audio.promptBytes,
    completionTokensMax: seconds * TEXT_TOKENS_PER_SECOND_MAX + TEXT_TOKENS_MIN,
    secondsMax: seconds,
  }).ok
}
