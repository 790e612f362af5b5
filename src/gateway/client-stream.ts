import type { ServerResponse } from 'node:http'

export interface ClientStreamOptions {
  res: ServerResponse
  /** Asked for at the moment the status line is written. */
  headers: () => Record<string, string>
  keepAliveMs: number
  stallMs: number
  /** The client reads slower than the upstream writes, or has caught up. */
  onFull: () => void
  onDrain: () => void
  /** The client has hung up, or reads nothing any more. */
  onGone: () => void
}

export const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

/** The client's side of a stream: headers once, back-pressure, keep-alive comments. */
export function createClientStream(options: ClientStreamOptions) {
  const { res } = options
  let started = false
  let ended = false
  let full = false
  let lastWriteMs = performance.now()

  res.on('close', gone)
  res.on('drain', () => {
    if (!full) return
    full = false
    lastWriteMs = performance.now()
    options.onDrain()
  })

  function gone(): void {
    if (ended) return
    ended = true
    options.onGone()
  }

  function start(): void {
    if (started) return
    started = true
    res.writeHead(200, { ...STREAM_HEADERS, ...options.headers() })
  }

  return {
    /** Whether the status line has left. */
    started(): boolean {
      return started
    },
    write(bytes: Buffer | string): void {
      if (ended) return
      start()
      lastWriteMs = performance.now()
      if (!res.write(bytes) && !full) {
        full = true
        options.onFull()
      }
    },

    end(bytes: string | Buffer): void {
      if (ended) return
      start()
      ended = true
      endResponse(res, bytes, options.stallMs)
    },

    /** Nothing more is written here: the answer goes out in another form. */
    release(): void {
      ended = true
    },

    tick(nowMs: number): void {
      if (ended) return
      if (full) {
        if (nowMs - lastWriteMs <= options.stallMs) return
        res.destroy()
        gone()
        return
      }
      if (nowMs - lastWriteMs < options.keepAliveMs) return
      start()
      lastWriteMs = nowMs
      res.write(': keepalive\n\n')
    },
  }
}

/** Ends an answer. A client that then reads nothing for `stallMs` has left. */
export function endResponse(res: ServerResponse, bytes: string | Buffer, stallMs: number): void {
  res.end(bytes)
  if (res.writableLength > 0) res.setTimeout(stallMs, () => res.destroy())
}
