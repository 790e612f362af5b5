import { priceLines, unpricedKinds } from '#billing/price.ts'
import type { Usage, UsageKind, UsageSource } from '#billing/usage.ts'
import { usageWithin, validateUsage } from '#billing/usage.ts'
import { pricedNanos } from '#domain/settlement.ts'
import type { DecodedUsage } from '#wire/openai-usage.ts'
import { type Call, interpreterOf } from './call.ts'

export interface UsageFinding {
  usage: Usage
  usageSource: UsageSource
  /** Why the provider's own figures were not used. */
  reason?: string
}

/**
 * What a call used: the figures of the provider that served it where they are possible, else counted from the prompt and
 * what was delivered. What is impossible, or has no price, is never charged; the receipt says why it was not used.
 */
export function findUsage(call: Call, target: number, reported: unknown, countOutput: () => number): UsageFinding {
  const served = call.route.targets[target]
  const decoded: DecodedUsage =
    served === undefined ? { outcome: 'absent' } : interpreterOf(call, served).decodeUsage(reported)
  const reason = whyUnusable(call, target, decoded, countOutput)
  if (reason === undefined && decoded.outcome === 'usage') return { usage: decoded.usage, usageSource: 'provider' }
  return { ...countedUsage(call, countOutput()), reason: reason ?? 'usage_missing' }
}

function whyUnusable(call: Call, target: number, decoded: DecodedUsage, countOutput: () => number): string | undefined {
  if (decoded.outcome === 'absent') return 'usage_missing'
  if (decoded.outcome === 'impossible' || !validateUsage(decoded.usage).ok) return 'usage_impossible'
  if (!isPlausible(call, decoded.usage, countOutput)) return 'usage_impossible'
  const price = call.context.targets[target]?.price
  const used = (Object.keys(decoded.usage) as UsageKind[]).filter((kind) => decoded.usage[kind] !== 0)
  if (price === undefined || unpricedKinds(priceLines(price, decoded.usage), used).length > 0) return 'usage_unpriced'
  return undefined
}

/** What is held for a document or a video is the usual, not the most: one of these can fill the longest context there is. */
const ATTACHMENT_TOKENS_MAX = 5_000_000

/** Whether this call can have used so much: by its limits, or else by what was really delivered. */
function isPlausible({ plan, request }: Call, usage: Usage, countOutput: () => number): boolean {
  const { outputTokensMax } = plan
  const promptTokensMax = plan.promptTokensMax + request.attachments.unbounded * ATTACHMENT_TOKENS_MAX
  if (usageWithin(usage, { promptTokensMax, completionTokensMax: outputTokensMax }).ok) return true
  return usageWithin(usage, { promptTokensMax, completionTokensMax: Math.max(outputTokensMax, countOutput()) }).ok
}

/** The prompt, counted, and `outputTokens`. */
export function countedUsage(call: Call, outputTokens: number): { usage: Usage; usageSource: UsageSource } {
  call.promptCount ??= call.request.countPrompt()
  const { tokens, exact } = call.promptCount
  return { usage: { input: tokens, output: outputTokens }, usageSource: exact ? 'counted' : 'estimated' }
}

/** What the prompt alone is worth at a target, in nano-dollars: the least that a provider may bill for what it was sent. */
export function promptNanos(call: Call, target: number): bigint {
  return pricedNanos(call.context, target, countedUsage(call, 0).usage)
}
