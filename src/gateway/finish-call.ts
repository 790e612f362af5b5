import type { SettleResult } from '#domain/ledger.ts'
import type { CallEnd } from '#domain/settlement.ts'
import { AppError } from '#src/errors.ts'
import { callHeaders, type MeteredCall, settleCall } from './call.ts'
import type { Gateway } from './gateway.ts'
import { errorOfFaults } from './upstream-fault.ts'

/** How long the answer to a failed call waits for its void receipt. */
const VOID_WAIT_MS = 2_000

/** How a call ended, but for its attempts, which the call itself knows. */
export type Ending = Omit<CallEnd, 'attempts' | 'attemptList'>

/** Settles and waits for the commit, but not for ever. Undefined: the settlement goes on and the answer must say so. */
export async function settleInTime(
  gateway: Gateway,
  call: MeteredCall,
  end: Ending,
  waitMs = gateway.timeouts.settleWaitMs,
): Promise<SettleResult | undefined> {
  const settling = settleCall(gateway, call, end)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), waitMs)
  })
  const settled = settling.catch((error: unknown) => {
    gateway.log.error({ err: error, receipt: call.requestId }, 'settlement failed')
    return undefined
  })
  try {
    return await Promise.race([settled, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Ends a call of which nothing was delivered: a void receipt, no charge. Returns the error for the client. The receipt
 * says `reason`; by default the last fault, or the code of the error.
 */
export async function voidCall(
  gateway: Gateway,
  call: MeteredCall,
  error?: AppError,
  reason?: string,
): Promise<AppError> {
  const reported = error ?? errorOfCall(call)
  const last = call.faults.at(-1)
  await settleInTime(
    gateway,
    call,
    {
      outcome: 'void',
      reason: reason ?? last?.fault.code ?? reported.code,
      usage: {},
      usageSource: 'none',
      target: last?.target ?? 0,
    },
    VOID_WAIT_MS,
  )
  return withCallHeaders(call, reported)
}

/** What the client is told when nobody served it. */
function errorOfCall(call: MeteredCall): AppError {
  const { reason, retryAfterMs } = call.dispatch.exhausted()
  if (call.faults.length > 0 || reason !== 'saturated') return errorOfFaults(call.faults.map(({ fault }) => fault))
  return new AppError('overloaded', {
    message: 'Every upstream of this model serves as many calls as it may. Try again soon.',
    headers: retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) },
  })
}

/** The same error, with the names of the call in its headers. */
export function withCallHeaders(call: MeteredCall, error: AppError): AppError {
  return new AppError(error.code, {
    message: error.message,
    status: error.status,
    headers: { ...callHeaders(call), ...error.headers },
    details: error.details,
    cause: error.cause ?? error,
    publicDetails: error.publicDetails ?? triedDetails(call),
    ...(error.param !== null && { param: error.param }),
    ...(error.upstream && { upstream: error.upstream }),
  })
}

/** How far a failed call got, without a word about where. */
function triedDetails({ attempts, faults }: MeteredCall): Record<string, unknown> {
  return {
    triedKeys: new Set(attempts.map(({ target }) => target.credentialId)).size,
    triedUpstreams: new Set(attempts.map(({ target }) => target.targetId)).size,
    lastStatusCode: faults.at(-1)?.fault.status ?? null,
  }
}
