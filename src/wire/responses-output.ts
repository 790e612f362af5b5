import { isObject, type JsonObject, nameOf, textAt } from './json-values.ts'
import { decodeRawText } from './openai-chunk.ts'
import { rawJsonText } from './raw-json-text.ts'

/** What ends a response before its time: events that close its open items, and its items as far as they have come. */
export interface ClosedOutput {
  events: { type: string; members: JsonObject }[]
  items: JsonObject[]
}

/** A text of an item as it grows: a part of its content or summary, the arguments of a call. */
interface Growing {
  /** Flat pieces first, then the latest ones: joining each at once would copy the text again and again. */
  joined: string[]
  latest: string[]
  chars: number
  list: 'content' | 'summary' | undefined
  index: number
  type: string
}

interface Item {
  value: JsonObject
  done: boolean
  texts: Map<string, Growing>
}

const LATEST_MAX = 64

/** The delta events of texts that belong to items, and what they add to. */
const targets: Readonly<Record<string, { list?: 'content' | 'summary'; type: string }>> = {
  'response.output_text.delta': { list: 'content', type: 'output_text' },
  'response.refusal.delta': { list: 'content', type: 'refusal' },
  'response.reasoning_text.delta': { list: 'content', type: 'reasoning_text' },
  'response.reasoning_summary_text.delta': { list: 'summary', type: 'summary_text' },
  'response.function_call_arguments.delta': { type: 'arguments' },
  'response.custom_tool_call_input.delta': { type: 'input' },
}

/**
 * Puts together what a stream has shown of its output, so that it can be closed in order before its time. Keeps at most
 * `charsMax` characters; of an output that is longer nothing is known any more.
 */
export function createOutputTracker(charsMax: number) {
  const items = new Map<number, Item>()
  let chars = 0
  let last: Growing | undefined

  function grow(by: number): boolean {
    chars += by
    if (chars <= charsMax) return true
    items.clear()
    last = undefined
    return false
  }

  function append(raw: string): void {
    if (last === undefined || !grow(raw.length)) return
    last.chars += raw.length
    last.latest.push(raw)
    if (last.latest.length < LATEST_MAX) return
    last.joined.push(last.latest.join(''))
    last.latest = []
  }

  return {
    /** Takes in one event of `size` characters. */
    apply(event: JsonObject, size: number): void {
      last = undefined
      if (typeof event.output_index !== 'number') return
      const known = items.get(event.output_index)
      if (event.type === 'response.output_item.added' || event.type === 'response.output_item.done') {
        if (!isObject(event.item) || !grow(size)) return
        for (const text of known?.texts.values() ?? []) chars -= text.chars
        const done = event.type === 'response.output_item.done'
        items.set(event.output_index, { value: event.item, done, texts: new Map() })
        return
      }
      const target = targets[nameOf(event.type)]
      if (target === undefined || known === undefined || typeof event.delta !== 'string') return
      const index = event.content_index ?? event.summary_index
      const at = typeof index === 'number' ? index : 0
      const key = `${target.list ?? ''}${at}`
      last = known.texts.get(key)
      if (last === undefined) {
        last = { joined: [], latest: [], chars: 0, list: target.list, index: at, type: target.type }
        known.texts.set(key, last)
      }
      append(rawJsonText(event.delta))
    },

    /** More of what the last event, a delta, belonged to; raw JSON text, bytes as Latin-1. */
    append,

    close(): ClosedOutput {
      const closed: ClosedOutput = { events: [], items: [] }
      for (const [index, item] of [...items].sort(([a], [b]) => a - b)) {
        if (item.done) closed.items.push(item.value)
        else closeItem(item, index, closed)
      }
      return closed
    },
  }
}

function closeItem({ value, texts }: Item, output_index: number, closed: ClosedOutput): void {
  const item: JsonObject = { ...value, status: 'incomplete' }
  const item_id = textAt(value, 'id')
  for (const text of [...texts.values()].sort((a, b) => a.index - b.index)) {
    const said = decodeRawText([...text.joined, ...text.latest].join(''))
    if (text.list === undefined) {
      item[text.type] = said
      continue
    }
    const part = partOf(text.type, said)
    item[text.list] = [...(Array.isArray(item[text.list]) ? (item[text.list] as unknown[]) : []), part]
    if (text.list === 'summary' || text.type === 'reasoning_text') continue
    const members = { item_id, output_index, content_index: text.index }
    closed.events.push(
      text.type === 'refusal'
        ? { type: 'response.refusal.done', members: { ...members, refusal: said } }
        : { type: 'response.output_text.done', members: { ...members, text: said, logprobs: [] } },
      { type: 'response.content_part.done', members: { ...members, part } },
    )
  }
  closed.items.push(item)
  // A call whose arguments are cut must not look ready to run.
  if (value.type === 'message' || value.type === 'reasoning')
    closed.events.push({ type: 'response.output_item.done', members: { output_index, item } })
}

/** A part of an item's content or summary. */
export function partOf(type: string, said: string): JsonObject {
  switch (type) {
    case 'output_text':
      return { type, annotations: [], logprobs: [], text: said }
    case 'refusal':
      return { type, refusal: said }
    default:
      return { type, text: said }
  }
}

/** All text that an item of an output holds, for counting only. */
export function itemText(item: unknown): string {
  if (!isObject(item)) return ''
  let text = textAt(item, 'arguments') + textAt(item, 'input') + textAt(item, 'code')
  for (const list of [item.content, item.summary])
    for (const part of Array.isArray(list) ? list : [])
      if (isObject(part)) text += textAt(part, 'text') + textAt(part, 'refusal')
  return text
}
