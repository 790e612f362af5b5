import { hash } from 'node:crypto'
import { REQUEST_NANOS_MAX, UnpricedUsageError } from '#billing/price.ts'
import { requireModel } from '#domain/allowed-models.ts'
import { type CallContext, encodeContext } from '#domain/call-context.ts'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import type { ReserveResult } from '#domain/ledger.ts'
import { RECEIPT_ID_PREFIX } from '#domain/settlement.ts'
import type { StoredOutcome } from '#domain/stored-outcomes.ts'
import { assert } from '#lib/assert.ts'
import { GivenUpError } from '#lib/group-commit.ts'
import { uuidFromName } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import type { Protocol } from '#wire/protocol.ts'
import type { RequestLabels } from '#wire/request-labels.ts'
import type { TextRequest } from '#wire/text-request.ts'
import type { Call, CallOrigin, Exchange, Idempotency, MeteredCall } from './call.ts'
import type { Gateway } from './gateway.ts'
import { type HoldPlan, planHold } from './hold-plan.ts'
import type { Interpreter } from './interpreter.ts'
import type { CallRoute, Route } from './routes.ts'
import type { CallTarget } from './target.ts'

type ReserveOp = Parameters<Gateway['ledger']['reserve']>[0]

export interface Admission {
  exchange: Exchange
  key: AuthenticatedKey
  labels: RequestLabels
  request: TextRequest
  interpreters: ReadonlyMap<Protocol, Interpreter>
  route: Route
  idempotency: Idempotency | undefined
}

/** How often a call may be made again under one key while each time nothing was answered. */
const VOID_CALLS_MAX = 16

/**
 * Holds funds for a call. When this resolves to a call its hold is committed, so the upstream may be asked; when it resolves
 * to an answer, this very call was answered before. Throws AppError: insufficient_quota, wallet_frozen, pricing_missing,
 * idempotency_*, too_many_requests, ledger_unavailable, overloaded.
 */
export async function admit(gateway: Gateway, admission: Admission): Promise<Call | StoredOutcome> {
  const { exchange, request, interpreters, route } = admission
  const plan = priceHold(request, route)
  const fingerprint = `${request.protocol}\n${request.text}`
  const call = await holdCall(gateway, { ...admission, plan, stream: request.stream, fingerprint })
  if ('body' in call) return call
  return { ...call, exchange, request, interpreters, route, plan, promptCount: undefined }
}

/** What is held for a call, whatever it is about. */
export interface HoldRequest<T extends CallTarget> {
  exchange: CallOrigin
  key: AuthenticatedKey
  labels: RequestLabels
  route: CallRoute<T>
  idempotency: Idempotency | undefined
  plan: Pick<HoldPlan, 'amount' | 'floor'>
  stream: boolean
  /** Text that is the same for the same request alone; used where the caller names the call. */
  fingerprint: string
}

/** Holds funds, as admit() does. Throws AppError likewise, but for pricing_missing. */
export async function holdCall<T extends CallTarget>(
  gateway: Gateway,
  request: HoldRequest<T>,
): Promise<MeteredCall<T> | StoredOutcome> {
  const { exchange, key, route } = request
  requireModel(key, route.model)
  const place = await gateway.rateLimits.enter(exchange.id, key)
  const held = await holdPlaced(gateway, request).catch((error: unknown) => {
    place?.leave(0)
    throw error
  })
  if ('body' in held) place?.leave(0)
  else held.place = place
  return held
}

/** Holds funds for a call that the rate limits have let in. */
async function holdPlaced<T extends CallTarget>(
  gateway: Gateway,
  request: HoldRequest<T>,
): Promise<MeteredCall<T> | StoredOutcome> {
  const { exchange, key, labels, route, idempotency, plan, stream, fingerprint } = request
  const context: CallContext = {
    account: key.account,
    projectId: key.projectId,
    keyId: key.keyId,
    ...(key.userId !== null && { userId: key.userId }),
    ...labels,
    model: route.model,
    stream,
    ...(route.configVersion !== undefined && { configVersion: route.configVersion }),
    targets: route.targets.map((target) => target.priced),
  }
  const hold = {
    attempt: exchange.id,
    walletId: key.walletId,
    amount: plan.amount,
    floor: plan.floor,
    // Salted with the caller's key, so that the stored hash of a short prompt cannot be guessed back.
    bodyHash: idempotency === undefined ? NO_HASH : bodyHash(idempotency, fingerprint),
    context: encodeContext(context),
  }
  const { requestId, result, stored } = await reserveOnce(gateway, hold, exchange, idempotency)
  if (stored !== undefined) return stored
  gateway.metrics.holds.inc({ status: result.status })
  if (result.status !== 'reserved') throw await refusal(gateway, result, plan, requestId)
  assert(result.seq !== null, 'a hold has a number')
  return {
    requestId,
    walletId: key.walletId,
    seq: result.seq,
    held: result.granted,
    context,
    exchange,
    attempt: exchange.id,
    key,
    route,
    dispatch: gateway.dispatcher.plan(route),
    admittedAt: performance.now(),
    faults: [],
    attempts: [],
    dispatchedAt: 0,
    firstByteAt: undefined,
    answeredAt: undefined,
    settled: false,
    idempotency,
    place: undefined,
  }
}

const NO_HASH = Buffer.alloc(0)

function bodyHash({ key }: Idempotency, fingerprint: string): Buffer {
  return hash('sha256', `${key}\n${fingerprint}`, 'buffer')
}

/**
 * Reserves under a name of its own, or under the caller's name: there the same call is reserved once. One that has ended
 * without an answer may be made again; one that was answered gives its answer, where it is still kept.
 */
async function reserveOnce(
  gateway: Gateway,
  hold: Omit<ReserveOp, 'requestId'>,
  exchange: CallOrigin,
  idempotency: Idempotency | undefined,
): Promise<{ requestId: string; result: ReserveResult; stored?: StoredOutcome }> {
  if (idempotency === undefined)
    return { requestId: exchange.id, result: await reserve(gateway, { ...hold, requestId: exchange.id }) }
  const name = ['call', String(hold.walletId), idempotency.key]
  for (let voids = 0; ; voids += 1) {
    const requestId = uuidFromName(...name, ...(voids === 0 ? [] : [String(voids)]))
    const result = await reserve(gateway, { ...hold, requestId })
    if (result.status !== 'done') return { requestId, result }
    const outcome = await gateway.outcomes.outcomeOf(requestId).catch(unavailable)
    if (outcome === 'void' && voids < VOID_CALLS_MAX) continue
    const stored = await gateway.outcomes.find(requestId, idempotency.secret).catch(unavailable)
    return { requestId, result, ...(stored && { stored }) }
  }
}

function unavailable(cause: unknown): never {
  throw new AppError('ledger_unavailable', { headers: { 'retry-after': '1' }, cause })
}

/** What to hold for a request. Throws AppError: pricing_missing, body_invalid. */
export function priceHold(request: TextRequest, route: Route): HoldPlan {
  let plan: HoldPlan
  try {
    plan = planHold(request, route)
  } catch (error) {
    if (!(error instanceof UnpricedUsageError)) throw error
    throw new AppError('pricing_missing', {
      message: `The model '${route.model}' has no price for ${error.kinds.join(', ')}, so this request cannot be charged.`,
      param: 'model',
      cause: error,
    })
  }
  if (plan.floor > REQUEST_NANOS_MAX)
    throw new AppError('body_invalid', {
      message: 'One request may not cost more than 1,000 dollars.',
      param: 'messages',
    })
  return plan.amount > REQUEST_NANOS_MAX ? { ...plan, amount: REQUEST_NANOS_MAX } : plan
}

async function reserve(gateway: Gateway, op: ReserveOp): Promise<ReserveResult> {
  try {
    return await gateway.ledger.reserve(op)
  } catch (error) {
    if (!(error instanceof GivenUpError)) throw error
    gateway.metrics.holds.inc({ status: 'unavailable' })
    const code = error.message === 'queue full' ? 'overloaded' : 'ledger_unavailable'
    throw new AppError(code, { headers: { 'retry-after': '1' }, cause: error })
  }
}

async function refusal(
  gateway: Gateway,
  result: ReserveResult,
  plan: Pick<HoldPlan, 'floor'>,
  requestId: string,
): Promise<AppError> {
  const receipt = { 'x-fluxgate-receipt': RECEIPT_ID_PREFIX + requestId }
  switch (result.status) {
    case 'insufficient':
      return new AppError('insufficient_quota', {
        message: `The wallet does not cover this request: it needs at least ${plan.floor} nano-dollars and ${result.free ?? 0n} are available.`,
      })
    case 'over_budget':
      return new AppError('budget_exceeded', await gateway.describeBudget(result.budget ?? 0n, plan.floor))
    case 'frozen':
      return new AppError('wallet_frozen')
    case 'in_flight':
      return new AppError('idempotency_in_flight', { headers: { ...receipt, 'retry-after': '1' } })
    case 'done':
      return new AppError('idempotency_done', { headers: receipt })
    case 'key_reused':
      return new AppError('idempotency_mismatch', { param: 'Idempotency-Key' })
    default:
      return new AppError('internal', { details: { status: result.status } })
  }
}
