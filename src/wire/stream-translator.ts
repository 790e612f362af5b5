import type { EventDecoder, EventEncoder } from './protocol.ts'
import { frameData } from './sse-frames.ts'

/** Turns the frames of an upstream's stream into those of a client's protocol. Throws WireError. */
export interface StreamTranslator {
  /** Frames for the client; empty where nothing can be said yet. */
  frame(buffer: Buffer, start: number, end: number): string
  /** What is left to say once the answer is whole. */
  end(): string
}

export function createStreamTranslator(decoder: EventDecoder, encoder: EventEncoder): StreamTranslator {
  const encode = (data: string) =>
    decoder
      .decode(data)
      .map((event) => encoder.encode(event))
      .join('')
  return {
    frame(buffer, start, end) {
      const data = frameData(buffer.toString('utf8', start, end))
      return data === undefined || data === '' ? '' : encode(data)
    },
    end() {
      return decoder
        .end()
        .map((event) => encoder.encode(event))
        .join('')
    },
  }
}
