import type { Choice } from './answer.ts'
import type { Fields } from './json-fields.ts'
import { pieces } from './pieces.ts'
import type { Chunk, Identity } from './protocol.ts'
import { sealReasoning } from './reasoning-seal.ts'
import type { ResponsesAnswer } from './responses.ts'
import { responsesUsage } from './responses-usage.ts'

/** The body of a response that is not streamed. `extra` is further members of the top object, as JSON text. */
export function renderResponse(answer: ResponsesAnswer, identity: Identity, extra = ''): string {
  const [choice] = answer.choices
  const output = choice === undefined ? [] : outputOf(answer, choice, identity)
  return `${JSON.stringify(finalResponse(answer, identity, output)).slice(0, -1)}${extra}}`
}

/** A response that has failed, whole or as the last event of a stream. */
export function failedResponse(answer: ResponsesAnswer, identity: Identity, error: Fields): Fields {
  return { ...baseResponse(answer, identity), status: 'failed', error }
}

/**
 * The events of a streamed response in order, numbered from 0 without a gap. Lazy, but for the output, which the last event
 * tells again.
 */
export function* renderResponseEvents(answer: ResponsesAnswer, identity: Identity): Generator<Chunk, void, undefined> {
  const [choice] = answer.choices
  if (choice === undefined) return
  let sequence = 0
  const event = (type: string, members: Fields, part: Chunk['part'] = 'closing'): Chunk => ({
    event: type,
    data: JSON.stringify({ type, sequence_number: sequence++, ...members }),
    tokens: 0,
    reasoning: 0,
    part,
  })
  /** A delta as JSON text: nearly all events are one. */
  const delta = (type: string, place: string, json: string, tokens: number, reasoning: number): Chunk => {
    const noise = answer.obfuscation ? `,"obfuscation":"${NOISE.slice(json.length % NOISE.length)}"` : ''
    const data = `{"type":"${type}","sequence_number":${sequence++},${place},"delta":${json}${noise}}`
    return { event: type, data, tokens, reasoning, part: 'content' }
  }
  const base = baseResponse(answer, identity)
  yield event('response.created', { response: base }, 'opening')
  yield event('response.in_progress', { response: base }, 'opening')

  const output = outputOf(answer, choice, identity)
  const chunkTokens = answer.sim.chunk_tokens ?? 1
  for (const [output_index, item] of output.entries()) {
    const first = output_index === 0 ? 'opening' : 'closing'
    const at = { item_id: item.id, output_index }
    const place = `"item_id":"${item.id}","output_index":${output_index}`
    if (item.type === 'reasoning') {
      yield event('response.output_item.added', { output_index, item: { ...item, summary: [] } }, first)
      if (choice.reasoning !== '') {
        const summary = { ...at, summary_index: 0 }
        yield event('response.reasoning_summary_part.added', { ...summary, part: summaryPart('') }, first)
        for (const { json, tokens } of pieces(choice.reasoning, chunkTokens)) {
          yield delta('response.reasoning_summary_text.delta', `${place},"summary_index":0`, json, tokens, tokens)
        }
        yield event('response.reasoning_summary_text.done', { ...summary, text: choice.reasoning })
        yield event('response.reasoning_summary_part.done', { ...summary, part: summaryPart(choice.reasoning) })
      }
      // Reasoning that is not shown is delivered with the end of its item.
      const hidden = choice.reasoning === '' ? choice.reasoningTokens : 0
      yield { ...event('response.output_item.done', { output_index, item }), tokens: hidden, reasoning: hidden }
    } else if (item.type === 'message') {
      const added = { ...item, status: 'in_progress', content: [] }
      const content = { ...at, content_index: 0 }
      yield event('response.output_item.added', { output_index, item: added }, first)
      yield event('response.content_part.added', { ...content, part: textPart('') }, first)
      for (const { json, tokens } of pieces(choice.text, chunkTokens)) {
        yield delta('response.output_text.delta', `${place},"content_index":0,"logprobs":[]`, json, tokens, 0)
      }
      yield event('response.output_text.done', { ...content, logprobs: [], text: choice.text })
      yield event('response.content_part.done', { ...content, part: textPart(choice.text) })
      yield event('response.output_item.done', { output_index, item })
    } else {
      const added = { ...item, status: 'in_progress', arguments: '' }
      const opened = event('response.output_item.added', { output_index, item: added }, 'content')
      yield { ...opened, tokens: 1 }
      for (const { json, tokens } of pieces(String(item.arguments), chunkTokens)) {
        yield delta('response.function_call_arguments.delta', place, json, tokens, 0)
      }
      const { name, arguments: args } = item
      yield event('response.function_call_arguments.done', { ...at, name, arguments: args })
      yield event('response.output_item.done', { output_index, item })
    }
  }
  const response = finalResponse(answer, identity, output)
  yield event(`response.${response.status}`, { response }, 'mark')
}

type Item = Fields & { id: string; type: 'reasoning' | 'message' | 'function_call' }

function outputOf(answer: ResponsesAnswer, choice: Choice, { serial }: Identity): Item[] {
  const { reasoning, reasoningTokens, text, calls, finish } = choice
  const items: Item[] = []
  if (reasoningTokens > 0) {
    const sealed = answer.encryptedReasoning && { encrypted_content: sealReasoning(serial, reasoningTokens) }
    const summary = reasoning === '' ? [] : [summaryPart(reasoning)]
    items.push({ id: `rs_${serial}`, type: 'reasoning', ...sealed, summary })
  }
  const ended = (last: boolean) => (last && finish !== 'stop' && finish !== 'tool_calls' ? 'incomplete' : 'completed')
  if (text !== '') {
    const content = [textPart(text)]
    items.push({ id: `msg_${serial}`, type: 'message', status: ended(true), role: 'assistant', content })
  }
  for (const [at, call] of calls.entries()) {
    const status = ended(at === calls.length - 1)
    const { name, arguments: args } = call
    const call_id = `call_${serial}_0_${at}`
    items.push({ id: `fc_${serial}_${at}`, type: 'function_call', status, arguments: args, call_id, name })
  }
  return items
}

function textPart(text: string): Fields {
  return { type: 'output_text', annotations: [], logprobs: [], text }
}

function summaryPart(text: string): Fields {
  return { type: 'summary_text', text }
}

function finalResponse(answer: ResponsesAnswer, identity: Identity, output: readonly Item[]): Fields {
  const { choices, usage, sim } = answer
  const finish = choices[0]?.finish
  const reason = finish === 'length' ? 'max_output_tokens' : finish === 'content_filter' ? finish : undefined
  return {
    ...baseResponse(answer, identity),
    status: reason === undefined ? 'completed' : 'incomplete',
    incomplete_details: reason === undefined ? null : { reason },
    output,
    usage: sim.usage === 'none' ? null : responsesUsage(usage, sim.usage),
  }
}

/** A response that has just begun, with the settings of its request. */
function baseResponse({ settings, modelAsked }: ResponsesAnswer, { id, created }: Identity): Fields {
  return {
    id,
    object: 'response',
    created_at: created,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: settings.instructions ?? null,
    max_output_tokens: settings.max_output_tokens ?? null,
    model: modelAsked,
    output: [],
    parallel_tool_calls: settings.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: settings.reasoning ?? { effort: null, summary: null },
    service_tier: 'default',
    store: false,
    temperature: settings.temperature ?? 1,
    text: settings.text ?? { format: { type: 'text' } },
    tool_choice: settings.tool_choice ?? 'auto',
    tools: settings.tools ?? [],
    top_p: settings.top_p ?? 1,
    truncation: settings.truncation ?? 'disabled',
    usage: null,
    user: settings.user ?? null,
    metadata: settings.metadata ?? {},
  }
}

/** What hides the length of a delta from whoever watches the wire. */
const NOISE = 'k3Jx9QpZt7Lw2VbN'
