import { asText, isObject, type JsonObject, objectsOf, textAt } from './json-values.ts'
import type { AnswerEvent } from './neutral.ts'
import { reportedUsage } from './neutral-usage.ts'
import { type EventDecoder, WireError } from './protocol.ts'
import { finishOf } from './responses-decode-answer.ts'
import { SUMMARY_SEPARATOR } from './responses-decode-part.ts'
import { decodeResponsesUsage } from './responses-usage.ts'

type BlockStart = Extract<AnswerEvent, { type: 'block' }>

interface Block {
  key: string
  item: number
  start: BlockStart
  /** Events that wait until the blocks before this one are over. */
  waiting: AnswerEvent[]
  opened: boolean
  over: boolean
}

/** A text of an item, and how its block begins. */
interface Place {
  item: number
  part: number
  begin: BlockStart
}

function keyOf({ item, part, begin }: Place): string {
  return `${begin.block} ${item}/${part}`
}

/** Of blocks that wait for others. */
const WAITING_CHARS_MAX = 4 * 1024 * 1024
/** Each event looks through the open blocks: an upstream that opens them without end would keep the process busy. */
const OPEN_BLOCKS_MAX = 256
const ITEMS_MAX = 10_000

/**
 * Reads a stream of this protocol. Calls may grow side by side there, but blocks come one after another here, so later ones
 * wait. What the deltas leave out is taken from the whole items that follow them.
 */
export function createResponsesEventDecoder(): EventDecoder {
  const blocks: Block[] = []
  /** Characters that have been told of each text, so that a whole item adds only what is missing. */
  const told = new Map<string, number>()
  const itemsOver = new Set<number>()
  const reasoning = new Map<number, { list: 'summary' | 'content'; part: number }>()
  let events: AnswerEvent[] = []
  let waitingChars = 0
  let started = false
  let finished = false
  let calls = false
  let refused = false

  function start(response: JsonObject): void {
    if (started) return
    started = true
    events.push({ type: 'start', id: textAt(response, 'id'), model: textAt(response, 'model') })
  }

  function put(block: Block, event: AnswerEvent): void {
    if (blocks[0] === block) {
      if (!block.opened) events.push(block.start)
      block.opened = true
      events.push(event)
      return
    }
    if (event.type === 'delta') waitingChars += event.text.length
    if (waitingChars > WAITING_CHARS_MAX) throw new WireError('too much of the output waits for an earlier item')
    block.waiting.push(event)
  }

  /** The open block of a text, or a new one. Only calls grow side by side: another item ends messages and reasoning. */
  function blockOf({ item, part, begin }: Place): Block {
    const key = keyOf({ item, part, begin })
    const open = blocks.find((block) => block.key === key && !block.over)
    if (open !== undefined) return open
    for (const block of blocks) if (block.start.block !== 'tool_call' && block.item !== item) block.over = true
    for (const block of blocks) if (block.item === item) block.over = true
    if (blocks.length >= OPEN_BLOCKS_MAX) throw new WireError('too many calls stand open side by side')
    const block = { key, item, start: begin, waiting: [], opened: false, over: false }
    blocks.push(block)
    advance()
    return block
  }

  function advance(): void {
    while (blocks[0]?.over === true) {
      blocks.shift()
      const next = blocks[0]
      if (next === undefined) return
      const { waiting } = next
      next.waiting = []
      if (next.start.block === 'tool_call' && !next.opened) {
        events.push(next.start)
        next.opened = true
      }
      for (const event of waiting) {
        if (event.type === 'delta') waitingChars -= event.text.length
        put(next, event)
      }
    }
  }

  function closeItem(item: number): void {
    for (const block of blocks) if (block.item === item) block.over = true
    advance()
  }

  function say(place: Place, text: string): void {
    if (text === '') return
    const key = keyOf(place)
    told.set(key, (told.get(key) ?? 0) + text.length)
    put(blockOf(place), { type: 'delta', text })
  }

  /** Says what of `whole` has not been said. */
  function complete(place: Place, whole: string): void {
    say(place, whole.slice(told.get(keyOf(place)) ?? 0))
  }

  function callOf(item: number, value: JsonObject): Place | undefined {
    const id = asText(value.call_id)
    const name = asText(value.name)
    if (id === undefined || name === undefined) return undefined
    calls = true
    return { item, part: 0, begin: { type: 'block', block: 'tool_call', id, name } }
  }

  function openCall(item: number, value: JsonObject): void {
    const call = callOf(item, value)
    if (call === undefined) return
    const block = blockOf(call)
    if (blocks[0] !== block || block.opened) return
    events.push(block.start)
    block.opened = true
  }

  function sayReasoning(event: JsonObject, item: number, list: 'summary' | 'content'): void {
    const index = event.summary_index ?? event.content_index
    const part = typeof index === 'number' ? index : 0
    const known = reasoning.get(item) ?? { list, part }
    // Where a provider shows both its thoughts and their summary, the first to come is told.
    if (known.list !== list) return
    const text = textAt(event, 'delta')
    reasoning.set(item, { list, part })
    say({ item, part: 0, begin: REASONING }, known.part === part ? text : SUMMARY_SEPARATOR + text)
  }

  function itemOver(item: number, value: JsonObject): void {
    if (itemsOver.has(item)) return
    if (itemsOver.size >= ITEMS_MAX) throw new WireError('more items than an answer can have')
    itemsOver.add(item)
    switch (value.type) {
      case 'message':
        for (const [part, content] of objectsOf(value.content).entries()) {
          if (content.type === 'refusal') {
            refused = true
            complete({ item, part, begin: REFUSAL }, textAt(content, 'refusal'))
          } else complete({ item, part, begin: TEXT }, textAt(content, 'text'))
        }
        break
      case 'reasoning': {
        const summary = objectsOf(value.summary)
        const list = reasoning.get(item)?.list ?? (summary.length > 0 ? 'summary' : 'content')
        const texts = objectsOf(value[list]).map((part) => textAt(part, 'text'))
        const place = { item, part: 0, begin: REASONING }
        complete(place, texts.join(SUMMARY_SEPARATOR))
        const encrypted = asText(value.encrypted_content)
        const id = asText(value.id)
        if (encrypted !== undefined)
          put(blockOf(place), { type: 'signature', ...(id !== undefined && { id }), encrypted })
        break
      }
      case 'function_call': {
        const call = callOf(item, value)
        if (call === undefined) throw new WireError('a call without an id or a name')
        openCall(item, value)
        complete(call, textAt(value, 'arguments'))
        break
      }
      case 'custom_tool_call':
        throw new WireError('a call of a custom tool has no counterpart')
    }
    closeItem(item)
  }

  function finish(response: unknown): void {
    if (!isObject(response)) throw new WireError('the end of a response without the response')
    start(response)
    for (const [index, item] of objectsOf(response.output).entries()) itemOver(index, item)
    for (const block of blocks) block.over = true
    advance()
    finished = true
    events.push({
      type: 'finish',
      finish: finishOf(response, { calls, refused }),
      ...reportedUsage(decodeResponsesUsage(response.usage)),
    })
  }

  function read(event: JsonObject): void {
    const item = typeof event.output_index === 'number' ? event.output_index : 0
    const part = typeof event.content_index === 'number' ? event.content_index : 0
    switch (event.type) {
      case 'response.queued':
      case 'response.created':
      case 'response.in_progress':
        if (isObject(event.response)) start(event.response)
        return
      case 'response.completed':
      case 'response.incomplete':
        finish(event.response)
        return
      case 'response.failed':
      case 'response.cancelled':
      case 'error':
        throw new WireError('the provider reports a failure')
    }
    start({})
    switch (event.type) {
      case 'response.output_item.added':
        if (isObject(event.item) && event.item.type === 'function_call') openCall(item, event.item)
        return
      case 'response.output_item.done':
        if (isObject(event.item)) itemOver(item, event.item)
        return
      case 'response.output_text.delta':
        say({ item, part, begin: TEXT }, textAt(event, 'delta'))
        return
      case 'response.refusal.delta':
        refused = true
        say({ item, part, begin: REFUSAL }, textAt(event, 'delta'))
        return
      case 'response.reasoning_summary_text.delta':
        sayReasoning(event, item, 'summary')
        return
      case 'response.reasoning_text.delta':
        sayReasoning(event, item, 'content')
        return
      case 'response.function_call_arguments.delta': {
        // Before its announcement nobody knows whose arguments these are: the whole item will say.
        const open = blocks.find((block) => block.item === item && block.start.block === 'tool_call' && !block.over)
        if (open !== undefined) say({ item, part: 0, begin: open.start }, textAt(event, 'delta'))
      }
    }
  }

  return {
    decode(data) {
      if (finished || data.startsWith('[DONE]')) return []
      let event: unknown
      try {
        event = JSON.parse(data)
      } catch (cause) {
        throw new WireError('an event that is no JSON', { cause })
      }
      if (!isObject(event)) throw new WireError('an event that is no object')
      if (typeof event.type !== 'string' && isObject(event.error)) throw new WireError('the provider reports a failure')
      events = []
      read(event)
      return events
    },

    end() {
      return []
    },
  }
}

const TEXT: BlockStart = { type: 'block', block: 'text' }
const REFUSAL: BlockStart = { type: 'block', block: 'refusal' }
const REASONING: BlockStart = { type: 'block', block: 'reasoning', origin: 'responses' }
