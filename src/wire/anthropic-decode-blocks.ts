import { dataUrl } from './data-urls.ts'
import { asText, isAbsent, isObject, type JsonObject, nameOf, objectsOf, textAt } from './json-values.ts'
import type { Lose } from './losses.ts'
import type { Part } from './neutral.ts'
import { openReasoning } from './reasoning-seal.ts'
import { toolIdFromMessages } from './tool-ids.ts'

type Reasoning = Extract<Part, { type: 'reasoning' }>

/** The content of a message or of a tool's result. */
export function decodeBlocks(content: unknown, path: string, lose: Lose): Part[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  if (isAbsent(content)) return []
  if (!Array.isArray(content)) {
    lose(path, 'is neither text nor a list of blocks', true)
    return []
  }
  return content.flatMap((block, index) => {
    if (isObject(block)) return decodeBlock(block, `${path}[${index}]`, lose)
    lose(`${path}[${index}]`, 'is no block', true)
    return []
  })
}

/** A thinking block: one of our own seal is of the protocol that is named in it. */
function decodeThinking(thinking: string, signature: string | undefined): Reasoning {
  const opened = signature === undefined ? undefined : openReasoning(signature)
  if (opened !== undefined) return { type: 'reasoning', text: thinking, ...opened }
  const signed = signature === undefined || signature === '' ? {} : { signature }
  return { type: 'reasoning', text: thinking, ...signed, origin: 'messages' }
}

function decodeBlock(block: JsonObject, path: string, lose: Lose): Part[] {
  const cached = isAbsent(block.cache_control) ? {} : { cacheControl: block.cache_control }
  switch (block.type) {
    case 'text':
      if (objectsOf(block.citations).length > 0) lose(`${path}.citations`, 'citations are not carried')
      return [{ type: 'text', text: textAt(block, 'text'), ...cached }]
    case 'thinking':
      return [decodeThinking(textAt(block, 'thinking'), asText(block.signature))]
    case 'redacted_thinking':
      return [{ type: 'reasoning', text: '', encrypted: textAt(block, 'data'), origin: 'messages' }]
    case 'image':
      return decodeImage(isObject(block.source) ? block.source : {}, path, cached, lose)
    case 'document':
      return decodeDocument(block, path, cached, lose)
    case 'search_result': {
      const texts = decodeBlocks(block.content, `${path}.content`, lose)
      const head = [textAt(block, 'title'), textAt(block, 'source')].filter((each) => each !== '').join('\n')
      return [...(head === '' ? [] : [{ type: 'text' as const, text: `${head}\n` }]), ...texts]
    }
    case 'tool_use': {
      const input = isObject(block.input) ? JSON.stringify(block.input) : '{}'
      const id = toolIdFromMessages(textAt(block, 'id'))
      return [{ type: 'tool_call', id, name: textAt(block, 'name'), arguments: input, ...cached }]
    }
    case 'tool_result':
      return [
        {
          type: 'tool_result',
          id: toolIdFromMessages(textAt(block, 'tool_use_id')),
          content: decodeBlocks(block.content, `${path}.content`, lose),
          isError: block.is_error === true,
          ...cached,
        },
      ]
  }
  lose(path, `blocks of type ${nameOf(block.type)} are not carried`, true)
  return []
}

function decodeImage(source: JsonObject, path: string, cached: { cacheControl?: unknown }, lose: Lose): Part[] {
  if (source.type === 'url') return [{ type: 'image', url: textAt(source, 'url'), ...cached }]
  if (source.type === 'base64')
    return [{ type: 'image', url: dataUrl(textAt(source, 'media_type'), textAt(source, 'data')), ...cached }]
  lose(path, 'files that lie at a provider are not carried', true)
  return []
}

function decodeDocument(block: JsonObject, path: string, cached: { cacheControl?: unknown }, lose: Lose): Part[] {
  const source = isObject(block.source) ? block.source : {}
  const title = asText(block.title)
  const named = title === undefined ? {} : { name: title }
  if (isObject(block.citations) && block.citations.enabled === true)
    lose(`${path}.citations`, 'citations are not carried')
  const context = asText(block.context)
  const before: Part[] = context === undefined || context === '' ? [] : [{ type: 'text', text: context }]
  switch (source.type) {
    case 'base64': {
      const mediaType = textAt(source, 'media_type')
      return [...before, { type: 'file', data: textAt(source, 'data'), mediaType, ...named, ...cached }]
    }
    case 'url':
      return [...before, { type: 'file', url: textAt(source, 'url'), ...named, ...cached }]
    case 'text':
      return [...before, { type: 'text', text: textAt(source, 'data'), ...cached }]
    case 'content':
      return [...before, ...decodeBlocks(source.content, `${path}.source.content`, lose)]
  }
  lose(path, 'files that lie at a provider are not carried', true)
  return []
}
