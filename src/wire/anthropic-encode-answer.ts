import type { AnswerOptions } from './answer-options.ts'
import { stopReasonOf } from './anthropic-stop-reasons.ts'
import { messagesUsageObject } from './anthropic-usage.ts'
import { isObject, type JsonObject } from './json-values.ts'
import type { NeutralAnswer, NeutralUsage, Part } from './neutral.ts'
import { WireError } from './protocol.ts'
import { sealReasoning } from './reasoning-seal.ts'
import { toolIdForMessages } from './tool-ids.ts'

/** This protocol has no way to say that nothing is known. */
export const NO_USAGE: NeutralUsage = {
  input: 0,
  cacheRead: 0,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  output: 0,
  reasoning: 0,
}

/** A whole answer as a client of this protocol gets it. Throws WireError where a tool's arguments are no JSON object. */
export function encodeMessagesAnswer(answer: NeutralAnswer, options: AnswerOptions): JsonObject {
  return {
    id: answer.id || `msg_${options.id}`,
    type: 'message',
    role: 'assistant',
    model: answer.model || options.request.model,
    content: answer.parts.flatMap(encodePart),
    stop_reason: stopReasonOf(answer.finish),
    stop_sequence: null,
    usage: messagesUsageObject(answer.usage ?? NO_USAGE),
  }
}

function encodePart(part: Part): JsonObject[] {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }]
    case 'reasoning':
      return encodeReasoning(part)
    case 'tool_call':
      return [{ type: 'tool_use', id: toolIdForMessages(part.id), name: part.name, input: inputOf(part.arguments) }]
    default:
      throw new WireError(`${part.type} cannot stand in an answer`)
  }
}

/** What another protocol's model thought is signed by our seal, which tells on its way back where it belongs. */
function encodeReasoning({ type: _, text, ...state }: Extract<Part, { type: 'reasoning' }>): JsonObject[] {
  if (state.origin !== 'messages') return [{ type: 'thinking', thinking: text, signature: sealReasoning(state) }]
  if (state.encrypted !== undefined) return [{ type: 'redacted_thinking', data: state.encrypted }]
  return [{ type: 'thinking', thinking: text, signature: state.signature ?? '' }]
}

function inputOf(text: string): JsonObject {
  if (text.trim() === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new WireError('the arguments of a tool call are no JSON', { cause })
  }
  if (!isObject(value)) throw new WireError('the arguments of a tool call are no object')
  return value
}
