import { finishOfStopReason } from './anthropic-stop-reasons.ts'
import { decodeMessagesUsage, mergeMessagesUsage } from './anthropic-usage.ts'
import { isAbsent, isObject, type JsonObject, textAt } from './json-values.ts'
import type { AnswerEvent } from './neutral.ts'
import { reportedUsage } from './neutral-usage.ts'
import { answerIdentity } from './openai-chunk.ts'
import { type EventDecoder, WireError } from './protocol.ts'
import { openReasoning } from './reasoning-seal.ts'
import { toolIdFromMessages } from './tool-ids.ts'

/** A block that is open; `input`: a call's whole arguments, where they stand in its start. */
interface Open {
  index: unknown
  /** Undefined for blocks of the provider's own tools, which are left out. */
  block: 'text' | 'reasoning' | 'tool_call' | undefined
  input: string
}

/** Reads a messages stream for a client of another protocol. */
export function createMessagesEventDecoder(): EventDecoder {
  let started = false
  let open: Open | undefined
  let usage: unknown
  let reason: unknown
  let over = false

  function begin(event: JsonObject): AnswerEvent[] {
    if (open !== undefined) throw new WireError('a block begins inside of another')
    const block = isObject(event.content_block) ? event.content_block : {}
    open = { index: event.index, block: undefined, input: '' }
    switch (block.type) {
      case 'text':
        open.block = 'text'
        return [{ type: 'block', block: 'text' }, ...textDelta(textAt(block, 'text'))]
      case 'thinking':
        open.block = 'reasoning'
        return [
          { type: 'block', block: 'reasoning', origin: 'messages' },
          ...textDelta(textAt(block, 'thinking')),
          ...signature(textAt(block, 'signature')),
        ]
      case 'redacted_thinking':
        open.block = 'reasoning'
        return [
          { type: 'block', block: 'reasoning', origin: 'messages' },
          { type: 'signature', encrypted: textAt(block, 'data') },
        ]
      case 'tool_use': {
        const name = textAt(block, 'name')
        if (name === '') throw new WireError('a tool call has no name')
        open.block = 'tool_call'
        // Some servers give the arguments at once.
        const { input } = block
        if (isObject(input) && Object.keys(input).length > 0) open.input = JSON.stringify(input)
        return [{ type: 'block', block: 'tool_call', id: toolIdFromMessages(textAt(block, 'id')), name }]
      }
    }
    return []
  }

  function more(event: JsonObject): AnswerEvent[] {
    if (open === undefined || open.index !== event.index) throw new WireError('a delta belongs to no open block')
    const delta = isObject(event.delta) ? event.delta : {}
    const text = deltaText(open.block, delta)
    if (text !== '' && open.block === 'tool_call') open.input = ''
    if (delta.type === 'signature_delta' && open.block === 'reasoning') return signature(textAt(delta, 'signature'))
    return textDelta(text)
  }

  function close(event: JsonObject): AnswerEvent[] {
    if (open === undefined || open.index !== event.index) throw new WireError('a block ends that is not open')
    const { input } = open
    open = undefined
    return textDelta(input)
  }

  function finish(): AnswerEvent[] {
    if (over || !started) return []
    over = true
    return [{ type: 'finish', finish: finishOfStopReason(reason), ...reportedUsage(decodeMessagesUsage(usage)) }]
  }

  return {
    decode(data) {
      if (over || data.startsWith('[DONE]')) return []
      const event = parse(data)
      if (event.type === 'error' || !isAbsent(event.error)) throw new WireError('the stream says that it failed')
      if (event.type === 'message_start') {
        if (started) throw new WireError('a message begins twice')
        started = true
        const message = isObject(event.message) ? event.message : {}
        usage = message.usage
        const { id = '', model = '' } = answerIdentity(message)
        return [{ type: 'start', id, model }]
      }
      if (!started && event.type !== 'ping') throw new WireError('a message has not begun')
      switch (event.type) {
        case 'content_block_start':
          return begin(event)
        case 'content_block_delta':
          return more(event)
        case 'content_block_stop':
          return close(event)
        case 'message_delta':
          usage = mergeMessagesUsage(usage, event.usage)
          if (isObject(event.delta) && !isAbsent(event.delta.stop_reason)) reason = event.delta.stop_reason
          return []
        case 'message_stop':
          return finish()
      }
      if (typeof event.type !== 'string') throw new WireError('an event has no type')
      return []
    },

    end: finish,
  }
}

function textDelta(text: string): AnswerEvent[] {
  return text === '' ? [] : [{ type: 'delta', text }]
}

function signature(text: string): AnswerEvent[] {
  return text === '' || openReasoning(text) !== undefined ? [] : [{ type: 'signature', signature: text }]
}

/** The text of a delta, where it is of the kind that its block has. */
function deltaText(block: Open['block'], delta: JsonObject): string {
  if (block === 'text' && delta.type === 'text_delta') return textAt(delta, 'text')
  if (block === 'reasoning' && delta.type === 'thinking_delta') return textAt(delta, 'thinking')
  return block === 'tool_call' && delta.type === 'input_json_delta' ? textAt(delta, 'partial_json') : ''
}

function parse(data: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch (cause) {
    throw new WireError('an event is no JSON', { cause })
  }
  if (!isObject(value)) throw new WireError('an event is no object')
  return value
}
