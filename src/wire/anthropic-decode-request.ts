import { decodeBlocks } from './anthropic-decode-blocks.ts'
import { asNumber, asText, isAbsent, isObject, type JsonObject, nameOf, textAt } from './json-values.ts'
import { createLosses, type Lose } from './losses.ts'
import {
  efforts,
  type Loss,
  type Message,
  type NeutralRequest,
  type Part,
  type Tool,
  type ToolChoice,
} from './neutral.ts'

/** Reads a messages request for a target that speaks another protocol. Never throws: what it cannot read is lost. */
export function decodeMessagesRequest(body: JsonObject): { request: NeutralRequest; losses: Loss[] } {
  const { losses, lose } = createLosses()
  const [maxTokens, temperature] = [asNumber(body.max_tokens), asNumber(body.temperature)]
  const [topP, topK] = [asNumber(body.top_p), asNumber(body.top_k)]
  const user = isObject(body.metadata) ? asText(body.metadata.user_id) : undefined
  const stop = (Array.isArray(body.stop_sequences) ? body.stop_sequences : []).filter(isFilled)
  const request: NeutralRequest = {
    stream: body.stream === true,
    ...decodeMessages(body, lose),
    tools: decodeTools(body.tools, lose),
    ...decodeToolChoice(body.tool_choice, lose),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(stop.length > 0 && { stop }),
    ...decodeReasoning(body, lose),
    ...decodeFormat(body, lose),
    ...(isFilled(user) && { user }),
  }
  // Elsewhere no tokens may mean as many as there are.
  if (maxTokens === 0) lose('max_tokens', 'a cache is warmed by this protocol alone', true)
  for (const [name, value] of Object.entries(body))
    if (!carried.has(name) && !idle.has(value) && asksSomething(value))
      lose(nameOf(name), `${nameOf(name)} has no counterpart`, essential.has(name))
  return { request, losses }
}

/** Members that are carried, or that say nothing to another protocol. */
const carried = new Set([
  ...['model', 'messages', 'system', 'stream', 'max_tokens', 'temperature', 'top_p', 'top_k', 'stop_sequences'],
  ...['tools', 'tool_choice', 'thinking', 'output_config', 'output_format', 'metadata'],
])
const essential = new Set(['mcp_servers', 'container', 'compaction', 'thread'])
/** What choosing nothing is called: by `service_tier`, `speed`, `inference_geo`. */
const idle = new Set<unknown>(['auto', 'standard_only', 'standard', 'global'])

function decodeMessages(body: JsonObject, lose: Lose): { system: Part[]; messages: Message[] } {
  const system = decodeBlocks(body.system, 'system', lose)
  const messages: Message[] = []
  for (const [index, message] of (Array.isArray(body.messages) ? body.messages : []).entries()) {
    const path = `messages[${index}]`
    if (!isObject(message)) {
      lose(path, 'is no message', true)
      continue
    }
    const parts = decodeBlocks(message.content, `${path}.content`, lose)
    if (message.role === 'user' || message.role === 'assistant') messages.push({ role: message.role, parts })
    else if (message.role === 'system') {
      if (messages.length > 0) lose(path, 'instructions inside the conversation move to its beginning')
      system.push(...parts)
    } else lose(`${path}.role`, 'messages of this role are not carried', true)
  }
  return { system, messages }
}

function decodeTools(tools: unknown, lose: Lose): Tool[] {
  const decoded: Tool[] = []
  for (const [index, tool] of (Array.isArray(tools) ? tools : []).entries()) {
    if (!isObject(tool) || (!isAbsent(tool.type) && tool.type !== 'custom') || !isFilled(tool.name)) {
      lose(`tools[${index}]`, 'tools that only Claude knows are not carried', true)
      continue
    }
    for (const member of ['input_examples', 'defer_loading', 'allowed_callers'])
      if (asksSomething(tool[member])) lose(`tools[${index}].${member}`, `${member} of a tool is not carried`)
    const description = asText(tool.description)
    decoded.push({
      name: tool.name,
      ...(description !== undefined && { description }),
      parameters: isObject(tool.input_schema) ? tool.input_schema : { type: 'object', properties: {} },
      ...(typeof tool.strict === 'boolean' && { strict: tool.strict }),
      ...(!isAbsent(tool.cache_control) && { cacheControl: tool.cache_control }),
    })
  }
  return decoded
}

function decodeToolChoice(choice: unknown, lose: Lose): Pick<NeutralRequest, 'toolChoice' | 'parallelToolCalls'> {
  if (!isObject(choice)) return {}
  const { disable_parallel_tool_use: alone } = choice
  const parallel = typeof alone === 'boolean' ? { parallelToolCalls: !alone } : {}
  const toolChoice = toolChoiceOf(choice)
  if (toolChoice === undefined) lose('tool_choice', 'this choice of tools is not carried', true)
  return { ...(toolChoice !== undefined && { toolChoice }), ...parallel }
}

function toolChoiceOf(choice: JsonObject): ToolChoice | undefined {
  switch (choice.type) {
    case 'auto':
    case 'none':
      return { type: choice.type }
    case 'any':
      return { type: 'required' }
    case 'tool':
      return { type: 'tool', name: textAt(choice, 'name') }
  }
  return undefined
}

function decodeReasoning({ thinking, output_config }: JsonObject, lose: Lose): Pick<NeutralRequest, 'reasoning'> {
  const { effort: named, format: _, ...rest } = isObject(output_config) ? output_config : {}
  const asked = efforts.find((each) => each === named)
  if (asked === undefined && !isAbsent(named)) lose('output_config.effort', 'this effort is not carried')
  for (const [name, value] of Object.entries(rest))
    if (asksSomething(value)) lose(`output_config.${nameOf(name)}`, `output_config.${nameOf(name)} has no counterpart`)
  if (!isObject(thinking)) return asked === undefined ? {} : { reasoning: { effort: asked } }
  if (thinking.type === 'disabled') return { reasoning: { effort: 'none' } }
  const budgetTokens = thinking.type === 'enabled' ? asNumber(thinking.budget_tokens) : undefined
  return {
    reasoning: {
      ...(asked !== undefined && { effort: asked }),
      ...(budgetTokens !== undefined && { budgetTokens }),
      ...(thinking.display === 'summarized' && { summary: true }),
    },
  }
}

/** The schema has no name here, and is always kept to. `output_format` is what it was called in its beta. */
function decodeFormat({ output_config, output_format }: JsonObject, lose: Lose): Pick<NeutralRequest, 'format'> {
  const format = (isObject(output_config) ? output_config.format : undefined) ?? output_format
  if (isAbsent(format)) return {}
  if (isObject(format) && format.type === 'json_schema' && isObject(format.schema))
    return { format: { type: 'json_schema', name: 'answer', schema: format.schema, strict: true } }
  lose('output_config.format', 'this format is not carried', true)
  return {}
}

function asksSomething(value: unknown): boolean {
  return !isAbsent(value) && value !== false && !(Array.isArray(value) && value.length === 0)
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
