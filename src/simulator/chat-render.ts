import type { Choice } from './answer.ts'
import { placeholderJson, usageJson } from './openai-usage.ts'
import { pieces, takeTurns } from './pieces.ts'
import type { Chunk, Identity } from './protocol.ts'
import type { TextAnswer } from './text-request.ts'
import type { TrueUsage } from './usage.ts'

const FINGERPRINT = '"service_tier":"default","system_fingerprint":"fp_fluxgate_sim"'

/** The body of a non-streamed answer. `extra` is further members of the top object, as JSON text. */
export function renderCompletion(answer: TextAnswer, identity: Identity, extra = ''): string {
  let choices = renderChoice(answer, identity, 0)
  for (let index = 1; index < answer.choices.length; index += 1) choices += `,${renderChoice(answer, identity, index)}`
  const usage = answer.sim.usage === 'none' ? '' : `,"usage":${usageJson(answer.usage, answer.sim.usage)}`
  return (
    `{"id":"${identity.id}","object":"chat.completion","created":${identity.created},` +
    `"model":${JSON.stringify(answer.modelAsked)},"choices":[${choices}]${usage},${FINGERPRINT}${extra}}`
  )
}

function renderChoice(answer: TextAnswer, identity: Identity, index: number): string {
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

/** The chunks of a streamed answer in order, with the `[DONE]` mark. Lazy: a long answer is never held whole. */
export function* renderChunks(answer: TextAnswer, identity: Identity): Generator<Chunk, void, undefined> {
  const { sim, choices } = answer
  const head =
    `{"id":"${identity.id}","object":"chat.completion.chunk","created":${identity.created},` +
    `"model":${JSON.stringify(answer.modelAsked)},${FINGERPRINT},"choices":[`
  const running: TrueUsage = { ...answer.usage, completion: 0, reasoning: 0 }
  const idle = answer.includeUsage ? ',"usage":null' : ''
  const tail = () => (sim.usage === 'every_chunk' ? `,"usage":${usageJson(running)}` : idle)

  if (sim.empty_first === true) yield { data: `${head}]${tail()}}`, tokens: 0, reasoning: 0, part: 'opening' }
  for (const [index, choice] of choices.entries()) {
    const content = choice.calls.length > 0 ? 'null' : '""'
    const choiceJson = `{"index":${index},"delta":{"role":"assistant","content":${content},"refusal":null},"logprobs":null,"finish_reason":null}`
    const usage = sim.usage === 'placeholder' ? `,"usage":${placeholderJson(answer.usage)}` : tail()
    yield { data: `${head}${choiceJson}]${usage}}`, tokens: 0, reasoning: 0, part: 'opening' }
  }
  for (const delta of takeTurns(
    choices.map((choice, index) => choiceDeltas(choice, index, identity, sim.chunk_tokens ?? 1)),
  )) {
    running.completion += delta.tokens
    running.reasoning += delta.reasoning
    const choiceJson = `{"index":${delta.index},"delta":${delta.json},"logprobs":null,"finish_reason":null}`
    const { tokens, reasoning } = delta
    yield { data: `${head}${choiceJson}]${tail()}}`, tokens, reasoning, part: 'content' }
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
      data: `${head}${choiceJson}]${usage}}`,
      tokens: restTokens,
      reasoning: restReasoning,
      part: 'closing',
    }
    restTokens = 0
    restReasoning = 0
  }
  if (answer.includeUsage && sim.usage !== 'none' && sim.usage !== 'with_choices') {
    const usage = usageJson(answer.usage, sim.usage)
    yield { data: `${head}],"usage":${usage}}`, tokens: 0, reasoning: 0, part: 'closing' }
  }
  yield { data: '[DONE]', tokens: 0, reasoning: 0, part: 'mark' }
}

interface Delta {
  index: number
  json: string
  tokens: number
  reasoning: number
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

function callId(identity: Identity, choice: number, at: number): string {
  return `call_${identity.serial}_${choice}_${at}`
}
