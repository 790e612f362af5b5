import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import type { Candidate, CandidateGroup } from './candidate.ts'
import { createPlan } from './candidates.ts'
import { createHealth } from './health.ts'
import { createInflight } from './inflight.ts'

const faults: Record<string, UpstreamFault> = {
  ...Object.fromEntries(
    [401, 403].map((status) => [`${status}`, { class: 'credential', code: `status_${status}`, status } as const]),
  ),
  ...Object.fromEntries(
    [404, 429].map((status) => [`${status}`, { class: 'target', code: `status_${status}`, status } as const]),
  ),
  ...Object.fromEntries(
    [500, 503].map((status) => [`${status}`, { class: 'provider', code: `status_${status}`, status } as const]),
  ),
  400: { class: 'caller', code: 'status_400', status: 400 },
  reset: { class: 'provider', code: 'reset' },
  slow: { class: 'provider', code: 'timeout_first_byte', timedOut: true },
  total: { class: 'provider', code: 'timeout_total', timedOut: true },
  stop: { class: 'provider', code: 'shutting_down' },
}

function faultOf(name: string): UpstreamFault {
  const fault = faults[name]
  assert(fault, name)
  return fault
}

const rule = (httpCodes: number[], onTimeout = false) => ({ httpCodes: new Set(httpCodes), onTimeout })
const plain: CandidateGroup = { strategy: 'ordered' }

/** `a1 a2 | b1`: two credentials of upstream a, then a group with one of b. `!` excludes, `/2` is the most at once. */
function parse(text: string): Candidate[] {
  return text.split('|').flatMap((group, groupIndex) =>
    group
      .trim()
      .split(/\s+/)
      .map((word) => {
        const [, name = '', max, excluded] = /^(\w+)(?:\/(\d+))?(!)?$/.exec(word) ?? []
        return {
          targetId: name.slice(0, 1),
          credentialId: name,
          groupIndex,
          upstreamWeight: 1,
          credentialWeight: 1,
          maxConcurrency: max === undefined ? undefined : Number(max),
          eligible: excluded === undefined ? (true as const) : { excluded: 'decrypt_failed' },
        }
      }),
  )
}

function stage(candidates: string, groups: CandidateGroup[] = [plain]) {
  let nowMs = 0
  const health = createHealth({ now: () => nowMs, random: () => 1, baseMs: 1_000, maxMs: 600_000, entriesMax: 100 })
  const inflight = createInflight()
  const parsed = parse(candidates)
  const start = () => createPlan({ candidates: parsed, groups, health, inflight, random: () => 0 })
  return {
    health,
    inflight,
    start,
    at(ms: number) {
      nowMs = ms
    },
    /** Runs a call in which the named candidates fail and all others serve. Returns who was tried, and the end. */
    play(failing: Record<string, string>, plan = start()) {
      const tried: string[] = []
      const before = inflight.snapshot()
      for (let next = plan.next(); next !== undefined; next = plan.next()) {
        tried.push(next.credentialId)
        const how = failing[next.credentialId]
        plan.report(next, how === undefined ? 'ok' : how === 'aborted' ? how : faultOf(how))
      }
      assert.deepEqual(inflight.snapshot(), before)
      return `${tried.join(' ')} ${plan.exhausted().reason}`.trim()
    },
  }
}

const all = (names: string, how: string) => Object.fromEntries(names.split(' ').map((name) => [name, how]))

for (const { name, given, groups = [plain], failing, want } of [
  { name: 'the first serves', given: 'a1 b1', failing: {}, want: 'a1 answered' },
  { name: 'a failure moves on', given: 'a1 b1', failing: all('a1', '500'), want: 'a1 b1 answered' },
  { name: 'all fail', given: 'a1 b1 c1', failing: all('a1 b1 c1', '500'), want: 'a1 b1 c1 tried_all' },
  { name: 'an excluded one is passed over', given: 'a1! b1', failing: {}, want: 'b1 answered' },
  { name: 'nobody may serve', given: 'a1! b1!', failing: {}, want: 'ineligible' },
  {
    name: 'a refused credential leaves its upstream',
    given: 'a1 a2 b1',
    failing: all('a1', '401'),
    want: 'a1 a2 answered',
  },
  { name: 'so does a limited one', given: 'a1 a2 b1', failing: all('a1', '429'), want: 'a1 a2 answered' },
  {
    name: 'a failing upstream takes its credentials along',
    given: 'a1 a2 b1',
    failing: all('a1', '500'),
    want: 'a1 b1 answered',
  },
  { name: 'an unknown model as well', given: 'a1 a2 b1', failing: all('a1', '404'), want: 'a1 b1 answered' },
  {
    name: 'one of them is the last resort',
    given: 'a1 a2 a3 b1',
    failing: all('a1 b1 a2 a3', '500'),
    want: 'a1 b1 a2 tried_all',
  },
  { name: "the caller's own fault ends it", given: 'a1 b1', failing: all('a1', '400'), want: 'a1 caller' },
  {
    name: 'also with another group',
    given: 'a1 | b1',
    groups: [plain, plain],
    failing: all('a1', '400'),
    want: 'a1 caller',
  },
  {
    name: 'unless a rule lists it',
    given: 'a1 b1 c1',
    groups: [{ ...plain, retryOn: rule([400]) }],
    failing: { a1: '400', b1: '500' },
    want: 'a1 b1 rule',
  },
  { name: 'the end of the time ends it', given: 'a1 b1', failing: all('a1', 'total'), want: 'a1 ended' },
  { name: 'shutdown ends it', given: 'a1 b1', failing: all('a1', 'stop'), want: 'a1 ended' },
  { name: 'the caller leaves', given: 'a1 b1', failing: all('a1', 'aborted'), want: 'a1 aborted' },
  { name: 'a timeout moves on', given: 'a1 b1', failing: all('a1', 'slow'), want: 'a1 b1 answered' },
  {
    name: 'not where the rule says no',
    given: 'a1 b1',
    groups: [{ ...plain, retryOn: rule([500]) }],
    failing: all('a1', 'slow'),
    want: 'a1 rule',
  },
  {
    name: 'nor a broken connection',
    given: 'a1 b1',
    groups: [{ ...plain, retryOn: rule([500]) }],
    failing: all('a1', 'reset'),
    want: 'a1 rule',
  },
  {
    name: 'the rule allows timeouts',
    given: 'a1 b1',
    groups: [{ ...plain, retryOn: rule([], true) }],
    failing: all('a1', 'reset'),
    want: 'a1 b1 answered',
  },
  {
    name: 'a status that retryOn lists',
    given: 'a1 b1 c1',
    groups: [{ ...plain, retryOn: rule([500]) }],
    failing: { a1: '500', b1: '503' },
    want: 'a1 b1 rule',
  },
  {
    name: 'groups in turn',
    given: 'a1 b1 | c1',
    groups: [plain, plain],
    failing: all('a1 b1', '500'),
    want: 'a1 b1 c1 answered',
  },
  {
    name: 'retryOn stops a group, the next one serves',
    given: 'a1 b1 | c1',
    groups: [{ ...plain, retryOn: rule([429]) }, plain],
    failing: all('a1', '500'),
    want: 'a1 c1 answered',
  },
  {
    name: 'continueOn matches all faults of the group',
    given: 'a1 b1 | c1',
    groups: [{ ...plain, continueOn: rule([500, 429]) }, plain],
    failing: { a1: '500', b1: '429' },
    want: 'a1 b1 c1 answered',
  },
  {
    name: 'continueOn does not match one of them',
    given: 'a1 b1 | c1',
    groups: [{ ...plain, continueOn: rule([429]) }, plain],
    failing: { a1: '500', b1: '429' },
    want: 'a1 b1 rule',
  },
  {
    name: 'what another group failed with does not matter',
    given: 'a1 | b1 | c1',
    groups: [plain, { ...plain, continueOn: rule([429]) }, plain],
    failing: { a1: '500', b1: '429' },
    want: 'a1 b1 c1 answered',
  },
  {
    name: 'continueOn of the last group has nowhere to go',
    given: 'a1 b1',
    groups: [{ ...plain, continueOn: rule([]) }],
    failing: all('a1', '500'),
    want: 'a1 b1 answered',
  },
  { name: 'a group without candidates', given: 'a1! | b1', groups: [plain, plain], failing: {}, want: 'b1 answered' },
  {
    name: 'caller faults that only continueOn lists',
    given: 'a1 b1 | c1',
    groups: [{ ...plain, continueOn: rule([400]) }, plain],
    failing: all('a1', '400'),
    want: 'a1 c1 answered',
  },
  {
    name: 'a last resort that its own rule holds back',
    given: 'a1 a2 | c1',
    groups: [{ ...plain, continueOn: rule([429]) }, plain],
    failing: all('a1 a2', '500'),
    want: 'a1 a2 rule',
  },
] as { name: string; given: string; groups?: CandidateGroup[]; failing: Record<string, string>; want: string }[]) {
  test(`plan: ${name}`, () => {
    assert.equal(stage(given, groups).play(failing), want)
  })
}

test('an open target is passed over while another one is usable', () => {
  const { play, at } = stage('a1 b1')
  assert.equal(play({ a1: '500' }), 'a1 b1 answered')
  at(999)
  assert.equal(play({}), 'b1 answered')
  at(1_000)
  assert.equal(play({}), 'a1 answered')
})

test('when all are open, the one whose cooldown ends first is tried, once', () => {
  const { play, start, at } = stage('a1 b1 c1')
  assert.equal(play(all('a1', '500')), 'a1 b1 answered')
  at(10)
  assert.equal(play(all('b1', '500')), 'b1 c1 answered')
  at(20)
  assert.equal(play(all('c1 a1', '500')), 'c1 a1 tried_all')
  at(30)
  const plan = start()
  assert.equal(play(all('a1 b1 c1', '500'), plan), 'a1 tried_all')
  assert.deepEqual(
    plan.attempts().map(({ kind }) => kind),
    ['last_resort'],
  )
})

test('a target that has not been asked is a better last resort than another key of the one that has just failed', () => {
  const { play, start, at } = stage('a1 a2 b1')
  const first = start()
  const next = first.next()
  assert(next?.targetId === 'a')
  first.report(next, { ...faultOf('503'), retryAfterMs: 0 })
  const other = first.next()
  assert(other?.targetId === 'b')
  first.report(other, { ...faultOf('503'), retryAfterMs: 60_000 })
  first.close()
  at(1_000)
  assert.equal(play(all('a1', '503')), 'a1 b1 answered', 'although the cooldown of a ends first')
})

test('a refused credential is the very last resort, and is tried all the same', () => {
  const { play, start, at } = stage('a1 b1')
  assert.equal(play(all('a1', '401')), 'a1 b1 answered')
  const limited = start()
  const next = limited.next()
  assert(next?.credentialId === 'b1')
  limited.report(next, { ...faultOf('503'), retryAfterMs: 600_000 })
  limited.close()
  at(59_999)
  assert.equal(play(all('b1', '503')), 'b1 tried_all', 'although the cooldown of the refused one ends first')
  const alone = stage('a1')
  assert.equal(alone.play(all('a1', '401')), 'a1 tried_all')
  assert.equal(alone.play({}), 'a1 answered')
  assert.equal(alone.health.quiet, true)
})

test('a refused credential is refused in every model, a limited one only where it was', () => {
  for (const { fault, want } of [
    { fault: '401', want: 'c2 answered' },
    { fault: '429', want: 'shared answered' },
  ]) {
    const { health, inflight } = stage('a1')
    const [template] = parse('a1')
    assert(template)
    const shared = { ...template, credentialId: 'shared' }
    const first = createPlan({ candidates: [shared], groups: [plain], health, inflight })
    const given = first.next()
    assert(given)
    first.report(given, faultOf(fault))
    const elsewhere = [
      { ...shared, targetId: 'c' },
      { ...template, targetId: 'c', credentialId: 'c2' },
    ]
    const second = createPlan({ candidates: elsewhere, groups: [plain], health, inflight })
    const next = second.next()
    assert(next)
    second.report(next, 'ok')
    assert.equal(`${next.credentialId} ${second.exhausted().reason}`, want)
  }
})

test('after the cooldown one call probes, the others go elsewhere until it is decided', () => {
  const { play, start, at } = stage('a1 b1')
  play(all('a1', '500'))
  at(1_000)
  const probing = start()
  const probe = probing.next()
  assert.equal(probe?.credentialId, 'a1')
  assert.equal(probing.attempts()[0]?.kind, 'probe')
  assert.equal(play({}), 'b1 answered')
  assert(probe)
  probing.report(probe, 'ok')
  assert.equal(play({}), 'a1 answered')
})

for (const { how, want } of [
  { how: 'aborted', want: 'a1 answered' },
  { how: '400', want: 'a1 answered' },
  { how: '401', want: 'a2 answered' },
  { how: '500', want: 'b1 answered' },
])
  test(`a probe that ends with ${how}`, () => {
    const { play, at } = stage('a1 a2 b1')
    play(all('a1', '500'))
    at(1_000)
    play({ a1: how })
    assert.equal(play({}), want)
  })

test('the caller moves nothing', () => {
  const { play, health } = stage('a1 b1')
  for (const how of ['400', 'aborted', 'stop']) play({ a1: how })
  assert.equal(health.quiet, true)
})

test('the end of the whole time opens the only target that was waited for, and no later one', () => {
  const alone = stage('a1 b1')
  alone.play({ a1: 'total' })
  assert.deepEqual(
    alone.health.snapshot().map(({ id }) => id),
    ['target:a'],
  )
  const second = stage('a1 b1')
  second.play({ a1: '500', b1: 'total' })
  assert.deepEqual(
    second.health.snapshot().map(({ id }) => id),
    ['target:a'],
  )
})

test('a full target is passed over, and when all are full nothing is tried', () => {
  const { play, start, inflight } = stage('a1/1 b1/1')
  const first = start()
  const second = start()
  assert.equal(first.next()?.credentialId, 'a1')
  assert.equal(second.next()?.credentialId, 'b1')
  const third = start()
  assert.equal(third.next(), undefined)
  assert.deepEqual(third.exhausted(), { reason: 'saturated', retryAfterMs: 1_000 })
  first.close()
  second.close()
  assert.deepEqual(inflight.snapshot(), [])
  assert.equal(play({}), 'a1 answered')
})

test('a full group passes on, whatever its rule says of faults', () => {
  const { play, start } = stage('a1/1 | b1', [{ ...plain, continueOn: rule([]) }, plain])
  const first = start()
  first.next()
  const second = start()
  const next = second.next()
  assert.equal(next?.credentialId, 'b1')
  first.close()
  second.close()
  assert.equal(play({}), 'a1 answered')
})

test('what opened a group is held against its rule: it is not left for what would not have moved on', () => {
  const { play, at } = stage('a1 | b1', [{ ...plain, continueOn: rule([429]) }, plain])
  assert.equal(play(all('a1', '500')), 'a1 rule')
  at(1)
  assert.equal(play({}), 'a1 answered', 'the last resort comes before the group that the rule forbids')
  assert.equal(play(all('a1', '429')), 'a1 b1 answered')
  assert.equal(play({}), 'b1 answered')
})

test('where one that cools down is held back by the rule, the next group is not asked', () => {
  const { play } = stage('a1 b1 | c1', [{ ...plain, continueOn: rule([429]) }, plain])
  assert.equal(play(all('a1 b1', '500')), 'a1 b1 rule')
  assert.equal(play(all('a1', '429')), 'a1 rule', 'b1 is open since a 500')
})

test('a group that its rule has stopped gives no last resort', () => {
  const { play } = stage('a1 b1 | c1', [{ ...plain, retryOn: rule([429]) }, plain])
  play(all('a1', '500'))
  assert.equal(play(all('b1 c1', '500')), 'b1 c1 tried_all')
})

test('a target that is open for longer than its credential is refused all the same', () => {
  const { health, start } = stage('a1 b1')
  health.failed('target:a', { retryAfterMs: 500_000 })
  health.failed('credential:a1', { retryAfterMs: 60_000 })
  health.failed('target:b', { retryAfterMs: 600_000 })
  const plan = start()
  assert.equal(plan.next()?.credentialId, 'b1')
  plan.close()
})

test('the least wait that an attempt was told is kept for the client', () => {
  const { start } = stage('a1 b1 c1 d1')
  const plan = start()
  for (const retryAfterMs of [9_000, 3_000, 5_000, undefined]) {
    const next = plan.next()
    assert(next)
    plan.report(next, { ...faultOf('429'), ...(retryAfterMs !== undefined && { retryAfterMs }) })
  }
  assert.equal(plan.next(), undefined)
  assert.deepEqual(plan.exhausted(), { reason: 'tried_all', retryAfterMs: 3_000 })
})

test('Retry-After is how long the credential rests', () => {
  const { play, start, at } = stage('a1 a2')
  const plan = start()
  const first = plan.next()
  assert(first)
  plan.report(first, { ...faultOf('429'), retryAfterMs: 30_000 })
  plan.close()
  at(29_999)
  assert.equal(play({}), 'a2 answered')
  at(30_000)
  assert.equal(play({}), 'a1 answered')
})

test('once content has come nobody else is given, health knows, and the call counts until its end', () => {
  const { play, start, at, inflight, health } = stage('a1 b1')
  play(all('a1', '500'))
  at(1_000)
  const plan = start()
  const probe = plan.next()
  assert(probe)
  plan.answered(probe)
  assert.equal(health.quiet, true)
  assert.equal(inflight.count('a'), 1)
  plan.report(probe, faultOf('reset'))
  assert.equal(plan.next(), undefined)
  assert.equal(plan.exhausted().reason, 'answered')
  assert.equal(inflight.count('a'), 0)
  assert.equal(health.quiet, false, 'a break after content is one all the same')
})

test('the whole time may end after content: an answer can be long', () => {
  const { start, health } = stage('a1')
  const plan = start()
  const first = plan.next()
  assert(first)
  plan.answered(first)
  plan.report(first, faultOf('total'))
  assert.equal(health.quiet, true)
})

test('the first word about an attempt counts', () => {
  const { start, health, inflight } = stage('a1 b1')
  const plan = start()
  const first = plan.next()
  assert(first)
  plan.report(first, 'ok')
  plan.report(first, faultOf('500'))
  plan.close()
  assert.equal(health.quiet, true)
  assert.deepEqual(inflight.snapshot(), [])
})

test('the next one is asked for only when the last one is answered for', () => {
  const plan = stage('a1 b1').start()
  plan.next()
  assert.throws(() => plan.next(), /is answered for/)
})

test('close() leaves no counter and no probe behind', () => {
  const { play, start, at, inflight } = stage('a1 b1')
  play(all('a1', '500'))
  at(1_000)
  const plan = start()
  plan.next()
  plan.close()
  assert.deepEqual(inflight.snapshot(), [])
  assert.equal(plan.next(), undefined)
  assert.equal(play({}), 'a1 answered')
})

test('a hedge is a healthy candidate of the same group, beside a healthy one', () => {
  const { start, inflight } = stage('a1 a2/1 b1 | c1', [plain, plain])
  const plan = start()
  assert.equal(plan.hedge(), undefined, 'nothing runs yet')
  const first = plan.next()
  const second = plan.hedge()
  assert.equal(first?.credentialId, 'a1')
  assert.equal(second?.credentialId, 'b1', 'a2 is full')
  assert.equal(plan.hedge(), undefined, 'two run')
  assert(first && second)
  plan.answered(second)
  plan.report(first, 'aborted')
  plan.report(second, 'ok')
  assert.equal(plan.exhausted().reason, 'answered')
  assert.deepEqual(inflight.snapshot(), [])
})

test('a hedged pair that fails moves on like two attempts', () => {
  const { start } = stage('a1 b1 | c1', [plain, plain])
  const plan = start()
  const first = plan.next()
  const second = plan.hedge()
  assert(first && second)
  plan.report(first, faultOf('500'))
  assert.equal(plan.hedge(), undefined, 'the pair was the extra attempt')
  plan.report(second, faultOf('429'))
  assert.equal(plan.next()?.credentialId, 'c1')
  plan.close()
})

test('one of a pair is cut: that ends nothing while the other one runs', () => {
  const { start } = stage('a1 b1 c1')
  const plan = start()
  const first = plan.next()
  const second = plan.hedge()
  assert(first && second)
  plan.report(second, 'aborted')
  plan.report(first, faultOf('500'))
  assert.equal(plan.next()?.credentialId, 'c1')
  plan.close()
})

test("the caller's fault ends a pair, whatever becomes of the other one", () => {
  const { start } = stage('a1 b1 c1')
  const plan = start()
  const first = plan.next()
  const second = plan.hedge()
  assert(first && second)
  plan.report(first, faultOf('400'))
  plan.report(second, 'aborted')
  assert.equal(plan.next(), undefined)
  assert.equal(plan.exhausted().reason, 'caller')
})

test('no hedge beside a probe, and none with one that cools down or is of another group', () => {
  const { play, start, at } = stage('a1 b1 | c1', [plain, plain])
  play(all('a1', '500'))
  at(500)
  const open = start()
  assert.equal(open.next()?.credentialId, 'b1')
  assert.equal(open.hedge(), undefined)
  open.close()
  at(1_000)
  const probing = start()
  assert.equal(probing.next()?.credentialId, 'a1')
  assert.equal(probing.hedge(), undefined)
  probing.close()
})

test('a half-open candidate that a hedge did not take is still there when the first one fails', () => {
  const { play, start, at } = stage('a1 b1')
  play(all('a1 b1', '500'))
  at(1_000)
  assert.equal(play({}), 'a1 answered')
  const plan = start()
  const first = plan.next()
  assert.equal(plan.hedge(), undefined)
  assert(first)
  plan.report(first, faultOf('500'))
  assert.equal(plan.next()?.credentialId, 'b1')
  plan.close()
})
