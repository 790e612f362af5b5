import { asText, type JsonObject, objectsOf, textAt } from './json-values.ts'
import type { Part, TextProtocol } from './neutral.ts'

type Reasoning = Extract<Part, { type: 'reasoning' }>

/** The names under which OpenRouter, and the clients that know it, carry what another protocol must get back unchanged. */
const formatOf: Readonly<Partial<Record<TextProtocol, string>>> = {
  messages: 'anthropic-claude-v1',
  responses: 'openai-responses-v1',
}
const origins = new Map<unknown, TextProtocol>([
  [formatOf.messages, 'messages'],
  [formatOf.responses, 'responses'],
])

/** The reasoning of a message in a chat's history. */
export function decodeReasoning(message: JsonObject): Reasoning[] {
  const parts: Reasoning[] = []
  let lastKey: string | undefined
  for (const detail of objectsOf(message.reasoning_details)) {
    const origin = origins.get(detail.format)
    if (origin === undefined) continue
    // Clients that collect a stream may keep its pieces: those of one block have one index.
    const key = JSON.stringify([origin, detail.index])
    let part = parts.at(-1)
    if (part === undefined || detail.index === undefined || key !== lastKey || isComplete(part)) {
      part = { type: 'reasoning', text: '', origin }
      parts.push(part)
    }
    lastKey = key
    part.text += textAt(detail, 'text') + textAt(detail, 'summary')
    const [id, signature, encrypted] = [asText(detail.id), asText(detail.signature), asText(detail.data)]
    if (id !== undefined) part.id = id
    if (signature !== undefined) part.signature = signature
    if (encrypted !== undefined) part.encrypted = encrypted
  }
  if (parts.length > 0) return parts
  const text = reasoningText(message)
  return text === '' ? [] : [{ type: 'reasoning', text, origin: 'chat' }]
}

/** Reasoning as providers of this protocol show it: DeepSeek's name, or that of OpenRouter and vLLM. */
export function reasoningText(message: JsonObject): string {
  return textAt(message, 'reasoning_content') || textAt(message, 'reasoning')
}

/** What a client must send back so that the protocol which made this reasoning takes it again; nothing for chat's own. */
export function encodeReasoningDetails(part: Omit<Reasoning, 'type'>, index: number): JsonObject[] {
  const { text, id, signature, encrypted, origin } = part
  const format = formatOf[origin]
  if (format === undefined || (signature === undefined && encrypted === undefined)) return []
  const common = { format, index, ...(id !== undefined && { id }) }
  const details: JsonObject[] = []
  if (signature !== undefined) details.push({ type: 'reasoning.text', text, signature, ...common })
  else if (text !== '') details.push({ type: 'reasoning.summary', summary: text, ...common })
  if (encrypted !== undefined) details.push({ type: 'reasoning.encrypted', data: encrypted, ...common })
  return details
}

function isComplete({ signature, encrypted }: Reasoning): boolean {
  return signature !== undefined || encrypted !== undefined
}
