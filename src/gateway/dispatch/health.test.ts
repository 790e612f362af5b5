import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createHealth, type HealthOptions } from './health.ts'

/** A memory whose time is told by hand and whose jitter is none: cooldowns are whole. */
function memory(options: Partial<HealthOptions> = {}) {
  let nowMs = 0
  const health = createHealth({
    now: () => nowMs,
    random: () => 1,
    baseMs: 100,
    maxMs: 1_000,
    entriesMax: 10,
    ...options,
  })
  return {
    health,
    at(ms: number) {
      nowMs = ms
      return health
    },
  }
}

test('an id that never failed is usable, and nothing is remembered of it', () => {
  const { health } = memory()
  assert.equal(health.usable('a'), 'yes')
  health.succeeded('a')
  health.released('a')
  assert.equal(health.probe('a'), false)
  assert.equal(health.quiet, true)
  assert.deepEqual(health.snapshot(), [])
})

test('a failure opens for the cooldown, then one call at a time may probe', () => {
  const { at } = memory()
  at(0).failed('a')
  assert.deepEqual(at(99).usable('a'), { openUntilMs: 100 })
  assert.equal(at(99).probe('a'), false)
  assert.equal(at(100).usable('a'), 'probe')
  assert.equal(at(100).usable('a'), 'probe', 'looking takes nothing')
  assert.equal(at(100).probe('a'), true)
  assert.equal(at(100).probe('a'), false)
  assert.deepEqual(at(101).usable('a'), { openUntilMs: 100 })
  assert.equal(at(101).usable('b'), 'yes')
})

for (const { name, end, want } of [
  { name: 'succeeds', end: 'succeeded', want: 'yes' },
  { name: 'is released', end: 'released', want: 'probe' },
  { name: 'fails', end: 'failed', want: { openUntilMs: 100 + 200 } },
] as const) {
  test(`a probe that ${name}`, () => {
    const { at } = memory()
    at(0).failed('a')
    at(100).probe('a')
    at(100)[end]('a')
    assert.deepEqual(at(100).usable('a'), want)
  })
}

test('cooldowns double up to the maximum, and a success starts over', () => {
  const { at } = memory()
  const cooldowns: number[] = []
  let nowMs = 0
  function fail() {
    at(nowMs).failed('a')
    const state = at(nowMs).usable('a')
    assert(typeof state === 'object')
    cooldowns.push(state.openUntilMs - nowMs)
    nowMs = state.openUntilMs
  }
  for (let round = 0; round < 6; round += 1) fail()
  at(nowMs).succeeded('a')
  fail()
  assert.deepEqual(cooldowns, [100, 200, 400, 800, 1000, 1000, 100])
})

test('what failed long ago starts over', () => {
  const { at } = memory()
  at(0).failed('a')
  at(100).failed('a')
  assert.deepEqual(at(101).usable('a'), { openUntilMs: 300 })
  at(300 + 1_001).failed('a')
  assert.deepEqual(at(1_301).usable('a'), { openUntilMs: 1_401 })
})

for (const { name, failure, random, want } of [
  { name: 'least jitter', failure: {}, random: 0, want: 50 },
  { name: 'most jitter', failure: {}, random: 0.999_999, want: 100 },
  { name: 'the provider asks for more', failure: { retryAfterMs: 700 }, random: 0, want: 700 },
  { name: 'the provider asks for less', failure: { retryAfterMs: 10 }, random: 0, want: 50 },
  { name: 'the provider asks for too much', failure: { retryAfterMs: 3_600_000 }, random: 0, want: 1_000 },
  { name: 'a base of its own', failure: { baseMs: 600 }, random: 1, want: 600 },
  { name: 'a base of its own above the maximum', failure: { baseMs: 60_000 }, random: 1, want: 1_000 },
]) {
  test(`cooldown: ${name}`, () => {
    const { health } = memory({ random: () => random })
    health.failed('a', failure)
    const state = health.usable('a')
    assert(typeof state === 'object')
    assert.equal(Math.round(state.openUntilMs), want)
  })
}

test('calls that fail together are one failure; only what the provider asks for adds up', () => {
  const { at } = memory()
  at(0).failed('a', { sentAtMs: -500 })
  for (let call = 0; call < 50; call += 1) at(1).failed('a', { sentAtMs: -500 })
  assert.deepEqual(at(1).usable('a'), { openUntilMs: 100 })
  at(50).failed('a', { retryAfterMs: 300 })
  assert.deepEqual(at(50).usable('a'), { openUntilMs: 350 })
  at(60).failed('a', { retryAfterMs: 5 })
  assert.deepEqual(at(60).usable('a'), { openUntilMs: 350 })
  assert.equal(at(60).entry('a')?.failures, 1)
})

test('a call that was sent before the opening and fails after the cooldown tells of the same outage', () => {
  const { at } = memory()
  at(0).failed('a')
  at(150).failed('a', { sentAtMs: -1 })
  assert.equal(at(150).usable('a'), 'probe')
  at(150).failed('a', { sentAtMs: 1 })
  assert.deepEqual(at(150).usable('a'), { openUntilMs: 350 })
})

test('a success is believed from calls that were sent after the last one that failed', () => {
  const { at } = memory()
  at(10).failed('a', { sentAtMs: 5 })
  at(20).succeeded('a', 4)
  assert.deepEqual(at(20).usable('a'), { openUntilMs: 110 })
  at(20).failed('a', { sentAtMs: 15 })
  at(30).succeeded('a', 14)
  assert.deepEqual(at(30).usable('a'), { openUntilMs: 110 })
  at(30).succeeded('a', 16)
  assert.equal(at(30).usable('a'), 'yes')
})

test('a probe that nobody answers for is forgotten', () => {
  const { at } = memory()
  at(0).failed('a')
  assert.equal(at(100).probe('a'), true)
  assert.equal(at(1_099).probe('a'), false)
  assert.equal(at(1_100).usable('a'), 'probe')
  assert.equal(at(1_100).probe('a'), true)
})

test('the memory is bounded: what failed longest ago makes room', () => {
  const { at, health } = memory({ entriesMax: 3 })
  for (const [index, id] of ['a', 'b', 'c'].entries()) at(index).failed(id)
  at(200).failed('a')
  at(201).failed('d')
  assert.deepEqual(
    health.snapshot().map(({ id }) => id),
    ['c', 'a', 'd'],
  )
  assert.equal(health.usable('b'), 'yes')
})

test('the snapshot says what is open, for how long, and why', () => {
  const { at } = memory()
  at(0).failed('a', { reason: { class: 'provider', code: 'status_500', status: 500 } })
  at(40).failed('b')
  at(110).probe('a')
  assert.deepEqual(at(110).snapshot(), [
    {
      id: 'a',
      state: 'half_open',
      openUntilMs: 100,
      openForMs: 0,
      probing: true,
      failures: 1,
      reason: { class: 'provider', code: 'status_500', status: 500 },
    },
    {
      id: 'b',
      state: 'open',
      openUntilMs: 140,
      openForMs: 30,
      probing: false,
      failures: 1,
      reason: undefined,
    },
  ])
})

test('property: cooldowns stay within their bounds, memory within its size, and a probe has one owner', () => {
  const step = fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd'),
    what: fc.constantFrom('failed', 'succeeded', 'probe', 'released', 'wait'),
    ms: fc.integer({ min: 0, max: 400 }),
    retryAfterMs: fc.option(fc.integer({ min: 0, max: 5_000 }), { nil: undefined }),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let nowMs = 0
      let random = 0
      const health = createHealth({
        now: () => nowMs,
        random: () => random,
        baseMs: 100,
        maxMs: 1_000,
        entriesMax: 3,
      })
      for (const { id, what, ms, retryAfterMs, random: drawn } of steps) {
        random = drawn
        const before = health.usable(id)
        if (what === 'wait') nowMs += ms
        else if (what === 'failed') {
          health.failed(id, { retryAfterMs })
          const state = health.usable(id)
          assert(typeof state === 'object')
          assert(state.openUntilMs - nowMs <= 1_000)
          assert(state.openUntilMs - nowMs >= Math.min(1_000, retryAfterMs ?? 0))
          if (before === 'yes') assert(state.openUntilMs - nowMs >= 50)
        } else if (what === 'probe') {
          assert.equal(health.probe(id), before === 'probe')
          assert.equal(health.probe(id), false)
        } else health[what](id)
        if (what === 'succeeded') assert.equal(health.usable(id), 'yes')
        if (what === 'released' && before === 'probe') assert.equal(health.usable(id), 'probe')
        assert(health.snapshot().length <= 3)
      }
    }),
    { seed: 20_260_801, numRuns: 300 },
  )
})
