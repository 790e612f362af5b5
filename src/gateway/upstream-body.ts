import { withMembers } from '#lib/json-members.ts'
import type { Call } from './call.ts'
import { answerLimit } from './hold-plan.ts'
import type { Target } from './routes.ts'

/**
 * The request as this target gets it: the client's own text with as few members changed as possible. Usage is always asked
 * for, whether the client wants to see it or not: it is what the call is charged by.
 */
export function upstreamBody(call: Call, target: Target): string {
  const { chat } = call
  const changes: Record<string, string> = { model: JSON.stringify(target.priced.model) }
  if (chat.stream && target.streamOptions && !chat.includeUsage)
    changes.stream_options = JSON.stringify({ ...chat.streamOptions, include_usage: true })
  const limit = answerLimit(chat, call.plan, target, call.held)
  if (limit !== undefined) {
    const names = chat.maxTokensMembers.length > 0 ? chat.maxTokensMembers : [target.maxTokensMember]
    for (const name of names) changes[name] = String(limit)
  }
  return withMembers(chat.text, chat.members, changes)
}
