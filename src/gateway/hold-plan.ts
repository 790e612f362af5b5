import { completionTokensCovered, upperBoundNanos } from '#billing/price.ts'
import { assert } from '#lib/assert.ts'
import { promptTokensUpperBound } from '#wire/count-tokens.ts'
import type { TextRequest } from '#wire/text-request.ts'
import type { Route } from './routes.ts'
import type { Target } from './target.ts'

/** Output that a stream's first hold covers; it grows while the stream runs. */
export const TRANCHE_TOKENS_FIRST = 1_024
/** Fewer tokens than this are no answer: a wallet that cannot cover them is empty for this call. */
const ANSWER_TOKENS_MIN = 16

/** What is held for a document, a video or a stored file, whose tokens nothing in the request bounds. */
const ATTACHMENT_TOKENS = 250_000

/** What to hold for a call before it is dispatched, in nano-dollars. */
export interface HoldPlan {
  amount: bigint
  floor: bigint
  promptTokensMax: number
  /** The most that all answers of this call may hold together; what a worst-case hold covers. */
  outputTokensMax: number
  /** The answer cannot be watched as it grows, so the hold is the worst case and may lower the limit sent upstream. */
  worstCase: boolean
  /** The operator's own limit on one answer, where there is one. */
  answerTokensMax: number | undefined
}

/**
 * A stream that shows all it costs is held for its prompt and a first tranche. Anything else is held for the worst case,
 * or for what the balance covers, down to a useful minimum. With several targets the dearest one decides.
 */
export function planHold(request: TextRequest, route: Pick<Route, 'targets' | 'maxTokens'>): HoldPlan {
  const { attachments } = request
  const { targets } = route
  const promptTokensMax =
    promptTokensUpperBound({ bodyBytes: Buffer.byteLength(request.text), ...attachments }) +
    attachments.unbounded * ATTACHMENT_TOKENS
  const worstCase = !request.stream || targets.some((target) => target.hiddenReasoning)
  const answerMax = Math.max(...targets.map((target) => answerTokensMax(request, target)))
  const outputTokensMax = Math.min(answerMax, route.maxTokens ?? answerMax) * request.choices
  const tokens = worstCase ? outputTokensMax : Math.min(outputTokensMax, TRANCHE_TOKENS_FIRST)
  const least = Math.min(tokens, ANSWER_TOKENS_MIN * request.choices)
  const bound = (completionTokensMax: number) =>
    targets.reduce((most, { priced }) => {
      const nanos = upperBoundNanos({ ...promptBound(request, promptTokensMax), completionTokensMax }, priced.price)
      return nanos > most ? nanos : most
    }, 0n)
  const plan = {
    amount: bound(tokens),
    floor: bound(least),
    promptTokensMax,
    outputTokensMax,
    worstCase,
    answerTokensMax: route.maxTokens,
  }
  assert(plan.floor <= plan.amount, 'the least of a hold is not above the whole')
  return plan
}

/** Output tokens that `held` pays for on this target, beside the prompt. */
export function coveredTokens(request: TextRequest, plan: HoldPlan, target: Target, held: bigint): number {
  return completionTokensCovered(held, promptBound(request, plan.promptTokensMax), target.priced.price)
}

/** What must be held so that `tokens` of output are covered on this target, in nano-dollars. */
export function nanosFor(request: TextRequest, plan: HoldPlan, target: Target, tokens: number): bigint {
  return upperBoundNanos(
    { ...promptBound(request, plan.promptTokensMax), completionTokensMax: tokens },
    target.priced.price,
  )
}

/**
 * The limit on each answer to send upstream instead of the caller's: where the balance covers less than was asked for, or
 * where nobody else limits an answer whose worst case is held. Undefined leaves the request as it is.
 */
export function answerLimit(request: TextRequest, plan: HoldPlan, target: Target, held: bigint): number | undefined {
  if (request.protocol === 'embeddings') return undefined
  const { maxTokens } = request
  const allowed = plan.answerTokensMax ?? Number.POSITIVE_INFINITY
  const own = maxTokens ?? (target.outputLimitKnown ? target.maxOutputTokens : Number.POSITIVE_INFINITY)
  const limit = allowed < own ? allowed : undefined
  if (!plan.worstCase) return limit
  const asked = Math.min(answerTokensMax(request, target), allowed)
  const covered = Math.floor(coveredTokens(request, plan, target, held) / request.choices)
  if (covered < asked) return covered
  return maxTokens === undefined && !target.outputLimitKnown ? asked : limit
}

/** The most that one answer can hold. Only a limit that the target enforces by itself bounds what the caller asks for. */
function answerTokensMax(request: TextRequest, target: Target): number {
  if (request.protocol === 'embeddings') return 0
  if (request.maxTokens === undefined) return target.maxOutputTokens
  return target.outputLimitKnown ? Math.min(request.maxTokens, target.maxOutputTokens) : request.maxTokens
}

function promptBound(request: TextRequest, promptTokensMax: number) {
  return { promptTokensMax, audioInput: request.attachments.audioBytes > 0, audioOutput: request.audioOutput }
}
