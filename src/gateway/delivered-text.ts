import { countTokens } from '#wire/count-tokens.ts'
import { decodeRawText } from '#wire/openai-chunk.ts'

const PIECES_MAX = 64
const RAW_CHARS_MAX = 256 * 1024
/** Text that is still open to the next count, where it has words. */
const OPEN_CHARS_MAX = 1_024
/** A token of common text is longer than this in bytes, so the estimate is rather above the truth. */
const BYTES_PER_TOKEN = 3

/**
 * What a stream has delivered, for the cases in which the provider's own count never comes. Nothing is counted while the
 * stream runs well: a running estimate, never far below the truth, decides when the hold must grow.
 */
export function createDeliveredText() {
  let pieces: string[] = []
  let raw = ''
  let countedBefore = 0
  let estimate = 0

  /** Tokens of all text so far, counted. What can no longer change is counted once, so that asking again is cheap. */
  function count(): number {
    raw += pieces.join('')
    pieces = []
    if (raw.length > OPEN_CHARS_MAX) settle(lastWordStart(raw))
    return countedBefore + (raw === '' ? 0 : countTokens(decodeRawText(raw)))
  }

  function settle(end: number): void {
    if (end === 0) return
    countedBefore += countTokens(decodeRawText(raw.slice(0, end)))
    raw = raw.slice(end)
  }

  return {
    /** `text` is raw JSON text, bytes as Latin-1. */
    add(text: string): void {
      estimate += Math.max(1, Math.ceil(text.length / BYTES_PER_TOKEN))
      pieces.push(text)
      if (pieces.length < PIECES_MAX) return
      raw += pieces.join('')
      pieces = []
      if (raw.length > RAW_CHARS_MAX) settle(raw.length)
    },

    /** Output tokens by estimate. */
    estimate(): number {
      return estimate
    },

    count,

    /** Puts the estimate right by counting; returns it. */
    recount(): number {
      estimate = count()
      return estimate
    },
  }
}

/**
 * Where the last word begins, with the space before it; 0 when there is none. Tokenizers split there whatever follows, so the
 * counts of both parts are the count of the whole.
 */
function lastWordStart(raw: string): number {
  for (let at = raw.lastIndexOf(' '); at > 0; at = raw.lastIndexOf(' ', at - 1))
    if (/[A-Za-z]/.test(raw[at - 1] ?? '') && /[A-Za-z]/.test(raw[at + 1] ?? '')) return at
  return 0
}
