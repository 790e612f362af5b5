import { parseDataUrl } from './data-urls.ts'
import { asText, isAbsent, isObject, type JsonObject, nameOf, objectsOf, textAt } from './json-values.ts'
import type { Lose } from './losses.ts'
import type { Part } from './neutral.ts'
import { openReasoning } from './reasoning-seal.ts'

/** The content of a message or the output of a call: text, or a list of parts. */
export function decodeContent(content: unknown, path: string, lose: Lose): Part[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }]
  if (!Array.isArray(content)) {
    lose(path, 'is neither text nor a list of parts', true)
    return []
  }
  return content.flatMap((part, index) => decodePart(part, `${path}[${index}]`, lose))
}

function decodePart(part: unknown, path: string, lose: Lose): Part[] {
  if (!isObject(part)) {
    lose(path, 'is no part', true)
    return []
  }
  if (!isAbsent(part.prompt_cache_breakpoint))
    lose(`${path}.prompt_cache_breakpoint`, 'marks of what to cache are not carried')
  switch (part.type) {
    case 'input_text':
    case 'output_text':
    case 'text':
      if (objectsOf(part.annotations).length > 0) lose(`${path}.annotations`, 'annotations are not carried')
      return [{ type: 'text', text: textAt(part, 'text') }]
    case 'refusal':
      return [{ type: 'refusal', text: textAt(part, 'refusal') }]
    case 'input_image': {
      const url = asText(part.image_url)
      const detail = asText(part.detail)
      if (url !== undefined) return [{ type: 'image', url, ...(detail !== undefined && { detail }) }]
      break
    }
    case 'input_audio': {
      const { data, format } = isObject(part.input_audio) ? part.input_audio : {}
      if (typeof data === 'string' && typeof format === 'string') return [{ type: 'audio', data, format }]
      break
    }
    case 'input_file': {
      const file = decodeFile(part)
      if (file !== undefined) return [file]
      break
    }
  }
  if (part.file_id === undefined) lose(path, `parts of type ${nameOf(part.type)} are not carried`, true)
  else lose(path, 'files that lie at a provider are not carried', true)
  return []
}

function decodeFile(part: JsonObject): Part | undefined {
  const name = asText(part.filename)
  const named = name === undefined ? {} : { name }
  const url = asText(part.file_url)
  if (url !== undefined) return { type: 'file', url, ...named }
  const text = asText(part.file_data)
  if (text === undefined) return undefined
  return { type: 'file', ...(parseDataUrl(text) ?? { data: text }), ...named }
}

/** Between two parts of a summary that become one text. */
export const SUMMARY_SEPARATOR = '\n\n'

/** A reasoning item, under the protocol that made it. */
export function decodeReasoning(item: JsonObject): Part[] {
  const summary = objectsOf(item.summary).map((part) => textAt(part, 'text'))
  const said = summary.length > 0 ? summary : objectsOf(item.content).map((part) => textAt(part, 'text'))
  const text = said.join(SUMMARY_SEPARATOR)
  const id = asText(item.id)
  const encrypted = asText(item.encrypted_content)
  const foreign = encrypted === undefined ? undefined : openReasoning(encrypted)
  if (foreign !== undefined) return [{ type: 'reasoning', text, ...foreign }]
  if (text === '' && encrypted === undefined) return []
  return [
    {
      type: 'reasoning',
      text,
      origin: 'responses',
      ...(id !== undefined && { id }),
      ...(encrypted !== undefined && { encrypted }),
    },
  ]
}
