import type { SpeechFormat } from '#wire/speech-format.ts'
import { TtsFault } from './adapter.ts'
import type { Chunks } from './speech-http.ts'

/** How long the end of the connection is waited for behind the last event, so that it can be used again. */
const AFTER_DONE_MS = 500

/** Pieces of audio in order; undefined is their end. */
export interface AudioSource {
  next(): Promise<Buffer | undefined>
  close(): void
}

/** Audio that is already here. */
export function wholeSource(audio: Buffer): AudioSource {
  let rest: Buffer | undefined = audio
  return {
    async next() {
      const piece = rest
      rest = undefined
      return piece
    },
    close() {
      rest = undefined
    },
  }
}

/**
 * Takes the first piece before anything is promised, so that an answer without audio is a fault that another target may
 * mend; then counts bytes against their limit.
 */
export async function openBody(
  source: AudioSource,
  chunks: Chunks | undefined,
  limits: { audioBytesMax: number; idleMs: number },
) {
  let first: Buffer | undefined
  try {
    first = await source.next()
    if (first === undefined) throw new TtsFault({ class: 'provider', code: 'empty', status: 200 })
  } catch (error) {
    source.close()
    throw error
  }
  chunks?.idle(limits.idleMs)
  return { body: bodyOf(first, source, limits.audioBytesMax), discard: () => source.close() }
}

async function* bodyOf(first: Buffer, source: AudioSource, bytesMax: number): AsyncGenerator<Buffer> {
  let bytes = 0
  try {
    for (let piece: Buffer | undefined = first; piece !== undefined; piece = await source.next()) {
      bytes += piece.length
      if (bytes > bytesMax) throw new TtsFault({ class: 'provider', code: 'answer_too_large' })
      yield piece
    }
  } finally {
    source.close()
  }
}

/** All of a body as text, for JSON. */
export async function readWhole(chunks: Chunks, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  try {
    for (let piece = await chunks.next(); piece !== undefined; piece = await chunks.next()) {
      length += piece.length
      if (length > bytesMax) throw new TtsFault({ class: 'provider', code: 'answer_too_large' })
      pieces.push(piece)
    }
  } finally {
    chunks.close()
  }
  return Buffer.concat(pieces).toString('utf8')
}

/**
 * The audio inside of speech events; or, for a client that asked for them, the events themselves. Either way nothing is
 * handed on before there is audio. `onUsage` hears what the last event says of the cost.
 */
export function eventSource(
  chunks: Chunks,
  options: {
    reader: ReturnType<NonNullable<SpeechFormat['createEventReader']>>
    raw: boolean
    onUsage: (usage: NonNullable<ReturnType<typeof options.reader.push>['usage']>) => void
    faultOfError: (error: NonNullable<ReturnType<typeof options.reader.push>['error']>) => TtsFault
  },
): AudioSource {
  const { reader, raw, onUsage, faultOfError } = options
  const ready: Buffer[] = []
  let held: Buffer[] = []
  let spoken = false
  let done = false

  return {
    async next() {
      for (;;) {
        const piece = ready.shift()
        if (piece !== undefined) return piece
        const chunk = await (done ? afterDone() : chunks.next())
        if (chunk === undefined) {
          // Events that stop without their last one were cut off, however regular the end of the connection was.
          if (spoken && !done) throw new TtsFault({ class: 'provider', code: 'cut' })
          return undefined
        }
        const events = read(chunk)
        if (events.usage !== undefined) onUsage(events.usage)
        done ||= events.done
        spoken ||= events.audio.length > 0
        if (events.error !== undefined) throw faultOfError(events.error)
        if (!raw) ready.push(...events.audio.filter((audio) => audio.length > 0))
        else {
          held.push(chunk)
          if (spoken) {
            ready.push(...held)
            held = []
          }
        }
      }
    },
    close() {
      chunks.close()
    },
  }

  /** All is said and billed: how the connection goes on from there takes nothing away from it. */
  async function afterDone(): Promise<Buffer | undefined> {
    chunks.idle(AFTER_DONE_MS)
    try {
      return await chunks.next()
    } catch (error) {
      if (error instanceof TtsFault) return undefined
      throw error
    }
  }

  function read(chunk: Buffer) {
    try {
      return reader.push(chunk)
    } catch (cause) {
      throw new TtsFault({ class: 'provider', code: 'frame_too_long', cause })
    }
  }
}

/** Whether a 2xx is words instead of audio, by its media type. */
export function notAudio(type: string | undefined): boolean {
  return type !== undefined && /^(?:text\/|application\/(?:[\w.-]+\+)?(?:json|xml)\b)/i.test(type)
}
