import type { ServerResponse } from 'node:http'
import { performance } from 'node:perf_hooks'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import type { SettleResult } from '#domain/ledger.ts'
import type { Place } from '#domain/limits/rate-limits.ts'
import {
  type AdmittedCall,
  type AttemptRecord,
  type CallEnd,
  endedNanos,
  RECEIPT_ID_PREFIX,
  settlement,
} from '#domain/settlement.ts'
import { assert } from '#lib/assert.ts'
import { GivenUpError } from '#lib/group-commit.ts'
import type { TokenCount } from '#wire/count-tokens.ts'
import type { Protocol } from '#wire/protocol.ts'
import type { TextRequest } from '#wire/text-request.ts'
import { logCall } from './call-line.ts'
import type { DispatchPlan } from './dispatch/candidates.ts'
import type { Gateway } from './gateway.ts'
import type { HoldPlan } from './hold-plan.ts'
import type { Interpreter } from './interpreter.ts'
import type { CallRoute, Route } from './routes.ts'
import type { CallTarget, Target } from './target.ts'
import type { UpstreamFault } from './upstream-fault.ts'

/** What a call came from: a request, or a session. */
export interface CallOrigin {
  /** 32 hex digits, unique per HTTP request. */
  id: string
  startedAt: number
  /** Members of the request that its upstreams are not told. */
  dropped: readonly string[]
  /** How often the client's library says that it has tried before; undefined where it does not say. */
  clientRetry?: number | undefined
}

/** One exchange with a client: what is known before anything is held. */
export interface Exchange extends CallOrigin {
  res: ServerResponse
  /** Headers of the client that pass to upstreams of its protocol. */
  forwarded: Readonly<Record<string, string>>
}

/** The caller's own name for a call: the same name and body is the same call. */
export interface Idempotency {
  key: string
  /** What only this caller knows: seals what it was answered. */
  secret: string
}

/** One time that an upstream was asked. */
export interface Attempted {
  target: CallTarget
  startedAt: number
  /** Undefined while it runs. */
  ended: { result: string; at: number } | undefined
  /** What it cost the operator and is no part of the call's price, in nano-dollars. */
  costNanos?: bigint
}

/** One admitted call, whatever it is about: its hold, its attempts, its single settlement. */
export interface MeteredCall<T extends CallTarget = CallTarget> extends AdmittedCall {
  exchange: CallOrigin
  attempt: string
  key: AuthenticatedKey
  route: CallRoute<T>
  /** Which target is next, and what became of those before. */
  dispatch: DispatchPlan<T>
  /** When the hold was committed: from here the chain of attempts is timed. */
  admittedAt: number
  faults: { target: number; fault: UpstreamFault }[]
  /** Every time that an upstream was asked, oldest first. */
  attempts: Attempted[]
  /** When the upstream was asked last, and when its first byte came: what is not waiting is ours. */
  dispatchedAt: number
  firstByteAt: number | undefined
  answeredAt: number | undefined
  settled: boolean
  idempotency: Idempotency | undefined
  /** Undefined for who is not limited. */
  place: Place | undefined
}

/** One admitted call for text. */
export interface Call extends MeteredCall<Target> {
  exchange: Exchange
  request: TextRequest
  route: Route
  plan: HoldPlan
  interpreters: ReadonlyMap<Protocol, Interpreter>
  /** The prompt's tokens, once somebody had to count them. */
  promptCount: TokenCount | undefined
}

/** Notes that `target` is asked now. */
export function beginAttempt(call: MeteredCall, target: CallTarget): Attempted {
  call.dispatchedAt = performance.now()
  const attempted: Attempted = { target, startedAt: call.dispatchedAt, ended: undefined }
  call.attempts.push(attempted)
  return attempted
}

/** Notes what became of an attempt, by default of the last one; once. */
export function endAttempt(call: MeteredCall, result: string, attempted = call.attempts.at(-1)): void {
  if (attempted !== undefined) attempted.ended ??= { result, at: performance.now() }
}

/** The attempts as the receipt lists them. */
function attemptList(call: MeteredCall): AttemptRecord[] {
  return call.attempts.map(({ target, startedAt, ended, costNanos }) => {
    const { provider, model, upstream, protocol } = target.priced
    return {
      provider,
      model,
      ...(upstream !== undefined && { upstream }),
      ...(target.credential && { key: target.credential.id8 }),
      ...(protocol !== undefined && { protocol }),
      result: ended?.result ?? 'ok',
      ms: Math.round((ended?.at ?? performance.now()) - startedAt),
      ...(costNanos !== undefined && { costNanos }),
    }
  })
}

export function interpreterOf(call: Call, target: Target): Interpreter {
  const interpreter = call.interpreters.get(target.protocol)
  assert(interpreter !== undefined, 'a call can be put to each of its targets')
  return interpreter
}

/** Adds what is missing between the hold and `nanos`, as far as the wallet grants it, and records what has accrued. */
export async function extendHold(
  gateway: Gateway,
  call: MeteredCall,
  extension: { nanos: bigint; accrued: bigint; accruedUsage: string },
): Promise<'held' | 'lost'> {
  const missing = extension.nanos - call.held
  if (missing <= 0n && extension.accrued === 0n) return 'held'
  const granted = await gateway.ledger.extend({
    requestId: call.requestId,
    walletId: call.walletId,
    add: missing > 0n ? missing : 0n,
    accrued: extension.accrued,
    accruedUsage: extension.accruedUsage,
  })
  if (granted < 0n) return 'lost'
  call.held += granted
  return 'held'
}

/**
 * The one settlement of a call. Resolves once it is durable; the amount is what the wallet was really charged. A call that
 * costs more than it holds first asks for the difference; what the wallet does not cover is absorbed.
 */
export async function settleCall(
  gateway: Gateway,
  call: MeteredCall,
  ending: Omit<CallEnd, 'attempts' | 'attemptList'>,
): Promise<SettleResult> {
  if (call.settled) throw new Error('a call is settled once')
  call.settled = true
  const end: CallEnd = { ...ending, attempts: call.attempts.length, attemptList: attemptList(call) }
  const priced = end.outcome === 'void' || end.chargeMax === 0n ? 0n : endedNanos(call.context, end)
  if (priced > call.held)
    await extendHold(gateway, call, { nanos: priced, accrued: 0n, accruedUsage: '{}' }).catch(() => undefined)
  let tokens = 0
  try {
    const op = settlement(call, end, { log: gateway.receiptLog, nowMs: Date.now() })
    tokens = op.inputTokens + op.outputTokens
    const result = await gateway.ledger.settle(op)
    gateway.spool.settled(call.requestId)
    gateway.ledger.forget(call.attempt)
    record(gateway, call, end, { ...op, charged: result.charged ?? op.charged, status: result.status })
    return result
  } catch (error) {
    // A settlement that is refused for good would pin its hold for ever: the sweeper settles it at its durable progress.
    if (!(error instanceof GivenUpError)) gateway.ledger.forget(call.attempt)
    throw error
  } finally {
    call.place?.leave(tokens)
  }
}

/** One wide line and the counters, once per call. No content, no secrets. */
function record(
  gateway: Gateway,
  call: MeteredCall,
  end: CallEnd,
  settled: { charged: bigint; absorbed: bigint; inputTokens: number; outputTokens: number; status: string },
): void {
  const { metrics } = gateway
  const { exchange, context } = call
  const nowMs = performance.now()
  const stream = String(context.stream)
  const seconds = (nowMs - exchange.startedAt) / 1000
  const upstreamMs = call.attempts.length === 0 ? 0 : (call.answeredAt ?? nowMs) - call.dispatchedAt
  const model = call.route.label
  metrics.calls.inc({ model, outcome: end.outcome })
  metrics.tokens.inc({ model, direction: 'input' }, settled.inputTokens)
  metrics.tokens.inc({ model, direction: 'output' }, settled.outputTokens)
  for (const kind of ['characters', 'seconds', 'calls'] as const) {
    const units = end.usage[kind]
    if (units !== undefined) metrics.units.inc({ model, kind }, units)
  }
  metrics.money.inc({ model, side: 'charged' }, Number(settled.charged))
  metrics.money.inc({ model, side: 'absorbed' }, Number(settled.absorbed))
  metrics.usageSource.inc({ source: end.usageSource })
  metrics.latency.observe({ stream }, seconds)
  metrics.added.observe({ stream }, Math.max(0, seconds - upstreamMs / 1000))
  if (call.firstByteAt !== undefined)
    metrics.firstByte.observe({ stream }, (call.firstByteAt - exchange.startedAt) / 1000)
  if (gateway.capture !== undefined && call.key.personal && call.key.userId !== null)
    gateway.capture({
      event:
        end.outcome === 'void' || end.outcome === 'upstream_error' ? 'llm_request_failed' : 'llm_request_succeeded',
      userId: call.key.userId,
      properties: {
        ...{ model, outcome: end.outcome, stream: context.stream, charged_nanousd: settled.charged.toString() },
        ...{ input_tokens: settled.inputTokens, output_tokens: settled.outputTokens },
        total_ms: Math.round(nowMs - exchange.startedAt),
      },
    })
  logCall(gateway.log, {
    request: `req_${exchange.id}`,
    receipt: RECEIPT_ID_PREFIX + call.requestId,
    project: context.projectId,
    key: context.keyId,
    alias: context.aliasName,
    clientRetry: exchange.clientRetry,
    model: context.model,
    stream: context.stream,
    attempts: call.attempts.length,
    faults: call.faults.map(({ fault }) => fault.code),
    outcome: end.outcome,
    reason: end.reason,
    settlement: settled.status,
    usage: end.usage,
    usageSource: end.usageSource,
    heldNanousd: call.held.toString(),
    chargedNanousd: settled.charged.toString(),
    absorbedNanousd: settled.absorbed.toString(),
    firstByteMs: call.firstByteAt === undefined ? undefined : Math.round(call.firstByteAt - exchange.startedAt),
    totalMs: Math.round(nowMs - exchange.startedAt),
    upstreamMs: Math.round(upstreamMs),
  })
}

/** Names of the call that every answer carries, also a failed one. */
export function callHeaders(call: MeteredCall): Record<string, string> {
  return {
    ...exchangeHeaders(call.exchange),
    'x-fluxgate-receipt': RECEIPT_ID_PREFIX + call.requestId,
    'x-fluxgate-model': headerText(call.route.model),
    'x-fluxgate-attempts': String(call.attempts.length),
    ...call.place?.headers,
    ...(call.exchange.dropped.length > 0 && { 'x-fluxgate-dropped': headerText(call.exchange.dropped.join(',')) }),
  }
}

/** A name may hold any character, a header only visible ASCII: the rest is percent-encoded. */
export function headerText(text: string): string {
  return /^[\x21-\x7e]*$/.test(text) ? text : encodeURI(text.toWellFormed())
}

export function exchangeHeaders(exchange: Pick<CallOrigin, 'id'>): Record<string, string> {
  return { 'x-request-id': `req_${exchange.id}` }
}
