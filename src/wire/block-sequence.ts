import { createObjectEnd } from './json-end.ts'
import type { AnswerEvent } from './neutral.ts'
import { WireError } from './protocol.ts'

const CALLS_MAX = 1_024
/** Of text that waits for a call before it to end. */
const WAITING_CHARS_MAX = 8 * 1024 * 1024

type Prose = 'text' | 'reasoning' | 'refusal'

interface Block {
  start: Extract<AnswerEvent, { type: 'block' }>
  /** Text that has not been passed on yet. */
  waiting: string
  /** Of a call's arguments. */
  end: ReturnType<typeof createObjectEnd>
  state: 'waiting' | 'open' | 'closed'
}

/**
 * Puts the pieces of a chat stream, in which calls may grow in turns, into blocks that come one after another. A call stays
 * open until its arguments are a whole object; what comes meanwhile waits for that, at the latest for the end.
 */
export function createBlockSequence() {
  const calls: Block[] = []
  const queue: Block[] = []
  let open: Block | undefined
  let waitingChars = 0
  let refused = false

  function begin(start: Block['start']): Block {
    const block: Block = { start, waiting: '', end: createObjectEnd(), state: 'waiting' }
    queue.push(block)
    return block
  }

  /** Opens as much of the queue as may be open now. */
  function advance(events: AnswerEvent[], ending: boolean): void {
    while (queue.length > 0) {
      if (!ending && open?.start.block === 'tool_call' && !open.end.isWhole()) return
      if (open !== undefined) open.state = 'closed'
      open = queue.shift()
      if (open === undefined) return
      open.state = 'open'
      events.push(open.start)
      if (open.waiting !== '') events.push({ type: 'delta', text: open.waiting })
      waitingChars -= open.waiting.length
      open.waiting = ''
    }
  }

  function add(block: Block, text: string, events: AnswerEvent[]): void {
    if (block.start.block === 'tool_call') block.end.feed(text)
    if (block.state === 'open') {
      if (text !== '') events.push({ type: 'delta', text })
    } else if (block.state === 'waiting') {
      waitingChars += text.length
      if (waitingChars > WAITING_CHARS_MAX) throw new WireError('too much of an answer comes out of order')
      block.waiting += text
    } else if (text.trim() !== '') throw new WireError('a tool call goes on behind its end')
    advance(events, false)
  }

  return {
    /** Text of a kind: it goes on where the last block is of that kind, or begins another. */
    say(kind: Prose, text: string, events: AnswerEvent[]): void {
      if (text === '') return
      refused ||= kind === 'refusal'
      const last = queue.at(-1) ?? open
      const start = kind === 'reasoning' ? { block: kind, origin: 'chat' as const } : { block: kind }
      add(last?.start.block === kind ? last : begin({ type: 'block', ...start }), text, events)
    },

    /** A new call; returns its number. */
    call(id: string, name: string, events: AnswerEvent[]): number {
      if (calls.length >= CALLS_MAX) throw new WireError('an answer calls too many tools')
      calls.push(begin({ type: 'block', block: 'tool_call', id, name }))
      advance(events, false)
      return calls.length - 1
    },

    arguments(call: number, text: string, events: AnswerEvent[]): void {
      const block = calls[call]
      if (block !== undefined) add(block, text, events)
    },

    /** Passes on all that waits. */
    end(events: AnswerEvent[]): void {
      advance(events, true)
    },

    said(): { toolCalls: boolean; refusal: boolean } {
      return { toolCalls: calls.length > 0, refusal: refused }
    },
  }
}
