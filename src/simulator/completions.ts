import { type Choice, composeChoice } from './answer.ts'
import { type CompletionsRequest, parseCompletionsRequest } from './completions-request.ts'
import { usageJson } from './openai-usage.ts'
import { openai } from './openai-vendor.ts'
import { pieces, takeTurns } from './pieces.ts'
import { type Chunk, eventStream, type Identity, jsonBody, type Protocol } from './protocol.ts'
import { type TextAnswer, textAnswer } from './text-request.ts'
import { promptUsage, type TrueUsage } from './usage.ts'

/** OpenAI's completions of a text, as they were before there was chat. */
export const completions: Protocol<CompletionsRequest, TextAnswer> = {
  name: 'completions',
  idPrefix: 'cmpl-',
  vendor: openai,
  parse: parseCompletionsRequest,
  compose(request) {
    const choices = request.prompts.flatMap((userText) =>
      Array.from({ length: request.choices }, (_, index) => composeChoice({ ...request, userText }, index)),
    )
    return textAnswer(request, choices, promptUsage(request.promptTokens, request.sim))
  },
  carriage: ({ stream }) => (stream ? eventStream : jsonBody),
  body: renderBody,
  chunks: renderChunks,
  failedBody: ({ refusal, identity }) => openai.errorBody(refusal, identity.requestId),
  errorFrame: ({ refusal, identity }) => ({ data: openai.errorBody(refusal, identity.requestId) }),
  brokenFrame: { data: '{"id":"cmpl-sim","object":"text_comp' },
}

function renderBody(answer: TextAnswer, identity: Identity, extra: string): string {
  const choices = answer.choices.map((choice, index) => choiceJson(index, JSON.stringify(choice.text), choice.finish))
  const usage = answer.sim.usage === 'none' ? '' : `,"usage":${usageJson(answer.usage, answer.sim.usage)}`
  return `${headOf(answer, identity)}${choices}]${usage}${extra}}`
}

function* renderChunks(answer: TextAnswer, identity: Identity): Generator<Chunk, void, undefined> {
  const { sim, choices, includeUsage } = answer
  const head = headOf(answer, identity)
  const running: TrueUsage = { ...answer.usage, completion: 0, reasoning: 0 }
  const idle = includeUsage ? ',"usage":null' : ''
  const tail = () => (sim.usage === 'every_chunk' ? `,"usage":${usageJson(running)}` : idle)

  if (sim.empty_first === true) yield { data: `${head}]${tail()}}`, tokens: 0, reasoning: 0, part: 'opening' }
  const turns = takeTurns(choices.map((choice, index) => choicePieces(choice, index, sim.chunk_tokens ?? 1)))
  for (const { index, json, tokens, reasoning } of turns) {
    running.completion += tokens
    running.reasoning += reasoning
    yield { data: `${head}${choiceJson(index, json, null)}]${tail()}}`, tokens, reasoning, part: 'content' }
  }
  // An answer of nothing but hidden reasoning delivers it with its end.
  let tokens = answer.usage.completion - running.completion
  let reasoning = answer.usage.reasoning - running.reasoning
  Object.assign(running, answer.usage)
  for (const [index, { finish }] of choices.entries()) {
    const withChoices = sim.usage === 'with_choices' && index === choices.length - 1
    const usage = withChoices ? `,"usage":${usageJson(answer.usage)}` : tail()
    yield { data: `${head}${choiceJson(index, '""', finish)}]${usage}}`, tokens, reasoning, part: 'closing' }
    tokens = 0
    reasoning = 0
  }
  if (includeUsage && sim.usage !== 'none' && sim.usage !== 'with_choices') {
    const usage = usageJson(answer.usage, sim.usage)
    yield { data: `${head}],"usage":${usage}}`, tokens: 0, reasoning: 0, part: 'closing' }
  }
  yield { data: '[DONE]', tokens: 0, reasoning: 0, part: 'mark' }
}

function headOf({ modelAsked }: TextAnswer, { id, created }: Identity): string {
  return `{"id":"${id}","object":"text_completion","created":${created},"model":${JSON.stringify(modelAsked)},"choices":[`
}

function choiceJson(index: number, textJson: string, finish: Choice['finish'] | null): string {
  return `{"text":${textJson},"index":${index},"logprobs":null,"finish_reason":${JSON.stringify(finish)}}`
}

function* choicePieces(choice: Choice, index: number, chunkTokens: number) {
  // Reasoning has no place of its own here: it is delivered with the first piece that follows it.
  let reasoning = choice.reasoningTokens
  for (const { json, tokens } of pieces(choice.text, chunkTokens)) {
    yield { index, json, tokens: tokens + reasoning, reasoning }
    reasoning = 0
  }
}
