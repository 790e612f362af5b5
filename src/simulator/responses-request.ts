import { type Fields, isFields, isWhole, textAt } from './json-fields.ts'
import { findModel } from './models.ts'
import { isOwnSeal } from './reasoning-seal.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { parseSwitches } from './switches.ts'
import { MEDIA_TOKENS, namedTool, parseTools, type TextRequest } from './text-request.ts'
import { countTokens } from './tokens.ts'

/** A request for a response; its settings stand in the response again. */
export interface ResponsesRequest extends TextRequest {
  settings: Fields
  /** Reasoning comes back with what it can be continued with. */
  encryptedReasoning: boolean
  obfuscation: boolean
}

/** A typed request, or the refusal that OpenAI would answer with. Nothing may be stored: a gateway has to see to that. */
export function parseResponsesRequest(body: unknown): ResponsesRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest("Missing required parameter: 'model'.", 'model')
  const found = findModel(asked, 'text')
  if ('status' in found) return found
  const stored = findStored(body)
  if (stored !== undefined) return stored
  const { input, max_output_tokens: tokensMax } = body
  if (typeof input !== 'string' && !(Array.isArray(input) && input.length > 0 && input.every(isFields)))
    return badRequest("'input' must be a string or a list of items.", 'input')
  if (tokensMax !== undefined && tokensMax !== null && !isWhole(tokensMax))
    return badRequest("'max_output_tokens' must be at least 1.", 'max_output_tokens')
  const tools = parseTools(body.tools ?? [], 'name', ({ type, name, parameters }) =>
    type === 'function' ? { name, parameters } : undefined,
  )
  if ('status' in tools) return tools
  const toolChoice = parseToolChoice(body.tool_choice, tools)
  if (typeof toolChoice === 'object' && 'status' in toolChoice) return toolChoice
  const parsed = parseSwitches(body.sim)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)

  const items: readonly Fields[] = typeof input === 'string' ? [{ role: 'user', content: input }] : input
  const streamOptions = body.stream_options
  const reasoning = isFields(body.reasoning) ? body.reasoning : {}
  const sim = parsed.switches
  return {
    model: found.model,
    modelAsked: asked,
    stream: body.stream === true,
    includeUsage: true,
    hasStreamOptions: streamOptions !== undefined && streamOptions !== null,
    tokensMax: isWhole(tokensMax) ? tokensMax : null,
    choices: 1,
    stops: [],
    tools,
    toolChoice,
    parallelToolCalls: body.parallel_tool_calls !== false,
    jsonSchema: parseFormat(body.text),
    reasons: found.model === 'reasoner' && reasoning.effort !== 'none',
    showReasoning: sim.show_reasoning ?? typeof reasoning.summary === 'string',
    promptTokens: countPrompt(body, items),
    userText: lastUserText(items),
    lastRole: lastRole(items),
    foreignReasoning: items.some(({ type, encrypted_content: sealed }) => type === 'reasoning' && !isOwnSeal(sealed))
      ? 'The encrypted content for a reasoning item could not be verified.'
      : undefined,
    settings: body,
    encryptedReasoning: Array.isArray(body.include) && body.include.includes('reasoning.encrypted_content'),
    obfuscation: !isFields(streamOptions) || streamOptions.include_obfuscation !== false,
    sim,
  }
}

/** OpenAI keeps every response that does not forbid it, and can continue it: both would lead around a gateway's books. */
function findStored(body: Fields): Refusal | undefined {
  if (body.store !== false) return badRequest("'store' must be false: the simulator keeps nothing.", 'store')
  for (const name of ['previous_response_id', 'conversation', 'prompt']) {
    const value = body[name]
    if (value !== undefined && value !== null)
      return badRequest(`'${name}' names something stored, and the simulator keeps nothing.`, name)
  }
  return undefined
}

function parseToolChoice(value: unknown, tools: readonly { name: string }[]): TextRequest['toolChoice'] | Refusal {
  if (value === undefined || value === null) return 'auto'
  if (value === 'auto' || value === 'none' || value === 'required') return value
  return namedTool(isFields(value) && value.type === 'function' ? value.name : undefined, tools)
}

function parseFormat(text: unknown): unknown {
  const format = isFields(text) ? text.format : undefined
  if (!isFields(format)) return undefined
  if (format.type === 'json_object') return {}
  return format.type === 'json_schema' ? (format.schema ?? {}) : undefined
}

function countPrompt(body: Fields, items: readonly Fields[]): number {
  let tokens = countTokens(textAt(body, 'instructions'))
  for (const item of items) {
    tokens += countContent(item.content) + countContent(item.output) + countTokens(textAt(item, 'arguments'))
  }
  if (Array.isArray(body.tools) && body.tools.length > 0) tokens += countTokens(JSON.stringify(body.tools))
  return Math.max(tokens, 1)
}

function countContent(content: unknown): number {
  if (typeof content === 'string') return countTokens(content)
  let tokens = 0
  for (const part of Array.isArray(content) ? content : [])
    tokens += isFields(part) && typeof part.text === 'string' ? countTokens(part.text) : MEDIA_TOKENS
  return tokens
}

function lastUserText(items: readonly Fields[]): string {
  const content = items.findLast(({ role }) => role === 'user')?.content
  if (typeof content === 'string') return content
  return (Array.isArray(content) ? content : []).map((part) => (isFields(part) ? textAt(part, 'text') : '')).join('')
}

function lastRole(items: readonly Fields[]): string {
  const last = items.at(-1) ?? {}
  return textAt(last, 'type').endsWith('_output') ? 'tool' : textAt(last, 'role')
}
