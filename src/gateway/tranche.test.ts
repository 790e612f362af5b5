import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createTranche } from './tranche.ts'

type Grant = (wanted: number) => number | 'lost' | Promise<number | 'lost'>

/** A stream whose progress is told by hand, over a wallet that answers as `grant` says. */
function stream(options: { covered: number; max: number; grant: Grant; recount?: (told: number) => number }) {
  const events: string[] = []
  let told = 0
  const tranche = createTranche({
    covered: options.covered,
    outputTokensMax: options.max,
    extend: async (tokens) => {
      events.push(`ask ${tokens}`)
      return options.grant(tokens)
    },
    recount: () => options.recount?.(told) ?? told,
    pause: () => events.push('pause'),
    resume: () => events.push('resume'),
    onEmpty: (reason) => events.push(reason),
  })
  return {
    async deliver(...progress: number[]) {
      for (const tokens of progress) {
        told = tokens
        tranche.advance(tokens)
        await turn()
      }
      return events.splice(0)
    },
    /** Without waiting for the wallet in between. */
    rush(...progress: number[]) {
      for (const tokens of progress) {
        told = tokens
        tranche.advance(tokens)
      }
      return events.splice(0)
    },
  }
}

const everything: Grant = (wanted) => wanted

test('the hold grows at 70 % of what is covered, by twice as much each time', async () => {
  const { deliver } = stream({ covered: 1_000, max: 100_000, grant: everything })
  assert.deepEqual(await deliver(1, 699), [])
  assert.deepEqual(await deliver(700), ['ask 2024'])
  assert.deepEqual(await deliver(1_000, 1_400), [])
  assert.deepEqual(await deliver(1_417), ['ask 4072'])
  assert.deepEqual(await deliver(2_150, 2_851), ['ask 4072', 'ask 8168'])
})

test('the progress is recorded before a whole tranche has gone out, however much is covered', async () => {
  for (const covered of [4_000, 9_000]) {
    const { deliver } = stream({ covered, max: 9_000, grant: everything })
    assert.deepEqual(await deliver(716), [])
    assert.deepEqual(await deliver(717), [`ask ${covered}`])
    assert.deepEqual(await deliver(1_433), [])
    assert.deepEqual(await deliver(1_434), [`ask ${covered}`])
  }
})

test('a stream that runs away from its record waits for it', async () => {
  const answer = Promise.withResolvers<number>()
  const { deliver, rush } = stream({ covered: 9_000, max: 9_000, grant: () => answer.promise })
  assert.deepEqual(rush(717, 1_023), ['ask 9000'])
  assert.deepEqual(rush(1_024), ['pause'])
  answer.resolve(9_000)
  assert.deepEqual(await deliver(1_024), ['resume'])
})

test('a wallet that grants no more still gets its progress recorded', async () => {
  const { deliver } = stream({ covered: 2_000, max: 9_000, grant: () => 2_500 })
  assert.deepEqual(await deliver(1_400), ['ask 3024', 'pause', 'resume'])
  assert.deepEqual(await deliver(2_117, 2_499), ['ask 2500'])
  assert.deepEqual(await deliver(2_500), ['insufficient_credits'])
})

test('it never asks for more than the call can need, and then no more', async () => {
  const { deliver } = stream({ covered: 1_000, max: 1_500, grant: everything })
  assert.deepEqual(await deliver(800), ['ask 1500'])
  assert.deepEqual(await deliver(1_400, 1_500), [])
})

test('a short call whose limit is covered from the start never asks', async () => {
  const { deliver } = stream({ covered: 16, max: 16, grant: everything })
  assert.deepEqual(await deliver(8, 16, 20), [])
})

test('a stream that runs ahead of its hold waits for the answer', async () => {
  const answer = Promise.withResolvers<number>()
  const { deliver, rush } = stream({ covered: 1_000, max: 9_000, grant: () => answer.promise })
  assert.deepEqual(rush(700, 999), ['ask 2024'])
  assert.deepEqual(rush(1_000, 1_001), ['pause'])
  answer.resolve(2_024)
  assert.deepEqual(await deliver(1_001), ['resume'])
})

test('an empty wallet cuts the stream where its hold ends, not before', async () => {
  const { deliver } = stream({ covered: 1_000, max: 9_000, grant: () => 1_200 })
  assert.deepEqual(await deliver(700), ['ask 2024'])
  assert.deepEqual(await deliver(1_000, 1_199), [])
  assert.deepEqual(await deliver(1_200), ['insufficient_credits'])
})

test('an estimate that is too high cuts nothing: it is counted first', async () => {
  const { deliver } = stream({ covered: 1_000, max: 9_000, grant: () => 1_000, recount: (told) => told / 2 })
  assert.deepEqual(await deliver(700, 1_000, 1_999), ['ask 2024'])
  assert.deepEqual(await deliver(2_000), ['insufficient_credits'])
})

test('a hold that is gone ends the stream at once', async () => {
  const { deliver } = stream({ covered: 1_000, max: 9_000, grant: () => 'lost' })
  assert.deepEqual(await deliver(700), ['ask 2024', 'hold_lost'])
})

test('a ledger that stays away ends the stream where its hold or its record ends, not before', async () => {
  for (const [covered, end] of [
    [1_000, 1_000],
    [9_000, 1_024],
  ] as const) {
    const { deliver } = stream({ covered, max: 9_000, grant: () => Promise.reject(new Error('away')) })
    const withoutAsks = (events: string[]) => events.filter((event) => !event.startsWith('ask'))
    assert.deepEqual(withoutAsks(await deliver(720, 730, 790, end - 1)), [])
    assert.deepEqual(withoutAsks(await deliver(end)), ['pause', 'ledger_unavailable'])
  }
})

test('a ledger that comes back in time ends nothing', async () => {
  let away = true
  const grant: Grant = (wanted) => (away ? Promise.reject(new Error('away')) : wanted)
  const { deliver } = stream({ covered: 1_000, max: 9_000, grant })
  assert.deepEqual(await deliver(700, 701, 763), ['ask 2024'])
  away = false
  assert.deepEqual(await deliver(764, 1_400), ['ask 2024'])
})

test('an upstream that does not keep to its limit is held for what it writes, or cut', async () => {
  const rich = stream({ covered: 100, max: 100, grant: everything })
  assert.deepEqual(await rich.deliver(149), [])
  assert.deepEqual(await rich.deliver(150), ['ask 1174', 'pause', 'resume'])
  assert.deepEqual(await rich.deliver(866), [])
  assert.deepEqual(await rich.deliver(1_173), ['ask 1174'])
  assert.deepEqual(await rich.deliver(1_174), ['ask 3222', 'pause', 'resume'])
  const poor = stream({ covered: 100, max: 100, grant: () => 100 })
  assert.deepEqual(await poor.deliver(150), ['ask 1174', 'pause', 'insufficient_credits'])
})
