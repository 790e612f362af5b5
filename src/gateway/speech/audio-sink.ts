import type { ServerResponse } from 'node:http'
import { endResponse } from '#gateway/client-stream.ts'

const NOTHING = Buffer.alloc(0)

/** What a client reads, one byte behind: the last byte leaves when the call is settled. */
export function createAudioSink(options: {
  res: ServerResponse
  /** Asked for at the moment the status line is written. */
  headers: () => Record<string, string>
  stallMs: number
  /** The client has hung up, or reads nothing any more. */
  onGone: () => void
}) {
  const { res, stallMs } = options
  let started = false
  let ended = false
  let held: Buffer | undefined
  let waiting: (() => void) | undefined
  let lastWriteMs = 0

  res.on('close', gone)
  res.on('drain', goOn)

  function goOn(): void {
    const wake = waiting
    waiting = undefined
    wake?.()
  }

  function gone(): void {
    if (!ended) {
      ended = true
      options.onGone()
    }
    goOn()
  }

  return {
    /** Whether the status line has left. */
    started: () => started,

    /** Resolves when more may be written; at once when nobody reads. */
    async write(piece: Buffer): Promise<void> {
      if (ended || piece.length === 0) return
      if (!started) {
        started = true
        res.writeHead(200, options.headers())
      }
      const ready = Buffer.concat([held ?? NOTHING, piece.subarray(0, -1)])
      held = piece.subarray(-1)
      if (ready.length === 0) return
      lastWriteMs = performance.now()
      const roomy = res.write(ready)
      if (roomy) return
      await new Promise<void>((resolve) => {
        waiting = resolve
      })
    },

    /** Lets go of what was held back, and ends. */
    end(): void {
      if (ended) return
      ended = true
      endResponse(res, held ?? NOTHING, stallMs)
    },

    /** Lets go of what was held back, and ends with more; for streams that have a place for an error. */
    endWith(last: string): void {
      if (ended) return
      ended = true
      endResponse(res, Buffer.concat([held ?? NOTHING, Buffer.from(last)]), stallMs)
    },

    /** All at once, instead of pieces. */
    whole(headers: Record<string, string>, body: Buffer): void {
      if (ended) return
      ended = true
      res.writeHead(200, headers)
      endResponse(res, body, stallMs)
    },

    /** Nothing is written here any more: the answer is an error. */
    release(): void {
      ended = true
    },

    /** Ends without the last byte: a client can tell that something is missing. */
    break(): void {
      ended = true
      res.destroy()
      goOn()
    },

    tick(nowMs: number): void {
      if (!ended && waiting !== undefined && nowMs - lastWriteMs > stallMs) res.destroy()
    },
  }
}
