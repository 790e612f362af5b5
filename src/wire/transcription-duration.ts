import {
  flacSeconds,
  mp3Seconds,
  mp4Seconds,
  oggSeconds,
  type Parser,
  wavSeconds,
  webmSeconds,
} from './transcription-containers.ts'

/** What is known of how long audio is, while it passes by. */
export interface DurationProbe {
  push(chunk: Buffer): void
  /** Seconds, when all has been seen; undefined where the format does not tell. */
  seconds(): number | undefined
  /** The most seconds that so many bytes of this audio can hold. */
  secondsMax(bytes: number): number
}

/** Whatever a file says: nobody hears more in one call. */
const SECONDS_MAX = 7 * 86_400
/** Speech is coded with this much at least; a container that is not known may hold any. */
const BYTES_PER_SECOND_MIN = 750
/** What a file is taken for whose length nobody tells: 32 kbit/s, as browsers record speech. */
export const BYTES_PER_SECOND_USUAL = 4_000
/** A header that wants more at once is none. */
const READ_BYTES_MAX = 66_000
const SNIFF_BYTES = 12

/**
 * Reads the length of audio from its container as the bytes pass, keeping none of them: wav, flac, ogg, mp3, mp4, webm. What
 * a file says of itself is a stranger's word: good for a hold and for want of a better count, not to read memory by.
 */
export function createDurationProbe(): DurationProbe {
  let waiting: Buffer = Buffer.alloc(0)
  let parser: Parser | undefined
  let floor = BYTES_PER_SECOND_MIN
  let wanted: { read: number } | { skip: number } = { read: SNIFF_BYTES }
  let sniffed = false
  let broken = false
  let seconds: number | undefined
  let total = 0
  let rate: number | undefined

  function feed(bytes: Buffer): void {
    if (!sniffed) {
      sniffed = true
      parser = sniff(bytes)?.({
        known(value) {
          if (value >= 0) seconds = Math.min(value, SECONDS_MAX)
        },
        bytesPerSecond(value, from) {
          rate = value
          dataFrom = from
        },
        atLeast(bytesPerSecond) {
          floor = bytesPerSecond
        },
      })
      if (parser === undefined) {
        broken = true
        return
      }
      parser.next()
    }
    const step = parser?.next(bytes)
    if (step === undefined || step.done === true) broken = true
    else wanted = step.value
    if ('read' in wanted && wanted.read > READ_BYTES_MAX) broken = true
  }
  let dataFrom = 0

  return {
    push(chunk) {
      total += chunk.length
      let rest = chunk
      while (!broken && rest.length > 0) {
        if ('skip' in wanted) {
          const skipped = Math.min(wanted.skip, rest.length)
          rest = rest.subarray(skipped)
          wanted = { skip: wanted.skip - skipped }
          if (wanted.skip > 0) return
          feed(EMPTY)
          continue
        }
        const missing = wanted.read - waiting.length
        waiting = Buffer.concat([waiting, rest.subarray(0, missing)])
        rest = rest.subarray(missing)
        if (waiting.length < wanted.read) return
        const bytes = waiting
        waiting = EMPTY
        feed(bytes)
      }
    },

    seconds() {
      if (rate !== undefined) return Math.min(Math.max(0, total - dataFrom) / rate, SECONDS_MAX)
      return seconds
    },

    secondsMax(bytes) {
      if (rate !== undefined) return Math.min(Math.max(0, bytes - dataFrom) / rate, SECONDS_MAX)
      return Math.min(Math.max(bytes / floor, seconds ?? 0), SECONDS_MAX)
    },
  }
}

const EMPTY = Buffer.alloc(0)

function sniff(head: Buffer) {
  const text = head.toString('latin1')
  if (text.startsWith('RIFF') && text.endsWith('WAVE')) return wavSeconds
  if (text.startsWith('fLaC')) return flacSeconds
  if (text.startsWith('OggS')) return oggSeconds
  if (text.startsWith('ID3') || (head[0] === 0xff && ((head[1] ?? 0) & 0xe0) === 0xe0)) return mp3Seconds
  if (text.slice(4, 8) === 'ftyp') return mp4Seconds
  if (head.readUInt32BE(0) === 0x1a45dfa3) return webmSeconds
  return undefined
}
