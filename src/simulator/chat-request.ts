import { badRequest, type Refusal, refuse } from './refusal.ts'
import { parseSwitches, type Switches } from './switches.ts'
import { countTokens } from './tokens.ts'

export const modelNames = ['echo', 'large', 'reasoner', 'free'] as const
type ModelName = (typeof modelNames)[number]

const CHOICES_MAX = 8
const TOOLS_MAX = 128
/** What a picture or a sound in a message costs, in tokens. */
const MEDIA_TOKENS = 85

/** The fields of a chat completion request that the simulator obeys. Every other field is accepted and ignored. */
export interface ChatRequest {
  model: ModelName
  /** As the caller wrote it; answers repeat it. */
  modelAsked: string
  stream: boolean
  includeUsage: boolean
  hasStreamOptions: boolean
  tokensMax: number | null
  choices: number
  stops: readonly string[]
  tools: readonly { name: string; parameters: unknown }[]
  toolChoice: 'auto' | 'none' | 'required' | { name: string }
  parallelToolCalls: boolean
  /** Undefined means free text, `{}` any JSON object. */
  jsonSchema: unknown
  promptTokens: number
  userText: string
  lastRole: string
  sim: Switches
}

type Fields = Record<string, unknown>

/** A typed request, or the refusal that OpenAI would answer with. */
export function parseChatRequest(body: unknown): ChatRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest('You must provide a model parameter.', 'model')
  const model = modelNames.find((name) => name === asked || `sim/${name}` === asked)
  if (model === undefined) return unknownModel(asked)
  const messages = body.messages
  if (!Array.isArray(messages)) return badRequest("'messages' must be an array.", 'messages')
  if (messages.length === 0) return badRequest("'messages' must hold at least one message.", 'messages')
  if (!messages.every(isFields)) return badRequest("Each of 'messages' must be an object.", 'messages')
  const options = parseOptions(body)
  if ('status' in options) return options
  const parsed = parseSwitches(body.sim)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)

  const streamOptions = body.stream_options
  const last = messages.at(-1)
  return {
    ...options,
    model,
    modelAsked: asked,
    stream: body.stream === true,
    includeUsage: isFields(streamOptions) && streamOptions.include_usage === true,
    hasStreamOptions: streamOptions !== undefined && streamOptions !== null,
    parallelToolCalls: body.parallel_tool_calls !== false,
    promptTokens: countPrompt(messages) + (options.tools.length > 0 ? countTokens(JSON.stringify(body.tools)) : 0),
    userText: textOf(messages.findLast((message) => message.role === 'user')),
    lastRole: typeof last?.role === 'string' ? last.role : '',
    sim: parsed.switches,
  }
}

type Options = Pick<ChatRequest, 'tokensMax' | 'choices' | 'stops' | 'tools' | 'toolChoice' | 'jsonSchema'>

function parseOptions(body: Fields): Options | Refusal {
  const tokensMax = body.max_completion_tokens ?? body.max_tokens ?? null
  if (tokensMax !== null && !isWhole(tokensMax)) return badRequest("'max_tokens' must be at least 1.", 'max_tokens')
  const choices = body.n ?? 1
  if (!isWhole(choices) || choices > CHOICES_MAX) return badRequest(`'n' must be 1 to ${CHOICES_MAX}.`, 'n')
  const tools = parseTools(body.tools ?? [])
  if ('status' in tools) return tools
  const toolChoice = parseToolChoice(body.tool_choice, tools)
  if (typeof toolChoice === 'object' && 'status' in toolChoice) return toolChoice
  const stop = body.stop ?? []
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((text) => typeof text === 'string' && text !== '')
  return { tokensMax, choices, stops, tools, toolChoice, jsonSchema: parseFormat(body.response_format) }
}

function parseTools(value: unknown): Refusal | { name: string; parameters: unknown }[] {
  if (!Array.isArray(value) || value.length > TOOLS_MAX) {
    return badRequest(`'tools' must be an array of at most ${TOOLS_MAX} tools.`, 'tools')
  }
  const tools = []
  for (const [index, tool] of value.entries()) {
    const called = isFields(tool) ? tool.function : undefined
    if (!isFields(called) || typeof called.name !== 'string' || called.name === '') {
      return badRequest(`'tools[${index}].function.name' must be a string.`, `tools[${index}].function.name`)
    }
    tools.push({ name: called.name, parameters: called.parameters ?? { type: 'object' } })
  }
  return tools
}

function parseToolChoice(value: unknown, tools: readonly { name: string }[]): ChatRequest['toolChoice'] | Refusal {
  if (value === undefined || value === null) return 'auto'
  if (value === 'auto' || value === 'none' || value === 'required') return value
  const called = isFields(value) ? value.function : undefined
  const name = isFields(called) ? called.name : undefined
  if (typeof name === 'string' && tools.some((tool) => tool.name === name)) return { name }
  return badRequest("'tool_choice' must be none, auto, required or name one of the tools.", 'tool_choice')
}

function parseFormat(value: unknown): unknown {
  if (!isFields(value)) return undefined
  if (value.type === 'json_object') return {}
  if (value.type !== 'json_schema') return undefined
  const described = value.json_schema
  return (isFields(described) ? described.schema : undefined) ?? {}
}

/** Each text of the messages is counted by itself, so a prompt's tokens are the sum over what the caller can see. */
function countPrompt(messages: readonly Fields[]): number {
  let tokens = 0
  for (const message of messages) {
    const content = message.content
    if (typeof content === 'string') tokens += countTokens(content)
    else if (Array.isArray(content)) for (const part of content) tokens += countPart(part)
    const calls = message.tool_calls
    if (Array.isArray(calls)) tokens += countTokens(JSON.stringify(calls))
  }
  return Math.max(tokens, 1)
}

function countPart(part: unknown): number {
  return isFields(part) && typeof part.text === 'string' ? countTokens(part.text) : MEDIA_TOKENS
}

function textOf(message: Fields | undefined): string {
  const content = message?.content
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part) => (isFields(part) && typeof part.text === 'string' ? part.text : '')).join('')
}

function unknownModel(asked: string): Refusal {
  return refuse(404, {
    message: `The model '${asked}' does not exist. The simulator serves ${modelNames.join(', ')}.`,
    type: 'invalid_request_error',
    param: 'model',
    code: 'model_not_found',
  })
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
