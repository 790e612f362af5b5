import { decodeReasoning } from './chat-reasoning.ts'
import { parseDataUrl } from './data-urls.ts'
import { asText, isAbsent, isObject, type JsonObject, nameOf, objectsOf, textAt } from './json-values.ts'
import type { Lose } from './losses.ts'
import type { Message, Part } from './neutral.ts'

/** The messages of a chat request, with what the system and the developer say hoisted out of them. */
export function decodeChatMessages(list: unknown, lose: Lose): { system: Part[]; messages: Message[] } {
  const system: Part[] = []
  const messages: Message[] = []
  // Functions of old have no ids: a result answers the call before it.
  let functionCalls = 0

  for (const [index, message] of (Array.isArray(list) ? list : []).entries()) {
    const path = `messages[${index}]`
    if (!isObject(message)) {
      lose(path, 'is no message', true)
      continue
    }
    const { role } = message
    if (!isAbsent(message.name) && role !== 'function' && role !== 'tool')
      lose(`${path}.name`, 'names of participants are not carried')
    switch (role) {
      case 'system':
      case 'developer':
        if (messages.length > 0) lose(path, 'instructions inside the conversation move to its beginning')
        system.push(...decodeContent(message, path, lose))
        break
      case 'user':
        messages.push({ role: 'user', parts: decodeContent(message, path, lose) })
        break
      case 'assistant': {
        const parts = decodeAssistant(message, path, lose)
        if (isObject(message.function_call)) {
          functionCalls += 1
          parts.push(calledFunction(functionCallId(functionCalls), message.function_call))
        }
        messages.push({ role: 'assistant', parts })
        break
      }
      case 'tool':
      case 'function': {
        const id = role === 'tool' ? textAt(message, 'tool_call_id') : functionCallId(functionCalls)
        const content = decodeContent(message, path, lose)
        messages.push({ role: 'user', parts: [{ type: 'tool_result', id, content, isError: false }] })
        break
      }
      default:
        lose(`${path}.role`, 'messages of this role are not carried', true)
    }
  }
  return { system, messages }
}

/** A call or its arguments as chat writes them. */
export function calledFunction(id: string, called: JsonObject): Part {
  return { type: 'tool_call', id, name: textAt(called, 'name'), arguments: textAt(called, 'arguments') }
}

function functionCallId(count: number): string {
  return `call_function_${count}`
}

function decodeAssistant(message: JsonObject, path: string, lose: Lose): Part[] {
  const parts: Part[] = [...decodeReasoning(message), ...decodeContent(message, path, lose)]
  const refusal = textAt(message, 'refusal')
  if (refusal !== '') parts.push({ type: 'refusal', text: refusal })
  if (isObject(message.audio)) lose(`${path}.audio`, 'sound that was generated before is not carried', true)
  for (const [index, call] of objectsOf(message.tool_calls).entries()) {
    if (isObject(call.function)) parts.push(calledFunction(textAt(call, 'id'), call.function))
    else lose(`${path}.tool_calls[${index}]`, 'calls of tools that are no functions are not carried', true)
  }
  return parts
}

function decodeContent(message: JsonObject, path: string, lose: Lose): Part[] {
  const { content } = message
  const parts: Part[] = []
  if (typeof content === 'string') {
    if (content !== '') parts.push({ type: 'text', text: content })
  } else if (Array.isArray(content)) {
    for (const [index, part] of content.entries()) {
      const decoded = decodePart(part, `${path}.content[${index}]`, lose)
      if (decoded !== undefined) parts.push(decoded)
    }
  } else if (!isAbsent(content)) lose(`${path}.content`, 'is neither text nor a list of parts', true)
  const last = parts.at(-1)
  // Some clients mark the message instead of its last part.
  if (!isAbsent(message.cache_control) && (last?.type === 'text' || last?.type === 'image'))
    last.cacheControl ??= message.cache_control
  return parts
}

function decodePart(part: unknown, path: string, lose: Lose): Part | undefined {
  if (typeof part === 'string') return { type: 'text', text: part }
  if (!isObject(part)) {
    lose(path, 'is no part', true)
    return undefined
  }
  const cached = isAbsent(part.cache_control) ? {} : { cacheControl: part.cache_control }
  switch (part.type) {
    case 'text':
      return { type: 'text', text: textAt(part, 'text'), ...cached }
    case 'refusal':
      return { type: 'refusal', text: textAt(part, 'refusal') }
    case 'image_url': {
      const image = isObject(part.image_url) ? part.image_url : { url: part.image_url }
      const detail = asText(image.detail)
      return { type: 'image', url: textAt(image, 'url'), ...(detail !== undefined && { detail }), ...cached }
    }
    case 'input_audio': {
      const audio = isObject(part.input_audio) ? part.input_audio : {}
      return { type: 'audio', data: textAt(audio, 'data'), format: textAt(audio, 'format') }
    }
    case 'file':
      return decodeFile(isObject(part.file) ? part.file : {}, path, lose)
  }
  lose(path, `parts of type ${nameOf(part.type)} are not carried`, true)
  return undefined
}

function decodeFile(file: JsonObject, path: string, lose: Lose): Part | undefined {
  const name = asText(file.filename)
  const data = asText(file.file_data)
  if (data === undefined) {
    lose(path, 'files that lie at a provider are not carried', true)
    return undefined
  }
  const named = name === undefined ? {} : { name }
  if (/^https?:/i.test(data)) return { type: 'file', url: data, ...named }
  return { type: 'file', ...(parseDataUrl(data) ?? { data, mediaType: 'application/pdf' }), ...named }
}
