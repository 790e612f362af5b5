import type { JsonObject } from './json-values.ts'
import type { AnswerEvent, Finish, NeutralUsage, TextProtocol } from './neutral.ts'
import { WireError } from './protocol.ts'
import { sealReasoning } from './reasoning-seal.ts'
import { newResponse, responseId } from './responses-frames.ts'
import { partOf } from './responses-output.ts'
import { usageObject } from './responses-usage.ts'

/** What an answer needs to be told as a response, beside the answer. */
export interface ResponseOptions {
  /** Names an answer whose provider gives it no name. */
  id: string
  /** Unix seconds. */
  created: number
  /** The client's request: its settings stand in the response. */
  request: { model: string; body: JsonObject }
}

type BlockStart = Extract<AnswerEvent, { type: 'block' }>
type Signature = Extract<AnswerEvent, { type: 'signature' }>

/** An upstream that never ends would otherwise be kept in memory whole: the last event tells the answer again. */
const BLOCKS_MAX = 10_000
const TEXT_CHARS_MAX = 32 * 1024 * 1024

interface Item {
  type: 'message' | 'reasoning' | 'function_call'
  value: JsonObject
  index: number
}

/**
 * Builds a response from an answer's events and tells its own events as they come, in the order and completeness of OpenAI's.
 * Throws WireError for events out of order.
 */
export function createResponseBuilder(options: ResponseOptions, emit: (type: string, members: JsonObject) => void) {
  let response = named('', '')
  const output: JsonObject[] = []
  let item: Item | undefined
  /** The open block and its text; messages may hold several, one after another. */
  let block: { kind: BlockStart['block']; origin: TextProtocol | undefined; text: string; index: number } | undefined
  let signature: Signature | undefined
  let refused = false
  let blocks = 0
  let chars = 0

  function named(id: string, model: string): JsonObject {
    const { created, request } = options
    return newResponse({ id: responseId(id || options.id), model: model || request.model, created }, request.body)
  }

  function addItem(type: Item['type'], prefix: string, members: JsonObject): Item {
    const index = output.length
    const id = `${prefix}_${String(response.id).slice('resp_'.length)}${index}`
    item = { type, value: { id, type, ...members }, index }
    emit('response.output_item.added', { output_index: index, item: item.value })
    return item
  }

  function begin(start: BlockStart): void {
    closeBlock()
    blocks += 1
    if (blocks > BLOCKS_MAX) throw new WireError('more blocks than an answer can have')
    if (start.block === 'tool_call') {
      closeItem('completed')
      const { id: call_id, name } = start
      addItem('function_call', 'fc', { status: 'in_progress', arguments: '', call_id, name })
      block = { kind: start.block, origin: undefined, text: '', index: 0 }
    } else if (start.block === 'reasoning') {
      closeItem('completed')
      addItem('reasoning', 'rs', { summary: [] })
      block = { kind: start.block, origin: start.origin, text: '', index: 0 }
    } else {
      if (item?.type !== 'message') closeItem('completed')
      refused ||= start.block === 'refusal'
      item ??= addItem('message', 'msg', { status: 'in_progress', role: 'assistant', content: [] })
      const { content } = item.value as { content: JsonObject[] }
      block = { kind: start.block, origin: undefined, text: '', index: content.length }
      emit('response.content_part.added', { ...place(item, block.index), part: contentPart(start.block, '') })
    }
  }

  function place({ value, index }: Item, content_index: number): JsonObject {
    return { item_id: value.id, output_index: index, content_index }
  }

  function summaryPlace({ value, index }: Item): JsonObject {
    return { item_id: value.id, output_index: index, summary_index: 0 }
  }

  function say(delta: string): void {
    if (block === undefined || item === undefined) throw new WireError('text that belongs to no block')
    if (delta === '') return
    chars += delta.length
    if (chars > TEXT_CHARS_MAX) throw new WireError('a longer text than an answer can have')
    if (block.kind === 'reasoning' && block.text === '')
      emit('response.reasoning_summary_part.added', { ...summaryPlace(item), part: partOf('summary_text', '') })
    block.text += delta
    switch (block.kind) {
      case 'text':
        emit('response.output_text.delta', { ...place(item, block.index), delta, logprobs: [] })
        return
      case 'refusal':
        emit('response.refusal.delta', { ...place(item, block.index), delta })
        return
      case 'reasoning':
        emit('response.reasoning_summary_text.delta', { ...summaryPlace(item), delta })
        return
      case 'tool_call':
        emit('response.function_call_arguments.delta', { item_id: item.value.id, output_index: item.index, delta })
    }
  }

  /** `silent`: the item takes in what its block has, and nobody is told that the block is over. */
  function closeBlock(silent = false): void {
    if (block === undefined || item === undefined) return
    const { kind, text, index } = block
    const tell = silent ? () => undefined : emit
    const { value } = item
    if (kind === 'text' || kind === 'refusal') {
      const part = contentPart(kind, text)
      ;(value.content as JsonObject[]).push(part)
      if (kind === 'text') tell('response.output_text.done', { ...place(item, index), text, logprobs: [] })
      else tell('response.refusal.done', { ...place(item, index), refusal: text })
      tell('response.content_part.done', { ...place(item, index), part })
    } else if (kind === 'reasoning') {
      const part = partOf('summary_text', text)
      const sealed = seal()
      item.value = {
        ...value,
        summary: text === '' ? [] : [part],
        ...(sealed !== undefined && { encrypted_content: sealed }),
      }
      if (text !== '') {
        tell('response.reasoning_summary_text.done', { ...summaryPlace(item), text })
        tell('response.reasoning_summary_part.done', { ...summaryPlace(item), part })
      }
    } else {
      item.value = { ...value, arguments: text }
      const { id: item_id, name } = value
      tell('response.function_call_arguments.done', { item_id, output_index: item.index, name, arguments: text })
    }
    block = undefined
    signature = undefined
  }

  /** What goes back to the provider with the reasoning: its own text as it is, another protocol's under our seal. */
  function seal(): string | undefined {
    if (block?.origin === undefined || (signature === undefined && block.text === '')) return undefined
    const { type: _, ...proof } = signature ?? UNSIGNED
    return block.origin === 'responses' ? proof.encrypted : sealReasoning({ origin: block.origin, ...proof })
  }

  function closeItem(status: 'completed' | 'incomplete', silent = false): void {
    if (item === undefined) return
    const { index, value, type } = item
    const over = type === 'reasoning' ? value : { ...value, status }
    output.push(over)
    item = undefined
    if (!silent) emit('response.output_item.done', { output_index: index, item: over })
  }

  return {
    /** The response as it stands, without its output. */
    response: () => response,

    apply(event: AnswerEvent): void {
      switch (event.type) {
        case 'start':
          response = named(event.id, event.model)
          emit('response.created', { response })
          emit('response.in_progress', { response })
          return
        case 'block':
          begin(event)
          return
        case 'delta':
          say(event.text)
          return
        case 'signature':
          if (block?.kind !== 'reasoning') throw new WireError('a signature that belongs to no reasoning')
          signature = event
          return
        case 'finish': {
          const incomplete = incompleteReason(event.finish, refused)
          closeBlock()
          closeItem(incomplete === undefined ? 'completed' : 'incomplete')
          response = { ...response, ...ending(incomplete, event.usage), output }
          emit(incomplete === undefined ? 'response.completed' : 'response.incomplete', { response })
        }
      }
    },

    /**
     * Ends what is open before its time and returns the output. With `tell`, texts are told to be over; a call is not, whose
     * arguments are cut and must not look ready to run.
     */
    breakOff(tell: boolean): JsonObject[] {
      const silent = !tell || item?.type === 'function_call'
      closeBlock(silent)
      closeItem('incomplete', silent)
      return output
    },
  }
}

/** Reasoning of chat: clients that store nothing send back only what has an encrypted content. */
const UNSIGNED: Signature = { type: 'signature' }

/** A refusal in words is a whole answer; one without was cut short by a filter. */
function incompleteReason(finish: Finish, refused: boolean): string | undefined {
  if (finish === 'length') return 'max_output_tokens'
  return finish === 'content_filter' || (finish === 'refusal' && !refused) ? 'content_filter' : undefined
}

function ending(reason: string | undefined, usage: NeutralUsage | undefined): JsonObject {
  return {
    status: reason === undefined ? 'completed' : 'incomplete',
    incomplete_details: reason === undefined ? null : { reason },
    usage: usage === undefined ? null : usageObject(usage),
  }
}

function contentPart(kind: 'text' | 'refusal', text: string): JsonObject {
  return partOf(kind === 'text' ? 'output_text' : 'refusal', text)
}
