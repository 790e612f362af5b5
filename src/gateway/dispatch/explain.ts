import type { Candidate, CandidateGroup } from './candidate.ts'
import { entriesOf, type Openness, sooner, usable } from './candidate-health.ts'
import type { EndReason, PlanAttempt, PlanSkip } from './candidates.ts'
import type { Health, HealthEntry } from './health.ts'
import type { Inflight } from './inflight.ts'

type Verdict = 'usable' | 'probe' | 'cooling_down' | 'saturated' | 'excluded'

interface ExplainedCandidate {
  targetId: string
  credentialId: string
  groupIndex: number
  /** 0 is first: in its group as drawn, groups in turn. */
  position: number
  verdict: Verdict
  /** Why it is excluded. */
  reason?: string
  /** Tried all the same when nothing else is left, because its cooldown ends first. */
  lastResort: boolean
  /** Chance of being the first of its group where that is drawn by weight, of those that may serve. */
  share?: number
  /** What is remembered against it: its target, its credential, or the two together. */
  health: HealthEntry[]
  inflight: { count: number; max?: number }
}

/** Plain data for the dry run of a route and for logs. No secrets: ids, states, counts. */
export interface ExplainedPlan {
  candidates: ExplainedCandidate[]
  attempts: {
    targetId: string
    credentialId: string
    kind: PlanAttempt['kind']
    state: PlanAttempt['state']
    fault?: { class: string; code: string; status?: number; retryAfterMs?: number }
  }[]
  /** Passed over when their turn came. */
  skipped: { targetId: string; credentialId: string; why: PlanSkip['why'] }[]
  /** Undefined while the call may go on. */
  end?: EndReason
}

/** Says what would be tried in which order and why, and what has been tried. Touches nothing. */
export function explainPlan(plan: {
  /** By group. */
  orders: readonly (readonly Candidate[])[]
  groups: readonly CandidateGroup[]
  health: Health
  inflight: Pick<Inflight, 'count'>
  attempts: readonly PlanAttempt[]
  skips: readonly PlanSkip[] | undefined
  over: EndReason | undefined
}): ExplainedPlan {
  const { orders, groups, health, inflight } = plan
  const candidates: ExplainedCandidate[] = []
  let resort: { explained: ExplainedCandidate; openness: Openness } | undefined
  for (const [groupIndex, order] of orders.entries()) {
    const shares = groups[groupIndex]?.strategy === 'weighted' ? sharesOf(order) : undefined
    for (const candidate of order) {
      const state = usable(health, candidate)
      const explained = explainCandidate(candidate, state, health, inflight)
      explained.position = candidates.length
      const share = shares?.get(candidate.targetId)
      if (share !== undefined && candidate.eligible === true) explained.share = share
      candidates.push(explained)
      if (explained.verdict !== 'cooling_down' || typeof state === 'string') continue
      if (resort === undefined || sooner(state, resort.openness)) resort = { explained, openness: state }
    }
  }
  const better = candidates.some(({ verdict }) => verdict === 'usable' || verdict === 'probe')
  if (resort !== undefined && !better) resort.explained.lastResort = true
  return {
    candidates,
    attempts: plan.attempts.map(({ candidate, kind, state, fault }) => ({
      ...idsOf(candidate),
      kind,
      state,
      ...(fault && {
        fault: {
          class: fault.class,
          code: fault.code,
          ...(fault.status !== undefined && { status: fault.status }),
          ...(fault.retryAfterMs !== undefined && { retryAfterMs: fault.retryAfterMs }),
        },
      }),
    })),
    skipped: (plan.skips ?? []).map(({ candidate, why }) => ({ ...idsOf(candidate), why })),
    ...(plan.over !== undefined && { end: plan.over }),
  }
}

function explainCandidate(
  candidate: Candidate,
  state: ReturnType<typeof usable>,
  health: Health,
  inflight: Pick<Inflight, 'count'>,
): ExplainedCandidate {
  const { eligible, maxConcurrency: max } = candidate
  const count = inflight.count(candidate.targetId)
  let verdict: Verdict = state === 'yes' ? 'usable' : state === 'probe' ? 'probe' : 'cooling_down'
  if (max !== undefined && count >= max) verdict = 'saturated'
  if (eligible !== true) verdict = 'excluded'
  return {
    ...idsOf(candidate),
    groupIndex: candidate.groupIndex,
    position: 0,
    verdict,
    ...(eligible !== true && { reason: eligible.excluded }),
    lastResort: false,
    health: entriesOf(health, candidate),
    inflight: { count, ...(max !== undefined && { max }) },
  }
}

function idsOf({ targetId, credentialId }: Candidate): { targetId: string; credentialId: string } {
  return { targetId, credentialId }
}

/** By target: its share of the weights of its group. */
function sharesOf(order: readonly Candidate[]): Map<string, number> {
  const weights = new Map<string, number>()
  for (const { targetId, upstreamWeight, eligible } of order)
    if (eligible === true) weights.set(targetId, Math.max(0, upstreamWeight))
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0)
  return new Map([...weights].map(([id, weight]) => [id, total === 0 ? 0 : weight / total]))
}
