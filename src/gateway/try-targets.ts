import type { Call } from './call.ts'
import type { Gateway } from './gateway.ts'
import type { Target } from './target.ts'
import type { UpstreamFault } from './upstream-fault.ts'

/**
 * Tries the targets of a call until one has served it, and remembers what became of each. `attempt` resolves to `ended`
 * when the call is over, or to the fault that leaves the client unserved. False: no target is left.
 */
export async function tryTargets(
  gateway: Gateway,
  call: Call,
  attempt: (index: number, target: Target) => Promise<UpstreamFault | 'ended'>,
): Promise<boolean> {
  const { dispatch } = call
  for (let index = dispatch.next(); index !== undefined; index = dispatch.next()) {
    const target = call.route.targets[index]
    if (target === undefined) break
    const fault = await attempt(index, target)
    dispatch.report(index, fault)
    if (fault === 'ended') return true
    call.faults.push({ target: index, fault })
    gateway.metrics.attempts.inc({ provider: target.priced.provider, fault: fault.code })
    if (endsChain(call, fault)) break
  }
  return false
}

/** No other target would do better, or none may be asked any more. */
function endsChain(call: Call, fault: UpstreamFault): boolean {
  if (fault.class === 'caller' || fault.code === 'timeout_total' || fault.code === 'shutting_down') return true
  const { chainMs } = call.route.timeouts
  return chainMs !== undefined && performance.now() - call.admittedAt >= chainMs
}

/** How long this attempt may take to its first byte: as its upstream says, but no longer than the chain has left. */
export function firstByteMs(call: Call, target: Target, otherwise: number): number {
  const { chainMs } = call.route.timeouts
  const own = target.firstByteMs ?? otherwise
  if (chainMs === undefined) return own
  return Math.min(own, Math.max(0, call.admittedAt + chainMs - performance.now()))
}
