import type { AnswerIdentity, FrameFacts } from './protocol.ts'
import { frameData } from './sse-frames.ts'

const NONE: readonly number[] = []
const SILENT: FrameFacts = { kind: 'silent' }
const DONE: FrameFacts = { kind: 'done', frame: false }
const MALFORMED: FrameFacts = { kind: 'malformed' }

/** What stands around the content of a plain chunk: mostly the same for all chunks of an answer. */
export interface ChunkShape {
  head: string
  tail: string
}

/**
 * Reads one frame. An ordinary content chunk is recognised by its shape, without parsing it: that is nearly every frame
 * of a stream, and parsing each would be the largest cost of relaying it. Anything else is parsed, and with `parse` all.
 * `shape` belongs to one stream and remembers its last plain chunk.
 */
export function inspectFrame(buffer: Buffer, start: number, end: number, shape: ChunkShape, parse = false): FrameFacts {
  const data = frameData(buffer.toString('latin1', start, end))
  if (data === undefined || data === '') return SILENT
  if (!parse) {
    const text = sameShape(data, shape) ?? plainContent(data, shape)
    if (text !== undefined)
      return { kind: 'chunk', text, content: text !== '', finished: NONE, usage: undefined, bare: false }
  }
  if (data.startsWith('[DONE]')) return DONE
  return inspectData(Buffer.from(data, 'latin1').toString('utf8'))
}

/** Reads the data of one frame by parsing it. */
function inspectData(data: string): FrameFacts {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return MALFORMED
  }
  if (!isObject(value)) return MALFORMED
  if (value.error !== undefined && value.error !== null) return { kind: 'error', error: value.error }
  const { choices } = value
  if (!Array.isArray(choices)) return isObject(value.usage) ? bareUsage(value.usage) : MALFORMED
  let text = ''
  let content = false
  let finished = NONE
  for (const choice of choices) {
    if (!isObject(choice)) continue
    if (choice.finish_reason === 'error') return { kind: 'error', error: 'finish_reason' }
    // Some servers write an empty reason while the answer goes on.
    if (typeof choice.finish_reason === 'string' && choice.finish_reason !== '')
      finished = [...finished, typeof choice.index === 'number' ? choice.index : 0]
    text += generatedText(choice.delta)
    content ||= hasContent(choice.delta)
  }
  return {
    kind: 'chunk',
    text: rawText(text),
    content,
    finished,
    usage: isObject(value.usage) ? value.usage : undefined,
    bare: choices.length === 0,
    identity: answerIdentity(value),
  }
}

const NAME_CHARS_MAX = 255

/** The id and model that a provider gives its answer, from the first chunk or the whole body. */
export function answerIdentity(value: { id?: unknown; model?: unknown }): AnswerIdentity {
  const id = readName(value.id)
  const model = readName(value.model)
  return { ...(id !== undefined && { id }), ...(model !== undefined && { model }) }
}

/** Names go onto receipts: bounded, well-formed, and without control characters, which PostgreSQL's JSON refuses. */
function readName(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const name = value
    .slice(0, NAME_CHARS_MAX)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, '')
  return name === '' ? undefined : name
}

/** All text that a delta or a message of the model holds, in no particular order: for counting only. */
export function generatedText(message: unknown): string {
  if (!isObject(message)) return ''
  let text = ''
  for (const name of textMembers) {
    const value = message[name]
    if (typeof value === 'string') text += value
    else if (Array.isArray(value)) text += partsText(value)
  }
  if (Array.isArray(message.tool_calls)) for (const call of message.tool_calls) text += calledText(call)
  text += calledText({ function: message.function_call })
  if (isObject(message.audio) && typeof message.audio.transcript === 'string') text += message.audio.transcript
  return text
}

/** Whether a delta holds more than its role and empty members. */
function hasContent(delta: unknown): boolean {
  if (!isObject(delta)) return false
  for (const [name, value] of Object.entries(delta)) {
    if (name === 'role' || value === null) continue
    if (typeof value === 'string' || Array.isArray(value) ? value.length > 0 : typeof value === 'object') return true
  }
  return false
}

/** Undoes what the raw pieces of FrameFacts.text are: JSON escapes and Latin-1 bytes. */
export function decodeRawText(raw: string): string {
  const utf8 = Buffer.from(raw, 'latin1').toString('utf8')
  try {
    return JSON.parse(`"${utf8}"`) as string
  } catch {
    return utf8
  }
}

const textMembers = ['content', 'reasoning_content', 'reasoning', 'refusal'] as const

/** Some models say what they think and what they answer in parts. */
function partsText(parts: readonly unknown[]): string {
  let text = ''
  for (const part of parts) {
    if (!isObject(part)) continue
    if (typeof part.text === 'string') text += part.text
    if (Array.isArray(part.thinking))
      for (const thought of part.thinking)
        if (isObject(thought) && typeof thought.text === 'string') text += thought.text
  }
  return text
}

/** Functions have arguments, tools that take any text have an input. */
function calledText(call: unknown): string {
  if (!isObject(call)) return ''
  let text = ''
  for (const called of [call.function, call.custom]) {
    if (!isObject(called)) continue
    for (const said of [called.name, called.arguments, called.input]) if (typeof said === 'string') text += said
  }
  return text
}

/** The content of a chunk that differs from the last plain one in nothing else. */
function sameShape(data: string, { head, tail }: ChunkShape): string | undefined {
  const to = data.length - tail.length
  if (head === '' || to < head.length || !data.startsWith(head) || !data.endsWith(tail)) return undefined
  const text = data.slice(head.length, to)
  return text.includes('"') || text.endsWith('\\') ? undefined : text
}

/** The content of a chunk that holds nothing else of note, or undefined when it must be parsed. */
function plainContent(data: string, shape: ChunkShape): string | undefined {
  if (data.charCodeAt(0) !== 0x7b || data.charCodeAt(data.length - 1) !== 0x7d) return undefined
  const at = data.indexOf('"content":"')
  if (at === -1) return undefined
  const from = at + 11
  let to = data.indexOf('"', from)
  while (to !== -1 && isEscaped(data, to)) to = data.indexOf('"', to + 1)
  if (to === -1) return undefined
  // Text inside strings cannot match: its quotes are escaped.
  if (data.includes('"error":')) return undefined
  if (data.includes('"finish_reason":"') || data.includes('"finish_reason": "')) return undefined
  if (data.includes('"usage":{') || data.includes('"usage": {')) return undefined
  if (data.includes('"tool_calls":[') || data.includes('"function_call":{') || data.includes('"refusal":"'))
    return undefined
  if (data.includes('"reasoning', to) || data.lastIndexOf('"reasoning', at) !== -1) return undefined
  if (data.includes('"content":"', to)) return undefined // Several choices in one chunk.
  shape.head = data.slice(0, from)
  shape.tail = data.slice(to)
  return data.slice(from, to)
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0
  while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes += 1
  return slashes % 2 === 1
}

function bareUsage(usage: unknown): FrameFacts {
  return { kind: 'chunk', text: '', content: false, finished: NONE, usage, bare: true }
}

function rawText(text: string): string {
  return text === '' ? '' : Buffer.from(JSON.stringify(text).slice(1, -1)).toString('latin1')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
