import { prose, unicodeProse } from './answer.ts'
import { type Switches, TOKENS_MAX } from './switches.ts'
import { countTokens } from './tokens.ts'

/** How fast is spoken, in tokens. */
const TOKENS_PER_SECOND = 3

/** What is heard in a file: as much text as fits its length, always the same one. */
export function composeTranscript(seconds: number, sim: Switches): { text: string; tokens: number } {
  const wanted = sim.tokens ?? Math.min(Math.max(Math.ceil(seconds * TOKENS_PER_SECOND), 1), TOKENS_MAX)
  const text = sim.unicode === true || sim.split_utf8 === true ? unicodeProse(wanted) : prose(wanted)
  return { text, tokens: countTokens(text) }
}
