import { leafHash } from '#billing/merkle.ts'
import { type Outcome, outcomeNumbers } from '#billing/outcome.ts'
import { chargeNanos, priceLines } from '#billing/price.ts'
import { encodeReceipt, RECEIPT_VERSION, type Receipt } from '#billing/receipt.ts'
import { completionTokens, promptTokens, type Usage, type UsageSource, usageSources } from '#billing/usage.ts'
import { assert } from '#lib/assert.ts'
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
  attempts: number
  /** Charge no more than this, in nano-dollars: what was durably accrued, or 0 where the policy says free. */
  chargeMax?: bigint
}

export const RECEIPT_ID_PREFIX = 'rcp_'

/** What the call is worth at its pinned price, in nano-dollars. */
export function pricedNanos(context: CallContext, target: number, usage: Usage): bigint {
  const { price } = targetOf(context, target)
  return chargeNanos(usage, priceLines(price, usage))
}

/**
 * The one settlement of a call: charge, usage record and receipt from the same facts. The charge is what was used, but
 * never more than is held; the rest is absorbed by the operator and says so on the receipt.
 */
export function settlement(call: AdmittedCall, end: CallEnd, options: { log: string; nowMs: number }): SettleOp {
  const { context } = call
  const target = targetOf(context, end.target)
  const lines = priceLines(target.price, end.usage)
  const priced = chargeNanos(end.usage, lines)
  const chargeMax = end.outcome === 'void' ? 0n : smaller(call.held, end.chargeMax ?? call.held)
  const charged = smaller(priced, chargeMax)
  const absorbed = priced - charged
  assert(charged >= 0n && charged <= call.held, 'a charge never exceeds its hold')

  const receipt: Receipt = {
    v: RECEIPT_VERSION,
    log: options.log,
    receipt_id: RECEIPT_ID_PREFIX + call.requestId,
    account: context.account,
    seq: Number(call.seq),
    issued_at: new Date(options.nowMs).toISOString(),
    project_key: context.projectId,
    key_id: context.keyId,
    ...(context.aliasName !== undefined && { alias_name: context.aliasName }),
    ...(context.profile !== undefined && { profile: context.profile }),
    ...(context.origin !== undefined && { origin: context.origin }),
    model: context.model,
    provider: target.provider,
    model_used: end.modelUsed ?? target.model,
    ...(end.upstreamId !== undefined && { upstream_id: end.upstreamId }),
    attempts: end.attempts,
    stream: context.stream,
    outcome: end.outcome,
    ...(end.reason !== undefined && { reason: end.reason }),
    usage: end.usage,
    usage_source: end.usageSource,
    price: {
      book: target.book,
      lines: lines === target.price.lines ? target.encoded.lines : (target.encoded.longLines ?? target.encoded.lines),
    },
    charged_nanousd: charged.toString(),
    absorbed_nanousd: absorbed.toString(),
  }
  const text = encodeReceipt(receipt)
  return {
    requestId: call.requestId,
    walletId: call.walletId,
    seq: call.seq,
    charged,
    absorbed,
    cost: priced,
    outcome: outcomeNumbers[end.outcome],
    keyId: context.keyId,
    aliasName: context.aliasName ?? null,
    profile: context.profile ?? null,
    origin: context.origin ?? null,
    provider: target.provider,
    model: context.model,
    usageSource: usageSources.indexOf(end.usageSource) + 1,
    inputTokens: promptTokens(end.usage),
    outputTokens: completionTokens(end.usage),
    attempts: end.attempts,
    receipt: text,
    leaf: leafHash(text),
  }
}

function targetOf(context: CallContext, index: number) {
  const target = context.targets[index]
  assert(target !== undefined, 'a call is served by one of its targets')
  return target
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
