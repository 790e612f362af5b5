import { isAbsent, isObject, type JsonObject } from './json-values.ts'
import { answerIdentity } from './openai-chunk.ts'
import { type DecodedUsage, decodeOpenaiUsage } from './openai-usage.ts'
import type { WholeFacts } from './protocol.ts'

/**
 * Reads what is around the vectors of a whole answer, or what makes it a failure in spite of its status. A batch may hold
 * millions of numbers: they are skipped, not parsed, so of `data` only its brackets and strings are checked.
 */
export function parseWholeEmbeddings(body: string): WholeFacts {
  const found = readAround(body)
  if (found === undefined) return { fault: 'malformed' }
  const { value, data } = found
  if (!isAbsent(value.error)) return { fault: 'error_in_200' }
  if (!/^\s*\[/.test(data)) return { fault: 'malformed' }
  if (/^\s*\[\s*\]/.test(data)) return { fault: 'empty' }
  return { identity: answerIdentity(value), usage: value.usage, text: '' }
}

/** Reads the usage of embeddings: their tokens are all input, whatever else a provider calls them. */
export function decodeEmbeddingsUsage(value: unknown): DecodedUsage {
  if (!isObject(value)) return decodeOpenaiUsage(value)
  const prompt = isAbsent(value.prompt_tokens) ? value.total_tokens : value.prompt_tokens
  if (isAbsent(prompt)) return { outcome: 'absent' }
  const { prompt_tokens_details } = value
  const decoded = decodeOpenaiUsage({ prompt_tokens: prompt, completion_tokens: 0, prompt_tokens_details })
  if (decoded.outcome !== 'usage') return decoded
  const { output: _, ...usage } = decoded.usage
  return { outcome: 'usage', usage }
}

/** The members of a body, without `data`, of which only the beginning is returned. Undefined for what is not JSON. */
function readAround(body: string): { value: JsonObject; data: string } | undefined {
  let slim = ''
  let data = ''
  let from = body.search(/[^\s\ufeff]/)
  if (body[from] !== '{') return undefined
  MEMBER.lastIndex = from + 1
  for (;;) {
    const name = MEMBER.exec(body)
    if (name === null) break
    const start = MEMBER.lastIndex
    const end = valueEnd(body, start)
    if (end === -1) return undefined
    if (name[1] === 'data') {
      slim += `${body.slice(from, start)}null`
      data = body.slice(start, Math.min(end, start + DATA_CHARS_SEEN))
      from = end
    }
    MEMBER.lastIndex = end
  }
  try {
    const value: unknown = JSON.parse(slim + body.slice(from))
    return isObject(value) ? { value, data } : undefined
  } catch {
    return undefined
  }
}

/** Enough to see whether a list has anything in it. */
const DATA_CHARS_SEEN = 64

/** The name of the next member, with what stands around it. */
const MEMBER = /[\s,]*"((?:[^"\\]|\\.){0,255})"\s*:\s*/y

/** Where the value ends that begins at `from`; -1 when it does not. */
function valueEnd(text: string, from: number): number {
  const first = text[from]
  if (first === '"') return stringEnd(text, from)
  if (first !== '{' && first !== '[') {
    const end = text.slice(from, from + SCALAR_CHARS_MAX).search(/[,}\s]/)
    return end === -1 ? -1 : from + end
  }
  let depth = 0
  for (let at = from; ; ) {
    STRUCTURE.lastIndex = at
    const found = STRUCTURE.exec(text)
    if (found === null) return -1
    at = found.index
    const char = found[0]
    if (char === '"') {
      at = stringEnd(text, at)
      if (at === -1) return -1
      continue
    }
    depth += char === '{' || char === '[' ? 1 : -1
    at += 1
    if (depth === 0) return at
  }
}

const STRUCTURE = /["[\]{}]/g
const SCALAR_CHARS_MAX = 64

function stringEnd(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes += 1
    if (slashes % 2 === 0) return at + 1
  }
  return -1
}
