import type { ServerResponse } from 'node:http'
import { constants, createGzip } from 'node:zlib'
import type { Switches } from './switches.ts'

/** Where the text of an answer goes. `write` returns false when the rest must wait for `resume`. */
export interface Sink {
  write(text: string): boolean
  /** Writes what is left and ends the answer; `done` is called when the operating system has all of it. */
  end(text: string, done: () => void): void
}

interface SinkOptions {
  response: ServerResponse
  /** Of the text that is written: sound travels as Latin-1, one byte for each character. */
  encoding: 'utf8' | 'latin1'
  resume: () => void
}

/** The sink that the switches ask for: plain, compressed, or in awkward pieces. */
export function createSink({ sim, ...options }: SinkOptions & { sim: Switches }): Sink {
  if (sim.gzip === true) return gzipSink(options)
  if (sim.one_byte === true) return pieceSink(options, everyByte)
  if (sim.split_utf8 === true) return pieceSink(options, insideCharacters)
  return plainSink(options)
}

/**
 * Frames HTTP chunks itself, one string per write where `node:http` makes four: a tenth less CPU for paced streams,
 * which are the load that benchmarks put on the simulator.
 */
function plainSink({ response, encoding, resume }: SinkOptions): Sink {
  const chunked = response.chunkedEncoding
  response.chunkedEncoding = false
  const frame = (text: string) => (chunked ? `${Buffer.byteLength(text, encoding).toString(16)}\r\n${text}\r\n` : text)
  let listening = false
  return {
    write(text) {
      const flowing = response.write(frame(text), encoding)
      if (!flowing && !listening) {
        listening = true
        response.on('drain', resume)
      }
      return flowing
    },
    end(text, done) {
      const last = text === '' ? '' : frame(text)
      response.end(chunked ? `${last}0\r\n\r\n` : last, encoding, done)
    },
  }
}

/** Each write is flushed, so that a client can decode every event when it arrives. */
function gzipSink({ response, encoding, resume }: SinkOptions): Sink {
  const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
  gzip.pipe(response)
  response.on('close', () => gzip.destroy())
  return {
    write(text) {
      gzip.write(text, encoding, resume)
      return false
    },
    end(text, done) {
      response.on('finish', done)
      gzip.end(text, encoding)
    },
  }
}

/** Writes the pieces one by one, each in a turn of the event loop of its own, so that none is joined to the next. */
function pieceSink({ response, encoding, resume }: SinkOptions, split: (bytes: Buffer) => Buffer[]): Sink {
  function writeAll(text: string, then: () => void): void {
    const pieces = split(Buffer.from(text, encoding))
    let next = 0
    const step = () => {
      const piece = pieces[next]
      if (response.destroyed) return
      if (piece === undefined) return then()
      next += 1
      if (response.write(piece)) setImmediate(step)
      else response.once('drain', step)
    }
    step()
  }

  return {
    write(text) {
      writeAll(text, resume)
      return false
    },
    end(text, done) {
      writeAll(text, () => response.end(done))
    },
  }
}

/** One piece per byte. */
function everyByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
}

/** Pieces that end behind the first byte of every character of several bytes; pure ASCII is cut in its middle. */
function insideCharacters(bytes: Buffer): Buffer[] {
  const cuts: number[] = []
  for (let at = 1; at < bytes.length; at += 1) {
    const before = bytes[at - 1] ?? 0
    if (before >= 0xc0) cuts.push(at)
  }
  if (cuts.length === 0) cuts.push(Math.floor(bytes.length / 2))
  return [0, ...cuts].map((start, index) => bytes.subarray(start, cuts[index])).filter((piece) => piece.length > 0)
}
