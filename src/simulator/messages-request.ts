import { type Fields, isFields, isWhole, textAt } from './json-fields.ts'
import { findModel } from './models.ts'
import { isOwnSeal } from './reasoning-seal.ts'
import { badRequest, type Refusal } from './refusal.ts'
import { parseSwitches } from './switches.ts'
import { MEDIA_TOKENS, namedTool, parseTools, type TextRequest } from './text-request.ts'
import { countTokens } from './tokens.ts'

/** A request for a message, or the refusal that Anthropic would answer with. */
export function parseMessagesRequest(body: unknown): TextRequest | Refusal {
  if (isFields(body) && !isWhole(body.max_tokens, 0)) return badRequest('max_tokens: Field required', null)
  return parse(body)
}

/** A request to count a prompt: as one for a message, but it asks for no answer. */
export function parseCountRequest(body: unknown): TextRequest | Refusal {
  const parsed = parse(body)
  return 'status' in parsed ? parsed : { ...parsed, stream: false }
}

function parse(body: unknown): TextRequest | Refusal {
  if (!isFields(body)) return badRequest('The body must be a JSON object.', null)
  const asked = body.model
  if (typeof asked !== 'string' || asked === '') return badRequest('model: Field required', null)
  const found = findModel(asked, 'text')
  if ('status' in found) return found
  const { messages } = body
  if (!Array.isArray(messages)) return badRequest('messages: Field required', null)
  if (messages.length === 0) return badRequest('messages: at least one message is required', null)
  if (!messages.every(isFields)) return badRequest('messages: each must be an object', null)
  const tools = parseTools(body.tools ?? [], 'name', ({ name, input_schema }) => ({ name, parameters: input_schema }))
  if ('status' in tools) return tools
  const choice = parseToolChoice(body.tool_choice, tools)
  if ('status' in choice) return choice
  const parsed = parseSwitches(body.sim)
  if ('problem' in parsed) return badRequest(parsed.problem, parsed.param)

  const sim = parsed.switches
  const thinking = isFields(body.thinking) ? body.thinking : {}
  const stops = Array.isArray(body.stop_sequences) ? body.stop_sequences : []
  return {
    ...choice,
    model: found.model,
    modelAsked: asked,
    stream: body.stream === true,
    includeUsage: true,
    hasStreamOptions: body.stream_options !== undefined,
    tokensMax: isWhole(body.max_tokens, 0) ? body.max_tokens : null,
    choices: 1,
    stops: stops.filter((text) => typeof text === 'string' && text !== ''),
    tools,
    jsonSchema: parseFormat(body.output_config),
    reasons: found.model === 'reasoner' && thinking.type !== 'disabled',
    showReasoning: sim.show_reasoning ?? thinking.display !== 'omitted',
    promptTokens: countPrompt(body, messages, tools.length),
    userText: lastUserText(messages),
    lastRole: lastRole(messages),
    foreignReasoning: findForeignThinking(messages),
    sim,
  }
}

type Choice = Pick<TextRequest, 'toolChoice' | 'parallelToolCalls'>

function parseToolChoice(value: unknown, tools: readonly { name: string }[]): Choice | Refusal {
  if (!isFields(value)) return { toolChoice: 'auto', parallelToolCalls: true }
  const parallelToolCalls = value.disable_parallel_tool_use !== true
  switch (value.type) {
    case 'auto':
    case 'none':
      return { toolChoice: value.type, parallelToolCalls }
    case 'any':
      return { toolChoice: 'required', parallelToolCalls }
    default: {
      const toolChoice = namedTool(value.type === 'tool' ? value.name : undefined, tools)
      return typeof toolChoice === 'object' && 'status' in toolChoice ? toolChoice : { toolChoice, parallelToolCalls }
    }
  }
}

function parseFormat(config: unknown): unknown {
  const format = isFields(config) ? config.format : undefined
  return isFields(format) && format.type === 'json_schema' ? (format.schema ?? {}) : undefined
}

/** As in chat, each text counts by itself, and so does the JSON of tools and of the input of earlier calls. */
function countPrompt(body: Fields, messages: readonly Fields[], tools: number): number {
  let tokens = countContent(body.system)
  for (const { content } of messages) tokens += countContent(content)
  if (tools > 0) tokens += countTokens(JSON.stringify(body.tools))
  return Math.max(tokens, 1)
}

function countContent(content: unknown): number {
  if (typeof content === 'string') return countTokens(content)
  let tokens = 0
  for (const block of Array.isArray(content) ? content : []) tokens += isFields(block) ? countBlock(block) : 0
  return tokens
}

function countBlock(block: Fields): number {
  switch (block.type) {
    case 'text':
      return countTokens(textAt(block, 'text'))
    case 'tool_use':
      return countTokens(textAt(block, 'name')) + countTokens(JSON.stringify(block.input ?? {}))
    case 'tool_result':
      return countContent(block.content)
    case 'thinking':
    case 'redacted_thinking':
      // What was thought in earlier turns is not read again.
      return 0
    default:
      return MEDIA_TOKENS
  }
}

function lastUserText(messages: readonly Fields[]): string {
  const content = messages.findLast(({ role }) => role === 'user')?.content
  if (typeof content === 'string') return content
  return (Array.isArray(content) ? content : []).map((block) => (isFields(block) ? textAt(block, 'text') : '')).join('')
}

/** Results of tools come from the user here; elsewhere they have a role of their own. */
function lastRole(messages: readonly Fields[]): string {
  const last = messages.at(-1) ?? {}
  const blocks = Array.isArray(last.content) ? last.content : []
  return blocks.some((block) => isFields(block) && block.type === 'tool_result') ? 'tool' : textAt(last, 'role')
}

function findForeignThinking(messages: readonly Fields[]): string | undefined {
  for (const [index, { content }] of messages.entries())
    for (const [at, block] of (Array.isArray(content) ? content : []).entries())
      if (isFields(block) && block.type === 'thinking' && !isOwnSeal(block.signature))
        return `messages.${index}.content.${at}: Invalid \`signature\` in \`thinking\` block`
  return undefined
}
