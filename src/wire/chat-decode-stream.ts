import { createBlockSequence } from './block-sequence.ts'
import { argumentsOf, inventedCallId, splitContent } from './chat-decode-answer.ts'
import { finishOfReason } from './chat-finish-reasons.ts'
import { reasoningText } from './chat-reasoning.ts'
import { isAbsent, isObject, type JsonObject, objectsOf, textAt } from './json-values.ts'
import type { AnswerEvent } from './neutral.ts'
import { reportedUsage } from './neutral-usage.ts'
import { answerIdentity } from './openai-chunk.ts'
import { decodeOpenaiUsage } from './openai-usage.ts'
import { type EventDecoder, WireError } from './protocol.ts'

/** Reads a chat stream for a client of another protocol: its first choice. */
export function createChatEventDecoder(): EventDecoder {
  const blocks = createBlockSequence()
  /** By the index that the provider gives them. */
  const calls = new Map<unknown, { number: number; id: string }>()
  let callCount = 0
  let answerId: string | undefined
  let reason: unknown
  let usage: unknown
  let over = false

  function readCall(call: JsonObject, events: AnswerEvent[]): void {
    const called = isObject(call.function) ? call.function : {}
    const [id, name, text] = [textAt(call, 'id'), textAt(called, 'name'), argumentsOf(called)]
    // Some providers give no index, or the same one to all calls: then a new id with a name begins a new call.
    const key = call.index ?? (id === '' ? lastKey() : id)
    let known = calls.get(key)
    if (known === undefined || (name !== '' && id !== '' && known.id !== id)) {
      if (name === '') {
        if (text === '') return
        throw new WireError('a tool call has no name')
      }
      const named = id === '' ? inventedCallId(answerId ?? '', callCount) : id
      callCount += 1
      known = { number: blocks.call(named, name, events), id: named }
      calls.delete(key)
      calls.set(key, known)
    }
    blocks.arguments(known.number, text, events)
  }

  function lastKey(): unknown {
    return [...calls.keys()].at(-1)
  }

  function readChoice(choice: JsonObject, events: AnswerEvent[]): void {
    if (choice.finish_reason === 'error') throw new WireError('the answer ended in an error')
    const delta = isObject(choice.delta) ? choice.delta : {}
    const { text, reasoning } = splitContent(delta.content)
    blocks.say('reasoning', reasoningText(delta) || reasoning, events)
    blocks.say('text', text, events)
    blocks.say('refusal', textAt(delta, 'refusal'), events)
    for (const call of objectsOf(delta.tool_calls)) readCall(call, events)
    if (isObject(delta.function_call)) readCall({ index: 'function_call', function: delta.function_call }, events)
    // Some servers write an empty reason while the answer goes on.
    if (typeof choice.finish_reason === 'string' && choice.finish_reason !== '') reason = choice.finish_reason
  }

  function end(): AnswerEvent[] {
    if (over || answerId === undefined) return []
    over = true
    const events: AnswerEvent[] = []
    blocks.end(events)
    const finish = finishOfReason(reason, blocks.said())
    events.push({ type: 'finish', finish, ...reportedUsage(decodeOpenaiUsage(usage)) })
    return events
  }

  return {
    decode(data) {
      if (data.startsWith('[DONE]')) return end()
      if (over) return []
      const value = parse(data)
      if (!isAbsent(value.error)) throw new WireError('the stream says that it failed')
      if (!Array.isArray(value.choices) && !isObject(value.usage)) throw new WireError('a chunk has no choices')
      const events: AnswerEvent[] = []
      if (answerId === undefined) {
        const { id = '', model = '' } = answerIdentity(value)
        answerId = id
        events.push({ type: 'start', id, model })
      }
      if (isObject(value.usage)) usage = value.usage
      for (const choice of objectsOf(value.choices))
        if (isAbsent(choice.index) || choice.index === 0) readChoice(choice, events)
      return events
    },

    end,
  }
}

function parse(data: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch (cause) {
    throw new WireError('a chunk is no JSON', { cause })
  }
  if (!isObject(value)) throw new WireError('a chunk is no object')
  return value
}
