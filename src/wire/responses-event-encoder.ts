import type { JsonObject } from './json-values.ts'
import type { AnswerEvent, NeutralAnswer, Part } from './neutral.ts'
import type { EventEncoder } from './protocol.ts'
import { createResponseBuilder, type ResponseOptions } from './responses-builder.ts'
import { cutResponse, failedResponse, responsesFrame } from './responses-frames.ts'

/** Writes a translated answer as a stream of this protocol. */
export function createResponsesEventEncoder(options: ResponseOptions): EventEncoder {
  let frames = ''
  let sequence = 0
  // Before the first content the relay has passed nothing on.
  let contentSeen = false

  function emit(type: string, members: JsonObject): void {
    frames += responsesFrame(type, sequence, members)
    sequence += 1
  }

  const builder = createResponseBuilder(options, emit)

  function begin(): void {
    frames = ''
    if (contentSeen) return
    sequence = 0
    emit('response.created', { response: builder.response() })
  }

  return {
    encode(event) {
      frames = ''
      contentSeen ||= isContent(event)
      builder.apply(event)
      return frames
    },

    error(words) {
      begin()
      const output = builder.breakOff(false)
      emit('response.failed', { response: failedResponse(builder.response(), words, contentSeen ? output : []) })
      return frames
    },

    cut(end) {
      begin()
      const output = builder.breakOff(contentSeen)
      emit('response.incomplete', { response: cutResponse(builder.response(), end, contentSeen ? output : []) })
      return frames
    },

    done() {
      return ''
    },
  }
}

function isContent(event: AnswerEvent): boolean {
  return event.type === 'delta' ? event.text !== '' : event.type === 'block' && event.block === 'tool_call'
}

/** Writes a translated answer as a whole response. */
export function encodeResponsesAnswer(answer: NeutralAnswer, options: ResponseOptions): JsonObject {
  const builder = createResponseBuilder(options, () => undefined)
  for (const event of eventsOf(answer)) builder.apply(event)
  return builder.response()
}

function* eventsOf({ id, model, parts, finish, usage }: NeutralAnswer): Generator<AnswerEvent> {
  yield { type: 'start', id, model }
  for (const part of parts) yield* partEvents(part)
  yield { type: 'finish', finish, ...(usage !== undefined && { usage }) }
}

/** Answers hold text, refusals, reasoning and calls; other parts are never among them. */
function* partEvents(part: Part): Generator<AnswerEvent> {
  switch (part.type) {
    case 'text':
    case 'refusal':
      yield { type: 'block', block: part.type }
      yield { type: 'delta', text: part.text }
      return
    case 'reasoning': {
      const { type: _, text, origin, ...proof } = part
      yield { type: 'block', block: 'reasoning', origin }
      yield { type: 'delta', text }
      if (Object.keys(proof).length > 0) yield { type: 'signature', ...proof }
      return
    }
    case 'tool_call':
      yield { type: 'block', block: 'tool_call', id: part.id, name: part.name }
      yield { type: 'delta', text: part.arguments }
  }
}
