import type { AnswerOptions } from './answer-options.ts'
import { finishReasonOf } from './chat-finish-reasons.ts'
import { encodeReasoningDetails } from './chat-reasoning.ts'
import { chatUsageObject } from './chat-usage.ts'
import type { JsonObject } from './json-values.ts'
import type { AnswerEvent } from './neutral.ts'
import { createChatFormat } from './openai-format.ts'
import type { EventEncoder } from './protocol.ts'
import type { ReasoningState } from './reasoning-seal.ts'

type Open =
  | { block: 'text' | 'refusal' }
  | { block: 'reasoning'; state: ReasoningState; text: string }
  | { block: 'tool_call'; index: number; empty: boolean }

/** Writes a stream of chat completions. `includeUsage`: whether the client asked for the usage chunk. */
export function createChatEventEncoder(options: AnswerOptions & { includeUsage: boolean }): EventEncoder {
  const { includeUsage, created } = options
  const own = createChatFormat({ includeUsage })
  let id = `chatcmpl-${options.id}`
  let { model } = options.request
  let open: Open | undefined
  let calls = 0
  let refused = false
  let details = 0

  function chunk(rest: JsonObject): string {
    const usage = includeUsage ? { usage: null } : {}
    return `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model, ...usage, ...rest })}\n\n`
  }

  function say(delta: JsonObject, finish: string | null = null, rest: JsonObject = {}): string {
    return chunk({ choices: [{ index: 0, delta, finish_reason: finish }], ...rest })
  }

  /** What is still to be said of the open block. */
  function close(): string {
    const block = open
    open = undefined
    if (block?.block === 'tool_call' && block.empty) return sayArguments(block.index, '{}')
    if (block?.block !== 'reasoning') return ''
    const encoded = encodeReasoningDetails({ ...block.state, text: block.text }, details)
    if (encoded.length === 0) return ''
    details += 1
    return say({ reasoning_details: encoded })
  }

  function sayArguments(index: number, text: string): string {
    return say({ tool_calls: [{ index, function: { arguments: text } }] })
  }

  function begin(event: Extract<AnswerEvent, { type: 'block' }>): string {
    const closing = close()
    if (event.block === 'reasoning') open = { block: 'reasoning', state: { origin: event.origin }, text: '' }
    else if (event.block !== 'tool_call') {
      open = { block: event.block }
      refused ||= event.block === 'refusal'
    } else {
      const index = calls
      calls += 1
      open = { block: 'tool_call', index, empty: true }
      const called = { name: event.name, arguments: '' }
      return closing + say({ tool_calls: [{ index, id: event.id, type: 'function', function: called }] })
    }
    return closing
  }

  function more(text: string): string {
    switch (open?.block) {
      case undefined:
        return ''
      case 'text':
        return say({ content: text })
      case 'refusal':
        return say({ refusal: text })
      case 'reasoning':
        // Kept only where it must come back together with what proves it.
        if (open.state.origin !== 'chat') open.text += text
        return say({ reasoning_content: text })
      case 'tool_call':
        if (text.trim() !== '') open.empty = false
        return sayArguments(open.index, text)
    }
  }

  return {
    encode(event) {
      switch (event.type) {
        case 'start':
          id = event.id || id
          model = event.model || model
          return say({ role: 'assistant', content: '' })
        case 'block':
          return begin(event)
        case 'delta':
          return event.text === '' ? '' : more(event.text)
        case 'signature': {
          const { type: _, ...state } = event
          if (open?.block === 'reasoning') Object.assign(open.state, state)
          return ''
        }
        case 'finish': {
          const closing = close()
          const reason = finishReasonOf(event.finish, { refusal: refused })
          const paused = event.finish === 'pause' ? { fluxgate: { reason: 'pause_turn' } } : {}
          const last = closing + say({}, reason, paused)
          if (!includeUsage || event.usage === undefined) return last
          return last + chunk({ choices: [], usage: chatUsageObject(event.usage) })
        }
      }
    },

    error: own.error,

    cut(end) {
      return own.cut({ ...end, created, choices: 1, fallback: { id, model } })
    },

    done: own.done,
  }
}
