import { createEventCounter } from './event-counter.ts'

/** What is known of a response when its last byte has been read. */
export interface ResponseSummary {
  status: number
  bodyBytes: number
  /** Lines of the body that begin with `data:`; for a stream, its events. */
  events: number
  /** Whether an event was `[DONE]`. */
  done: boolean
  /** False when the connection cannot carry another request. */
  reusable: boolean
}

const HEAD_BYTES_MAX = 64 * 1024
const CHUNK_BYTES_MAX = 2 ** 31
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SEMICOLON = 0x3b

type State = 'head' | 'fixed' | 'until_close' | 'chunk' | 'chunk_end' | 'size' | 'extension' | 'trailer'

export type ResponseParser = ReturnType<typeof createResponseParser>

/**
 * Reads HTTP/1.1 responses from pieces of any size, with `content-length`, chunked, or until the connection closes.
 * It looks only at what a benchmark needs, so that the generator stays cheap. Throws on what is not HTTP.
 */
export function createResponseParser(on: { firstBodyByte(): void; response(summary: ResponseSummary): void }) {
  const counter = createEventCounter()
  let state: State = 'head'
  let head: Buffer | undefined
  let status = 0
  let reusable = true
  let bodyBytes = 0
  // Bytes left of a body of known length or of a chunk.
  let left = 0
  let trailerLineBytes = 0

  function finish(): void {
    const summary = { status, bodyBytes, ...counter.take(), reusable }
    state = 'head'
    bodyBytes = 0
    on.response(summary)
  }

  /** Returns where the head ends in `data`, or `end` when more is needed. */
  function readHead(data: Buffer, at: number, end: number): number {
    const piece = data.subarray(at, end)
    const joined = head === undefined ? piece : Buffer.concat([head, piece])
    const before = head?.length ?? 0
    const headEnd = joined.indexOf('\r\n\r\n', Math.max(before - 3, 0), 'latin1')
    if (headEnd < 0) {
      if (joined.length > HEAD_BYTES_MAX) throw new Error('the response head is too large')
      // The caller's buffer is used again, so what is kept has to be a copy.
      head = Buffer.from(joined)
      return end
    }
    head = undefined
    begin(joined.toString('latin1', 0, headEnd + 2))
    return at + headEnd + 4 - before
  }

  function begin(text: string): void {
    if (!text.startsWith('HTTP/1.')) throw new Error('the response is not HTTP/1')
    status = Number(text.slice(9, 12))
    // An interim response is followed by the real one.
    if (status < 200) return
    reusable = !/\r\nconnection: *close\r\n/i.test(text)
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(text)?.[1]
    left = Number(length ?? 0)
    if (status === 204 || status === 304 || length === '0') finish()
    else if (length !== undefined) state = 'fixed'
    else if (/\r\ntransfer-encoding: *chunked\r\n/i.test(text)) state = 'size'
    else {
      state = 'until_close'
      reusable = false
    }
  }

  function readBody(data: Buffer, at: number, length: number): number {
    const end = state === 'until_close' ? length : Math.min(at + left, length)
    if (bodyBytes === 0) on.firstBodyByte()
    bodyBytes += end - at
    counter.read(data, at, end)
    left -= end - at
    if (left === 0 && state === 'fixed') finish()
    else if (left === 0 && state === 'chunk') state = 'chunk_end'
    return end
  }

  /** The bytes between chunks, one by one. */
  function readFraming(byte: number): void {
    if (byte === CARRIAGE_RETURN) return
    if (state === 'trailer') {
      // An empty line ends the trailer.
      if (byte === LINE_FEED && trailerLineBytes === 0) finish()
      trailerLineBytes = byte === LINE_FEED ? 0 : trailerLineBytes + 1
    } else if (byte !== LINE_FEED) {
      if (byte === SEMICOLON) state = 'extension'
      if (state === 'size') left = left * 16 + hexValue(byte)
      if (left > CHUNK_BYTES_MAX) throw new Error('a chunk is too large')
    } else if (state === 'chunk_end') state = 'size'
    else {
      trailerLineBytes = 0
      state = left === 0 ? 'trailer' : 'chunk'
    }
  }

  return {
    /** Reads the first `length` bytes of `data`, which may be used again afterwards. */
    push(data: Buffer, length: number): void {
      for (let at = 0; at < length; ) {
        if (state === 'head') at = readHead(data, at, length)
        else if (state === 'fixed' || state === 'chunk' || state === 'until_close') at = readBody(data, at, length)
        else {
          readFraming(data[at] ?? 0)
          at += 1
        }
      }
    },

    /** The connection ended. True when that was the end of a response or between two. */
    end(): boolean {
      if (state !== 'until_close') return state === 'head' && head === undefined
      finish()
      return true
    },
  }
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = (byte | 0x20) - 0x61
  if (letter < 0 || letter > 5) throw new Error('a chunk size is not hexadecimal')
  return letter + 10
}
