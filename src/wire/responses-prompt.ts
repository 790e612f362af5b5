import { isObject, type JsonObject, objectsOf, textAt } from './json-values.ts'

/** The prompt of a request in the shape of chat messages: what our own counting reads. Nothing of it is sent anywhere. */
export function promptAsMessages(body: JsonObject): unknown[] {
  const { instructions, input } = body
  const first = typeof instructions === 'string' ? [{ role: 'system', content: instructions }] : []
  if (typeof input === 'string') return [...first, { role: 'user', content: input }]
  return [...first, ...(Array.isArray(input) ? input.map(itemAsMessage) : [])]
}

function itemAsMessage(item: unknown): unknown {
  if (!isObject(item)) return item
  switch (item.type ?? 'message') {
    case 'message':
      return { role: item.role, content: contentAsChat(item.content) }
    case 'function_call':
    case 'custom_tool_call': {
      const args = item.arguments ?? item.input
      return { role: 'assistant', tool_calls: [{ function: { name: item.name, arguments: args } }] }
    }
    case 'function_call_output':
    case 'custom_tool_call_output':
      return { role: 'tool', content: contentAsChat(item.output) }
    case 'computer_call_output':
      return { role: 'tool', content: isObject(item.output) ? [imageAsChat(item.output)] : item.output }
    case 'image_generation_call':
      return { role: 'assistant', content: [image(`data:image/png;base64,${textAt(item, 'result')}`)] }
    case 'reasoning': {
      const said = [...objectsOf(item.summary), ...objectsOf(item.content)].map((part) => textAt(part, 'text'))
      return { role: 'assistant', reasoning: said.join('\n'), encrypted_content: item.encrypted_content }
    }
    default:
      return item
  }
}

function contentAsChat(content: unknown): unknown {
  return Array.isArray(content) ? content.map((part) => (isObject(part) ? partAsChat(part) : part)) : content
}

function partAsChat(part: JsonObject): JsonObject {
  switch (part.type) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return { type: 'text', text: part.text }
    case 'refusal':
      return { type: 'refusal', text: part.refusal }
    case 'input_image':
      return imageAsChat(part)
    default:
      return part
  }
}

/** A stored file may be anything, so it keeps its type and counts as something without a bound. */
function imageAsChat(part: JsonObject): JsonObject {
  return typeof part.image_url === 'string' ? image(part.image_url, part.detail) : part
}

function image(url: string, detail?: unknown): JsonObject {
  return { type: 'image_url', image_url: { url, detail } }
}
