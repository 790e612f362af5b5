import { decodeBlocks } from './anthropic-decode-blocks.ts'
import { finishOfStopReason } from './anthropic-stop-reasons.ts'
import { decodeMessagesUsage } from './anthropic-usage.ts'
import { isAbsent, isObject } from './json-values.ts'
import type { NeutralAnswer } from './neutral.ts'
import { reportedUsage } from './neutral-usage.ts'
import { answerIdentity } from './openai-chunk.ts'
import { WireError } from './protocol.ts'

/**
 * Reads a whole message for a client of another protocol. Blocks of the provider's own tools are left out: requests that
 * ask for those are refused. Throws WireError.
 */
export function decodeMessagesAnswer(body: unknown): NeutralAnswer {
  if (!isObject(body)) throw new WireError('the answer is no object')
  if (body.type === 'error' || !isAbsent(body.error)) throw new WireError('the answer is an error')
  if (!Array.isArray(body.content)) throw new WireError('the answer has no content')
  const { id = '', model = '' } = answerIdentity(body)
  const parts = decodeBlocks(body.content, 'content', () => undefined)
  if (parts.some((part) => part.type === 'tool_call' && part.name === ''))
    throw new WireError('a tool call has no name')
  return {
    id,
    model,
    parts: parts.filter((part) => part.type !== 'text' || part.text !== ''),
    finish: finishOfStopReason(body.stop_reason),
    ...reportedUsage(decodeMessagesUsage(body.usage)),
  }
}
