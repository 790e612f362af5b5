import { type Fields, isFields, isWhole } from './json-fields.ts'
import { findModel } from './models.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { parseSwitches } from './switches.ts'
import { MEDIA_TOKENS, namedTool, parseTools, type TextRequest } from './text-request.ts'
import { countTokens } from './tokens.ts'

const CHOICES_MAX = 8

/** A chat completion request, or the refusal that OpenAI would answer with. */
export function parseChatRequest(body: unknown): TextRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest('You must provide a model parameter.', 'model')
  const found = findModel(asked, 'text')
  if ('status' in found) return found
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
    model: found.model,
    modelAsked: asked,
    stream: body.stream === true,
    includeUsage: isFields(streamOptions) && streamOptions.include_usage === true,
    hasStreamOptions: streamOptions !== undefined && streamOptions !== null,
    parallelToolCalls: body.parallel_tool_calls !== false,
    reasons: found.model === 'reasoner',
    showReasoning: parsed.switches.show_reasoning === true,
    promptTokens: countPrompt(messages) + (options.tools.length > 0 ? countTokens(JSON.stringify(body.tools)) : 0),
    userText: textOf(messages.findLast((message) => message.role === 'user')),
    lastRole: typeof last?.role === 'string' ? last.role : '',
    sim: parsed.switches,
  }
}

type Options = Pick<TextRequest, 'tokensMax' | 'choices' | 'stops' | 'tools' | 'toolChoice' | 'jsonSchema'>

function parseOptions(body: Fields): Options | Refusal {
  const tokensMax = body.max_completion_tokens ?? body.max_tokens ?? null
  if (tokensMax !== null && !isWhole(tokensMax)) return badRequest("'max_tokens' must be at least 1.", 'max_tokens')
  const choices = body.n ?? 1
  if (!isWhole(choices) || choices > CHOICES_MAX) return badRequest(`'n' must be 1 to ${CHOICES_MAX}.`, 'n')
  const tools = parseTools(body.tools ?? [], 'function.name', ({ function: called }) =>
    isFields(called)
      ? { name: called.name, parameters: called.parameters }
      : { name: undefined, parameters: undefined },
  )
  if ('status' in tools) return tools
  const toolChoice = parseToolChoice(body.tool_choice, tools)
  if (typeof toolChoice === 'object' && 'status' in toolChoice) return toolChoice
  const stop = body.stop ?? []
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((text) => typeof text === 'string' && text !== '')
  return { tokensMax, choices, stops, tools, toolChoice, jsonSchema: parseFormat(body.response_format) }
}

function parseToolChoice(value: unknown, tools: readonly { name: string }[]): TextRequest['toolChoice'] | Refusal {
  if (value === undefined || value === null) return 'auto'
  if (value === 'auto' || value === 'none' || value === 'required') return value
  const called = isFields(value) ? value.function : undefined
  return namedTool(isFields(called) ? called.name : undefined, tools)
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
