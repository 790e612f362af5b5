import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { createRedisLimits } from '#adapters/redis-limits.ts'
import { createMemoryLimits } from '#domain/limits/memory-store.ts'
import { createPostgresLimits } from '#domain/limits/postgres-store.ts'
import { type LimitedSubject, type LimitStore, type RateLimit, WINDOW_MS } from '#domain/limits/rate-limit.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { inOneMinute } from '#test/support/one-minute.ts'
import { until } from '#test/support/until.ts'

// One behaviour, wherever calls are counted.

const redisUrl = process.env.TEST_REDIS_URL
let database: TestDatabase
const stores = new Map<string, LimitStore & { close?(): Promise<void> }>()
before(async () => {
  database = await createTestDatabase({ poolMax: 8 })
  stores.set('memory', createMemoryLimits({ subjectsMax: 1_000 }))
  stores.set('PostgreSQL', createPostgresLimits({ db: database.db }))
  if (redisUrl !== undefined) {
    const redis = createRedisLimits({
      ...{ url: redisUrl, prefix: `test:${randomUUID()}:`, leaseMs: 60_000, onError: () => undefined },
    })
    stores.set('Redis', redis)
    await until('Redis answers', () =>
      redis.enter('x', []).then(
        () => true,
        () => false,
      ),
    )
  }
})
after(async () => {
  for (const store of stores.values()) await store.close?.()
  await database.close()
})

function subject(limit: RateLimit, kind: LimitedSubject['kind'] = 'key'): LimitedSubject {
  return { kind, name: `${kind}:${randomUUID()}`, limit }
}

for (const name of ['memory', 'PostgreSQL', 'Redis'])
  test(
    `${name}: limits are kept by many at once, and a call counts for all its subjects or for none`,
    {
      skip: name === 'Redis' && redisUrl === undefined ? 'TEST_REDIS_URL is not set' : false,
    },
    () =>
      inOneMinute(5_000, async () => {
        const store = stores.get(name)
        assert(store)

        const requests = [subject({ requestsPerMinute: 30 })]
        const verdicts = await Promise.all(Array.from({ length: 60 }, (_, n) => store.enter(`r${n}`, requests)))
        assert.equal(verdicts.filter(({ refused }) => refused === undefined).length, 30)
        const refusal = verdicts.find(({ refused }) => refused !== undefined)
        assert.deepEqual(refusal?.refused, { index: 0, kind: 'requests' })
        assert((refusal?.leftMs ?? 0) > 0 && (refusal?.leftMs ?? 0) <= WINDOW_MS)
        assert.deepEqual(
          verdicts
            .filter(({ refused }) => refused === undefined)
            .map(({ counts }) => counts[0]?.requests)
            .sort((a = 0, b = 0) => a - b),
          Array.from({ length: 30 }, (_, n) => n + 1),
        )

        const concurrent = [subject({ concurrentCalls: 4 })]
        const running = new Set<string>()
        let most = 0
        let admitted = 0
        await Promise.all(
          Array.from({ length: 12 }, async (_, n) => {
            for (let round = 0; round < 5; round += 1) {
              const id = `c${n}-${round}`
              const { refused } = await store.enter(id, concurrent)
              if (refused !== undefined) continue
              admitted += 1
              running.add(id)
              most = Math.max(most, running.size)
              await store.enter(`other${id}`, [subject({ requestsPerMinute: 1 })])
              running.delete(id)
              await store.leave(id, concurrent, 0)
            }
          }),
        )
        assert(most <= 4 && admitted >= 4, `${most} at once, ${admitted} admitted`)
        assert.equal((await store.enter('after', concurrent)).counts[0]?.concurrent, 1)

        const tokens = [subject({ tokensPerMinute: 100 })]
        for (const used of [60, 60]) {
          assert.equal((await store.enter(`t${used}`, tokens)).refused, undefined)
          await store.leave(`t${used}`, tokens, used)
        }
        const spent = await store.enter('t3', tokens)
        assert.deepEqual([spent.refused, spent.counts[0]?.tokens], [{ index: 0, kind: 'tokens' }, 120])

        const [free, full] = [
          subject({ requestsPerMinute: 5, concurrentCalls: 5 }, 'project'),
          subject({ requestsPerMinute: 1 }),
        ]
        assert.equal((await store.enter('f1', [full])).refused, undefined)
        assert.deepEqual((await store.enter('f2', [free, full])).refused, { index: 1, kind: 'requests' })
        const { counts } = await store.enter('f3', [free])
        assert.deepEqual(counts, [{ requests: 1, tokens: 0, concurrent: 1 }])
        await store.refresh([{ id: 'f3', subjects: [free] }])
        await store.leave('f3', [free], 0)
        await store.leave('f3', [free], 0)
        assert.equal((await store.enter('f4', [free])).counts[0]?.concurrent, 1)
      }),
  )

test('memory: a minute ends, what was used beyond the limit is paid by the next ones, and the quietest are forgotten', async () => {
  let now = 10 * WINDOW_MS
  const store = createMemoryLimits({ subjectsMax: 3, now: () => now })
  const one = [subject({ requestsPerMinute: 1, tokensPerMinute: 100 })]
  assert.equal((await store.enter('a', one)).refused, undefined)
  await store.leave('a', one, 250)
  assert.equal((await store.enter('b', one)).refused?.kind, 'requests')
  now += WINDOW_MS
  assert.deepEqual((await store.enter('c', one)).refused, { index: 0, kind: 'tokens' })
  now += WINDOW_MS
  const { refused, counts } = await store.enter('d', one)
  assert.deepEqual([refused, counts[0]?.tokens], [undefined, 50])
  const running = [subject({ concurrentCalls: 1 })]
  await store.enter('e', running)
  for (let n = 0; n < 10; n += 1) await store.enter(`n${n}`, [subject({ requestsPerMinute: 1 })])
  assert.equal(store.subjects(), 3)
  assert.equal((await store.enter('f', running)).refused?.kind, 'concurrent')
})

test('PostgreSQL: a minute ends, and a call whose process is gone does not run for ever', () =>
  inOneMinute(5_000, async () => {
    const store = createPostgresLimits({ db: database.db })
    const one = [subject({ requestsPerMinute: 1, tokensPerMinute: 100, concurrentCalls: 1 })]
    assert.equal((await store.enter('gone', one)).refused, undefined)
    // Time cannot be waited for: the minute is put back, and the lease is over.
    await database.db.query('update rate_window set minute = minute - 2, tokens = 350 where subject = $1', [
      one[0]?.name,
    ])
    assert.deepEqual((await store.enter('next', one)).refused, { index: 0, kind: 'tokens' })
    await database.db.query('update rate_window set tokens = 150 where subject = $1', [one[0]?.name])
    assert.deepEqual((await store.enter('next', one)).refused, { index: 0, kind: 'concurrent' })
    await database.db.query(`update rate_lease set expires_at = now() - interval '1 second' where subject = $1`, [
      one[0]?.name,
    ])
    assert.equal((await store.enter('next', one)).refused, undefined)
    await database.db.query('update rate_window set minute = minute - 100')
    await store.prune()
    assert.equal((await database.db.query('select from rate_window')).rowCount, 0)
  }))
