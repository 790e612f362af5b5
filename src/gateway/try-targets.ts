import type { CredentialFault } from '#domain/credential-alarms.ts'
import { type Attempted, endAttempt, type MeteredCall } from './call.ts'
import type { Gateway } from './gateway.ts'
import type { CallTarget } from './target.ts'
import { CHAIN_OVER, type UpstreamFault } from './upstream-fault.ts'

/**
 * Tries the targets of a call until one has served it, and remembers what became of each. `attempt` resolves to `ended`
 * when the call is over, to the fault that leaves the client unserved, or to `failed` when it has noted that itself. False:
 * nobody else is asked.
 */
export async function tryTargets<T extends CallTarget>(
  gateway: Gateway,
  call: MeteredCall<T>,
  attempt: (index: number, target: T) => Promise<UpstreamFault | 'ended' | 'failed'>,
): Promise<boolean> {
  const { dispatch, route } = call
  for (let target = dispatch.next(); target !== undefined; target = dispatch.next()) {
    const index = route.targets.indexOf(target)
    const result = await attempt(index, target)
    if (result === 'ended') {
      dispatch.report(target, 'ok')
      return true
    }
    const chainOver = isChainOver(call)
    const cutShort = typeof result === 'object' && result.code === 'timeout_first_byte' && chainOver
    if (result !== 'failed') noteFault(gateway, call, index, cutShort ? CHAIN_OVER : result)
    if (chainOver) break
  }
  return false
}

/** An upstream failed: its health, the receipt and the metrics learn of it. */
export function noteFault(
  gateway: Gateway,
  call: MeteredCall,
  index: number,
  fault: UpstreamFault,
  attempted?: Attempted,
): void {
  const target = call.route.targets[index]
  endAttempt(call, fault.code, attempted)
  call.faults.push({ target: index, fault })
  if (target === undefined) return
  call.dispatch.report(target, fault)
  gateway.metrics.attempts.inc({ provider: target.priced.provider, fault: fault.code })
  if (fault.class === 'credential') gateway.alarms.note(faultOf(target, fault.code))
}

function faultOf({ credentialId, credential, priced }: CallTarget, reason: string): CredentialFault {
  const { provider, model, upstream } = priced
  const key = credential && { credential: credential.id8 }
  return { credential: credentialId, data: { provider, model, ...(upstream && { upstream }), ...key }, reason }
}

/** Whether the time of all attempts together is over; it holds until there is something for the client. */
export function isChainOver(call: MeteredCall, nowMs = performance.now()): boolean {
  const { chainMs } = call.route.timeouts
  return chainMs !== undefined && nowMs - call.admittedAt >= chainMs
}

/** How long this attempt may take to its first byte: as its upstream says, but no longer than the chain has left. */
export function firstByteMs(call: MeteredCall, target: CallTarget, otherwise: number): number {
  const { chainMs } = call.route.timeouts
  const own = target.firstByteMs ?? otherwise
  if (chainMs === undefined) return own
  return Math.min(own, Math.max(0, call.admittedAt + chainMs - performance.now()))
}
