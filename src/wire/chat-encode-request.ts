import { CACHE_LOST, encodeChatMessages } from './chat-encode-messages.ts'
import type { JsonObject } from './json-values.ts'
import { createLosses, type Lose } from './losses.ts'
import type { Effort, Loss, NeutralRequest, Tool, ToolChoice } from './neutral.ts'
import { opaqueUser } from './opaque-user.ts'
import { effortOfBudget } from './reasoning-effort.ts'
import { checkToolPairs } from './tool-pairs.ts'

export interface ChatEncodeTarget {
  /** What this provider calls the limit on the answer. */
  maxTokensMember: 'max_completion_tokens' | 'max_tokens'
  /** Whether usage may be asked for in a stream. */
  streamOptions: boolean
  cacheControl?: boolean
  /** The efforts that the model knows, where that is known; none for one that does not reason. */
  efforts?: readonly Effort[]
}

const STOPS_MAX = 4

/** The body for a target that speaks chat, but for its model. */
export function encodeChatRequest(
  request: NeutralRequest,
  target: ChatEncodeTarget,
): { body: JsonObject; losses: Loss[] } {
  const { losses, lose } = createLosses()
  checkToolPairs(request.messages, lose)
  const messages = encodeChatMessages(request, { cacheControl: target.cacheControl === true }, lose)
  if (messages.length === 0) lose('messages', 'nothing is left to say', true)
  const { tools, toolChoice, maxTokens, temperature, topP, user } = request
  if (target.cacheControl !== true && tools.some(({ cacheControl }) => cacheControl !== undefined))
    lose('tools', CACHE_LOST)
  if (request.topK !== undefined) lose('top_k', 'top_k has no counterpart')
  if (request.metadata !== undefined) lose('metadata', 'metadata has no counterpart')
  const body: JsonObject = {
    messages,
    ...(request.stream && { stream: true }),
    ...(request.stream && target.streamOptions && { stream_options: { include_usage: true } }),
    ...(maxTokens !== undefined && { [target.maxTokensMember]: maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...encodeStop(request.stop, lose),
    ...(tools.length > 0 && { tools: tools.map(encodeTool) }),
    ...(tools.length > 0 && toolChoice !== undefined && { tool_choice: encodeToolChoice(toolChoice) }),
    ...(tools.length > 0 &&
      request.parallelToolCalls !== undefined && { parallel_tool_calls: request.parallelToolCalls }),
    ...encodeEffort(request.reasoning, target.efforts, lose),
    ...encodeFormat(request.format),
    ...(user !== undefined && { user: opaqueUser(user) }),
  }
  return { body, losses }
}

function encodeEffort(
  reasoning: NeutralRequest['reasoning'],
  known: readonly Effort[] | undefined,
  lose: Lose,
): JsonObject {
  const { effort, budgetTokens } = reasoning ?? {}
  const asked = effort ?? (budgetTokens === undefined ? undefined : effortOfBudget(budgetTokens))
  if (asked === undefined) return {}
  // Not all models can be told not to reason, and those that cannot refuse the word.
  const taken = known === undefined ? asked !== 'none' : known.includes(asked)
  if (taken && effort === undefined)
    lose('thinking.budget_tokens', `a budget for reasoning becomes the effort ${asked}`)
  if (taken) return { reasoning_effort: asked }
  if (known?.length !== 0 || asked !== 'none')
    lose('reasoning_effort', `the model is not asked for the effort ${asked}: it may not know it`)
  return {}
}

function encodeStop(stop: string[] | undefined, lose: Lose): JsonObject {
  if (stop === undefined) return {}
  if (stop.length > STOPS_MAX) lose('stop', `only the first ${STOPS_MAX} stop sequences are carried`)
  return { stop: stop.slice(0, STOPS_MAX) }
}

function encodeTool({ name, description, parameters, strict }: Tool): JsonObject {
  return {
    type: 'function',
    function: {
      name,
      ...(description !== undefined && { description }),
      parameters,
      ...(strict !== undefined && { strict }),
    },
  }
}

function encodeToolChoice(choice: ToolChoice): unknown {
  return choice.type === 'tool' ? { type: 'function', function: { name: choice.name } } : choice.type
}

function encodeFormat(format: NeutralRequest['format']): JsonObject {
  if (format === undefined) return {}
  if (format.type === 'json_object') return { response_format: { type: 'json_object' } }
  const { name, schema, strict } = format
  return {
    response_format: {
      type: 'json_schema',
      json_schema: { name, schema, ...(strict !== undefined && { strict }) },
    },
  }
}
