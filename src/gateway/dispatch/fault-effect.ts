import type { FallbackRule } from '#domain/router/snapshot.ts'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'

/** What a fault opens: nothing, the credential everywhere, the target, or the credential at this target only. */
export type Opens = 'nothing' | 'credential' | 'target' | 'pair'

/** First cooldown of a credential that was refused: somebody has to do something about it. */
export const CREDENTIAL_COOLDOWN_MS = 60_000

/** Faults of the call as a whole: nobody else is asked. */
const ENDS_CALL: ReadonlySet<string> = new Set(['timeout_total', 'timeout_chain', 'shutting_down', 'client_abort'])

/** Faults that no target is worse for: our own, or such as a caller can provoke with what he asks for. */
const NOBODYS: ReadonlySet<string> = new Set(['shutting_down', 'client_abort', 'answer_too_large', 'frame_too_long'])

/** An endpoint that breaks off has said nothing that a rule could compare: it counts as one that keeps silent. */
const TRANSPORT: ReadonlySet<string> = new Set(['connect', 'reset', 'cut'])

/**
 * What a fault says about the health of whoever it came from: the decision table of docs/routing.md. `wholeTime`: the attempt
 * had the call's whole time to itself, so that the end of that time says something about it.
 */
export function opensWhat(fault: UpstreamFault, wholeTime: boolean): Opens {
  if (fault.class === 'caller' || NOBODYS.has(fault.code)) return 'nothing'
  if ((fault.code === 'timeout_total' || fault.code === 'timeout_chain') && !wholeTime) return 'nothing'
  if (fault.class === 'credential') return 'credential'
  if (fault.class === 'target' && fault.status === 429) return 'pair'
  return 'target'
}

/** Whether the call is over with this fault, whatever the rules say. */
export function endsCall(fault: UpstreamFault): boolean {
  return ENDS_CALL.has(fault.code)
}

/** As much of a fault as the rules look at. */
export interface RuledFault {
  class?: string | undefined
  code: string
  status?: number | undefined
  timedOut?: boolean | undefined
}

/**
 * Whether a rule lets a fault move on. Without a rule all but the caller's own do. With one, what timed out or broke off asks
 * `onTimeout`, and everything else its status; what has none counts as 401 where the credential is at fault, else as 502.
 */
export function movesOn(rule: FallbackRule | undefined, fault: RuledFault): boolean {
  if (rule === undefined) return fault.class !== 'caller'
  if (fault.status !== undefined) return rule.httpCodes.has(fault.status)
  if (fault.timedOut === true || TRANSPORT.has(fault.code)) return rule.onTimeout
  if (fault.class === 'caller') return false
  return rule.httpCodes.has(fault.class === 'credential' ? 401 : 502)
}
