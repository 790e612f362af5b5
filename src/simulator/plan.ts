import { type Choice, composeChoice } from './answer.ts'
import type { ChatRequest } from './chat-request.ts'
import { badRequest, defaultError, htmlRefusal, type Refusal, refuse } from './refusal.ts'
import { hasFault, type Switches, withoutFaults } from './switches.ts'
import type { TrueUsage } from './usage.ts'

/** An answer that is a completion, with the switches that shape its delivery. */
export interface Answer {
  kind: 'answer'
  modelAsked: string
  stream: boolean
  includeUsage: boolean
  choices: readonly Choice[]
  usage: TrueUsage
  sim: Switches
}

/** What to do with one request: answer, refuse, or misbehave before any header. */
export type Plan =
  | Answer
  | { kind: 'refusal'; refusal: Refusal; sim: Switches }
  | { kind: 'silence' }
  | { kind: 'reset'; sim: Switches }

/** What a request is answered with. `phase` says where a flapping key stands; without `sim.key` it is `steady`. */
export function planCall(request: ChatRequest, phase: 'steady' | 'failing' | 'well'): Plan {
  const sim = phase === 'well' ? withoutFaults(request.sim) : request.sim
  if (phase === 'failing' && !hasFault(sim)) return { kind: 'refusal', refusal: refusalFor({ status: 500 }), sim }
  if (sim.no_response === true) return { kind: 'silence' }
  if (sim.reset === true) return { kind: 'reset', sim }
  const refusal = findRefusal(request, sim)
  if (refusal !== undefined) return { kind: 'refusal', refusal, sim }
  return answer(sim === request.sim ? request : { ...request, sim })
}

function answer(request: ChatRequest): Answer {
  const { sim } = request
  const choices = [composeChoice(request, 0)]
  for (let index = 1; index < request.choices; index += 1) choices.push(composeChoice(request, index))
  const usage: TrueUsage = { prompt: sim.prompt_tokens ?? request.promptTokens, cached: 0, completion: 0, reasoning: 0 }
  usage.cached = Math.min(sim.cached_tokens ?? 0, usage.prompt)
  for (const choice of choices) {
    usage.completion += choice.tokens
    usage.reasoning += choice.reasoningTokens
  }
  const { modelAsked, stream, includeUsage } = request
  return { kind: 'answer', modelAsked, stream, includeUsage, choices, usage, sim }
}

function findRefusal(request: ChatRequest, sim: Switches): Refusal | undefined {
  if (sim.reject_stream_options === true && request.hasStreamOptions) {
    return badRequest('Unrecognized request argument supplied: stream_options', 'stream_options')
  }
  if (sim.reject_prefill === true && request.lastRole === 'assistant') {
    return badRequest('This model does not accept a prefilled assistant message at the end.', 'messages')
  }
  if (sim.context_length === true) {
    return badRequest(
      `This model's maximum context length is 1 token. However, your messages resulted in ${request.promptTokens} tokens.`,
      'messages',
      'context_length_exceeded',
    )
  }
  if (sim.content_filter === 'prompt') {
    return badRequest('The prompt was refused by the content filter.', 'prompt', 'content_filter')
  }
  if (sim.html_error === true) return htmlRefusal(sim.status ?? 502)
  // With an error inside a 200, the status only picks which error it is.
  const inBand = sim.error_in_200 === true || sim.error_after !== undefined
  return sim.status === undefined || inBand ? undefined : refusalFor(sim)
}

function refusalFor(sim: Switches): Refusal {
  const status = sim.status ?? 500
  const headers: string[] = []
  if (sim.retry_after !== undefined) headers.push('retry-after', sim.retry_after)
  if (sim.retry_after_ms !== undefined) headers.push('retry-after-ms', String(sim.retry_after_ms))
  return refuse(status, sim.error ?? defaultError(status), headers)
}
