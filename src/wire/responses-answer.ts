import { parseAnswerObject } from './json-values.ts'
import { answerIdentity } from './openai-chunk.ts'
import type { WholeFacts } from './protocol.ts'
import { itemText } from './responses-output.ts'

/** Reads a whole response, or what makes it a failure in spite of its status. */
export function parseWholeResponse(body: string): WholeFacts {
  const value = parseAnswerObject(body)
  if (value === undefined) return { fault: 'malformed' }
  const { error, status, output } = value
  if ((error !== undefined && error !== null) || status === 'failed' || status === 'cancelled')
    return { fault: 'error_in_200' }
  // A response that is still being made is of no use where nothing can be asked for later.
  if (!Array.isArray(output) || status === 'queued' || status === 'in_progress') return { fault: 'malformed' }
  if (output.length === 0 && status !== 'incomplete') return { fault: 'empty' }
  return { identity: answerIdentity(value), usage: value.usage, text: output.map(itemText).join('') }
}
