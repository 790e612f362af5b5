import { leafHash } from '#billing/merkle.ts'
import { type Outcome, outcomeNumbers } from '#billing/outcome.ts'
import { RECEIPT_CHARS_MAX } from '#billing/parse-receipt.ts'
import { type EndedUsage, priceTerms, usageNanos, worthNanos } from '#billing/price.ts'
import { ATTEMPTS_LISTED_MAX, encodeReceipt, RECEIPT_VERSION, type ReceiptFields } from '#billing/receipt.ts'
import { completionTokens, promptTokens, type Usage, type UsageSource, usageSources } from '#billing/usage.ts'
import { assert } from '#lib/assert.ts'
import { utcMillis } from '#lib/utc-millis.ts'
import type { CallContext } from './call-context.ts'
import type { SettleOp } from './ledger.ts'

/** A call that was admitted: what its one settlement refers to. */
export interface AdmittedCall {
  /** 32 hex digits; also the receipt's id. */
  requestId: string
  walletId: bigint
  seq: bigint
  /** Nano-dollars held so far: the most that can be charged. */
  held: bigint
  context: CallContext
}

/** One time that an upstream was asked. Its texts are no longer than those of a receipt. */
export interface AttemptRecord {
  provider: string
  /** As the provider knows it. */
  model: string
  upstream?: string
  /** The first 8 hex digits of the SHA-256 of the credential: never more of it. */
  key?: string
  protocol?: string
  /** `ok`, or the code of the fault in snake_case. */
  result: string
  ms: number
  /** Nano-dollars that a failed attempt, or the loser of a hedge, cost the operator. */
  costNanos?: bigint
}

/** How a call ended, by evidence. */
export interface CallEnd {
  outcome: Outcome
  reason?: string
  usage: Usage
  usageSource: UsageSource
  /** Index of the target that served it. */
  target: number
  modelUsed?: string
  upstreamId?: string
  /** How often an upstream was asked; the length of `attemptList` where that is given. */
  attempts: number
  attemptList?: readonly AttemptRecord[]
  /** Charge no more than this, in nano-dollars: what was durably accrued, or 0 where the policy says free. */
  chargeMax?: bigint
}

export const RECEIPT_ID_PREFIX = 'rcp_'

/** What usage that is known so far is worth at the pinned price, in nano-dollars. */
export function pricedNanos(context: CallContext, target: number, usage: Usage): bigint {
  const { price } = targetOf(context, target)
  return usageNanos(usage, priceTerms(price, usage))
}

/** What an ended call is worth at the pinned price, in nano-dollars. */
export function endedNanos(context: CallContext, end: Pick<CallEnd, 'target' | keyof EndedUsage>): bigint {
  const { price } = targetOf(context, end.target)
  return worthNanos(end, priceTerms(price, end.usage))
}

/**
 * The one settlement of a call: charge, usage record and receipt from the same facts. The charge is what was used, but
 * never more than is held; the rest is absorbed by the operator and says so on the receipt.
 */
export function settlement(call: AdmittedCall, end: CallEnd, options: { log: string; nowMs: number }): SettleOp {
  const { context } = call
  const target = targetOf(context, end.target)
  const terms = priceTerms(target.price, end.usage)
  const priced = worthNanos(end, terms)
  const attempts = end.attemptList?.length ?? end.attempts
  const chargeMax = end.outcome === 'void' ? 0n : smaller(call.held, end.chargeMax ?? call.held)
  const charged = smaller(priced, chargeMax)
  const absorbed = priced - charged
  assert(charged >= 0n && charged <= call.held, 'a charge never exceeds its hold')

  // One literal without spreads: it is made for every call.
  const receipt: ReceiptFields = {
    v: RECEIPT_VERSION,
    log: options.log,
    receipt_id: RECEIPT_ID_PREFIX + call.requestId,
    account: context.account,
    seq: Number(call.seq),
    issued_at: utcMillis(options.nowMs),
    project_key: context.projectId,
    key_id: context.keyId,
    alias_name: context.aliasName,
    profile: context.profile,
    lock_digest: context.lockDigest,
    origin: context.origin,
    model: context.model,
    provider: target.provider,
    model_used: end.modelUsed ?? target.model,
    upstream_id: end.upstreamId,
    attempts,
    attempt_list: attempts <= ATTEMPTS_LISTED_MAX ? end.attemptList?.map(listed) : undefined,
    stream: context.stream,
    outcome: end.outcome,
    reason: end.reason,
    usage: end.usage,
    usage_source: end.usageSource,
    price: terms === target.price ? target.encoded.base : (target.encoded.long ?? target.encoded.base),
    charged_nanousd: charged.toString(),
    absorbed_nanousd: absorbed.toString(),
    config_version: context.configVersion,
  }
  const text = boundedText(receipt)
  return {
    requestId: call.requestId,
    walletId: call.walletId,
    seq: call.seq,
    charged,
    absorbed,
    cost: priced + lostNanos(end.attemptList),
    outcome: outcomeNumbers[end.outcome],
    projectId: context.projectId,
    keyId: context.keyId,
    aliasName: context.aliasName ?? null,
    profile: context.profile ?? null,
    origin: context.origin ?? null,
    provider: target.provider,
    model: context.model,
    modelUsed: target.model,
    usageSource: usageSources.indexOf(end.usageSource) + 1,
    inputTokens: promptTokens(end.usage),
    outputTokens: completionTokens(end.usage),
    attempts,
    receipt: text,
    leaf: leafHash(text),
  }
}

/** The text of a receipt, without the list of attempts where that would make it longer than a receipt may be. */
function boundedText(receipt: ReceiptFields): string {
  const text = encodeReceipt(receipt)
  if (text.length <= RECEIPT_CHARS_MAX || receipt.attempt_list === undefined) return text
  return encodeReceipt({ ...receipt, attempt_list: undefined })
}

function listed(attempt: AttemptRecord): NonNullable<ReceiptFields['attempt_list']>[number] {
  return {
    cost_nanousd: attempt.costNanos?.toString(),
    key: attempt.key,
    model: attempt.model,
    ms: Math.max(0, Math.round(attempt.ms)),
    protocol: attempt.protocol,
    provider: attempt.provider,
    result: attempt.result,
    upstream: attempt.upstream,
  }
}

/** What attempts that served nobody cost the operator beside the call's own price, in nano-dollars. */
function lostNanos(attempts: readonly AttemptRecord[] = []): bigint {
  return attempts.reduce((sum, { costNanos = 0n }) => sum + costNanos, 0n)
}

function targetOf(context: CallContext, index: number) {
  const target = context.targets[index]
  assert(target !== undefined, 'a call is served by one of its targets')
  return target
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
