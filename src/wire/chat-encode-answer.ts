import type { AnswerOptions } from './answer-options.ts'
import { encodeToolCall, textOf } from './chat-encode-messages.ts'
import { finishReasonOf } from './chat-finish-reasons.ts'
import { encodeReasoningDetails } from './chat-reasoning.ts'
import { chatUsageObject } from './chat-usage.ts'
import type { JsonObject } from './json-values.ts'
import type { NeutralAnswer } from './neutral.ts'

/** A whole answer as a chat client gets it. */
export function encodeChatAnswer(answer: NeutralAnswer, options: AnswerOptions): JsonObject {
  const { parts, finish, usage } = answer
  const text = textOf(parts, 'text')
  const refusal = textOf(parts, 'refusal')
  const calls = parts.filter((part) => part.type === 'tool_call')
  const reasoning = parts.filter((part) => part.type === 'reasoning')
  const thought = reasoning.map((part) => part.text).join('')
  const details = reasoning.flatMap(encodeReasoningDetails)
  const message = {
    role: 'assistant',
    content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
    refusal: refusal === '' ? null : refusal,
    ...(thought !== '' && { reasoning_content: thought }),
    ...(details.length > 0 && { reasoning_details: details }),
    ...(calls.length > 0 && { tool_calls: calls.map(encodeToolCall) }),
  }
  const reason = finishReasonOf(finish, { refusal: refusal !== '' })
  return {
    id: answer.id || `chatcmpl-${options.id}`,
    object: 'chat.completion',
    created: options.created,
    model: answer.model || options.request.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
    ...(usage !== undefined && { usage: chatUsageObject(usage) }),
    ...(finish === 'pause' && { fluxgate: { reason: 'pause_turn' } }),
  }
}
