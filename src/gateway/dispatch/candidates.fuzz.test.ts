import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Strategy } from '#domain/router/snapshot.ts'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import type { Candidate, CandidateGroup } from './candidate.ts'
import { createPlan } from './candidates.ts'
import { endsCall, movesOn } from './fault-effect.ts'
import { createHealth, type Health } from './health.ts'
import { createInflight } from './inflight.ts'

const SEED = { seed: 20_260_801, numRuns: 500 }

const status = (value: number, kind: UpstreamFault['class']): UpstreamFault => ({
  class: kind,
  code: `status_${value}`,
  status: value,
})
const fault = fc.constantFrom<UpstreamFault>(
  status(400, 'caller'),
  status(401, 'credential'),
  status(404, 'target'),
  status(429, 'target'),
  { ...status(429, 'target'), retryAfterMs: 2_000 },
  status(500, 'provider'),
  status(503, 'provider'),
  { class: 'provider', code: 'reset' },
  { class: 'provider', code: 'timeout_first_byte', timedOut: true },
  { class: 'provider', code: 'timeout_total', timedOut: true },
  { class: 'provider', code: 'malformed' },
  { class: 'provider', code: 'shutting_down' },
)
const rule = fc.option(
  fc.record({
    httpCodes: fc.uniqueArray(fc.constantFrom(400, 401, 404, 429, 500, 502, 503)).map((codes) => new Set(codes)),
    onTimeout: fc.boolean(),
  }),
  { nil: undefined },
)
const group = fc.record({
  strategy: fc.constantFrom<Strategy>('ordered', 'weighted', 'least_inflight'),
  retryOn: rule,
  continueOn: rule,
})
const shape = fc.record({
  upstream: fc.integer({ min: 0, max: 4 }),
  key: fc.integer({ min: 0, max: 2 }),
  upstreamWeight: fc.integer({ min: 0, max: 3 }),
  credentialWeight: fc.integer({ min: 0, max: 3 }),
  excluded: fc.boolean(),
  groupIndex: fc.integer({ min: 0, max: 2 }),
})

/** Calls at once, by upstream. */
const CALLS_MAX = [undefined, undefined, 1, 2, 0]

/** Candidates that share targets and credentials in every way that a config could. */
function toCandidates(shapes: readonly (typeof shape extends fc.Arbitrary<infer S> ? S : never)[]): Candidate[] {
  return shapes
    .map(({ upstream, key, excluded, ...rest }) => ({
      ...rest,
      targetId: `u${upstream}`,
      credentialId: `k${key}`,
      maxConcurrency: CALLS_MAX[upstream],
      eligible: excluded ? { excluded: 'no' } : (true as const),
    }))
    .toSorted((a, b) => a.groupIndex - b.groupIndex || a.targetId.localeCompare(b.targetId))
}

function healthAt(now: () => number): Health {
  return createHealth({ now, random: () => 0.5, baseMs: 1_000, maxMs: 30_000, entriesMax: 50 })
}

test('property: whatever has happened before, a plan ends, keeps its promises and leaves no counter behind', () => {
  const how = fc.oneof(
    { weight: 6, arbitrary: fault },
    { weight: 2, arbitrary: fc.constantFrom('ok' as const, 'aborted' as const, 'answered' as const) },
  )
  const call = fc.record({
    hows: fc.array(how, { minLength: 12, maxLength: 12 }),
    waitMs: fc.integer({ min: 0, max: 3_000 }),
    hedged: fc.boolean(),
    // Another call that runs all the while.
    beside: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(shape, { maxLength: 9 }).map(toCandidates),
      fc.tuple(group, group, group),
      fc.array(call, { minLength: 1, maxLength: 12 }),
      (candidates, groups, calls) => {
        let nowMs = 0
        const health = healthAt(() => nowMs)
        const inflight = createInflight()
        const start = () => createPlan({ candidates, groups, health, inflight, random: () => 0.5 })
        for (const { hows, waitMs, hedged, beside } of calls) {
          nowMs += waitMs
          const other = start()
          if (beside) other.next()
          const plan = start()
          const tried: Candidate[] = []
          let ended = false
          const dry = JSON.stringify(plan.explain())
          assert.equal(dry, JSON.stringify(plan.explain()), 'explaining changes nothing')
          for (let next = plan.next(); next !== undefined; next = plan.next()) {
            const second = hedged ? plan.hedge() : undefined
            for (const candidate of second === undefined ? [next] : [next, second]) {
              assert.equal(ended, false, 'nobody is asked after the end')
              assert.equal(candidate.eligible, true)
              assert.equal(tried.includes(candidate), false, 'nobody is asked twice')
              const { maxConcurrency = Number.POSITIVE_INFINITY } = candidate
              assert(inflight.count(candidate.targetId) <= maxConcurrency)
              tried.push(candidate)
            }
            if (second !== undefined) assert.equal(second.groupIndex, next.groupIndex)
            const result = hows[tried.length - 1] ?? 'ok'
            if (result === 'answered') {
              plan.answered(next)
              if (second !== undefined) plan.report(second, 'aborted')
              plan.report(next, 'ok')
            } else {
              plan.report(next, result)
              if (second !== undefined) plan.report(second, result)
            }
            ended = typeof result === 'string' || endsCall(result)
          }
          const kinds = plan.attempts().map(({ kind }) => kind)
          assert(kinds.filter((kind) => kind === 'last_resort').length <= 1)
          const { reason } = plan.exhausted()
          if (tried.length === 0) assert(reason === 'saturated' || reason === 'ineligible')
          if (reason === 'ineligible') assert(candidates.every(({ eligible }) => eligible !== true))
          plan.close()
          other.close()
          assert.deepEqual(inflight.snapshot(), [])
        }
      },
    ),
    SEED,
  )
})

test('property: with all in health and nothing shared, the attempts are those of the rules read aloud', () => {
  const groupWithFaults = fc.record({
    rules: fc.record({ retryOn: rule, continueOn: rule }),
    hows: fc.array(fc.option(fault, { nil: 'ok' as const, freq: 8 }), { minLength: 1, maxLength: 4 }),
  })
  fc.assert(
    fc.property(fc.array(groupWithFaults, { minLength: 1, maxLength: 3 }), (given) => {
      const groups: CandidateGroup[] = given.map(({ rules }) => ({ strategy: 'ordered', ...rules }))
      const hows = new Map<string, UpstreamFault | 'ok'>()
      const candidates = given.flatMap((one, groupIndex) =>
        one.hows.map((how, index) => {
          const id = `${groupIndex}.${index}`
          hows.set(id, how)
          return {
            targetId: id,
            credentialId: id,
            groupIndex,
            upstreamWeight: 1,
            credentialWeight: 1,
            eligible: true as const,
          }
        }),
      )
      const plan = createPlan({ candidates, groups, health: healthAt(() => 0), inflight: createInflight() })
      const tried: string[] = []
      for (let next = plan.next(); next !== undefined; next = plan.next()) {
        tried.push(next.targetId)
        plan.report(next, hows.get(next.targetId) ?? 'ok')
      }
      assert.deepEqual(tried, readAloud(given))
    }),
    SEED,
  )
})

/** In order; on where retryOn lets the fault, to the next group where continueOn lets all of them. */
function readAloud(
  groups: { rules: Pick<CandidateGroup, 'retryOn' | 'continueOn'>; hows: (UpstreamFault | 'ok')[] }[],
): string[] {
  const tried: string[] = []
  for (const [groupIndex, { rules, hows }] of groups.entries()) {
    const faults: UpstreamFault[] = []
    for (const [index, how] of hows.entries()) {
      tried.push(`${groupIndex}.${index}`)
      if (how === 'ok' || endsCall(how)) return tried
      faults.push(how)
      if (!movesOn(rules.retryOn, how)) break
    }
    if (!faults.every((one) => movesOn(rules.continueOn, one))) return tried
  }
  return tried
}

test('property: a healthy candidate that may serve is always asked before one that cools down', () => {
  fc.assert(
    fc.property(
      fc
        .array(shape, { minLength: 1, maxLength: 9 })
        .map((shapes) =>
          toCandidates(shapes.map((one) => ({ ...one, upstream: one.upstream % 2, groupIndex: 0, excluded: false }))),
        ),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 500 })), { maxLength: 5 }),
      (candidates, failures) => {
        const health = healthAt(() => 0)
        for (const [upstream, retryAfterMs] of failures)
          health.failed(`target:u${upstream}`, { retryAfterMs: 1_000 + retryAfterMs })
        const isOpen = ({ targetId }: Candidate) => typeof health.usable(`target:${targetId}`) === 'object'
        const plan = createPlan({ candidates, groups: [{ strategy: 'ordered' }], health, inflight: createInflight() })
        const first = plan.next()
        assert(first)
        assert.equal(isOpen(first), candidates.every(isOpen))
        if (isOpen(first)) {
          const until = (id: string) => health.entry(`target:${id}`)?.openUntilMs ?? 0
          assert.equal(until(first.targetId), Math.min(...candidates.map(({ targetId }) => until(targetId))))
        }
        plan.close()
      },
    ),
    SEED,
  )
})
