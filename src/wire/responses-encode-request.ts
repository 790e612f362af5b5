import { dataUrl } from './data-urls.ts'
import type { JsonObject } from './json-values.ts'
import { createLosses, type Lose } from './losses.ts'
import type { Loss, NeutralRequest, Part, Tool, ToolChoice } from './neutral.ts'
import { opaqueUser } from './opaque-user.ts'
import { effortOfBudget } from './reasoning-effort.ts'

/**
 * Writes a request for a target of this protocol; its `model` is the target's own and is set there. Nothing is stored
 * upstream, so reasoning is asked for in the form that can be sent back.
 */
export function encodeResponsesRequest(request: NeutralRequest): { body: JsonObject; losses: Loss[] } {
  const { losses, lose } = createLosses()
  const instructions = encodeSystem(request.system, lose)
  const body: JsonObject = {
    store: false,
    ...(request.stream && { stream: true }),
    ...(instructions !== '' && { instructions }),
    input: encodeInput(request, lose),
    ...(request.tools.length > 0 && { tools: request.tools.map(encodeTool) }),
    ...(request.toolChoice !== undefined && { tool_choice: encodeToolChoice(request.toolChoice) }),
    ...(request.parallelToolCalls !== undefined && { parallel_tool_calls: request.parallelToolCalls }),
    ...(request.maxTokens !== undefined && { max_output_tokens: request.maxTokens }),
    ...(request.temperature !== undefined && { temperature: request.temperature }),
    ...(request.topP !== undefined && { top_p: request.topP }),
    ...encodeReasoning(request.reasoning, lose),
    ...(request.format !== undefined && { text: { format: request.format } }),
    ...(request.user !== undefined && { user: opaqueUser(request.user) }),
    ...encodeMetadata(request.metadata, lose),
  }
  if (request.topK !== undefined) lose('top_k', 'top_k has no counterpart')
  if (request.stop !== undefined && request.stop.length > 0) lose('stop', 'stop sequences have no counterpart', true)
  if (marksCache(request)) lose('cache_control', 'marks of what to cache are not carried')
  return { body, losses }
}

function encodeSystem(system: readonly Part[], lose: Lose): string {
  const texts: string[] = []
  for (const [index, part] of system.entries()) {
    if (part.type === 'text') texts.push(part.text)
    else lose(`system[${index}]`, 'instructions are carried as text only', true)
  }
  return texts.join('\n\n')
}

function encodeInput(request: NeutralRequest, lose: Lose): JsonObject[] {
  const items: JsonObject[] = []
  for (const [index, { role, parts }] of request.messages.entries()) {
    let content: JsonObject[] = []
    const flush = () => {
      if (content.length > 0) items.push({ type: 'message', role, content })
      content = []
    }
    for (const [at, part] of parts.entries()) {
      const path = `messages[${index}].content[${at}]`
      const item = encodeItem(part, path, lose)
      if (item !== undefined) {
        flush()
        items.push(item)
      } else content.push(...encodePart(part, role, path, lose))
    }
    flush()
  }
  return items
}

/** Parts that stand beside the messages; the others are content of one. */
function encodeItem(part: Part, path: string, lose: Lose): JsonObject | undefined {
  switch (part.type) {
    case 'tool_call':
      return { type: 'function_call', call_id: part.id, name: part.name, arguments: part.arguments || '{}' }
    case 'tool_result': {
      if (part.isError) lose(`${path}.is_error`, 'that a tool has failed is not carried')
      const [only = { type: 'text', text: '' }, ...others] = part.content
      const output =
        others.length === 0 && only.type === 'text'
          ? only.text
          : part.content.flatMap((each, at) => encodePart(each, 'user', `${path}.content[${at}]`, lose))
      return { type: 'function_call_output', call_id: part.id, output }
    }
    case 'reasoning': {
      // Without its encrypted content the provider would look for the item in its store.
      if (part.origin !== 'responses' || part.encrypted === undefined) return undefined
      const summary = part.text === '' ? [] : [{ type: 'summary_text', text: part.text }]
      const { id, encrypted } = part
      return { type: 'reasoning', ...(id !== undefined && { id }), summary, encrypted_content: encrypted }
    }
    default:
      return undefined
  }
}

function encodePart(part: Part, role: 'user' | 'assistant', path: string, lose: Lose): JsonObject[] {
  switch (part.type) {
    case 'text':
      if (role === 'user') return [{ type: 'input_text', text: part.text }]
      return [{ type: 'output_text', text: part.text, annotations: [] }]
    case 'refusal':
      if (role === 'assistant') return [{ type: 'refusal', refusal: part.text }]
      break
    case 'image':
      if (role === 'user') return [{ type: 'input_image', image_url: part.url, detail: part.detail ?? 'auto' }]
      break
    case 'file':
      if (role === 'user') return [encodeFile(part)]
      break
    case 'reasoning':
      lose(path, 'reasoning of a model behind another protocol is not replayed')
      return []
  }
  lose(path, `${part.type} of the ${role} is not carried`, true)
  return []
}

function encodeFile({ data, url, mediaType = 'application/pdf', name }: Extract<Part, { type: 'file' }>): JsonObject {
  if (data === undefined)
    return { type: 'input_file', file_url: url ?? '', ...(name !== undefined && { filename: name }) }
  return { type: 'input_file', filename: name ?? 'document', file_data: dataUrl(mediaType, data) }
}

/** Here functions are strict unless they say otherwise; elsewhere they are not. */
function encodeTool({ name, description, parameters, strict }: Tool): JsonObject {
  return {
    type: 'function',
    name,
    ...(description !== undefined && { description }),
    parameters,
    strict: strict ?? false,
  }
}

function encodeToolChoice(choice: ToolChoice): unknown {
  return choice.type === 'tool' ? { type: 'function', name: choice.name } : choice.type
}

function encodeReasoning(reasoning: NeutralRequest['reasoning'], lose: Lose): JsonObject {
  const { budgetTokens, summary } = reasoning ?? {}
  let effort = reasoning?.effort
  if (budgetTokens !== undefined && effort === undefined) {
    effort = effortOfBudget(budgetTokens)
    lose('thinking.budget_tokens', `a budget for reasoning becomes the effort ${effort}`)
  }
  if (effort === 'none') return { reasoning: { effort } }
  if (effort === undefined && summary !== true) return {}
  return {
    reasoning: { ...(effort !== undefined && { effort }), ...(summary === true && { summary: 'auto' }) },
    // Models that do not reason refuse to be asked for this, so it is asked for with an effort or a summary only.
    include: ['reasoning.encrypted_content'],
  }
}

const METADATA_ENTRIES_MAX = 16

function encodeMetadata(metadata: JsonObject | undefined, lose: Lose): JsonObject {
  if (metadata === undefined) return {}
  const kept: JsonObject = {}
  for (const [name, value] of Object.entries(metadata)) {
    const fits = typeof value === 'string' && value.length <= 512 && name.length <= 64
    if (fits && Object.keys(kept).length < METADATA_ENTRIES_MAX) kept[name] = value
    else lose(`metadata.${name.slice(0, 64)}`, 'metadata is carried as far as it is 16 short texts')
  }
  return Object.keys(kept).length === 0 ? {} : { metadata: kept }
}

function marksCache({ system, messages, tools }: NeutralRequest): boolean {
  const marked = (each: { cacheControl?: unknown }) => each.cacheControl !== undefined
  const inPart = (part: Part): boolean =>
    marked(part as { cacheControl?: unknown }) || (part.type === 'tool_result' && part.content.some(inPart))
  return tools.some(marked) || system.some(inPart) || messages.some(({ parts }) => parts.some(inPart))
}
