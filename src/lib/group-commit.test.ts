import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { createGroupCommit, GivenUpError, type GroupCommitOptions } from './group-commit.ts'

class PassingError extends Error {}
const options = {
  keyOf: (op: string) => op,
  batchMax: 4,
  queueMax: 100,
  giveUpAfterMs: 2_000,
  retryDelayMs: { first: 1, max: 4 },
  isTransient: (error: unknown) => error instanceof PassingError,
}

/** A lane whose commits wait until the test answers them, oldest first. */
function createHeldLane(changes: Partial<GroupCommitOptions<string, string>> = {}) {
  const commits: { ops: string[]; answer: () => void; fail: (error: Error) => void }[] = []
  let arrived: (() => void) | undefined
  const lane = createGroupCommit<string, string>({
    ...options,
    commit: (ops) =>
      new Promise((resolve, reject) => {
        commits.push({ ops, answer: () => resolve(ops.map((op) => `${op}!`)), fail: reject })
        arrived?.()
      }),
    ...changes,
  })
  return {
    lane,
    /** The next commit that nobody has answered yet. */
    async next() {
      while (commits.length === 0)
        await new Promise<void>((resolve) => {
          arrived = resolve
        })
      const commit = commits.shift()
      assert(commit !== undefined)
      return commit
    },
    get waiting() {
      return commits.length
    },
  }
}

/** Fails the test instead of hanging it: the lane should have answered long ago. */
function within<T>(work: Promise<T>, ms = 2_000): Promise<T> {
  const late = delay(ms, undefined, { ref: false }).then(() => assert.fail('nobody answered: a wake-up was lost'))
  return Promise.race([work, late])
}

const givenUp = (message: string, sent: boolean) => (error: unknown) =>
  error instanceof GivenUpError && error.message === message && error.sent === sent

test('callers that arrive together share one commit, and each gets its own answer', async () => {
  const { lane, next } = createHeldLane()
  const results = Promise.all(['a', 'b', 'c'].map(lane.submit))
  const commit = await next()
  assert.deepEqual(commit.ops, ['a', 'b', 'c'])
  commit.answer()
  assert.deepEqual(await results, ['a!', 'b!', 'c!'])
})

test('while one commit is under way the next batch gathers, in the order of arrival, up to its maximum', async () => {
  const held = createHeldLane()
  const all = [held.lane.submit('a')]
  const first = await held.next()
  for (const op of ['b', 'c', 'd', 'e', 'f']) all.push(held.lane.submit(op))
  assert.equal(held.waiting, 0, 'one commit at a time')
  assert.equal(held.lane.depth, 6, 'waiting or under way')
  first.answer()
  const second = await held.next()
  assert.deepEqual(second.ops, ['b', 'c', 'd', 'e'])
  second.answer()
  const third = await held.next()
  assert.deepEqual(third.ops, ['f'])
  third.answer()
  assert.deepEqual(await Promise.all(all), ['a!', 'b!', 'c!', 'd!', 'e!', 'f!'])
  assert.equal(held.lane.depth, 0)
})

test('operations with one key never share a commit and keep their order', async () => {
  const held = createHeldLane({ keyOf: (op) => op.slice(0, 1) })
  const all = Promise.all(['a1', 'a2', 'b1', 'a3', 'b2'].map(held.lane.submit))
  const batches: string[][] = []
  for (let n = 0; n < 3; n++) {
    const commit = await held.next()
    batches.push(commit.ops)
    commit.answer()
  }
  await all
  assert.deepEqual(batches, [['a1', 'b1'], ['a2', 'b2'], ['a3']])
})

test('one operation that cannot be committed fails alone, whatever its place', async () => {
  for (const bad of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
    const committed: string[] = []
    const lane = createGroupCommit<string, string>({
      ...options,
      batchMax: 8,
      async commit(ops) {
        if (ops.includes(bad)) throw new Error('poison')
        committed.push(...ops)
        return ops.map((op) => `${op}!`)
      },
    })
    const answers = await Promise.allSettled(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(lane.submit))
    const rejected = answers.flatMap((answer, index) => (answer.status === 'rejected' ? ['abcdefgh'[index]] : []))
    assert.deepEqual(rejected, [bad])
    assert.equal(committed.join(''), 'abcdefgh'.replace(bad, ''), 'the others once and in order')
    await lane.close()
  }
})

test('an outage in the middle of a bisection loses nobody and keeps the order', async () => {
  let outages = 1
  const committed: string[] = []
  const lane = createGroupCommit<string, string>({
    ...options,
    async commit(ops) {
      if (ops.includes('a')) throw new Error('poison')
      if (outages-- > 0) throw new PassingError()
      committed.push(...ops)
      return ops.map((op) => `${op}!`)
    },
  })
  const answers = await within(Promise.allSettled(['a', 'b', 'c', 'd'].map(lane.submit)))
  assert.deepEqual(
    answers.map((answer) => answer.status),
    ['rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
  assert.equal(committed.join(''), 'bcd')
})

test('a passing failure is tried again with the same operations, later ones behind them', async () => {
  const held = createHeldLane()
  const outages: string[][] = []
  const lane = createHeldLane({ onOutage: (_, ops) => outages.push([...ops]) })
  await held.lane.close()
  const all = [lane.lane.submit('a'), lane.lane.submit('b')]
  const first = await lane.next()
  all.push(lane.lane.submit('c'))
  first.fail(new PassingError())
  const again = await lane.next()
  assert.deepEqual(again.ops, ['a', 'b', 'c'])
  assert.deepEqual(outages, [['a', 'b', 'c']])
  again.answer()
  assert.deepEqual(await Promise.all(all), ['a!', 'b!', 'c!'])
})

test('a full queue refuses at once, and says that nothing was sent', async () => {
  const held = createHeldLane({ queueMax: 5 })
  const all = [held.lane.submit('under way')]
  const first = await held.next()
  for (const op of ['a', 'b', 'c', 'd', 'e']) all.push(held.lane.submit(op))
  await assert.rejects(held.lane.submit('f'), givenUp('queue full', false))
  first.answer()
  for (const count of [4, 1]) {
    const commit = await held.next()
    assert.equal(commit.ops.length, count)
    commit.answer()
  }
  await Promise.all(all)
})

test('an operation is given up at its deadline, also while the commit hangs, and is never sent again', async () => {
  const held = createHeldLane({ giveUpAfterMs: 60 })
  const startedAt = performance.now()
  const sent = held.lane.submit('sent')
  const commit = await held.next()
  const unsent = held.lane.submit('unsent')
  await within(
    Promise.all([
      assert.rejects(sent, givenUp('waited too long', true)),
      assert.rejects(unsent, givenUp('waited too long', false)),
    ]),
  )
  const tookMs = performance.now() - startedAt
  assert(tookMs >= 55 && tookMs < 1_000, `given up after ${tookMs} ms`)
  assert.equal(held.lane.depth, 0)
  commit.fail(new PassingError())
  const later = held.lane.submit('later')
  const next = await held.next()
  assert.deepEqual(next.ops, ['later'])
  next.answer()
  assert.equal(await later, 'later!')
})

test('what must not be lost outlives any outage', async () => {
  let failures = 25
  const lane = createGroupCommit<string, string>({
    ...options,
    giveUpAfterMs: Number.POSITIVE_INFINITY,
    async commit(ops) {
      if (failures-- > 0) throw new PassingError()
      return ops
    },
  })
  assert.equal(await within(lane.submit('a')), 'a')
})

test('closing commits what is queued, tells an outage to the rest, and refuses whatever comes later', async () => {
  const held = createHeldLane({ retryDelayMs: { first: 60_000, max: 60_000 } })
  const a = held.lane.submit('a')
  const first = await held.next()
  const b = held.lane.submit('b')
  const closing = held.lane.close()
  await assert.rejects(held.lane.submit('late'), givenUp('closed', false))
  first.answer()
  const second = await held.next()
  second.fail(new PassingError())
  assert.equal(await a, 'a!')
  await assert.rejects(b, givenUp('closed', true))
  await within(closing)
})

test('closing wakes a lane that waits for a database, which tries once more', async () => {
  const held = createHeldLane({ retryDelayMs: { first: 60_000, max: 60_000 } })
  const a = held.lane.submit('a')
  const first = await held.next()
  first.fail(new PassingError())
  await new Promise(setImmediate)
  const closing = held.lane.close()
  const again = await within(held.next())
  again.answer()
  assert.equal(await a, 'a!')
  await closing
})

test('a commit that answers too few operations is a bug that its callers are told', async () => {
  const lane = createGroupCommit<string, string>({ ...options, commit: async () => [] })
  await assert.rejects(lane.submit('a'), /answers every operation/)
})

test('one caller after another is served, at whatever distance from the answer it asks again', async () => {
  // The loop used to end some microtasks after its last look at the queue. Who asked in between waited for ever.
  for (let ticks = 0; ticks < 12; ticks++) {
    const lane = createGroupCommit<number, number>({ ...options, keyOf: String, commit: async (ops) => ops })
    const work = (async () => {
      for (let n = 0; n < 50; n++) {
        assert.equal(await lane.submit(n), n)
        for (let tick = 0; tick < ticks; tick++) await undefined
      }
    })()
    await within(work)
    await lane.close()
  }
})

test('no wake-up is lost under random interleavings, and every operation is committed once', async (t) => {
  const seed = Number(process.env.FLUXGATE_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`seed ${seed}`)
  const pause = fc.oneof(
    fc.record({ kind: fc.constant('microtasks' as const), count: fc.nat(9) }),
    fc.record({ kind: fc.constant('immediate' as const), count: fc.constant(1) }),
    fc.record({ kind: fc.constant('timer' as const), count: fc.nat(1) }),
  )
  type Pause = { kind: 'microtasks' | 'immediate' | 'timer'; count: number }
  async function rest({ kind, count }: Pause): Promise<void> {
    if (kind === 'immediate') await new Promise(setImmediate)
    else if (kind === 'timer') await delay(count)
    else for (let n = 0; n < count; n++) await undefined
  }
  const history = fc.record({
    callers: fc.array(fc.array(pause, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 }),
    commits: fc.array(fc.record({ pause, fails: fc.nat(5) }), { minLength: 1, maxLength: 8 }),
    batchMax: fc.integer({ min: 1, max: 4 }),
  })
  const property = fc.asyncProperty(history, async ({ callers, commits, batchMax }) => {
    const committed: string[] = []
    let round = 0
    const lane = createGroupCommit<string, string>({
      ...options,
      batchMax,
      retryDelayMs: { first: 0, max: 1 },
      giveUpAfterMs: Number.POSITIVE_INFINITY,
      async commit(ops) {
        const step = commits[round++ % commits.length]
        assert(step !== undefined)
        await rest(step.pause)
        if (step.fails === 0 && round % 3 !== 0) throw new PassingError()
        committed.push(...ops)
        return ops.map((op) => `${op}!`)
      },
    })
    const work = callers.map(async (pauses, caller) => {
      for (const [n, step] of pauses.entries()) {
        const op = `${caller}.${n}`
        assert.equal(await lane.submit(op), `${op}!`)
        await rest(step)
      }
    })
    await within(Promise.all(work))
    const expected = callers.flatMap((pauses, caller) => pauses.map((_, n) => `${caller}.${n}`))
    assert.deepEqual(committed.toSorted(), expected.toSorted())
    await lane.close()
  })
  await fc.assert(property, { numRuns: 150, seed })
})
