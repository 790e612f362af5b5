import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Candidate, CandidateGroup } from './candidate.ts'
import { createPlan } from './candidates.ts'
import { createHealth } from './health.ts'
import { createInflight } from './inflight.ts'

function candidate(targetId: string, more: Partial<Candidate> = {}): Candidate {
  return {
    targetId,
    credentialId: `${targetId}-key`,
    groupIndex: 0,
    upstreamWeight: 1,
    credentialWeight: 1,
    eligible: true,
    ...more,
  }
}

function stage(candidates: Candidate[], groups: CandidateGroup[] = [{ strategy: 'ordered' }]) {
  let nowMs = 0
  const health = createHealth({ now: () => nowMs, random: () => 1, baseMs: 1_000, maxMs: 60_000, entriesMax: 10 })
  const inflight = createInflight()
  return {
    health,
    inflight,
    at(ms: number) {
      nowMs = ms
    },
    plan: () => createPlan({ candidates, groups, health, inflight, random: () => 0.9 }),
  }
}

test('explain: every candidate in order, with what speaks against it', () => {
  const { plan, health, inflight, at } = stage([
    candidate('excluded', { eligible: { excluded: 'decrypt_failed' } }),
    candidate('full', { maxConcurrency: 1 }),
    candidate('open'),
    candidate('half-open'),
    candidate('well'),
  ])
  inflight.tryEnter('full')
  health.failed('target:half-open')
  at(900)
  health.failed('pair:open open-key', { reason: { class: 'target', code: 'status_429', status: 429 } })
  at(1_000)
  const { candidates, attempts, skipped, end } = plan().explain()
  assert.deepEqual(
    candidates.map(({ targetId, verdict, position, lastResort }) => [targetId, verdict, position, lastResort]),
    [
      ['excluded', 'excluded', 0, false],
      ['full', 'saturated', 1, false],
      ['open', 'cooling_down', 2, false],
      ['half-open', 'probe', 3, false],
      ['well', 'usable', 4, false],
    ],
  )
  assert.equal(candidates[0]?.reason, 'decrypt_failed')
  assert.deepEqual(candidates[1]?.inflight, { count: 1, max: 1 })
  assert.deepEqual(candidates[2]?.health, [
    {
      id: 'pair:open open-key',
      state: 'open',
      openUntilMs: 1_900,
      openForMs: 900,
      probing: false,
      failures: 1,
      reason: { class: 'target', code: 'status_429', status: 429 },
    },
  ])
  assert.equal(candidates[3]?.health[0]?.state, 'half_open')
  assert.deepEqual([attempts, skipped, end], [[], [], undefined])
})

test('explain: when all cool down it names the one that is tried all the same', () => {
  const { plan, health, at } = stage([candidate('later'), candidate('refused'), candidate('sooner')])
  health.failed('credential:refused-key')
  at(1)
  health.failed('target:sooner')
  at(2)
  health.failed('target:later')
  assert.deepEqual(
    plan()
      .explain()
      .candidates.filter(({ lastResort }) => lastResort)
      .map(({ targetId }) => targetId),
    ['sooner'],
  )
  assert.equal(plan().next()?.targetId, 'sooner')
})

test('explain: groups in turn, with the shares of those that may serve where they are drawn', () => {
  const { plan } = stage(
    [
      candidate('a', { upstreamWeight: 3 }),
      candidate('b', { upstreamWeight: 1 }),
      candidate('b', { upstreamWeight: 1, credentialId: 'b2' }),
      candidate('c', { upstreamWeight: 9, eligible: { excluded: 'no' } }),
      candidate('d', { groupIndex: 1 }),
    ],
    [{ strategy: 'weighted' }, { strategy: 'ordered' }],
  )
  const drawn = plan()
  const explained = drawn.explain().candidates
  assert.deepEqual(
    explained.map(({ targetId, groupIndex, share }) => [targetId, groupIndex, share]),
    [
      ['c', 0, undefined],
      ['b', 0, 0.25],
      ['b', 0, 0.25],
      ['a', 0, 0.75],
      ['d', 1, undefined],
    ],
  )
  assert.equal(drawn.next()?.targetId, 'b', 'the order that was explained is the order that is tried')
  drawn.close()
})

test('explain: afterwards, who was asked, who was passed over, and how it ended; nothing of what providers said', () => {
  const { plan, health } = stage([candidate('open'), candidate('a'), candidate('b')])
  health.failed('target:open')
  const running = plan()
  const first = running.next()
  assert(first)
  running.report(first, {
    class: 'target',
    code: 'status_429',
    status: 429,
    retryAfterMs: 5_000,
    error: { message: 'sk-secret is over its limit', type: 'x', param: null, code: null },
  })
  const second = running.next()
  assert(second)
  running.report(second, 'ok')
  const explained = running.explain()
  assert.deepEqual(explained.attempts, [
    {
      targetId: 'a',
      credentialId: 'a-key',
      kind: 'turn',
      state: 'failed',
      fault: { class: 'target', code: 'status_429', status: 429, retryAfterMs: 5_000 },
    },
    { targetId: 'b', credentialId: 'b-key', kind: 'turn', state: 'ok' },
  ])
  assert.deepEqual(explained.skipped, [{ targetId: 'open', credentialId: 'open-key', why: 'cooling_down' }])
  assert.equal(explained.end, 'answered')
  assert.equal(JSON.stringify(explained).includes('sk-secret'), false)
})
