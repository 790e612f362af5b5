import type { SpeechCount } from './speech-format.ts'

/** Characters as vendors bill them. Every rule counts Unicode code points, so that an emoji is one and not two. */

/** Each code point is one character. OpenAI's `tts-1`, StepFun, Volcengine, and Flux. */
export function countCodePoints(text: string): number {
  let count = 0
  for (const _ of text) count += 1
  return count
}

/** As before, but an ideograph is two: hanzi, kanji and hanja alike; kana and hangul are one. Azure and CosyVoice. */
export function countWideHan(text: string): number {
  let count = 0
  for (const character of text) count += han.test(character) ? 2 : 1
  return count
}

const han = /^\p{Script=Han}$/u

/** Exact characters under a rule's name. */
export function characterCount(rule: string, characters: number): SpeechCount {
  return { rule, usage: { characters }, exact: true }
}
