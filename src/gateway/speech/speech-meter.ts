import type { PriceLines } from '#billing/price.ts'
import type { Usage, UsageSource } from '#billing/usage.ts'
import { usageWithin, validateUsage } from '#billing/usage.ts'
import { countCodePoints } from '#wire/speech-count.ts'
import type { SpeechCount } from '#wire/speech-format.ts'

/** What speech is charged by: the characters that are spoken, the tokens of text and audio, or the call alone. */
export type SpeechBasis = 'characters' | 'tokens' | 'calls'

/** What one target would charge for a text, known before it is asked. */
export interface SpeechMeter {
  usage: Usage
  /** False: only the provider can know, so the usage is a bound that is held. */
  exact: boolean
}

/**
 * What a price charges by, where the vendor counts it; undefined where it cannot be told. Characters stand first: they are
 * known before the call. The length of audio is known by nobody, so a price by the second is none.
 */
export function basisOf(lines: PriceLines, count: SpeechCount): SpeechBasis | undefined {
  const tokens = count.usage.audio_output !== undefined && lines.audio_output !== undefined
  if (tokens) return 'tokens'
  if (lines.characters !== undefined) return 'characters'
  return lines.calls === undefined ? undefined : 'calls'
}

/** By the vendor's own count; where the price is by another unit than the vendor's, each code point is a character. */
export function meterSpeech(lines: PriceLines, count: SpeechCount, text: string): SpeechMeter {
  const basis = basisOf(lines, count)
  const calls = lines.calls === undefined ? {} : { calls: 1 }
  if (basis === 'characters')
    return { usage: { characters: count.usage.characters ?? countCodePoints(text), ...calls }, exact: true }
  if (basis !== 'tokens') return { usage: calls, exact: true }
  const { input = 0, audio_output = 0 } = count.usage
  return { usage: { ...(lines.input !== undefined && { input }), audio_output, ...calls }, exact: count.exact }
}

export interface MeteredUsage {
  usage: Usage
  usageSource: UsageSource
  reason?: string
}

/** What a call has used whose audio came to its end: the count, or the provider's figures where only it can know. */
export function usageOfWhole(meter: SpeechMeter, reported: Usage | undefined): MeteredUsage {
  if (meter.exact) return { usage: meter.usage, usageSource: 'counted' }
  const { input, audio_output, calls } = meter.usage
  if (reported === undefined) return { usage: meter.usage, usageSource: 'estimated', reason: 'usage_missing' }
  const used: Usage = {
    ...(input !== undefined && { input: reported.input ?? 0 }),
    audio_output: reported.audio_output ?? 0,
    ...(calls !== undefined && { calls }),
  }
  const bound = { promptTokensMax: input ?? 0, completionTokensMax: audio_output ?? 0 }
  if (!validateUsage(used).ok || !usageWithin(used, bound).ok || (used.audio_output ?? 0) === 0)
    return { usage: meter.usage, usageSource: 'estimated', reason: 'usage_impossible' }
  return { usage: used, usageSource: 'provider' }
}

/** The same for audio that broke off: the text was given to the vendor; of tokens that nobody told, none is charged. */
export function usageOfPart(meter: SpeechMeter): MeteredUsage {
  if (meter.exact) return { usage: meter.usage, usageSource: 'counted' }
  const { audio_output: _, ...text } = meter.usage
  return { usage: text, usageSource: 'estimated' }
}
