import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import { createHedge } from './hedge.ts'

const BROKEN: UpstreamFault = { class: 'provider', code: 'reset' }
const REFUSED: UpstreamFault = { class: 'caller', code: 'status_400', status: 400 }
const TIME_OVER: UpstreamFault = { class: 'provider', code: 'timeout_total', timedOut: true }
const NOTHING = { do: 'nothing' }

function race(options: { afterMs?: number | undefined; spare?: string | undefined } = {}) {
  let asked = 0
  const spare = 'spare' in options ? options.spare : 'b'
  const hedge = createHedge<string>({
    afterMs: 'afterMs' in options ? options.afterMs : 100,
    plan: {
      hedge() {
        asked += 1
        return spare
      },
    },
  })
  return { hedge, asked: () => asked }
}

/** Both attempts run. */
function racing() {
  const { hedge } = race()
  hedge.began(0)
  hedge.tick(100)
  return hedge
}

test('a second attempt starts when the first has been silent for long enough, once', () => {
  const { hedge, asked } = race()
  assert.equal(hedge.began(1_000), 0)
  assert.deepEqual(hedge.tick(1_099), NOTHING)
  assert.equal(asked(), 0)
  assert.deepEqual(hedge.tick(1_100), { do: 'start', attempt: 1, candidate: 'b' })
  assert.deepEqual(hedge.tick(9_999), NOTHING)
  assert.equal(asked(), 1)
})

test('it never starts where hedging is off', () => {
  const { hedge } = race({ afterMs: undefined })
  hedge.began(0)
  assert.deepEqual(hedge.tick(1e9), NOTHING)
})

test('it never starts after the first byte', () => {
  const { hedge, asked } = race()
  hedge.began(0)
  assert.deepEqual(hedge.firstByte(0), { do: 'serve', attempt: 0, cancel: undefined })
  assert.deepEqual(hedge.tick(500), NOTHING)
  assert.equal(asked(), 0)
})

test('where the plan has nobody to spare, it is asked once for each attempt', () => {
  const { hedge, asked } = race({ spare: undefined })
  hedge.began(0)
  hedge.tick(100)
  hedge.tick(200)
  assert.equal(asked(), 1)
  assert.deepEqual(hedge.fault(0, BROKEN), { do: 'fail', cancel: undefined })
  assert.equal(hedge.began(300), 1)
  hedge.tick(350)
  assert.equal(asked(), 1)
  hedge.tick(400)
  assert.equal(asked(), 2)
})

test('an attempt that follows a failed one may be hedged, but one extra is all that a call gets', () => {
  const { hedge } = race()
  hedge.began(0)
  assert.deepEqual(hedge.fault(0, BROKEN), { do: 'fail', cancel: undefined })
  hedge.began(50)
  assert.deepEqual(hedge.tick(149), NOTHING)
  assert.deepEqual(hedge.tick(150), { do: 'start', attempt: 2, candidate: 'b' })
  assert.deepEqual(hedge.fault(2, BROKEN), NOTHING)
  assert.deepEqual(hedge.fault(1, BROKEN), { do: 'fail', cancel: undefined })
  hedge.began(200)
  assert.deepEqual(hedge.tick(900), NOTHING)
})

for (const { winner, loser } of [
  { winner: 0, loser: 1 },
  { winner: 1, loser: 0 },
]) {
  test(`attempt ${winner} answers first: it serves and the other one is cut`, () => {
    const hedge = racing()
    assert.deepEqual(hedge.firstByte(winner), { do: 'serve', attempt: winner, cancel: loser })
    assert.deepEqual(hedge.firstByte(winner), NOTHING)
    assert.deepEqual(hedge.firstByte(loser), { do: 'cancel', attempt: loser }, 'it was on its way when it was cut')
    assert.deepEqual(hedge.fault(loser, BROKEN), NOTHING)
    assert.deepEqual(hedge.fault(winner, BROKEN), NOTHING, 'half-way, nobody takes over')
    const { winner: won, attempts } = hedge.outcome()
    assert.equal(won, winner)
    assert.deepEqual(
      attempts.map(({ state }) => state),
      winner === 0 ? ['won', 'lost'] : ['lost', 'won'],
    )
    assert.deepEqual(
      attempts.map(({ kind, beganAtMs }) => [kind, beganAtMs]),
      [
        ['first', 0],
        ['second', 100],
      ],
    )
  })

  test(`attempt ${loser} fails: the other one is waited for and serves`, () => {
    const hedge = racing()
    assert.deepEqual(hedge.fault(loser, BROKEN), NOTHING)
    assert.deepEqual(hedge.firstByte(winner), { do: 'serve', attempt: winner, cancel: undefined })
    assert.equal(hedge.outcome().attempts[loser]?.state, 'failed')
  })

  for (const fault of [REFUSED, TIME_OVER])
    test(`attempt ${loser} fails with ${fault.code}: the other one is cut, it would do no better`, () => {
      const hedge = racing()
      assert.deepEqual(hedge.fault(loser, fault), { do: 'fail', cancel: winner })
      assert.equal(hedge.outcome().winner, undefined)
      assert.equal(hedge.outcome().attempts[winner]?.state, 'lost')
    })
}

test('an attempt begins only when no other one runs', () => {
  const { hedge } = race()
  hedge.began(0)
  assert.throws(() => hedge.began(1), /when no other one runs/)
  hedge.firstByte(0)
  assert.throws(() => hedge.began(2), /when no other one runs/)
})

test('property: one serves at most, two run at most, one is extra at most, and every attempt ends once', () => {
  const event = fc.oneof(
    fc.record({ what: fc.constant('tick' as const), ms: fc.integer({ min: 0, max: 150 }) }),
    fc.record({ what: fc.constant('firstByte' as const), attempt: fc.integer({ min: 0, max: 4 }) }),
    fc.record({
      what: fc.constant('fault' as const),
      attempt: fc.integer({ min: 0, max: 4 }),
      fault: fc.constantFrom(BROKEN, REFUSED, TIME_OVER),
    }),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const { hedge } = race()
      const live = new Set([hedge.began(0)])
      let nowMs = 0
      let served: number | undefined
      let extra = 0
      for (const next of events) {
        if (next.what === 'tick') nowMs += next.ms
        const action =
          next.what === 'tick'
            ? hedge.tick(nowMs)
            : next.what === 'firstByte'
              ? hedge.firstByte(next.attempt)
              : hedge.fault(next.attempt, next.fault)
        if (next.what === 'fault') live.delete(next.attempt)
        if (action.do === 'start') {
          extra += 1
          assert.equal(live.has(action.attempt), false)
          live.add(action.attempt)
        } else if (action.do === 'serve') {
          assert.equal(served, undefined)
          assert(live.has(action.attempt))
          served = action.attempt
        } else if (action.do === 'cancel') assert.equal(live.has(action.attempt), false)
        if ('cancel' in action && action.cancel !== undefined) assert(live.delete(action.cancel))
        if (action.do === 'fail') {
          assert.equal(live.size, 0)
          assert.equal(served, undefined)
          live.add(hedge.began(nowMs))
        }
        assert(live.size <= 2)
        assert(extra <= 1)
      }
      assert.equal(hedge.outcome().winner, served)
    }),
    { seed: 20_260_801, numRuns: 500 },
  )
})
