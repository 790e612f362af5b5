import { endAttempt, type MeteredCall } from './call.ts'
import type { Gateway } from './gateway.ts'
import type { CallTarget } from './target.ts'
import type { UpstreamFault } from './upstream-fault.ts'

/**
 * Tries the targets of a call until one has served it, and remembers what became of each. `attempt` resolves to `ended`
 * when the call is over, or to the fault that leaves the client unserved. False: nobody else is asked.
 */
export async function tryTargets<T extends CallTarget>(
  gateway: Gateway,
  call: MeteredCall<T>,
  attempt: (index: number, target: T) => Promise<UpstreamFault | 'ended'>,
): Promise<boolean> {
  const { dispatch, route } = call
  for (let target = dispatch.next(); target !== undefined; target = dispatch.next()) {
    const index = route.targets.indexOf(target)
    const result = await attempt(index, target)
    if (result === 'ended') {
      dispatch.report(target, 'ok')
      return true
    }
    noteFault(gateway, call, index, result)
    if (isChainOver(call)) break
  }
  return false
}

/** An upstream failed: its health, the receipt and the metrics learn of it. */
export function noteFault(gateway: Gateway, call: MeteredCall, index: number, fault: UpstreamFault): void {
  const target = call.route.targets[index]
  endAttempt(call, fault.code)
  call.faults.push({ target: index, fault })
  if (target === undefined) return
  call.dispatch.report(target, fault)
  gateway.metrics.attempts.inc({ provider: target.priced.provider, fault: fault.code })
}

function isChainOver(call: MeteredCall): boolean {
  const { chainMs } = call.route.timeouts
  return chainMs !== undefined && performance.now() - call.admittedAt >= chainMs
}

/** How long this attempt may take to its first byte: as its upstream says, but no longer than the chain has left. */
export function firstByteMs(call: MeteredCall, target: CallTarget, otherwise: number): number {
  const { chainMs } = call.route.timeouts
  const own = target.firstByteMs ?? otherwise
  if (chainMs === undefined) return own
  return Math.min(own, Math.max(0, call.admittedAt + chainMs - performance.now()))
}
