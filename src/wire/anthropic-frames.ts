import type { Usage } from '#billing/usage.ts'
import { encodeMessagesError } from './anthropic-errors.ts'
import { encodeMessagesUsage } from './anthropic-usage.ts'
import type { JsonObject } from './json-values.ts'
import type { ErrorWords } from './protocol.ts'

/** One event of a messages stream: Anthropic's clients ignore frames whose `event` line is missing. */
export function messagesFrame(data: JsonObject & { type: string }): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`
}

/** The frame that opens an answer. What it used is a placeholder: the totals follow in `message_delta`. */
export function messageStartFrame(identity: { id: string; model: string }): string {
  return messagesFrame({
    type: 'message_start',
    message: {
      id: identity.id,
      type: 'message',
      role: 'assistant',
      model: identity.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: encodeMessagesUsage({}),
    },
  })
}

/** The frames that end an answer: of the open block, if any, and of the message. */
export function messageEndFrames(end: {
  openBlock: number | undefined
  stopReason: string
  usage: JsonObject
  more?: JsonObject
}): string {
  const { openBlock, stopReason, usage, more } = end
  const closing = openBlock === undefined ? '' : messagesFrame({ type: 'content_block_stop', index: openBlock })
  const delta = { stop_reason: stopReason, stop_sequence: null }
  return (
    closing + messagesFrame({ type: 'message_delta', delta, usage, ...more }) + messagesFrame({ type: 'message_stop' })
  )
}

/** What ends an answer of ours before its time, as if it had reached its limit. */
export function cutFrames(openBlock: number | undefined, reason: string, usage: Usage | undefined): string {
  return messageEndFrames({
    openBlock,
    stopReason: 'max_tokens',
    usage: encodeMessagesUsage(usage ?? {}),
    more: { fluxgate: { reason } },
  })
}

/** An error in a running stream. */
export function messagesErrorFrame(words: ErrorWords): string {
  const { error } = encodeMessagesError(words, null)
  return messagesFrame({ type: 'error', error })
}
