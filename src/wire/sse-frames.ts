import { createBytePile } from '#lib/byte-pile.ts'

/** A frame that never ends is a fault of the sender, not a reason to buffer without limit. */
export class FrameTooLongError extends Error {
  override readonly name = 'FrameTooLongError'
}

/** The blank line that ends a frame may be cut anywhere: LF, CR LF. */
const TAIL_BYTES = 2
const NOTHING: Buffer = Buffer.alloc(0)
const LF = 0x0a
const CR = 0x0d

/**
 * Splits a byte stream into server-sent-event frames without changing a byte: `onFrame` gets the buffer and the range of
 * one frame with its blank line. Frames may end in LF or CR LF. What is incomplete waits for the next bytes, at most
 * `frameBytesMax` of it.
 */
export function createFrameSplitter(
  frameBytesMax: number,
  onFrame: (buffer: Buffer, start: number, end: number) => void,
) {
  const waiting = createBytePile()
  let waitingBytes = 0
  // The last bytes of what waits.
  let tail = NOTHING

  return {
    /** Throws FrameTooLongError. */
    push(chunk: Buffer): void {
      let buffer = chunk
      if (waitingBytes > 0) {
        // Where no frame ends nothing needs to be joined yet: a frame of many small pieces would be copied for each of them.
        if (!endsFrame(chunk)) {
          wait(chunk)
          return
        }
        waiting.add(chunk)
        buffer = waiting.joined()
        waiting.clear()
        waitingBytes = 0
        tail = NOTHING
      }
      const crlf = buffer.indexOf(CR) !== -1
      let start = 0
      for (;;) {
        const end = crlf ? frameEndAnywhere(buffer, start) : frameEnd(buffer, start)
        if (end === -1) break
        if (end - start > frameBytesMax) throw new FrameTooLongError(`a frame is longer than ${frameBytesMax} bytes`)
        onFrame(buffer, start, end)
        start = end
      }
      if (start < buffer.length) wait(start === 0 ? buffer : buffer.subarray(start))
    },

    /** What is left when the stream has ended: a last frame whose blank line is missing. */
    rest(): Buffer {
      return waiting.joined()
    },
  }

  /** Whether a frame ends in `chunk`, perhaps with a blank line that began in what waits. */
  function endsFrame(chunk: Buffer): boolean {
    const border = Buffer.concat([tail, chunk.subarray(0, TAIL_BYTES)])
    return frameEndAnywhere(border, 0) !== -1 || frameEndAnywhere(chunk, 0) !== -1
  }

  function wait(bytes: Buffer): void {
    waiting.add(bytes)
    tail = Buffer.concat([tail, bytes.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES)
    waitingBytes += bytes.length
    if (waitingBytes > frameBytesMax) throw new FrameTooLongError(`a frame is longer than ${frameBytesMax} bytes`)
  }
}

function frameEnd(buffer: Buffer, from: number): number {
  const at = buffer.indexOf('\n\n', from, 'latin1')
  return at === -1 ? -1 : at + 2
}

function frameEndAnywhere(buffer: Buffer, from: number): number {
  for (let at = buffer.indexOf(LF, from); at !== -1; at = buffer.indexOf(LF, at + 1)) {
    if (buffer[at + 1] === LF) return at + 2
    if (buffer[at + 1] === CR && buffer[at + 2] === LF) return at + 3
  }
  return -1
}

/** The `data` of one frame: its lines joined by LF. Undefined for comments and frames without data. */
export function frameData(frame: string): string | undefined {
  if (frame.startsWith('data: ')) {
    const end = frame.indexOf('\n')
    if (end + 2 === frame.length && frame.charCodeAt(end + 1) === LF && frame.charCodeAt(end - 1) !== CR)
      return frame.slice(6, end)
  }
  let data: string | undefined
  for (const line of frame.replace(/^(?:\ufeff|\xef\xbb\xbf)/, '').split(/\r\n|\n|\r/)) {
    if (line !== 'data' && !line.startsWith('data:')) continue
    const value = line.slice(line[5] === ' ' ? 6 : 5)
    data = data === undefined ? value : `${data}\n${value}`
  }
  return data
}
