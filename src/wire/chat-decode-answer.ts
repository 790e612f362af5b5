import { calledFunction } from './chat-decode-messages.ts'
import { finishOfReason } from './chat-finish-reasons.ts'
import { reasoningText } from './chat-reasoning.ts'
import { isAbsent, isObject, type JsonObject, objectsOf, textAt } from './json-values.ts'
import type { NeutralAnswer, Part } from './neutral.ts'
import { reportedUsage } from './neutral-usage.ts'
import { answerIdentity } from './openai-chunk.ts'
import { decodeOpenaiUsage } from './openai-usage.ts'
import { WireError } from './protocol.ts'

/** Reads a whole chat answer for a client of another protocol: its first choice. Throws WireError. */
export function decodeChatAnswer(body: unknown): NeutralAnswer {
  if (!isObject(body)) throw new WireError('the answer is no object')
  if (!isAbsent(body.error)) throw new WireError('the answer is an error')
  const [choice] = objectsOf(body.choices)
  if (choice === undefined || !isObject(choice.message)) throw new WireError('the answer has no message')
  if (choice.finish_reason === 'error') throw new WireError('the answer ended in an error')
  const { id = '', model = '' } = answerIdentity(body)
  const parts = decodeMessage(choice.message, id)
  const said = {
    toolCalls: parts.some(({ type }) => type === 'tool_call'),
    refusal: parts.some(({ type }) => type === 'refusal'),
  }
  return {
    id,
    model,
    parts,
    finish: finishOfReason(choice.finish_reason, said),
    ...reportedUsage(decodeOpenaiUsage(body.usage)),
  }
}

/** The text of content that some providers write as a list, with what they thought inside of it. */
export function splitContent(content: unknown): { text: string; reasoning: string } {
  if (typeof content === 'string') return { text: content, reasoning: '' }
  let text = ''
  let reasoning = ''
  for (const part of objectsOf(content)) {
    if (part.type === 'thinking')
      reasoning += objectsOf(part.thinking)
        .map((each) => textAt(each, 'text'))
        .join('')
    else text += textAt(part, 'text')
  }
  return { text, reasoning }
}

/** An id for a call whose provider gives it none: unique as its answer's is. */
export function inventedCallId(answerId: string, index: number): string {
  return `call_${answerId.replaceAll(/[^A-Za-z0-9]/g, '').slice(-24)}_${index}`
}

/** Arguments as JSON text; some providers write the object itself. */
export function argumentsOf(called: JsonObject): string {
  return isObject(called.arguments) ? JSON.stringify(called.arguments) : textAt(called, 'arguments')
}

function decodeMessage(message: JsonObject, answerId: string): Part[] {
  const { text, reasoning } = splitContent(message.content)
  const parts: Part[] = []
  const thought = reasoningText(message) || reasoning
  if (thought !== '') parts.push({ type: 'reasoning', text: thought, origin: 'chat' })
  if (text !== '') parts.push({ type: 'text', text })
  const refusal = textAt(message, 'refusal')
  if (refusal !== '') parts.push({ type: 'refusal', text: refusal })
  const calls = objectsOf(message.tool_calls)
  if (isObject(message.function_call)) calls.push({ function: message.function_call })
  for (const [index, call] of calls.entries()) {
    if (!isObject(call.function)) throw new WireError('a tool call is no function')
    if (textAt(call.function, 'name') === '') throw new WireError('a tool call has no name')
    const id = textAt(call, 'id') || inventedCallId(answerId, index)
    parts.push(calledFunction(id, { ...call.function, arguments: argumentsOf(call.function) }))
  }
  return parts
}
