import { createDeltaShape } from './delta-shape.ts'
import { isObject, type JsonObject, textAt } from './json-values.ts'
import { answerIdentity } from './openai-chunk.ts'
import type { AnswerIdentity, FrameFacts, StreamFormat } from './protocol.ts'
import { rawJsonText } from './raw-json-text.ts'
import { type AnswerName, cutResponse, failedResponse, newResponse, responsesFrame } from './responses-frames.ts'
import { createOutputTracker, itemText } from './responses-output.ts'
import { frameData } from './sse-frames.ts'

const NONE: readonly number[] = []
const FIRST: readonly number[] = [0]
const SILENT: FrameFacts = { kind: 'silent' }
const MALFORMED: FrameFacts = { kind: 'malformed' }

/** Kept of an output, so that it can be closed before its time. */
const OUTPUT_CHARS_MAX = 1024 * 1024
/** Kept of the response that the provider has announced: it tells the whole request again. */
const RESPONSE_CHARS_MAX = 256 * 1024

const NAMELESS: AnswerName = { id: 'resp_fluxgate', model: 'unknown', created: 0 }

/**
 * One stream of a response. Its last event carries the usage: it finishes the answer as a chunk, so the relay keeps it back
 * until the settlement, and is followed by nothing but the end of the connection or, with some providers, `[DONE]`, which
 * clients of this protocol do not know and do not get.
 *
 * What we say ourselves goes on where the provider's events ended, under its id and with rising numbers. Before the first
 * content nothing has been passed on, so then the response is announced first. `fallback` names it where no provider has.
 */
export function createResponsesFormat({ fallback = NAMELESS }: { fallback?: AnswerName } = {}): StreamFormat {
  const shape = createDeltaShape('delta')
  const output = createOutputTracker(OUTPUT_CHARS_MAX)
  /** Items whose text has been reported, by index. */
  const reported = new Set<unknown>()
  let identity: AnswerIdentity = {}
  /** Data of the event that announced the response, bytes as Latin-1. */
  let announced: string | undefined
  let sequence = -1
  let contentSeen = false
  let finished = false

  function chunk(text: string, content: boolean): FrameFacts {
    contentSeen ||= content
    return { kind: 'chunk', text, content, finished: NONE, usage: undefined, bare: false }
  }

  function announce(response: unknown, data: string): FrameFacts {
    if (!isObject(response)) return MALFORMED
    identity = { ...answerIdentity(response), ...identity }
    if (announced === undefined && data.length <= RESPONSE_CHARS_MAX) announced = data
    return { kind: 'chunk', text: '', content: false, finished: NONE, usage: undefined, bare: false, identity }
  }

  function finish(response: unknown): FrameFacts {
    if (!isObject(response)) return MALFORMED
    if (response.status === 'failed' || isFault(response.error)) return { kind: 'error', error: response.error }
    identity = { ...answerIdentity(response), ...identity }
    finished = true
    const items = Array.isArray(response.output) ? response.output : []
    const unreported = items.filter((_, index) => !reported.has(index) && !reported.has(undefined))
    const text = unreported.map(itemText).join('')
    const usage = isObject(response.usage) ? response.usage : undefined
    return {
      kind: 'chunk',
      text: rawJsonText(text),
      content: items.length > 0,
      finished: FIRST,
      usage,
      bare: false,
      closing: true,
      identity,
    }
  }

  function inspectEvent(event: JsonObject, frame: string, data: string): FrameFacts {
    const { type } = event
    if (typeof type !== 'string') return isFault(event.error) ? { kind: 'error', error: event.error } : MALFORMED
    const facts = inspectTyped(event, type, frame, data)
    // An error is not passed on: our own event has its number.
    const { sequence_number: number } = event
    if (facts.kind !== 'error' && typeof number === 'number' && Number.isSafeInteger(number))
      sequence = Math.max(sequence, number)
    return facts
  }

  function inspectTyped(event: JsonObject, type: string, frame: string, data: string): FrameFacts {
    switch (type) {
      case 'ping':
      case 'keepalive':
        return SILENT
      case 'error':
        return { kind: 'error', error: event.error ?? { code: event.code, message: event.message, param: event.param } }
      case 'response.failed':
      case 'response.cancelled':
        return { kind: 'error', error: isObject(event.response) ? event.response.error : undefined }
      case 'response.queued':
      case 'response.created':
      case 'response.in_progress':
        return announce(event.response, data)
      case 'response.completed':
      case 'response.incomplete':
        return finish(event.response)
      case 'response.output_item.added':
      case 'response.output_item.done':
        output.apply(event, data.length)
        shape.forget()
        return inspectItem(event)
    }
    if (type.endsWith('.delta') && typeof event.delta === 'string') {
      if (type === 'response.audio.delta') return chunk('', event.delta !== '')
      reported.add(event.output_index)
      output.apply(event, data.length)
      shape.learn(frame)
      return chunk(rawJsonText(event.delta), event.delta !== '')
    }
    return chunk('', type.endsWith('.partial_image') || type.endsWith('.partial'))
  }

  /** The announcement of a message is empty; that of a call says which one, which is what the model has decided. */
  function inspectItem({ type, item, output_index }: JsonObject): FrameFacts {
    if (!isObject(item)) return MALFORMED
    const silent = item.type === 'message' || item.type === 'reasoning'
    if (type === 'response.output_item.added') return chunk(rawJsonText(textAt(item, 'name')), !silent)
    const text = reported.has(output_index) ? '' : itemText(item)
    reported.add(output_index)
    return chunk(rawJsonText(text), !silent || text !== '')
  }

  function response(name: AnswerName): JsonObject {
    if (announced !== undefined) {
      const event: unknown = JSON.parse(Buffer.from(announced, 'latin1').toString('utf8'))
      if (isObject(event) && isObject(event.response)) return event.response
    }
    return newResponse({ ...name, ...identity })
  }

  /** The events that come before our last one, and the response as it is announced. */
  function begin(name: AnswerName): { frames: string; base: JsonObject } {
    const base = response(name)
    if (contentSeen) return { frames: '', base }
    sequence = 0
    return { frames: responsesFrame('response.created', 0, { response: base }), base }
  }

  function end(type: string, ended: JsonObject): string {
    sequence += 1
    return responsesFrame(type, sequence, { response: ended })
  }

  return {
    inspect(buffer, start, end, parse) {
      const frame = buffer.toString('latin1', start, end)
      if (!parse) {
        const values = shape.match(frame)
        if (values !== undefined) {
          if (values.sequence !== undefined && values.sequence > sequence) sequence = values.sequence
          output.append(values.delta)
          return chunk(values.delta, values.delta !== '')
        }
      }
      const data = frameData(frame)
      if (data === undefined || data === '') return SILENT
      // Without the event that ends a response it has not ended, whatever else says so.
      if (data.startsWith('[DONE]')) return finished ? { kind: 'done', frame: false } : SILENT
      let event: unknown
      try {
        event = JSON.parse(Buffer.from(data, 'latin1').toString('utf8'))
      } catch {
        return MALFORMED
      }
      return isObject(event) ? inspectEvent(event, frame, data) : MALFORMED
    },

    error(words) {
      const { frames, base } = begin(fallback)
      const { items } = output.close()
      return frames + end('response.failed', failedResponse(base, words, contentSeen ? items : []))
    },

    cut(cut) {
      const { frames, base } = begin({ ...cut.fallback, created: cut.created })
      const { events, items } = contentSeen ? output.close() : { events: [], items: [] }
      let closing = ''
      for (const { type, members } of events) {
        sequence += 1
        closing += responsesFrame(type, sequence, members)
      }
      return frames + closing + end('response.incomplete', cutResponse(base, cut, items))
    },

    done() {
      return ''
    },
  }
}

function isFault(error: unknown): boolean {
  return error !== undefined && error !== null
}
