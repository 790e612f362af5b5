import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import { assert } from '#lib/assert.ts'
import type { Candidate, CandidateGroup } from './candidate.ts'
import { type Openness, recordFault, recordSuccess, sooner, takeProbes, usable } from './candidate-health.ts'
import { type ExplainedPlan, explainPlan } from './explain.ts'
import { endsCall, movesOn } from './fault-effect.ts'
import type { Health } from './health.ts'
import type { Inflight } from './inflight.ts'
import { orderGroup } from './order.ts'

export interface PlanDeps<C extends Candidate> {
  /** Those of one upstream are neighbours, in the order of its credentials. */
  candidates: readonly C[]
  groups: readonly CandidateGroup[]
  health: Health
  inflight: Inflight
  /** 0 to below 1; Math.random where nothing is said. */
  random?: (() => number) | undefined
}

/** Why a candidate was given: in its turn, to probe a half-open breaker, for want of anything better, or beside another. */
type AttemptKind = 'turn' | 'probe' | 'last_resort' | 'hedge'

export interface PlanAttempt<C extends Candidate = Candidate> {
  candidate: C
  kind: AttemptKind
  /** On the clock of the health memory. */
  sentAtMs: number
  state: 'running' | 'answered' | 'ok' | 'aborted' | 'failed'
  fault?: UpstreamFault
}

/** A candidate that was passed over when its turn came. */
export interface PlanSkip<C extends Candidate = Candidate> {
  candidate: C
  why: 'cooling_down' | 'saturated'
}

export type EndReason =
  /** An attempt has answered. */
  | 'answered'
  /** The caller has left. */
  | 'aborted'
  /** The caller's own fault. */
  | 'caller'
  /** The whole time is over, or the process ends. */
  | 'ended'
  /** A rule of a group says that its faults move no further. */
  | 'rule'
  | 'tried_all'
  /** Nothing was tried: every candidate that may serve has as many calls as it takes. */
  | 'saturated'
  /** Nothing was tried: no candidate may serve this call. */
  | 'ineligible'

interface Exhaustion {
  reason: EndReason
  /** The least that an attempt was told to wait; of our own choice where all is saturated. */
  retryAfterMs?: number
}

/** What a client waits before it asks again when every target of its model is full. */
const SATURATED_RETRY_AFTER_MS = 1_000

/**
 * The order of attempts of one call. next() gives each candidate at most once; whatever it or hedge() gave is answered for
 * with one report(), at the latest by close(). docs/routing.md has the rules.
 */
export interface DispatchPlan<C extends Candidate> {
  /** Undefined when nobody else is asked: exhausted() says why. No attempt may be running. */
  next(): C | undefined
  /** A healthy candidate of the same group beside the one that is running; undefined where there is none. */
  hedge(): C | undefined
  /** The first content has come: health learns of it now, no other candidate is given, and the attempt goes on. */
  answered(candidate: C): void
  /** How an attempt ended. The first word counts. */
  report(candidate: C, how: UpstreamFault | 'ok' | 'aborted'): void
  /** Ends whatever is running as aborted, so that no counter stays behind. */
  close(): void
  exhausted(): Exhaustion
  attempts(): readonly PlanAttempt<C>[]
  /** Touches nothing: before next() it is the dry run. */
  explain(): ExplainedPlan
}

export function createPlan<C extends Candidate>(deps: PlanDeps<C>): DispatchPlan<C> {
  const { candidates, groups, health, inflight, random = Math.random } = deps
  const attempts: (PlanAttempt<C> & { probes: readonly string[] })[] = []
  // What each group's order was drawn as.
  const orders: (readonly C[])[] = []
  let skips: PlanSkip<C>[] | undefined
  // Open when their turn came, and still allowed for want of anything better.
  let coolingDown: C[] = []
  let group = 0
  let cursor = 0
  let running = 0
  let lastResortTaken = false
  // Whether all groups are done, and what cooled down is looked at again.
  let leftovers = false
  // What the faults of the current group allow.
  let retries = true
  let continues = true
  let lastFault: UpstreamFault | undefined
  let over: EndReason | undefined

  function orderOf(index: number): readonly C[] {
    let order = orders[index]
    if (order === undefined) {
      const members = groups.length === 1 ? candidates : candidates.filter(({ groupIndex }) => groupIndex === index)
      order = orderGroup(members, groups[index]?.strategy ?? 'ordered', { inflight, random })
      orders[index] = order
    }
    return order
  }

  function start(candidate: C, kind: AttemptKind): C | undefined {
    if (!inflight.tryEnter(candidate.targetId, candidate.maxConcurrency)) {
      skips ??= []
      skips.push({ candidate, why: 'saturated' })
      return undefined
    }
    const probes = health.quiet || kind === 'hedge' ? NO_PROBES : takeProbes(health, candidate)
    attempts.push({ candidate, kind, sentAtMs: health.now(), state: 'running', probes })
    running += 1
    return candidate
  }

  /** The next of the current group whose turn it is. `kind` hedge takes only those in full health. */
  function turn(kind: 'turn' | 'hedge'): C | undefined {
    const order = orderOf(group)
    while (cursor < order.length) {
      const candidate = order[cursor] as C
      cursor += 1
      if (candidate.eligible !== true) continue
      const state = usable(health, candidate)
      if (state === 'yes' || (state === 'probe' && kind === 'turn')) {
        const started = start(candidate, state === 'probe' ? 'probe' : kind)
        if (started !== undefined) return started
        continue
      }
      coolingDown.push(candidate)
      if (state === 'probe') continue
      skips ??= []
      skips.push({ candidate, why: 'cooling_down' })
    }
    return undefined
  }

  /**
   * Of those that cooled down: one that is usable by now, else, once in a call, the one whose cooldown ends first. A target that
   * has failed this very call comes after those that were not asked.
   */
  function leftover(among: readonly C[]): C | undefined {
    let best: { candidate: C; openness: Openness; asked: boolean } | undefined
    for (const candidate of among) {
      const state = usable(health, candidate)
      if (typeof state === 'string') {
        coolingDown.splice(coolingDown.indexOf(candidate), 1)
        const started = start(candidate, state === 'probe' ? 'probe' : 'turn')
        if (started !== undefined) return started
        continue
      }
      const asked = attempts.some((attempt) => attempt.candidate.targetId === candidate.targetId)
      const better = best === undefined || (asked === best.asked ? sooner(state, best.openness) : best.asked)
      if (better) best = { candidate, openness: state, asked }
    }
    if (best === undefined || lastResortTaken) return undefined
    coolingDown.splice(coolingDown.indexOf(best.candidate), 1)
    const started = start(best.candidate, 'last_resort')
    if (started === undefined) return leftover(coolingDown.filter((candidate) => among.includes(candidate)))
    lastResortTaken = true
    return started
  }

  /**
   * Those of the current group that are tried before anybody else may be: what cools down, from what the rule would not have
   * moved on from. All of them where the rule has stopped at a fault of this call.
   */
  function heldBack(): C[] {
    const own = coolingDown.filter(({ groupIndex }) => groupIndex === group)
    if (!continues) return own
    const rule = groups[group]?.continueOn
    if (rule === undefined) return []
    return own.filter((candidate) => {
      const state = usable(health, candidate)
      return typeof state === 'string' || (state.reason !== undefined && !movesOn(rule, state.reason))
    })
  }

  /** On to the next group, or to one that is held back, or over. */
  function leaveGroup(): C | undefined {
    if (retries) {
      const held = heldBack()
      const resort = leftover(held)
      if (resort !== undefined) return resort
      if (held.some((one) => coolingDown.includes(one))) return stopByRule()
    } else coolingDown = coolingDown.filter(({ groupIndex }) => groupIndex !== group)
    if (!continues) return stopByRule()
    group += 1
    cursor = 0
    retries = true
    return undefined
  }

  function stop(reason: EndReason): undefined {
    over ??= reason
  }

  function stopByRule(): undefined {
    return stop(lastFault?.class === 'caller' ? 'caller' : 'rule')
  }

  function next(): C | undefined {
    assert(running === 0, 'the next candidate is asked for when the last one is answered for')
    while (over === undefined && !leftovers) {
      const candidate = retries ? turn('turn') : undefined
      if (candidate !== undefined) return candidate
      if (group + 1 >= groups.length) leftovers = true
      else {
        const resort = leaveGroup()
        if (resort !== undefined) return resort
      }
    }
    if (over !== undefined) return undefined
    if (!retries) return stopByRule()
    return leftover([...coolingDown]) ?? stop(attempts.length > 0 ? 'tried_all' : untried())
  }

  function untried(): EndReason {
    return skips?.some(({ why }) => why === 'saturated') ? 'saturated' : 'ineligible'
  }

  function runningAttempt(candidate: C) {
    return attempts.find((one) => one.candidate === candidate && (one.state === 'running' || one.state === 'answered'))
  }

  function report(candidate: C, how: UpstreamFault | 'ok' | 'aborted'): void {
    const attempt = runningAttempt(candidate)
    if (attempt === undefined) return
    const answered = attempt.state === 'answered'
    running -= 1
    inflight.leave(candidate.targetId)
    if (how === 'ok') {
      attempt.state = 'ok'
      over = 'answered'
      recordSuccess(health, candidate, attempt.sentAtMs)
    } else if (how === 'aborted') {
      attempt.state = 'aborted'
      // The slower one of two is aborted as well; it ends nothing.
      if (running === 0) over ??= 'aborted'
    } else {
      attempt.state = 'failed'
      attempt.fault = how
      failed(attempt, how, answered)
    }
    for (const id of attempt.probes) health.released(id)
  }

  function failed(attempt: PlanAttempt<C>, fault: UpstreamFault, answered: boolean): void {
    const { candidate, sentAtMs } = attempt
    lastFault = fault
    recordFault(health, candidate, fault, { sentAtMs, wholeTime: attempts.length === 1 && !answered })
    const rules = groups[candidate.groupIndex]
    if (!movesOn(rules?.retryOn, fault)) retries = false
    if (!movesOn(rules?.continueOn, fault)) continues = false
    if (endsCall(fault)) over ??= 'ended'
    else if (fault.class === 'caller' && !retries && !continues) over ??= 'caller'
  }

  return {
    next,
    hedge() {
      if (over !== undefined || running !== 1 || attempts.at(-1)?.kind !== 'turn') return undefined
      return turn('hedge')
    },
    answered(candidate) {
      const attempt = runningAttempt(candidate)
      if (attempt === undefined || attempt.state === 'answered') return
      attempt.state = 'answered'
      over = 'answered'
      recordSuccess(health, candidate, attempt.sentAtMs)
      for (const id of attempt.probes) health.released(id)
    },
    report,
    close() {
      for (const { candidate } of attempts) report(candidate, 'aborted')
    },
    exhausted() {
      const reason = over ?? 'tried_all'
      if (reason === 'saturated') return { reason, retryAfterMs: SATURATED_RETRY_AFTER_MS }
      let least: number | undefined
      for (const { fault } of attempts)
        if (fault?.retryAfterMs !== undefined) least = Math.min(fault.retryAfterMs, least ?? fault.retryAfterMs)
      return least === undefined ? { reason } : { reason, retryAfterMs: least }
    },
    attempts: () => attempts,
    explain: () =>
      explainPlan({
        orders: groups.map((_, index) => orderOf(index)),
        groups,
        health,
        inflight,
        attempts,
        skips,
        over,
      }),
  }
}

const NO_PROBES: readonly string[] = []
