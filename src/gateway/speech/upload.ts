import type { Readable } from 'node:stream'
import { AppError } from '#src/errors.ts'
import { createDurationProbe, type DurationProbe } from '#wire/transcription-duration.ts'

export interface UploadOptions {
  /** What is kept in memory: as long as all of a file is, it can be sent again. */
  keptBytesMax: number
  fileBytesMax: number
  /** Counts bytes in and out of memory; the first may throw to refuse. */
  hold: (bytes: number) => void
  release: (bytes: number) => void
}

/** What a piece takes in memory, however short it is: a client may send its file byte by byte. */
const PIECE_BYTES_MIN = 256

/**
 * A file on its way from a client to an upstream: kept while it is small, passed on piece by piece when it is not, at the pace
 * of whoever reads. Memory is bounded by `keptBytesMax` and one piece.
 */
export function createUpload(file: Readable, options: UploadOptions) {
  const probe: DurationProbe = createDurationProbe()
  let kept: Buffer[] = []
  let keptBytes = 0
  // Pieces that were passed on and let go.
  let dropped = 0
  let total = 0
  let ended = false
  let failure: Error | undefined
  let wake = Promise.withResolvers<void>()

  function moved(): void {
    wake.resolve()
    wake = Promise.withResolvers()
  }

  function fail(error: Error): void {
    if (ended || failure !== undefined) return
    failure = error
    file.resume()
    letGo()
    moved()
  }

  function letGo(): void {
    options.release(keptBytes)
    dropped += kept.length
    kept = []
    keptBytes = 0
  }

  file.on('data', (chunk: Buffer) => {
    if (failure !== undefined) return
    total += chunk.length
    if (total > options.fileBytesMax) {
      fail(new AppError('body_too_large', { message: `The file is larger than ${options.fileBytesMax} bytes.` }))
      return
    }
    const cost = Math.max(chunk.length, PIECE_BYTES_MIN)
    try {
      options.hold(cost)
    } catch (error) {
      fail(error as Error)
      return
    }
    probe.push(chunk)
    kept.push(chunk)
    keptBytes += cost
    if (keptBytes >= options.keptBytesMax) file.pause()
    moved()
  })
  file.on('end', () => {
    ended = failure === undefined
    moved()
  })
  file.on('error', fail)

  return {
    probe,
    fail,
    /** Bytes so far. */
    total: () => total,
    /** Whether all of it has come. */
    ended: () => ended,
    failure: () => failure,
    /** Whether it can be read from its beginning. */
    replayable: () => dropped === 0 && failure === undefined,

    /** Waits until all has come, `bytes` of it, or as much as is kept. Throws what the upload failed with. */
    async arrived(bytes: number): Promise<void> {
      while (!ended && failure === undefined && total < bytes && keptBytes < options.keptBytesMax) await wake.promise
      if (failure !== undefined) throw failure
    },

    /** All of what is kept, in order. */
    pieces: (): readonly Buffer[] => kept,

    /** The bytes from the beginning, as they come. One reader at a time. Throws what the upload failed with. */
    async *read(): AsyncGenerator<Buffer> {
      for (let next = 0; ; ) {
        if (failure !== undefined) throw failure
        if (next < dropped) throw new Error('an upload that was let go cannot be read again')
        const piece = kept[next - dropped]
        if (piece !== undefined) {
          next += 1
          yield piece
          continue
        }
        if (ended) return
        if (file.isPaused()) {
          letGo()
          file.resume()
        }
        await wake.promise
      }
    },

    /** Nobody reads any more. */
    close(): void {
      fail(new Error('the upload was given up'))
      if (ended) letGo()
    },
  }
}

export type Upload = ReturnType<typeof createUpload>
