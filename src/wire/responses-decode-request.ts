import { asNumber, asText, isAbsent, isObject, type JsonObject, nameOf, textAt } from './json-values.ts'
import { createLosses, type Lose } from './losses.ts'
import type { Effort, Loss, Message, NeutralRequest, Part, Tool, ToolChoice } from './neutral.ts'
import { decodeContent, decodeReasoning } from './responses-decode-part.ts'

export interface DecodedRequest {
  request: NeutralRequest
  losses: Loss[]
}

/** Whether a body that was sent to chat is one of this protocol, as Cursor sends them. */
export function looksLikeResponses(body: JsonObject): boolean {
  return body.messages === undefined && (typeof body.input === 'string' || Array.isArray(body.input))
}

/** Members that are carried, or that say nothing to another protocol. */
const known = new Set([
  ...['model', 'input', 'instructions', 'stream', 'stream_options', 'tools', 'tool_choice', 'parallel_tool_calls'],
  ...['max_output_tokens', 'temperature', 'top_p', 'reasoning', 'text', 'user', 'safety_identifier', 'metadata'],
  // What our answers say anyway: nothing is stored, and reasoning is always sent along with its seal.
  ...['store', 'background', 'include'],
])

/** What other members are where they are not sent. */
const idle: ReadonlyMap<string, readonly unknown[]> = new Map([
  ['truncation', ['disabled']],
  ['service_tier', ['auto', 'default']],
])

/** Reads a request of this protocol for a target that speaks another one. Never throws: what it cannot read is lost. */
export function decodeResponsesRequest(body: JsonObject): DecodedRequest {
  const { losses, lose } = createLosses()
  const { system, messages } = decodeInput(body, lose)
  const request: NeutralRequest = {
    stream: body.stream === true,
    system,
    messages,
    tools: decodeTools(body.tools, 'tools', lose),
    ...decodeToolChoice(body.tool_choice, lose),
    ...(typeof body.parallel_tool_calls === 'boolean' && { parallelToolCalls: body.parallel_tool_calls }),
    ...defined('maxTokens', asNumber(body.max_output_tokens)),
    ...defined('temperature', asNumber(body.temperature)),
    ...defined('topP', asNumber(body.top_p)),
    ...decodeEffort(body.reasoning, lose),
    ...decodeFormat(body.text, lose),
    ...defined('user', asText(body.user) ?? asText(body.safety_identifier)),
    ...(isObject(body.metadata) && Object.keys(body.metadata).length > 0 && { metadata: body.metadata }),
  }
  for (const [name, value] of Object.entries(body))
    if (!known.has(name) && !isAbsent(value) && !idle.get(name)?.includes(value))
      lose(nameOf(name), `${nameOf(name)} has no counterpart`)
  for (const each of Array.isArray(body.include) ? body.include : [])
    if (each !== 'reasoning.encrypted_content') lose('include', `${nameOf(each)} has no counterpart`)
  return { request, losses }
}

function decodeInput(body: JsonObject, lose: Lose): { system: Part[]; messages: Message[] } {
  const system: Part[] = []
  const messages: Message[] = []
  if (typeof body.instructions === 'string' && body.instructions !== '')
    system.push({ type: 'text', text: body.instructions })
  else if (!isAbsent(body.instructions) && typeof body.instructions !== 'string')
    lose('instructions', 'instructions are carried as text only', true)
  if (typeof body.input === 'string') {
    messages.push({ role: 'user', parts: [{ type: 'text', text: body.input }] })
    return { system, messages }
  }
  if (!Array.isArray(body.input)) lose('input', 'is no list of items', true)

  /** What the model says in one turn is one message, and so are the results of its calls. */
  function say(role: Message['role'], parts: Part[]): void {
    if (parts.length === 0) return
    const last = messages.at(-1)
    const results = (each: Part) => each.type === 'tool_result'
    const joins = role === 'assistant' || (parts.every(results) && last?.parts.every(results))
    if (last?.role === role && joins) last.parts.push(...parts)
    else messages.push({ role, parts })
  }

  for (const [index, item] of (Array.isArray(body.input) ? body.input : []).entries()) {
    const path = `input[${index}]`
    if (!isObject(item)) {
      lose(path, 'is no item', true)
      continue
    }
    switch (item.type ?? 'message') {
      case 'message': {
        const parts = decodeContent(item.content, `${path}.content`, lose)
        if (!isAbsent(item.phase)) lose(`${path}.phase`, 'phases of a message are not carried')
        if (item.role === 'user' || item.role === 'assistant') say(item.role, parts)
        else if (item.role === 'system' || item.role === 'developer') {
          if (messages.length > 0) lose(path, 'instructions inside the conversation move to its beginning')
          system.push(...parts)
        } else lose(`${path}.role`, 'messages of this role are not carried', true)
        break
      }
      case 'reasoning':
        say('assistant', decodeReasoning(item))
        break
      case 'function_call': {
        if (!isAbsent(item.namespace)) lose(`${path}.namespace`, 'namespaces of tools are not carried', true)
        const { call_id: id, name } = item
        if (typeof id !== 'string' || typeof name !== 'string') lose(path, 'is no tool call', true)
        else say('assistant', [{ type: 'tool_call', id, name, arguments: textAt(item, 'arguments') }])
        break
      }
      case 'function_call_output': {
        const id = asText(item.call_id)
        if (id === undefined) lose(path, 'is the result of no tool call', true)
        else {
          const content = decodeContent(item.output, `${path}.output`, lose)
          say('user', [{ type: 'tool_result', id, content, isError: false }])
        }
        break
      }
      default:
        lose(path, `items of type ${nameOf(item.type)} are not carried`, true)
    }
  }
  return { system, messages }
}

function decodeTools(tools: unknown, path: string, lose: Lose): Tool[] {
  const decoded: Tool[] = []
  for (const [index, tool] of (Array.isArray(tools) ? tools : []).entries()) {
    const at = `${path}[${index}]`
    const name = isObject(tool) && tool.type === 'function' ? asText(tool.name) : undefined
    if (!isObject(tool) || name === undefined) {
      const type = isObject(tool) ? `tools of type ${nameOf(tool.type)} are not carried` : 'is no tool'
      lose(at, type, true)
      continue
    }
    for (const member of ['defer_loading', 'allowed_callers', 'output_schema'])
      if (!isAbsent(tool[member])) lose(`${at}.${member}`, `${member} of a tool is not carried`)
    decoded.push({
      name,
      ...defined('description', asText(tool.description)),
      parameters: isObject(tool.parameters) ? tool.parameters : { type: 'object', properties: {} },
      ...(typeof tool.strict === 'boolean' && { strict: tool.strict }),
    })
  }
  return decoded
}

function decodeToolChoice(choice: unknown, lose: Lose): { toolChoice?: ToolChoice } {
  if (isAbsent(choice)) return {}
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { toolChoice: { type: choice } }
  const name = isObject(choice) && choice.type === 'function' ? asText(choice.name) : undefined
  if (name !== undefined) return { toolChoice: { type: 'tool', name } }
  lose('tool_choice', 'this choice of tools is not carried', true)
  return {}
}

const efforts: ReadonlySet<unknown> = new Set<Effort>(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])

function decodeEffort(value: unknown, lose: Lose): Pick<NeutralRequest, 'reasoning'> {
  if (!isObject(value)) return {}
  const { effort, summary, generate_summary, ...rest } = value
  if (!isAbsent(effort) && !efforts.has(effort)) lose('reasoning.effort', 'this effort is not carried')
  for (const [name, each] of Object.entries(rest))
    if (!isAbsent(each)) lose(`reasoning.${nameOf(name)}`, `reasoning.${nameOf(name)} has no counterpart`)
  const reasoning = {
    ...(efforts.has(effort) && { effort: effort as Effort }),
    ...(!isAbsent(summary ?? generate_summary) && { summary: true }),
  }
  return Object.keys(reasoning).length === 0 ? {} : { reasoning }
}

function decodeFormat(value: unknown, lose: Lose): Pick<NeutralRequest, 'format'> {
  if (!isObject(value)) return {}
  for (const [name, each] of Object.entries(value))
    if (name !== 'format' && !isAbsent(each)) lose(`text.${nameOf(name)}`, `text.${nameOf(name)} has no counterpart`)
  const { format } = value
  if (isAbsent(format) || (isObject(format) && format.type === 'text')) return {}
  if (isObject(format) && format.type === 'json_object') return { format: { type: 'json_object' } }
  const { type, name, schema, strict, description } = isObject(format) ? format : {}
  if (type !== 'json_schema' || !isObject(schema)) {
    lose('text.format', 'this format is not carried', true)
    return {}
  }
  if (!isAbsent(description)) lose('text.format.description', 'the description of a format is not carried')
  const named = asText(name) ?? 'answer'
  return { format: { type, name: named, schema, ...(typeof strict === 'boolean' && { strict }) } }
}

function defined<Name extends string, Value>(name: Name, value: Value | undefined): { [Key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [Key in Name]?: Value })
}
