import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import type { Candidate } from './candidate.ts'
import { CREDENTIAL_COOLDOWN_MS, opensWhat } from './fault-effect.ts'
import type { Health, HealthEntry, HealthReason } from './health.ts'

/** An open candidate. `refused`: its credential was, so time alone is not likely to help. */
export interface Openness {
  openUntilMs: number
  refused: boolean
  reason: HealthReason | undefined
}

type Ids = Pick<Candidate, 'targetId' | 'credentialId'>

type HealthIds = readonly [target: string, credential: string, pair: string]

// Candidates live as long as their config: their ids are put together once, and looked up without being hashed again.
const known = new WeakMap<Ids, HealthIds>()

/** The three that a candidate depends on: its target, its credential, and the credential at this target. */
function idsOf(candidate: Ids): HealthIds {
  let ids = known.get(candidate)
  if (ids === undefined) {
    const { targetId, credentialId } = candidate
    ids = [`target:${targetId}`, `credential:${credentialId}`, `pair:${targetId} ${credentialId}`]
    known.set(candidate, ids)
  }
  return ids
}

/** `probe`: at least one of the three is half-open and none is open. */
export function usable(health: Health, candidate: Ids): 'yes' | 'probe' | Openness {
  if (health.quiet) return 'yes'
  const ids = idsOf(candidate)
  let result: 'yes' | 'probe' | Openness = 'yes'
  for (const id of ids) {
    const state = health.usable(id)
    if (state === 'yes') continue
    if (state === 'probe') {
      if (result === 'yes') result = 'probe'
      continue
    }
    if (typeof result === 'object' && result.openUntilMs >= state.openUntilMs) {
      result.refused ||= id === ids[1]
      continue
    }
    const refused: boolean = id === ids[1] || (typeof result === 'object' && result.refused)
    result = { openUntilMs: state.openUntilMs, refused, reason: health.reasonOf(id) }
  }
  return result
}

/** Takes the probes of whatever is half-open. Returns what was taken. */
export function takeProbes(health: Health, candidate: Ids): string[] {
  return idsOf(candidate).filter((id) => health.probe(id))
}

/** The candidate has served a call that was sent at `sentAtMs`. */
export function recordSuccess(health: Health, candidate: Ids, sentAtMs: number): void {
  if (health.quiet) return
  for (const id of idsOf(candidate)) health.succeeded(id, sentAtMs)
}

/** Opens what the fault says something about. `wholeTime` as in opensWhat. */
export function recordFault(
  health: Health,
  candidate: Ids,
  fault: UpstreamFault,
  attempt: { sentAtMs: number; wholeTime: boolean },
): void {
  const opens = opensWhat(fault, attempt.wholeTime)
  if (opens === 'nothing') return
  const [target, credential, pair] = idsOf(candidate)
  const { code, status, timedOut, retryAfterMs } = fault
  const failure = {
    retryAfterMs,
    sentAtMs: attempt.sentAtMs,
    reason: { class: fault.class, code, status, timedOut },
  }
  if (opens === 'credential') health.failed(credential, { ...failure, baseMs: CREDENTIAL_COOLDOWN_MS })
  else health.failed(opens === 'target' ? target : pair, failure)
}

/** What is remembered against a candidate, of the three. */
export function entriesOf(health: Health, candidate: Ids): HealthEntry[] {
  if (health.quiet) return []
  return idsOf(candidate).flatMap((id) => health.entry(id) ?? [])
}

/** Which of two open candidates is tried first when nothing better is left: refused credentials last, then the soonest. */
export function sooner(a: Openness, b: Openness): boolean {
  return a.refused === b.refused ? a.openUntilMs < b.openUntilMs : b.refused
}
