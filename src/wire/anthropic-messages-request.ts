import { topLevelMembers, withMembers } from '#lib/json-members.ts'
import { countMessagesPrompt, measureMessagesAttachments } from './anthropic-count.ts'
import { isAbsent, isObject, type JsonObject, objectsOf } from './json-values.ts'
import { openReasoning } from './reasoning-seal.ts'
import { findNonNumber, parseRequestHead, problem, type RequestHead } from './request-head.ts'
import { isProblem, type RequestProblem, type TextRequest } from './text-request.ts'

/** What the gateway must know of a messages request. */
export interface MessagesRequest extends TextRequest {
  protocol: 'messages'
  maxTokens: number
  maxTokensMembers: readonly ['max_tokens']
}

/** A request to count a prompt: a messages request that asks for no answer. */
export type CountTokensRequest = Pick<TextRequest, 'text' | 'members' | 'body' | 'model' | 'countPrompt'>

const MESSAGES_MAX = 10_000

/** Strict on what the gateway reads, silent on what it does not. Throws SyntaxError for text that is not JSON. */
export function parseMessagesRequest(text: string): MessagesRequest | RequestProblem {
  const head = parseRequestHead(text)
  if (isProblem(head)) return head
  const { body } = head
  const { max_tokens } = body
  // Zero warms the cache and answers nothing.
  if (typeof max_tokens !== 'number' || !Number.isSafeInteger(max_tokens) || max_tokens < 0)
    return problem('max_tokens', 'must be a whole number')
  const wrong = findProblem(body) ?? findUnpriced(body)
  if (wrong !== undefined) return wrong
  return {
    ...head,
    ...ownText(text, head),
    protocol: 'messages',
    includeUsage: true,
    streamOptions: {},
    maxTokens: max_tokens,
    maxTokensMembers: ['max_tokens'],
    choices: 1,
    attachments: measureMessagesAttachments(Array.isArray(body.messages) ? body.messages : []),
    audioOutput: false,
    countPrompt: () => countMessagesPrompt(body),
  }
}

const THINKING_TOKENS_MIN = 1_024

/**
 * Thinking must fit below `max_tokens`. What changes, as JSON text, when that is lowered to `limit` because the wallet covers
 * no more.
 */
export function lowerThinking({ thinking }: JsonObject, limit: number): Record<string, string> {
  if (!isObject(thinking) || thinking.type !== 'enabled') return {}
  if (typeof thinking.budget_tokens !== 'number' || thinking.budget_tokens < limit) return {}
  const budget = Math.floor(limit / 2)
  if (budget < THINKING_TOKENS_MIN) return { thinking: '{"type":"disabled"}' }
  return { thinking: JSON.stringify({ ...thinking, budget_tokens: budget }) }
}

/** The body of `/v1/messages/count_tokens`. Throws SyntaxError for text that is not JSON. */
export function parseCountTokensRequest(text: string): CountTokensRequest | RequestProblem {
  const head = parseRequestHead(text)
  if (isProblem(head)) return head
  const { body, model } = head
  const wrong = findProblem(body)
  if (wrong !== undefined) return wrong
  return { ...ownText(text, head), body, model, countPrompt: () => countMessagesPrompt(body) }
}

/** What is wrong with the members that both requests have. */
function findProblem(body: JsonObject): RequestProblem | undefined {
  const { messages, system, tools } = body
  if (!Array.isArray(messages)) return problem('messages', 'must be an array')
  if (messages.length === 0) return problem('messages', 'must hold at least one message')
  if (messages.length > MESSAGES_MAX) return problem('messages', `must hold at most ${MESSAGES_MAX} messages`)
  if (!isAbsent(system) && typeof system !== 'string' && !Array.isArray(system))
    return problem('system', 'must be a string or an array of blocks')
  if (!isAbsent(tools) && !Array.isArray(tools)) return problem('tools', 'must be an array')
  for (const name of ['thinking', 'tool_choice', 'metadata', 'output_config'] as const)
    if (!isAbsent(body[name]) && !isObject(body[name])) return problem(name, 'must be an object')
  const wrong = findNonNumber(body, ['temperature', 'top_p', 'top_k'])
  if (wrong !== undefined) return wrong
  if (Array.isArray(system)) {
    const found = checkBlocks(system, 'system')
    if (found !== undefined) return found
  }
  for (const [index, message] of messages.entries()) {
    const found = checkMessage(message, `messages[${index}]`)
    if (found !== undefined) return found
  }
  return undefined
}

function checkMessage(message: unknown, path: string): RequestProblem | undefined {
  if (!isObject(message)) return problem(path, 'must be an object')
  if (message.role !== 'user' && message.role !== 'assistant' && message.role !== 'system')
    return problem(`${path}.role`, 'must be user, assistant or system')
  if (typeof message.content === 'string') return undefined
  if (!Array.isArray(message.content)) return problem(`${path}.content`, 'must be a string or an array of blocks')
  return checkBlocks(message.content, `${path}.content`)
}

function checkBlocks(blocks: readonly unknown[], path: string): RequestProblem | undefined {
  for (const [index, block] of blocks.entries()) {
    const at = `${path}[${index}]`
    if (!isObject(block) || typeof block.type !== 'string') return problem(at, 'must be an object with a type')
    if (block.type === 'text' && typeof block.text !== 'string') return problem(`${at}.text`, 'must be a string')
    if ((block.type === 'image' || block.type === 'document') && !isObject(block.source))
      return problem(`${at}.source`, 'must be an object')
    if (block.type !== 'tool_result' || isAbsent(block.content) || typeof block.content === 'string') continue
    if (!Array.isArray(block.content)) return problem(`${at}.content`, 'must be a string or an array of blocks')
    const wrong = checkBlocks(block.content, `${at}.content`)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const OTHER_PRICES = 'is not supported: what it chooses has another price than the model that is asked for'
const SERVER_SIDE = 'is not supported: what runs at the provider is billed apart from tokens'
const unpricedMembers: Readonly<Record<string, string>> = {
  mcp_servers: SERVER_SIDE,
  container: SERVER_SIDE,
  fallbacks: OTHER_PRICES,
  fallback_credit_token: OTHER_PRICES,
  billing_policy: OTHER_PRICES,
  compaction: 'is not supported: summaries are billed beside the answer',
  thread: 'is not supported: nothing is stored here, so send the whole conversation',
}
/** The values that choose nothing dearer. */
const pricedValues: Readonly<Record<string, readonly unknown[]>> = {
  service_tier: ['auto', 'standard_only'],
  speed: ['standard'],
  inference_geo: ['global'],
}
/** Tools whose calls the client answers; all others run at the provider. Searching the given tools costs nothing. */
const clientTools = /^(?:custom$|bash_|text_editor_|memory_|computer_|browser_toolset_|tool_search_tool_)/

/** What is billed beside tokens, or at another price than the book's, never shows in the usage: it cannot be charged. */
function findUnpriced(body: JsonObject): RequestProblem | undefined {
  for (const [name, message] of Object.entries(unpricedMembers)) {
    const value = body[name]
    if (!isAbsent(value) && !(Array.isArray(value) && value.length === 0)) return problem(name, message)
  }
  for (const [name, values] of Object.entries(pricedValues))
    if (!isAbsent(body[name]) && !values.includes(body[name]))
      return problem(name, `must be ${values.join(' or ')}: anything else has other prices`)
  const edits = isObject(body.context_management) ? objectsOf(body.context_management.edits) : []
  for (const [index, { type }] of edits.entries())
    if (typeof type !== 'string' || !type.startsWith('clear_'))
      return problem(`context_management.edits[${index}].type`, 'must clear something: summaries are billed apart')
  for (const [index, tool] of (Array.isArray(body.tools) ? body.tools : []).entries()) {
    const path = `tools[${index}]`
    if (!isObject(tool)) return problem(path, 'must be an object')
    if (!isAbsent(tool.type) && (typeof tool.type !== 'string' || !clientTools.test(tool.type)))
      return problem(`${path}.type`, 'must be a tool that the client runs: tools of the provider are billed apart')
  }
  return undefined
}

/**
 * The text for providers of this protocol. Thinking that another protocol's model did comes back under a seal of ours, which
 * no provider can verify: it is taken out, and everything else stays as it came.
 */
function ownText(text: string, { body, members }: RequestHead): Pick<TextRequest, 'text' | 'members'> {
  if (!text.includes('fluxgate.')) return { text, members }
  let sealed = false
  const messages = objectsOf(body.messages).flatMap((message) => {
    if (message.role !== 'assistant' || !Array.isArray(message.content)) return [message]
    const content = message.content.filter((block) => !isSealed(block))
    if (content.length === message.content.length) return [message]
    sealed = true
    return content.length === 0 ? [] : [{ ...message, content }]
  })
  if (!sealed) return { text, members }
  const changed = withMembers(text, members, { messages: JSON.stringify(messages) })
  const found = topLevelMembers(changed)
  return found instanceof Map ? { text: changed, members: found } : { text, members }
}

function isSealed(block: unknown): boolean {
  if (!isObject(block) || block.type !== 'thinking' || typeof block.signature !== 'string') return false
  return openReasoning(block.signature) !== undefined
}
