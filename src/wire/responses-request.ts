import { type Member, topLevelMembers, withMembers } from '#lib/json-members.ts'
import { countPrompt, measureAttachments } from './count-tokens.ts'
import { isAbsent, isObject, type JsonObject } from './json-values.ts'
import { openReasoning } from './reasoning-seal.ts'
import { findNonNumber, findUnpricedMember, isCount, parseRequestHead, problem } from './request-head.ts'
import { promptAsMessages } from './responses-prompt.ts'
import { isProblem, type RequestProblem, type TextRequest } from './text-request.ts'

/** What the gateway must know of a request for a response. It is sent upstream with `statelessMembers` put in place. */
export interface ResponsesRequest extends TextRequest {
  protocol: 'responses'
  maxTokensMembers: readonly 'max_output_tokens'[]
}

/** Members to set for every upstream, as JSON text: where `store` is missing, providers keep the response. */
export const statelessMembers = { store: 'false' } as const

const ITEMS_MAX = 10_000
const NOT_KEPT = 'is not supported: nothing is stored here, so send the whole conversation as input'

/**
 * Strict on what the gateway reads, silent on what it does not. Whatever needs state that lives elsewhere is refused, and
 * whatever costs more than tokens. Throws SyntaxError for text that is not JSON.
 */
export function parseResponsesRequest(text: string): ResponsesRequest | RequestProblem {
  const head = parseRequestHead(text)
  if (isProblem(head)) return head
  const { body } = head
  const wrong =
    findStateful(body) ??
    findUnpricedMember(body) ??
    findNonNumber(body, ['temperature', 'top_p']) ??
    findWrongMember(body) ??
    findWrongTool(body.tools, 'tools') ??
    findWrongInput(body.input)
  if (wrong !== undefined) return wrong

  const messages = promptAsMessages(body)
  return {
    ...head,
    ...ownText(text, head),
    protocol: 'responses',
    includeUsage: true,
    streamOptions: {},
    maxTokens: isCount(body.max_output_tokens) ? body.max_output_tokens : undefined,
    maxTokensMembers: isCount(body.max_output_tokens) ? ['max_output_tokens'] : [],
    choices: 1,
    attachments: measureAttachments(messages),
    audioOutput: false,
    countPrompt: () => countPrompt({ messages, tools: body.tools, response_format: body.text }),
  }
}

/** The text for providers of this protocol: reasoning that another one's model has signed is ours to take out again. */
function ownText(text: string, { body, members }: { body: JsonObject; members: Map<string, Member> }) {
  const items = Array.isArray(body.input) ? body.input : []
  if (!items.some((item) => isObject(item) && isForeignReasoning(item))) return { text, members }
  const kept = items.filter((item) => !isObject(item) || !isForeignReasoning(item))
  const changed = withMembers(text, members, { input: JSON.stringify(kept) })
  const found = topLevelMembers(changed)
  return { text: changed, members: found instanceof Map ? found : members }
}

/** Reasoning that another protocol's model has signed: no provider of this one can read it. */
function isForeignReasoning(item: JsonObject): boolean {
  const { type, encrypted_content } = item
  return type === 'reasoning' && typeof encrypted_content === 'string' && openReasoning(encrypted_content) !== undefined
}

function findStateful(body: JsonObject): RequestProblem | undefined {
  for (const name of ['previous_response_id', 'conversation']) if (!isAbsent(body[name])) return problem(name, NOT_KEPT)
  if (!isAbsent(body.prompt))
    return problem('prompt', 'is not supported: a stored prompt is not seen here, so its cost cannot be held')
  for (const name of ['background', 'store']) {
    if (!isAbsent(body[name]) && typeof body[name] !== 'boolean') return problem(name, 'must be a boolean')
    if (body[name] === true) return problem(name, 'must be false: nothing is stored here')
  }
  return undefined
}

function findWrongMember(body: JsonObject): RequestProblem | undefined {
  if (!isAbsent(body.stream_options)) {
    if (!isObject(body.stream_options)) return problem('stream_options', 'must be an object')
    if (body.stream !== true) return problem('stream_options', 'is only allowed when stream is true')
  }
  if (!isAbsent(body.max_output_tokens) && !isCount(body.max_output_tokens))
    return problem('max_output_tokens', 'must be an integer of at least 1')
  if (!isAbsent(body.instructions) && typeof body.instructions !== 'string')
    return problem('instructions', 'must be a string')
  for (const name of ['reasoning', 'text'])
    if (!isAbsent(body[name]) && !isObject(body[name])) return problem(name, 'must be an object')
  if (!isAbsent(body.include) && !Array.isArray(body.include)) return problem('include', 'must be an array')
  return undefined
}

/** Tools that the client runs itself; what they cost shows in the tokens. */
const clientTools = new Set(['function', 'custom', 'local_shell', 'apply_patch', 'tool_search'])

function findWrongTool(tools: unknown, path: string): RequestProblem | undefined {
  if (isAbsent(tools)) return undefined
  if (!Array.isArray(tools)) return problem(path, 'must be an array')
  for (const [index, tool] of tools.entries()) {
    const at = `${path}[${index}]`
    if (!isObject(tool)) return problem(at, 'must be an object')
    const { type } = tool
    if (type === 'namespace') {
      const wrong = findWrongTool(tool.tools, `${at}.tools`)
      if (wrong !== undefined) return wrong
    } else if (type === 'shell' && isObject(tool.environment) && tool.environment.type === 'local') {
      // The client's own shell: without an environment it would be a container of the provider.
    } else if (typeof type !== 'string' || !clientTools.has(type)) {
      return problem(
        `${at}.type`,
        `must be function or custom: tools of the provider${typeof type === 'string' ? `, as ${type.slice(0, 64)},` : ''} are billed apart from tokens`,
      )
    }
  }
  return undefined
}

function findWrongInput(input: unknown): RequestProblem | undefined {
  if (typeof input === 'string') return undefined
  if (!Array.isArray(input)) return problem('input', 'must be a string or an array of items')
  if (input.length === 0) return problem('input', 'must hold at least one item')
  if (input.length > ITEMS_MAX) return problem('input', `must hold at most ${ITEMS_MAX} items`)
  for (const [index, item] of input.entries()) {
    const wrong = findWrongItem(item, `input[${index}]`)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const roles = new Set(['system', 'developer', 'user', 'assistant'])

function findWrongItem(item: unknown, path: string): RequestProblem | undefined {
  if (!isObject(item)) return problem(path, 'must be an object')
  const type = item.type ?? (isAbsent(item.role) ? 'item_reference' : 'message')
  if (typeof type !== 'string') return problem(`${path}.type`, 'must be a string')
  switch (type) {
    case 'item_reference':
      return problem(path, 'must be the item itself: nothing is stored here that could be referred to')
    case 'message':
      if (typeof item.role !== 'string' || !roles.has(item.role))
        return problem(`${path}.role`, `must be one of ${[...roles].join(', ')}`)
      return findWrongContent(item.content, `${path}.content`)
    case 'function_call':
      for (const name of ['call_id', 'name', 'arguments'])
        if (typeof item[name] !== 'string') return problem(`${path}.${name}`, 'must be a string')
      return undefined
    case 'function_call_output':
    case 'custom_tool_call_output':
      if (typeof item.call_id !== 'string') return problem(`${path}.call_id`, 'must be a string')
      return findWrongContent(item.output, `${path}.output`)
    case 'additional_tools':
    case 'tool_search_output':
      return findWrongTool(item.tools, `${path}.tools`)
    default:
      return undefined
  }
}

function findWrongContent(content: unknown, path: string): RequestProblem | undefined {
  if (typeof content === 'string') return undefined
  if (!Array.isArray(content)) return problem(path, 'must be a string or an array of parts')
  for (const [index, part] of content.entries()) {
    const at = `${path}[${index}]`
    if (!isObject(part) || typeof part.type !== 'string') return problem(at, 'must be an object with a type')
    if ((part.type === 'input_text' || part.type === 'output_text') && typeof part.text !== 'string')
      return problem(`${at}.text`, 'must be a string')
    if (part.type === 'input_image' && typeof part.image_url !== 'string' && typeof part.file_id !== 'string')
      return problem(`${at}.image_url`, 'must be a string')
    if (part.type === 'input_audio') {
      const data = isObject(part.input_audio) ? part.input_audio.data : undefined
      if (typeof data !== 'string') return problem(`${at}.input_audio.data`, 'must be a string')
    }
  }
  return undefined
}
