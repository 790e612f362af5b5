import { cutFrames, messageStartFrame, messagesErrorFrame, messagesFrame } from './anthropic-frames.ts'
import { mergeMessagesUsage } from './anthropic-usage.ts'
import { isAbsent, isObject, type JsonObject, objectsOf, parseAnswerObject, textAt } from './json-values.ts'
import { answerIdentity } from './openai-chunk.ts'
import type { AnswerIdentity, FrameFacts, StreamFormat, WholeFacts } from './protocol.ts'
import { rawJsonText } from './raw-json-text.ts'
import { frameData } from './sse-frames.ts'

type ChunkFacts = Extract<FrameFacts, { kind: 'chunk' }>

const NONE: readonly number[] = []
const FIRST: readonly number[] = [0]
const SILENT: FrameFacts = { kind: 'silent' }
const MALFORMED: FrameFacts = { kind: 'malformed' }

/** What stands before the text of the last plain delta, and how many braces close it. */
interface DeltaShape {
  head: string
  braces: number
}

/** One stream of messages that passes byte for byte. */
export function createMessagesFormat(): StreamFormat {
  let shape: DeltaShape | undefined
  let identity: AnswerIdentity = {}
  let usage: unknown
  let openBlock: number | undefined
  let started = false
  let stopped = false

  function inspectEvent(event: JsonObject): FrameFacts {
    switch (event.type) {
      case 'ping':
        return SILENT
      case 'message_start': {
        const message = isObject(event.message) ? event.message : {}
        started = true
        identity = answerIdentity(message)
        usage = mergeMessagesUsage(usage, message.usage)
        return { ...chunk('', false), usage, identity }
      }
      case 'content_block_start': {
        openBlock = indexOf(event)
        const block = isObject(event.content_block) ? event.content_block : {}
        const text = blockText(block)
        return chunk(text, text !== '' || !textBlocks.has(block.type))
      }
      case 'content_block_delta': {
        const delta = isObject(event.delta) ? event.delta : {}
        const member = deltaMembers.get(textAt(delta, 'type'))
        const text = member === undefined ? '' : textAt(delta, member)
        return chunk(text, text !== '' || member === undefined)
      }
      case 'content_block_stop':
        openBlock = undefined
        return chunk('', false)
      case 'message_delta': {
        usage = mergeMessagesUsage(usage, event.usage)
        const ends = isObject(event.delta) && !isAbsent(event.delta.stop_reason)
        return { ...chunk('', false), usage, finished: ends ? FIRST : NONE }
      }
      case 'message_stop':
        stopped = true
        return { kind: 'done', frame: true }
      case 'error':
        return { kind: 'error', error: event.error ?? event }
    }
    if (!isAbsent(event.error)) return { kind: 'error', error: event.error }
    // New types of events may come at any time; they pass, and say nothing that we know.
    return typeof event.type === 'string' ? chunk('', false) : MALFORMED
  }

  return {
    inspect(buffer, start, end, parse) {
      const frame = buffer.toString('latin1', start, end)
      if (!parse && shape !== undefined) {
        const text = plainText(frame, shape)
        if (text !== undefined) return { ...chunk('', text !== ''), text }
      }
      const data = frameData(frame)
      if (data === undefined || data === '') return SILENT
      if (data.startsWith('[DONE]')) return { kind: 'done', frame: false }
      let event: unknown
      try {
        event = JSON.parse(Buffer.from(data, 'latin1').toString('utf8'))
      } catch {
        return MALFORMED
      }
      if (!isObject(event)) return MALFORMED
      if (event.type === 'content_block_delta') shape = learnShape(frame) ?? shape
      return inspectEvent(event)
    },

    error: messagesErrorFrame,

    cut({ reason, fallback, usage: charged }) {
      stopped = true
      const opening = started ? '' : messageStartFrame({ ...fallback, ...identity })
      return opening + cutFrames(openBlock, reason, charged)
    },

    /** Clients take an answer for whole only with its mark, which an upstream may have left out. */
    done() {
      return stopped ? '' : messagesFrame({ type: 'message_stop' })
    },
  }
}

/** Reads a whole message, or what makes it a failure in spite of its status. */
export function parseWholeMessage(body: string): WholeFacts {
  const value = parseAnswerObject(body)
  if (value === undefined) return { fault: 'malformed' }
  if (value.type === 'error' || !isAbsent(value.error)) return { fault: 'error_in_200' }
  if (!Array.isArray(value.content)) return { fault: 'malformed' }
  // A model may have nothing to say after a tool's result, but then it says that it has ended.
  if (value.content.length === 0 && isAbsent(value.stop_reason)) return { fault: 'empty' }
  return {
    identity: answerIdentity(value),
    usage: value.usage,
    text: objectsOf(value.content).map(wholeBlockText).join(''),
  }
}

/** Blocks that begin empty: their start carries nothing that was generated. */
const textBlocks = new Set<unknown>(['text', 'thinking'])

/** Where deltas have their text. Others, such as signatures and citations, have none. */
const deltaMembers = new Map([
  ['text_delta', 'text'],
  ['thinking_delta', 'thinking'],
  ['input_json_delta', 'partial_json'],
])

/** Generated text in the start of a block, for counting. */
function blockText(block: JsonObject): string {
  return textAt(block, 'text') + textAt(block, 'thinking') + textAt(block, 'name')
}

function wholeBlockText(block: JsonObject): string {
  return blockText(block) + (isObject(block.input) ? JSON.stringify(block.input) : '')
}

function chunk(text: string, content: boolean): ChunkFacts {
  return { kind: 'chunk', text: rawJsonText(text), content, finished: NONE, usage: undefined, bare: false }
}

function indexOf(event: JsonObject): number {
  return typeof event.index === 'number' ? event.index : 0
}

/** Anthropic's frames end in a varying number of spaces before the closing braces. */
const TAIL = /^"[ }]*\n\n$/

/**
 * What of a delta's frame stands before its text. Undefined unless the frame is one plain text, thinking or argument delta
 * with nothing behind the text: then a frame that begins alike differs in its text alone, whatever that is.
 */
function learnShape(frame: string): DeltaShape | undefined {
  const found = /^(?:event: ?content_block_delta\n)?data: ?\{/.exec(frame)
  const at = found === null ? null : /"(?:text|thinking|partial_json)": ?"/.exec(frame)
  if (found === null || at === null) return undefined
  const head = frame.slice(0, at.index + at[0].length)
  const braces = head.slice(found[0].length - 1).split('{').length - 1
  const shape = { head, braces }
  if (plainText(frame, shape) === undefined) return undefined
  // The head says what the frame is only if it is well-formed with any text: here, with none.
  const data = frameData(`${head}"${'}'.repeat(braces)}\n\n`) ?? ''
  try {
    const event: unknown = JSON.parse(Buffer.from(data, 'latin1').toString('utf8'))
    const delta = isObject(event) && event.type === 'content_block_delta' && isObject(event.delta) ? event.delta : {}
    const member = deltaMembers.get(textAt(delta, 'type'))
    return member !== undefined && at[0].startsWith(`"${member}"`) && delta[member] === '' ? shape : undefined
  } catch {
    return undefined
  }
}

/** The text of a frame that has this shape, as it stands in the JSON; undefined when the frame must be parsed. */
function plainText(frame: string, { head, braces }: DeltaShape): string | undefined {
  if (!frame.startsWith(head)) return undefined
  let to = frame.indexOf('"', head.length)
  while (to !== -1 && isEscaped(frame, to)) to = frame.indexOf('"', to + 1)
  if (to === -1) return undefined
  const tail = frame.slice(to)
  if (tail.length > TAIL_CHARS_MAX || !TAIL.test(tail) || tail.split('}').length - 1 !== braces) return undefined
  const text = frame.slice(head.length, to)
  // A line feed would end the data here, and other control characters cannot stand in JSON.
  return CONTROLS.test(text) ? undefined : text
}

const TAIL_CHARS_MAX = 256
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for.
const CONTROLS = /[\u0000-\u001f]/

function isEscaped(text: string, at: number): boolean {
  let slashes = 0
  while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes += 1
  return slashes % 2 === 1
}
