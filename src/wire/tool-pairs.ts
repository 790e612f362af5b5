import type { Lose } from './losses.ts'
import type { Message } from './neutral.ts'

/**
 * Providers refuse a conversation in which a tool call is not answered in the next turn of the user, or in which a result
 * answers no call. Says which one it is before anything is sent.
 */
export function checkToolPairs(messages: readonly Message[], lose: Lose): void {
  const seen = new Set<string>()
  let open = new Map<string, number>()
  let turn: Message['role'] | undefined
  for (const [index, { role, parts }] of messages.entries()) {
    if (role === 'assistant' && turn === 'user') {
      reportOpen(open, lose)
      open = new Map()
    }
    turn = role
    for (const part of parts) {
      if (part.type === 'tool_call') {
        if (seen.has(part.id)) lose(`messages[${index}]`, 'two tool calls have the same id', true)
        seen.add(part.id)
        open.set(part.id, index)
      } else if (part.type === 'tool_result' && !open.delete(part.id)) {
        lose(`messages[${index}]`, 'a tool result answers no call of the turn before it', true)
      }
    }
  }
  reportOpen(open, lose)
}

function reportOpen(open: ReadonlyMap<string, number>, lose: Lose): void {
  const [index] = open.values()
  if (index !== undefined) lose(`messages[${index}]`, 'a tool call has no result in the next turn', true)
}
