import type { AnswerOptions } from './answer-options.ts'
import { NO_USAGE } from './anthropic-encode-answer.ts'
import {
  cutFrames,
  messageEndFrames,
  messageStartFrame,
  messagesErrorFrame,
  messagesFrame,
} from './anthropic-frames.ts'
import { stopReasonOf } from './anthropic-stop-reasons.ts'
import { messagesUsageObject } from './anthropic-usage.ts'
import type { JsonObject } from './json-values.ts'
import type { AnswerEvent } from './neutral.ts'
import type { EventEncoder } from './protocol.ts'
import { type ReasoningState, sealReasoning } from './reasoning-seal.ts'
import { toolIdForMessages } from './tool-ids.ts'

type Open =
  | { block: 'text' | 'tool_call' }
  /** `shown`: whether its start has been written, for which it must be known whether there is anything to read. */
  | { block: 'reasoning'; state: ReasoningState; shown: boolean }

/** Writes a stream of messages. */
export function createMessagesEventEncoder(options: AnswerOptions): EventEncoder {
  let identity = { id: `msg_${options.id}`, model: options.request.model }
  let started = false
  let open: Open | undefined
  let index = 0

  function begin(block: JsonObject): string {
    return messagesFrame({ type: 'content_block_start', index, content_block: block })
  }

  function delta(value: JsonObject): string {
    return messagesFrame({ type: 'content_block_delta', index, delta: value })
  }

  function close(): string {
    if (open === undefined) return ''
    const ending = open.block === 'reasoning' ? endReasoning(open) : ''
    open = undefined
    const stop = messagesFrame({ type: 'content_block_stop', index })
    index += 1
    return ending + stop
  }

  /** What another protocol's model thought is signed by our seal, which tells on its way back where it belongs. */
  function endReasoning({ state, shown }: Extract<Open, { block: 'reasoning' }>): string {
    if (!shown && state.origin === 'messages' && state.encrypted !== undefined)
      return begin({ type: 'redacted_thinking', data: state.encrypted })
    const signature = state.origin === 'messages' ? state.signature : sealReasoning(state)
    const signing = signature === undefined ? '' : delta({ type: 'signature_delta', signature })
    return (shown ? '' : beginThinking()) + signing
  }

  function beginThinking(): string {
    return begin({ type: 'thinking', thinking: '', signature: '' })
  }

  function beginBlock(event: Extract<AnswerEvent, { type: 'block' }>): string {
    const closing = close()
    switch (event.block) {
      case 'text':
      case 'refusal':
        open = { block: 'text' }
        return closing + begin({ type: 'text', text: '' })
      case 'reasoning':
        open = { block: 'reasoning', state: { origin: event.origin }, shown: false }
        return closing
      case 'tool_call':
        open = { block: 'tool_call' }
        return closing + begin({ type: 'tool_use', id: toolIdForMessages(event.id), name: event.name, input: {} })
    }
  }

  function more(text: string): string {
    switch (open?.block) {
      case undefined:
        return ''
      case 'text':
        return delta({ type: 'text_delta', text })
      case 'tool_call':
        return delta({ type: 'input_json_delta', partial_json: text })
      case 'reasoning': {
        const beginning = open.shown ? '' : beginThinking()
        open.shown = true
        return beginning + delta({ type: 'thinking_delta', thinking: text })
      }
    }
  }

  return {
    encode(event) {
      switch (event.type) {
        case 'start':
          identity = { id: event.id || identity.id, model: event.model || identity.model }
          started = true
          return messageStartFrame(identity)
        case 'block':
          return beginBlock(event)
        case 'delta':
          return event.text === '' ? '' : more(event.text)
        case 'signature': {
          const { type: _, ...state } = event
          if (open?.block === 'reasoning') Object.assign(open.state, state)
          return ''
        }
        case 'finish': {
          const usage = messagesUsageObject(event.usage ?? NO_USAGE)
          return close() + messageEndFrames({ openBlock: undefined, stopReason: stopReasonOf(event.finish), usage })
        }
      }
    },

    error: messagesErrorFrame,

    cut({ reason, usage }) {
      const opening = started ? '' : messageStartFrame(identity)
      return opening + close() + cutFrames(undefined, reason, usage)
    },

    done() {
      return ''
    },
  }
}
