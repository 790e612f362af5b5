import type { WebSocket } from 'ws'
import { type ClientFrame, readClientFrame } from '#wire/speech-socket-frames.ts'
import { SessionRefusal } from './session-refusal.ts'

/** Frames that are read and not yet worked off; the socket is paused long before. */
const WAITING_MAX = 256
const PAUSE_AT = 16
/** Frames of one second, with what may come at once. */
const FRAMES_PER_SECOND = 50
const FRAMES_BURST = 200

/** What a client sends, one frame at a time and no faster than it is worked off. */
export function createInbox(socket: WebSocket) {
  const waiting: ClientFrame[] = []
  let closed = false
  let refusal: SessionRefusal | undefined
  let wake: (() => void) | undefined
  let credit = FRAMES_BURST
  let countedAt = performance.now()
  let lastAt = performance.now()

  function goOn(): void {
    const resume = wake
    wake = undefined
    resume?.()
  }

  function refuse(code: string, message: string): void {
    refusal ??= new SessionRefusal(code, message)
    goOn()
  }

  socket.on('message', (data, isBinary) => {
    const now = performance.now()
    lastAt = now
    credit = Math.min(FRAMES_BURST, credit + ((now - countedAt) / 1000) * FRAMES_PER_SECOND) - 1
    countedAt = now
    if (refusal !== undefined) return
    if (isBinary) refuse('invalid_frame', 'Frames are JSON text.')
    else if (credit < 0) refuse('rate_limited', `More than ${FRAMES_PER_SECOND} frames a second.`)
    else if (waiting.length >= WAITING_MAX) refuse('backlog', 'Too many frames wait for their turn.')
    else {
      waiting.push(readClientFrame(String(data)))
      if (waiting.length >= PAUSE_AT) socket.pause()
      goOn()
    }
  })
  socket.on('close', () => {
    closed = true
    goOn()
  })
  // The close that follows says all there is to say.
  socket.on('error', () => undefined)

  return {
    lastAt: () => lastAt,
    closed: () => closed,

    /** Resolves to the next frame, or to undefined when the client has left. Throws SessionRefusal. */
    async next(): Promise<ClientFrame | undefined> {
      for (;;) {
        const frame = waiting.shift()
        if (waiting.length < PAUSE_AT && socket.isPaused) socket.resume()
        if (frame !== undefined) return frame
        if (refusal !== undefined) throw refusal
        if (closed) return undefined
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },

    /** Ends a wait for what will not come any more. */
    stop(): void {
      closed = true
      goOn()
    },
  }
}

export type Inbox = ReturnType<typeof createInbox>
