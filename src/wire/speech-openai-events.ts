import { isObject } from './json-values.ts'
import { parseJson, text } from './speech-fields.ts'
import type { SpeechEvents } from './speech-format.ts'
import { reportedTokens } from './speech-usage.ts'
import { createFrameSplitter, frameData } from './sse-frames.ts'

/** A delta is a fraction of a second of audio. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024

/** Reads OpenAI's speech events: `speech.audio.delta` with base64 audio, `speech.audio.done` with the usage. */
export function createSpeechEventReader(): { push(chunk: Buffer): SpeechEvents } {
  let events: SpeechEvents = { audio: [], done: false }
  const splitter = createFrameSplitter(FRAME_BYTES_MAX, (buffer, start, end) => {
    const data = frameData(buffer.toString('utf8', start, end))
    if (data !== undefined && data !== '[DONE]') read(parseJson(data))
  })

  function read(event: unknown): void {
    if (!isObject(event)) {
      events.error ??= { code: 'malformed_frame' }
      return
    }
    if (event.type === 'speech.audio.delta') {
      const audio = text(event.audio)
      if (audio !== undefined) events.audio.push(Buffer.from(audio, 'base64'))
    } else if (event.type === 'speech.audio.done') {
      const usage = reportedTokens(event.usage)
      if (usage !== undefined) events.usage = usage
      events.done = true
    } else if (isObject(event.error)) {
      const message = text(event.error.message)
      const type = text(event.error.type)
      events.error ??= { code: 'error_in_stream', ...(message && { message }), ...(type && { type }) }
    }
  }

  return {
    push(chunk) {
      splitter.push(chunk)
      const read = events
      events = { audio: [], done: read.done }
      return read
    },
  }
}
