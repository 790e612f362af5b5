import { encodeTexts, encodeTurns } from './anthropic-encode-messages.ts'
import { planThinking, type ThinkingObstacles } from './anthropic-encode-thinking.ts'
import { type MessagesModelTraits, messagesModelTraits } from './anthropic-model-traits.ts'
import { isObject, type JsonObject } from './json-values.ts'
import { createLosses, type Lose } from './losses.ts'
import type { Loss, NeutralRequest, Tool, ToolChoice } from './neutral.ts'
import { opaqueUser } from './opaque-user.ts'
import { checkToolPairs } from './tool-pairs.ts'

export interface MessagesEncodeTarget {
  /** What stands for the caller's limit where it has none: this protocol must have one. */
  maxOutputTokens: number
  /** As the provider calls it: decides what may be asked of it. */
  model?: string
}

/** The body for a target that speaks messages, but for its model. */
export function encodeMessagesRequest(
  request: NeutralRequest,
  target: MessagesEncodeTarget,
): { body: JsonObject; losses: Loss[] } {
  const { losses, lose } = createLosses()
  const traits = messagesModelTraits(target.model ?? '')
  checkToolPairs(request.messages, lose)
  let system = encodeTexts(request.system)
  if (system.length < request.system.filter((part) => part.type !== 'text').length)
    lose('system', 'instructions are carried as text only', true)
  let turns: { role: string; content: JsonObject[] }[] = encodeTurns(request.messages, lose)
  if (turns.length === 0 && system.length > 0) {
    // Here somebody must have said something.
    turns = [{ role: 'user', content: system }]
    system = []
    lose('messages', 'instructions without a conversation are said by the user')
  }
  if (turns.length === 0) lose('messages', 'nothing is left to say', true)

  if (request.metadata !== undefined) lose('metadata', 'metadata has no counterpart')
  const { maxTokens = target.maxOutputTokens, stream, user } = request
  const plan = planThinking(request.reasoning, maxTokens, traits, findObstacles(request, turns), lose)
  const thinks = plan.thinking !== undefined && plan.thinking.type !== 'disabled'
  const format = encodeFormat(request.format, traits, lose)
  const output = {
    ...(plan.effort !== undefined && { effort: plan.effort }),
    ...(format !== undefined && { format }),
  }
  const body: JsonObject = {
    max_tokens: maxTokens,
    messages: turns,
    ...(system.length > 0 && { system: plainSystem(system) }),
    ...(stream && { stream: true }),
    ...encodeTools(request, traits, lose),
    ...(plan.thinking !== undefined && { thinking: plan.thinking }),
    ...(Object.keys(output).length > 0 && { output_config: output }),
    ...encodeSampling(request, thinks, traits, lose),
    ...encodeStop(request.stop, lose),
    ...(user !== undefined && { metadata: { user_id: opaqueUser(user) } }),
  }
  return { body, losses }
}

function plainSystem(blocks: JsonObject[]): unknown {
  const [first] = blocks
  return blocks.length === 1 && first?.cache_control === undefined ? first?.text : blocks
}

function findObstacles(request: NeutralRequest, turns: { role: string; content: JsonObject[] }[]): ThinkingObstacles {
  const { toolChoice, tools } = request
  const forced = tools.length > 0 && (toolChoice?.type === 'required' || toolChoice?.type === 'tool')
  const continued = turns.at(-1)?.role === 'assistant'
  const called = turns.findLast(({ role }) => role === 'assistant')?.content ?? []
  const answered = turns.at(-1)?.content[0]?.type === 'tool_result'
  const first = called[0]?.type
  return {
    forbidden: forced
      ? 'there is no reasoning where a tool must be called'
      : continued
        ? 'there is no reasoning in an answer that continues the last message'
        : undefined,
    unsigned: answered && first !== 'thinking' && first !== 'redacted_thinking',
  }
}

function encodeTools(request: NeutralRequest, traits: MessagesModelTraits, lose: Lose): JsonObject {
  const { tools, toolChoice, parallelToolCalls } = request
  if (tools.length === 0) return {}
  const choice = encodeToolChoice(toolChoice, parallelToolCalls)
  return {
    tools: tools.map((tool) => encodeTool(tool, traits, lose)),
    ...(choice !== undefined && { tool_choice: choice }),
  }
}

function encodeTool(tool: Tool, traits: MessagesModelTraits, lose: Lose): JsonObject {
  const { name, description, parameters, strict, cacheControl } = tool
  if (strict === true && !traits.schemas) lose('tools', 'this model is not bound to the schemas of its tools')
  return {
    name,
    ...(description !== undefined && { description }),
    input_schema: parameters.type === 'object' ? parameters : { ...parameters, type: 'object' },
    ...(strict === true && traits.schemas && { strict }),
    ...(cacheControl !== undefined && { cache_control: cacheControl }),
  }
}

function encodeToolChoice(choice: ToolChoice | undefined, parallel: boolean | undefined): JsonObject | undefined {
  if (choice?.type === 'none') return { type: 'none' }
  const alone = parallel === undefined ? {} : { disable_parallel_tool_use: !parallel }
  if (choice === undefined) return parallel === false ? { type: 'auto', ...alone } : undefined
  if (choice.type === 'tool') return { type: 'tool', name: choice.name, ...alone }
  return { type: choice.type === 'required' ? 'any' : 'auto', ...alone }
}

/** With thinking, and with newer models always, nothing but the default is taken. */
function encodeSampling(request: NeutralRequest, thinks: boolean, traits: MessagesModelTraits, lose: Lose): JsonObject {
  const { temperature, topP, topK } = request
  const fixed = traits.sampling === 'none' ? 'this model' : thinks ? 'a model that reasons' : undefined
  if (fixed !== undefined) {
    if (temperature !== undefined && temperature !== 1) lose('temperature', `${fixed} takes no temperature`)
    if (topP !== undefined && topP !== 1) lose('top_p', `${fixed} takes no top_p`)
    if (topK !== undefined) lose('top_k', `${fixed} takes no top_k`)
    return {}
  }
  if (temperature !== undefined && temperature > 1) lose('temperature', 'the temperature is lowered to 1')
  const one = traits.sampling === 'one' && temperature !== undefined && topP !== undefined
  if (one) lose('top_p', 'this model takes temperature or top_p, not both')
  return {
    ...(temperature !== undefined && { temperature: Math.min(temperature, 1) }),
    ...(topP !== undefined && !one && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
  }
}

function encodeStop(stop: string[] | undefined, lose: Lose): JsonObject {
  const sequences = stop?.filter((each) => each.trim() !== '') ?? []
  if (sequences.length < (stop?.length ?? 0)) lose('stop', 'stop sequences of white space are not carried')
  return sequences.length === 0 ? {} : { stop_sequences: sequences }
}

/**
 * Native structured output, which all models since 4.1 have. A forced tool would do for older ones, but it rules out
 * thinking and the caller's own tools, and its arguments would have to be passed off as text: there the schema is lost, and
 * the caller told.
 */
function encodeFormat(
  format: NeutralRequest['format'],
  traits: MessagesModelTraits,
  lose: Lose,
): JsonObject | undefined {
  if (format === undefined) return undefined
  if (format.type === 'json_object') {
    lose('response_format', 'that the answer is to be JSON is only told by the prompt')
    return undefined
  }
  if (!traits.schemas) {
    lose('response_format', 'this model cannot be bound to a schema', true)
    return undefined
  }
  return { type: 'json_schema', schema: closeObjects(format.schema) }
}

/**
 * Anthropic wants every object to say that it has no members but the named ones. Where a schema leaves that open, closing it
 * only narrows what the caller allows. Parts of `allOf` are left alone: each would forbid the members of the others.
 */
function closeObjects(schema: JsonObject): JsonObject {
  const closed: JsonObject = { ...schema }
  if (isObject(schema.items)) closed.items = closeObjects(schema.items)
  for (const name of ['anyOf', 'oneOf', 'prefixItems'] as const) {
    const list = schema[name]
    if (Array.isArray(list)) closed[name] = list.map((each) => (isObject(each) ? closeObjects(each) : each))
  }
  for (const name of ['properties', '$defs', 'definitions'] as const) {
    const named = schema[name]
    if (!isObject(named)) continue
    const entries = Object.entries(named).map(([key, each]) => [key, isObject(each) ? closeObjects(each) : each])
    closed[name] = Object.fromEntries(entries)
  }
  const isOpen = schema.additionalProperties === undefined && schema.allOf === undefined
  if (schema.type === 'object' && isOpen) closed.additionalProperties = false
  return closed
}
