import { countPrompt, measureAttachments } from './count-tokens.ts'
import { isObject } from './json-values.ts'
import { isCount, parseNamedBody, problem } from './request-head.ts'
import { isProblem, type RequestProblem, type TextRequest } from './text-request.ts'

/** What the gateway must know of a chat request. */
export interface ChatRequest extends TextRequest {
  protocol: 'chat'
  maxTokensMembers: readonly (typeof limitNames)[number][]
}

const MESSAGES_MAX = 10_000
const CHOICES_MAX = 128
const limitNames = ['max_completion_tokens', 'max_tokens'] as const
const roles = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function'])

/** Strict on what the gateway reads, silent on what it does not. Throws SyntaxError for text that is not JSON. */
export function parseChatRequest(text: string): ChatRequest | RequestProblem {
  const named = parseNamedBody(text)
  if (isProblem(named)) return named
  const { body, members, model } = named
  const { messages } = body
  if (!Array.isArray(messages)) return problem('messages', 'must be an array')
  if (messages.length === 0) return problem('messages', 'must hold at least one message')
  if (messages.length > MESSAGES_MAX) return problem('messages', `must hold at most ${MESSAGES_MAX} messages`)

  const stream = body.stream ?? false
  if (typeof stream !== 'boolean') return problem('stream', 'must be a boolean')
  const streamOptions = body.stream_options ?? {}
  if (!isObject(streamOptions)) return problem('stream_options', 'must be an object')
  if (body.stream_options !== undefined && body.stream_options !== null && !stream)
    return problem('stream_options', 'is only allowed when stream is true')
  const includeUsage = streamOptions.include_usage ?? false
  if (typeof includeUsage !== 'boolean') return problem('stream_options.include_usage', 'must be a boolean')

  for (const name of limitNames) {
    const value = body[name]
    if (value !== undefined && value !== null && !isCount(value))
      return problem(name, 'must be an integer of at least 1')
  }
  const maxTokensMembers = limitNames.filter((name) => isCount(body[name]))
  // Which of two limits a provider obeys is its own affair, and the hold is planned with one.
  if (maxTokensMembers.length === 2 && body.max_tokens !== body.max_completion_tokens)
    return problem('max_tokens', 'must equal max_completion_tokens where both are given')
  const choices = body.n ?? 1
  if (!isCount(choices) || choices > CHOICES_MAX) return problem('n', `must be an integer from 1 to ${CHOICES_MAX}`)
  for (const name of ['temperature', 'top_p', 'presence_penalty', 'frequency_penalty'] as const) {
    const value = body[name]
    if (value !== undefined && value !== null && typeof value !== 'number') return problem(name, 'must be a number')
  }
  for (const name of ['tools', 'functions'] as const) {
    if (body[name] !== undefined && body[name] !== null && !Array.isArray(body[name]))
      return problem(name, 'must be an array')
  }
  const unpriced = findUnpriced(body)
  if (unpriced !== undefined) return unpriced

  for (const [index, message] of messages.entries()) {
    const wrong = checkMessage(message, index)
    if (wrong !== undefined) return wrong
  }

  return {
    protocol: 'chat',
    text,
    members,
    body,
    model,
    stream,
    includeUsage,
    streamOptions,
    maxTokens: maxTokensMembers.map((name) => Number(body[name]))[0],
    maxTokensMembers,
    choices,
    attachments: measureAttachments(messages),
    audioOutput: Array.isArray(body.modalities) && body.modalities.includes('audio'),
    countPrompt() {
      const { tools, functions, response_format } = body
      return countPrompt({ messages, tools, functions, response_format })
    },
  }
}

const SEARCHES = 'is not supported: searches are billed apart from tokens'
const OTHER_PRICES = 'is not supported: what it chooses has another price than the model that is asked for'
const unpricedMembers: Readonly<Record<string, string>> = {
  web_search_options: SEARCHES,
  search_parameters: SEARCHES,
  enable_search: SEARCHES,
  plugins: 'is not supported: plugins are billed apart from tokens',
  models: OTHER_PRICES,
  route: OTHER_PRICES,
  provider: OTHER_PRICES,
  preset: OTHER_PRICES,
}
const unpricedEntries = Object.entries(unpricedMembers)
/** Google's names of tools that it runs itself; they need no type. */
const searchTools = ['google_search', 'googleSearch', 'google_search_retrieval', 'googleSearchRetrieval']

/** What is billed beside tokens, or at another price than the book's, never shows in the usage: it cannot be charged. */
function findUnpriced(body: Record<string, unknown>): RequestProblem | undefined {
  if (!['auto', 'default', null, undefined].includes(body.service_tier as string | null | undefined))
    return problem('service_tier', 'must be auto or default: other tiers have other prices')
  for (const [name, message] of unpricedEntries)
    if (body[name] !== undefined && body[name] !== null && body[name] !== false) return problem(name, message)
  for (const [index, tool] of (Array.isArray(body.tools) ? body.tools : []).entries()) {
    const path = `tools[${index}]`
    if (!isObject(tool)) return problem(path, 'must be an object')
    const search = searchTools.find((name) => tool[name] !== undefined)
    if (search !== undefined) return problem(`${path}.${search}`, SEARCHES)
    if (tool.type !== 'function' && tool.type !== 'custom')
      return problem(`${path}.type`, 'must be function or custom: tools of the provider are billed apart from tokens')
  }
  return undefined
}

function checkMessage(message: unknown, number: number): RequestProblem | undefined {
  if (!isObject(message)) return problem(`messages[${number}]`, 'must be an object')
  if (typeof message.role !== 'string' || !roles.has(message.role))
    return problem(`messages[${number}].role`, `must be one of ${[...roles].join(', ')}`)
  const { content } = message
  if (content === undefined || content === null || typeof content === 'string') {
    if ((content === undefined || content === null) && message.role !== 'assistant')
      return problem(`messages[${number}].content`, 'must be a string or an array of parts')
    return undefined
  }
  if (!Array.isArray(content)) return problem(`messages[${number}].content`, 'must be a string or an array of parts')
  for (const [index, part] of content.entries()) {
    const at = `messages[${number}].content[${index}]`
    if (!isObject(part) || typeof part.type !== 'string') return problem(at, 'must be an object with a type')
    if (part.type === 'text' && typeof part.text !== 'string') return problem(`${at}.text`, 'must be a string')
    if (part.type === 'image_url') {
      const url = isObject(part.image_url) ? part.image_url.url : undefined
      if (typeof url !== 'string') return problem(`${at}.image_url.url`, 'must be a string')
    }
    if (part.type === 'input_audio') {
      const data = isObject(part.input_audio) ? part.input_audio.data : undefined
      if (typeof data !== 'string') return problem(`${at}.input_audio.data`, 'must be a string')
    }
  }
  return undefined
}
