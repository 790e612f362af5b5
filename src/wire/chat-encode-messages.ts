import { dataUrl } from './data-urls.ts'
import type { JsonObject } from './json-values.ts'
import type { Lose } from './losses.ts'
import type { Message, Part } from './neutral.ts'

/** What this target's chat knows beyond OpenAI's. */
export interface ChatContentOptions {
  /** Whether `cache_control` may stand on parts: OpenRouter and Qwen. Others refuse what they do not know. */
  cacheControl: boolean
}

export const CACHE_LOST = 'cache_control is not carried: caching is the provider’s own affair'

/** Messages as chat has them: results of tools are messages of their own, before what the user says beside them. */
export function encodeChatMessages(
  { system, messages }: { system: Part[]; messages: readonly Message[] },
  options: ChatContentOptions,
  lose: Lose,
): JsonObject[] {
  const encoded: JsonObject[] = []
  const instructions = encodeContent(system, 'system', options, lose)
  if (instructions !== undefined) encoded.push({ role: 'system', content: instructions })
  for (const [index, { role, parts }] of messages.entries()) {
    const path = `messages[${index}]`
    if (role === 'assistant') {
      const message = encodeAssistant(parts, path, options, lose)
      if (message !== undefined) encoded.push(message)
    } else encoded.push(...encodeUser(parts, path, options, lose))
  }
  return encoded
}

function encodeUser(parts: readonly Part[], path: string, options: ChatContentOptions, lose: Lose): JsonObject[] {
  const encoded: JsonObject[] = []
  const beside: Part[] = []
  for (const part of parts) {
    if (part.type !== 'tool_result') {
      beside.push(part)
      continue
    }
    const texts = part.content.filter((each) => each.type === 'text')
    const others = part.content.filter((each) => each.type !== 'text')
    if (part.isError) lose(path, 'that a tool failed is only told by its result')
    if (others.length > 0) lose(path, 'pictures and files of a tool result stand in the message behind it')
    beside.push(...others)
    encoded.push({
      role: 'tool',
      tool_call_id: part.id,
      content: encodeContent(texts, path, options, lose) ?? '',
    })
  }
  const content = encodeContent(beside, path, options, lose)
  if (content !== undefined) encoded.push({ role: 'user', content })
  return encoded
}

function encodeAssistant(
  parts: readonly Part[],
  path: string,
  options: ChatContentOptions,
  lose: Lose,
): JsonObject | undefined {
  const said = parts.filter((part) => part.type !== 'reasoning' && part.type !== 'tool_call' && part.type !== 'refusal')
  const calls = parts.filter((part) => part.type === 'tool_call')
  const refusal = textOf(parts, 'refusal')
  const reasoning = parts.filter((part) => part.type === 'reasoning')
  if (reasoning.some(({ origin }) => origin !== 'chat'))
    lose(path, 'reasoning of a model behind another protocol is not replayed')
  const thought = reasoning.map(({ origin, text }) => (origin === 'chat' ? text : '')).join('')
  const content = encodeContent(said, path, options, lose)
  if (content === undefined && calls.length === 0 && refusal === '') return undefined
  return {
    role: 'assistant',
    content: content ?? null,
    ...(thought !== '' && { reasoning_content: thought }),
    ...(refusal !== '' && { refusal }),
    ...(calls.length > 0 && { tool_calls: calls.map(encodeToolCall) }),
  }
}

/** A call as chat writes it. No arguments are an empty object: text that is no JSON breaks clients and providers. */
export function encodeToolCall(call: Extract<Part, { type: 'tool_call' }>): JsonObject {
  return {
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments.trim() === '' ? '{}' : call.arguments },
  }
}

/** All text of one type of part. */
export function textOf(parts: readonly Part[], type: 'text' | 'refusal'): string {
  return parts.map((part) => (part.type === type ? part.text : '')).join('')
}

/** Plain text stays a string, which every server takes. Undefined where nothing is left to say. */
function encodeContent(
  parts: readonly Part[],
  path: string,
  options: ChatContentOptions,
  lose: Lose,
): string | JsonObject[] | undefined {
  const marked = parts.some((part) => 'cacheControl' in part && part.cacheControl !== undefined)
  if (marked && !options.cacheControl) lose(path, CACHE_LOST)
  const encoded = parts.flatMap((part) => encodePart(part, path, options, lose))
  if (encoded.length === 0) return undefined
  if (encoded.some((part) => part.type !== 'text' || part.cache_control !== undefined)) return encoded
  return encoded.map(({ text }) => text).join(path === 'system' ? '\n\n' : '')
}

function encodePart(part: Part, path: string, options: ChatContentOptions, lose: Lose): JsonObject[] {
  const cached =
    options.cacheControl && 'cacheControl' in part && part.cacheControl !== undefined
      ? { cache_control: part.cacheControl }
      : {}
  switch (part.type) {
    case 'text':
      return part.text === '' ? [] : [{ type: 'text', text: part.text, ...cached }]
    case 'refusal':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }]
    case 'image': {
      const { url, detail } = part
      return [{ type: 'image_url', image_url: { url, ...(detail !== undefined && { detail }) }, ...cached }]
    }
    case 'audio':
      return [{ type: 'input_audio', input_audio: { data: part.data, format: part.format } }]
    case 'file': {
      const { data, mediaType, name } = part
      if (data === undefined) {
        lose(path, 'files that lie elsewhere are not carried', true)
        return []
      }
      const file = { filename: name ?? 'document', file_data: dataUrl(mediaType ?? 'application/pdf', data) }
      return [{ type: 'file', file }]
    }
    default:
      lose(path, `${part.type} cannot stand here`, true)
      return []
  }
}
