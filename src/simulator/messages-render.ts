import type { Choice } from './answer.ts'
import { messagesUsage, startingUsage } from './messages-usage.ts'
import { pieces } from './pieces.ts'
import type { Chunk, Identity } from './protocol.ts'
import { sealReasoning } from './reasoning-seal.ts'
import type { TextAnswer } from './text-request.ts'

const stopReasons = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
} as const

/** The body of a message that is not streamed. `extra` is further members of the top object, as JSON text. */
export function renderMessage(answer: TextAnswer, identity: Identity, extra = ''): string {
  const { choices, modelAsked, usage, sim } = answer
  const message = {
    id: identity.id,
    type: 'message',
    role: 'assistant',
    model: modelAsked,
    content: choices.flatMap((choice) => contentOf(choice, identity)),
    ...endOf(choices[0]),
    ...(sim.usage !== 'none' && { usage: messagesUsage(usage, sim.usage) }),
  }
  return `${JSON.stringify(message).slice(0, -1)}${extra}}`
}

function contentOf(choice: Choice, identity: Identity): Record<string, unknown>[] {
  const { reasoning, reasoningTokens, text, calls } = choice
  return [
    ...(reasoningTokens > 0
      ? [{ type: 'thinking', thinking: reasoning, signature: sealReasoning(identity.serial, reasoningTokens) }]
      : []),
    ...(text === '' ? [] : [{ type: 'text', text }]),
    ...calls.map((call, at) => ({
      type: 'tool_use',
      id: toolId(identity, at),
      name: call.name,
      input: parsedInput(call.arguments),
    })),
  ]
}

/** Arguments that the limit cut short are no object, so whoever does not stream gets none. */
function parsedInput(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

function endOf(choice: Choice | undefined): Record<string, unknown> {
  if (choice === undefined) return {}
  return choice.stop === null
    ? { stop_reason: stopReasons[choice.finish], stop_sequence: null }
    : { stop_reason: 'stop_sequence', stop_sequence: choice.stop }
}

/** The events of a streamed message in order. Lazy: a long answer is never held whole. */
export function* renderMessageEvents(answer: TextAnswer, identity: Identity): Generator<Chunk, void, undefined> {
  const { choices, modelAsked, usage, sim } = answer
  const [choice] = choices
  if (choice === undefined) return
  yield event('opening', {
    type: 'message_start',
    message: {
      id: identity.id,
      type: 'message',
      role: 'assistant',
      model: modelAsked,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      ...(sim.usage !== 'none' && { usage: startingUsage(usage) }),
    },
  })
  let rest = usage.completion
  let restReasoning = usage.reasoning
  for (const chunk of blocks(choice, identity, sim.chunk_tokens ?? 1)) {
    rest -= chunk.tokens
    restReasoning -= chunk.reasoning
    yield chunk
  }
  // What no block showed is delivered with the end.
  const usageMember = sim.usage === 'none' ? {} : { usage: messagesUsage(usage, sim.usage) }
  const ending = event('closing', { type: 'message_delta', delta: endOf(choice), ...usageMember })
  yield { ...ending, tokens: rest, reasoning: restReasoning }
  yield event('mark', { type: 'message_stop' })
}

function* blocks(choice: Choice, identity: Identity, chunkTokens: number): Generator<Chunk, void, undefined> {
  let index = 0
  if (choice.reasoningTokens > 0) {
    yield start(index, { type: 'thinking', thinking: '', signature: '' })
    yield PING
    for (const { json, tokens } of pieces(choice.reasoning, chunkTokens)) {
      yield delta(index, `{"type":"thinking_delta","thinking":${json}}`, tokens, tokens)
    }
    // Thinking that is not shown is delivered with its signature.
    const hidden = choice.reasoning === '' ? choice.reasoningTokens : 0
    const signature = JSON.stringify(sealReasoning(identity.serial, choice.reasoningTokens))
    yield delta(index, `{"type":"signature_delta","signature":${signature}}`, hidden, hidden)
    yield stop(index)
    index += 1
  }
  if (choice.text !== '') {
    yield start(index, { type: 'text', text: '' })
    if (index === 0) yield PING
    for (const { json, tokens } of pieces(choice.text, chunkTokens)) {
      yield delta(index, `{"type":"text_delta","text":${json}}`, tokens, 0)
    }
    yield stop(index)
    index += 1
  }
  for (const [at, call] of choice.calls.entries()) {
    const block = { type: 'tool_use', id: toolId(identity, at), name: call.name, input: {} }
    yield { ...start(index, block), tokens: 1, part: 'content' }
    if (index === 0) yield PING
    for (const { json, tokens } of pieces(call.arguments, chunkTokens)) {
      yield delta(index, `{"type":"input_json_delta","partial_json":${json}}`, tokens, 0)
    }
    yield stop(index)
    index += 1
  }
}

function event(part: Chunk['part'], data: { type: string } & Record<string, unknown>): Chunk {
  return { event: data.type, data: JSON.stringify(data), tokens: 0, reasoning: 0, part }
}

const PING = event('opening', { type: 'ping' })

/** The first block belongs to the opening: a fault after no content strikes behind it. */
function start(index: number, block: Record<string, unknown>): Chunk {
  return event(index === 0 ? 'opening' : 'closing', { type: 'content_block_start', index, content_block: block })
}

function delta(index: number, json: string, tokens: number, reasoning: number): Chunk {
  const data = `{"type":"content_block_delta","index":${index},"delta":${json}}`
  return { event: 'content_block_delta', data, tokens, reasoning, part: 'content' }
}

function stop(index: number): Chunk {
  return event('closing', { type: 'content_block_stop', index })
}

function toolId(identity: Identity, at: number): string {
  return `toolu_${identity.serial}_${at}`
}
