import { parseDataUrl } from './data-urls.ts'
import { isObject, type JsonObject } from './json-values.ts'
import type { Lose } from './losses.ts'
import type { Message, Part } from './neutral.ts'
import { toolIdForMessages } from './tool-ids.ts'

interface Turn {
  role: Message['role']
  content: JsonObject[]
}

/**
 * Messages as Anthropic takes them: turns alternate, nothing is empty, and the results of tools come first in the turn
 * behind their calls.
 */
export function encodeTurns(messages: readonly Message[], lose: Lose): Turn[] {
  const turns: Turn[] = []
  for (const [index, { role, parts }] of messages.entries()) {
    const content = parts.flatMap((part) => encodePart(part, `messages[${index}]`, lose))
    if (content.length === 0) continue
    const last = turns.at(-1)
    if (last?.role === role) last.content.push(...content)
    else turns.push({ role, content })
  }
  for (const turn of turns) {
    if (turn.role !== 'user') continue
    const results = turn.content.filter(({ type }) => type === 'tool_result')
    turn.content = [...results, ...turn.content.filter(({ type }) => type !== 'tool_result')]
  }
  const last = turns.at(-1)
  if (last?.role === 'assistant') {
    lose(`messages[${messages.length - 1}]`, 'the answer continues the last message instead of following it')
    trimEnd(last)
    if (last.content.length === 0) turns.pop()
  }
  return turns
}

/** Blocks of text; what is blank is refused by the provider, and says nothing. */
export function encodeTexts(parts: readonly Part[]): JsonObject[] {
  return parts.flatMap((part) => (part.type === 'text' ? encodeText(part.text, part.cacheControl) : []))
}

function encodeText(text: string, cacheControl?: unknown): JsonObject[] {
  return text.trim() === '' ? [] : [{ type: 'text', text, ...mark(cacheControl) }]
}

function mark(cacheControl: unknown): JsonObject {
  return cacheControl === undefined ? {} : { cache_control: cacheControl }
}

/** An answer that is to be continued may not end in white space. */
function trimEnd(turn: Turn): void {
  const block = turn.content.at(-1)
  if (block?.type !== 'text') return
  block.text = String(block.text).trimEnd()
  if (block.text === '') turn.content.pop()
}

function encodePart(part: Part, path: string, lose: Lose): JsonObject[] {
  switch (part.type) {
    case 'text':
      return encodeText(part.text, part.cacheControl)
    case 'refusal':
      return encodeText(part.text)
    case 'image':
      if (part.detail === 'low') lose(path, 'pictures are not looked at in low detail')
      return encodeUrl(part.url, part.cacheControl, path, lose)
    case 'file':
      return encodeFile(part, path, lose)
    case 'audio':
      lose(path, 'sound is not carried', true)
      return []
    case 'reasoning':
      return encodeReasoning(part, path, lose)
    case 'tool_call':
      return [
        {
          type: 'tool_use',
          id: toolIdForMessages(part.id),
          name: part.name,
          input: parseArguments(part.arguments, path, lose),
          ...mark(part.cacheControl),
        },
      ]
    case 'tool_result': {
      const content = part.content.flatMap((each) => encodePart(each, path, lose))
      const [first] = content
      const plain = content.length === 1 && first?.type === 'text' && first.cache_control === undefined
      return [
        {
          type: 'tool_result',
          tool_use_id: toolIdForMessages(part.id),
          ...(content.length > 0 && { content: plain ? first.text : content }),
          ...(part.isError && { is_error: true }),
          ...mark(part.cacheControl),
        },
      ]
    }
  }
}

/** Only what Claude signed may be replayed to it, and exactly as it was. */
function encodeReasoning(part: Extract<Part, { type: 'reasoning' }>, path: string, lose: Lose): JsonObject[] {
  const { origin, text, signature, encrypted } = part
  if (origin === 'messages' && encrypted !== undefined) return [{ type: 'redacted_thinking', data: encrypted }]
  if (origin === 'messages' && signature !== undefined) return [{ type: 'thinking', thinking: text, signature }]
  lose(path, 'reasoning of a model behind another protocol is not replayed')
  return []
}

function parseArguments(text: string, path: string, lose: Lose): JsonObject {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return value
  } catch {
    // Told below: what a model wrote need not be JSON.
  }
  lose(path, 'the arguments of a tool call are no JSON object', true)
  return {}
}

function encodeUrl(url: string, cacheControl: unknown, path: string, lose: Lose): JsonObject[] {
  if (/^https?:/i.test(url)) return [{ type: 'image', source: { type: 'url', url }, ...mark(cacheControl) }]
  const inline = parseDataUrl(url)
  if (inline?.mediaType === 'application/pdf') return [documentOf(inline, undefined, cacheControl)]
  if (inline === undefined || !inline.mediaType.startsWith('image/')) {
    lose(path, 'a picture is neither inline nor at an address', true)
    return []
  }
  const { mediaType, data } = inline
  const source = { type: 'base64', media_type: mediaType === 'image/jpg' ? 'image/jpeg' : mediaType, data }
  return [{ type: 'image', source, ...mark(cacheControl) }]
}

function encodeFile(part: Extract<Part, { type: 'file' }>, path: string, lose: Lose): JsonObject[] {
  const { data, url, mediaType = 'application/pdf', name, cacheControl } = part
  if (data === undefined) {
    if (url === undefined) {
      lose(path, 'a file has no content', true)
      return []
    }
    const source = { type: 'url', url }
    return [{ type: 'document', source, ...(name !== undefined && { title: name }), ...mark(cacheControl) }]
  }
  if (mediaType === 'application/pdf') return [documentOf({ mediaType, data }, name, cacheControl)]
  if (mediaType.startsWith('image/')) {
    const source = { type: 'base64', media_type: mediaType, data }
    return [{ type: 'image', source, ...mark(cacheControl) }]
  }
  if (mediaType.startsWith('text/')) {
    const source = { type: 'text', media_type: 'text/plain', data: Buffer.from(data, 'base64').toString('utf8') }
    return [{ type: 'document', source, ...(name !== undefined && { title: name }), ...mark(cacheControl) }]
  }
  lose(path, 'files of this type are not carried', true)
  return []
}

function documentOf(
  inline: { mediaType: string; data: string },
  name: string | undefined,
  cacheControl: unknown,
): JsonObject {
  const source = { type: 'base64', media_type: inline.mediaType, data: inline.data }
  return { type: 'document', source, ...(name !== undefined && { title: name }), ...mark(cacheControl) }
}
