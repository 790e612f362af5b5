import {
  type Attachments,
  countTexts,
  DOCUMENT_BYTES_PER_TOKEN,
  ELSEWHERE_TOKENS,
  isPayload,
  MESSAGE_TOKENS,
  REPLY_TOKENS,
  type TokenCount,
} from './count-tokens.ts'
import { isObject, type JsonObject, objectsOf, textAt } from './json-values.ts'

/** What Anthropic puts in front of tools, unasked. */
const TOOLS_TOKENS = 346
/** A picture of the largest size that is not scaled down: width times height by 750. */
const IMAGE_TOKENS = 1_600

/** The prompt of a messages request by our own count: all that is said in it, tools as JSON, pictures flat. */
export function countMessagesPrompt(body: JsonObject): TokenCount {
  const texts: string[] = []
  let fixed = REPLY_TOKENS
  let opaque = 0
  let unknown = false

  function collect(value: unknown): void {
    if (typeof value === 'string') {
      if (isPayload(value)) opaque += value.length
      else texts.push(value)
    } else if (Array.isArray(value)) value.forEach(addBlock)
    else if (isObject(value)) addBlock(value)
  }

  function addSource(source: unknown): void {
    if (!isObject(source)) return
    if (source.type === 'base64' && typeof source.data === 'string') opaque += source.data.length
    else if (source.type === 'text') collect(source.data)
    else if (source.type === 'content') collect(source.content)
    else {
      fixed += ELSEWHERE_TOKENS
      unknown = true
    }
  }

  function addBlock(block: unknown): void {
    if (!isObject(block)) {
      collect(block)
      return
    }
    const { type, cache_control, signature, source, ...rest } = block
    if (type === 'image') fixed += IMAGE_TOKENS
    else if (isObject(source)) addSource(source)
    else if (typeof source === 'string') texts.push(source)
    if (type === 'text' && typeof rest.text === 'string') texts.push(rest.text)
    else if (type === 'tool_use') texts.push(textAt(rest, 'name'), JSON.stringify(rest.input) ?? '')
    else for (const value of Object.values(rest)) collect(value)
  }

  collect(body.system)
  for (const message of objectsOf(body.messages)) {
    fixed += MESSAGE_TOKENS
    if (typeof message.content === 'string') texts.push(message.content)
    else collect(message.content)
  }
  const tools = objectsOf(body.tools)
  if (tools.length > 0) fixed += TOOLS_TOKENS
  for (const { cache_control, ...tool } of tools) texts.push(JSON.stringify(tool))
  const format = isObject(body.output_config) ? body.output_config.format : body.output_format
  if (isObject(format)) texts.push(JSON.stringify(format))

  const counted = countTexts(texts)
  const tokens = counted.tokens + fixed + Math.ceil(opaque / DOCUMENT_BYTES_PER_TOKEN)
  return { tokens, exact: counted.exact && opaque === 0 && !unknown }
}

/** Blocks that are all text, or hold other blocks. Of any other type nothing in the request bounds the tokens. */
const boundedBlocks = new Set<unknown>([
  'text',
  'thinking',
  'redacted_thinking',
  'connector_text',
  'compaction',
  'tool_use',
  'tool_result',
  'tool_reference',
  'tool_addition',
  'tool_removal',
  'browser_state',
  'search_result',
  'server_tool_use',
  'mcp_tool_use',
  'mcp_tool_result',
  'web_search_tool_result',
  'web_fetch_tool_result',
  'tool_search_tool_result',
  'code_execution_tool_result',
  'bash_code_execution_tool_result',
  'text_editor_code_execution_tool_result',
])

/** Looks through the content of all messages. */
export function measureMessagesAttachments(messages: readonly unknown[]): Attachments {
  const found: Attachments = { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 0 }

  function look(value: unknown): void {
    if (Array.isArray(value)) {
      for (const item of value) look(item)
      return
    }
    if (!isObject(value)) return
    const source = isObject(value.source) ? value.source : {}
    if (value.type === 'image') {
      found.images += 1
      if (typeof source.data === 'string') found.dataUrlBytes += source.data.length
    } else if (value.type === 'document') {
      if (source.type === 'content') look(source.content)
      else if (source.type !== 'text') found.unbounded += 1
    } else {
      // Arguments of a tool are any JSON: what looks like a picture there is none.
      for (const [name, member] of Object.entries(value)) if (name !== 'input') look(member)
    }
  }

  for (const { content } of objectsOf(messages)) {
    for (const block of objectsOf(content)) {
      if (block.type !== 'image' && block.type !== 'document' && !boundedBlocks.has(block.type)) found.unbounded += 1
      look(block)
    }
  }
  return found
}
