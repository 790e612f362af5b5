import type { Choice } from './answer.ts'
import type { Answer } from './plan.ts'
import { countTokens, pieceEnd } from './tokens.ts'
import { placeholderJson, type TrueUsage, usageJson } from './usage.ts'

/** What names one answer: the same in every chunk. */
export interface Identity {
  id: string
  /** Of the HTTP exchange, as header `x-request-id`. */
  requestId: string
  /** Unix seconds. */
  created: number
}

/** One chunk of a stream as JSON text. `tokens` counts what it delivers, `reasoning` the hidden or shown part of it. */
export interface Chunk {
  json: string
  tokens: number
  reasoning: number
  /** Content chunks are what the switches `…_after` count. */
  part: 'opening' | 'content' | 'closing'
}

const FINGERPRINT = '"service_tier":"default","system_fingerprint":"fp_fluxgate_sim"'

/** The body of a non-streamed answer. `extra` is further members of the top object, as JSON text. */
export function renderCompletion(answer: Answer, identity: Identity, extra = ''): string {
  let choices = renderChoice(answer, identity, 0)
  for (let index = 1; index < answer.choices.length; index += 1) choices += `,${renderChoice(answer, identity, index)}`
  const usage = answer.sim.usage === 'none' ? '' : `,"usage":${usageJson(answer.usage, answer.sim.usage)}`
  return (
    `{"id":"${identity.id}","object":"chat.completion","created":${identity.created},` +
    `"model":${JSON.stringify(answer.modelAsked)},"choices":[${choices}]${usage},${FINGERPRINT}${extra}}`
  )
}

function renderChoice(answer: Answer, identity: Identity, index: number): string {
  const choice = answer.choices[index]
  if (choice === undefined) return ''
  const content = choice.calls.length > 0 ? 'null' : JSON.stringify(choice.text)
  const reasoning = choice.reasoning === '' ? '' : `,"reasoning_content":${JSON.stringify(choice.reasoning)}`
  const calls =
    choice.calls.length === 0
      ? ''
      : `,"tool_calls":${JSON.stringify(
          choice.calls.map((call, at) => ({
            id: callId(identity, index, at),
            type: 'function',
            function: { name: call.name, arguments: call.arguments },
          })),
        )}`
  return (
    `{"index":${index},"message":{"role":"assistant","content":${content},"refusal":null${reasoning}${calls},` +
    `"annotations":[]},"logprobs":null,"finish_reason":"${choice.finish}"}`
  )
}

/** The chunks of a streamed answer in order, without the `[DONE]` mark. Lazy: a long answer is never held whole. */
export function* renderChunks(answer: Answer, identity: Identity): Generator<Chunk, void, undefined> {
  const { sim, choices } = answer
  const head =
    `{"id":"${identity.id}","object":"chat.completion.chunk","created":${identity.created},` +
    `"model":${JSON.stringify(answer.modelAsked)},${FINGERPRINT},"choices":[`
  const running: TrueUsage = { ...answer.usage, completion: 0, reasoning: 0 }
  const idle = answer.includeUsage ? ',"usage":null' : ''
  const tail = () => (sim.usage === 'every_chunk' ? `,"usage":${usageJson(running)}` : idle)

  if (sim.empty_first === true) yield { json: `${head}]${tail()}}`, tokens: 0, reasoning: 0, part: 'opening' }
  for (const [index, choice] of choices.entries()) {
    const content = choice.calls.length > 0 ? 'null' : '""'
    const choiceJson = `{"index":${index},"delta":{"role":"assistant","content":${content},"refusal":null},"logprobs":null,"finish_reason":null}`
    const usage = sim.usage === 'placeholder' ? `,"usage":${placeholderJson(answer.usage)}` : tail()
    yield { json: `${head}${choiceJson}]${usage}}`, tokens: 0, reasoning: 0, part: 'opening' }
  }
  for (const delta of interleave(choices, identity, sim.chunk_tokens ?? 1)) {
    running.completion += delta.tokens
    running.reasoning += delta.reasoning
    const choiceJson = `{"index":${delta.index},"delta":${delta.json},"logprobs":null,"finish_reason":null}`
    const { tokens, reasoning } = delta
    yield { json: `${head}${choiceJson}]${tail()}}`, tokens, reasoning, part: 'content' }
  }
  // An answer of nothing but hidden reasoning delivers it with its end.
  let restTokens = answer.usage.completion - running.completion
  let restReasoning = answer.usage.reasoning - running.reasoning
  running.completion = answer.usage.completion
  running.reasoning = answer.usage.reasoning
  for (const [index, choice] of choices.entries()) {
    const choiceJson = `{"index":${index},"delta":{},"logprobs":null,"finish_reason":"${choice.finish}"}`
    const withChoices = sim.usage === 'with_choices' && index === choices.length - 1
    const usage = withChoices ? `,"usage":${usageJson(answer.usage)}` : tail()
    yield {
      json: `${head}${choiceJson}]${usage}}`,
      tokens: restTokens,
      reasoning: restReasoning,
      part: 'closing',
    }
    restTokens = 0
    restReasoning = 0
  }
  if (answer.includeUsage && sim.usage !== 'none' && sim.usage !== 'with_choices') {
    const usage = usageJson(answer.usage, sim.usage)
    yield { json: `${head}],"usage":${usage}}`, tokens: 0, reasoning: 0, part: 'closing' }
  }
}

interface Delta {
  index: number
  json: string
  tokens: number
  reasoning: number
}

/** One piece of each choice in turn, as a provider does that writes several at once. */
function* interleave(
  choices: readonly Choice[],
  identity: Identity,
  chunkTokens: number,
): Generator<Delta, void, undefined> {
  const [only] = choices
  if (choices.length === 1 && only !== undefined) {
    yield* choiceDeltas(only, 0, identity, chunkTokens)
    return
  }
  let running = choices.map((choice, index) => choiceDeltas(choice, index, identity, chunkTokens))
  while (running.length > 0) {
    const next: typeof running = []
    for (const deltas of running) {
      const step = deltas.next()
      if (step.done === true) continue
      yield step.value
      next.push(deltas)
    }
    running = next
  }
}

function* choiceDeltas(
  choice: Choice,
  index: number,
  identity: Identity,
  chunkTokens: number,
): Generator<Delta, void, undefined> {
  for (const { json, tokens } of pieces(choice.reasoning, chunkTokens)) {
    yield { index, json: `{"reasoning_content":${json}}`, tokens, reasoning: tokens }
  }
  // Hidden reasoning was written before the first visible piece, so that piece carries it.
  let hidden = choice.reasoning === '' ? choice.reasoningTokens : 0
  for (const { json, tokens } of pieces(choice.text, chunkTokens)) {
    yield { index, json: `{"content":${json}}`, tokens: tokens + hidden, reasoning: hidden }
    hidden = 0
  }
  for (const [at, call] of choice.calls.entries()) {
    const named = JSON.stringify(call.name)
    const id = callId(identity, index, at)
    const opened = `{"tool_calls":[{"index":${at},"id":"${id}","type":"function","function":{"name":${named},"arguments":""}}]}`
    yield { index, json: opened, tokens: 1 + hidden, reasoning: hidden }
    hidden = 0
    for (const { json, tokens } of pieces(call.arguments, chunkTokens)) {
      yield { index, json: `{"tool_calls":[{"index":${at},"function":{"arguments":${json}}}]}`, tokens, reasoning: 0 }
    }
  }
}

/** A text in pieces of so many tokens, each as a JSON string. */
function* pieces(text: string, chunkTokens: number): Generator<{ json: string; tokens: number }, void, undefined> {
  // Most texts need no escaping; asking once is cheaper than encoding each piece.
  const plain = JSON.stringify(text).length === text.length + 2
  for (let start = 0; start < text.length; ) {
    const end = pieceEnd(text, start, chunkTokens)
    const piece = text.slice(start, end)
    // Only the last piece can be short of its tokens.
    const tokens = end < text.length || chunkTokens === 1 ? chunkTokens : countTokens(piece)
    yield { json: plain ? `"${piece}"` : JSON.stringify(piece), tokens }
    start = end
  }
}

function callId(identity: Identity, choice: number, at: number): string {
  return `call_${identity.id.slice('chatcmpl-'.length)}_${choice}_${at}`
}
