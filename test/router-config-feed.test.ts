import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { LISTENER_NAME } from '#db/listener.ts'
import { createPool, type Db } from '#db/pool.ts'
import { loadPriceBook } from '#domain/price-book.ts'
import { encodeInvalidation } from '#domain/router/invalidation.ts'
import { createRouterFeed, type Reload, type RouterFeedOptions, type Subscribe } from '#domain/router/router-feed.ts'
import { createRouterStore, type RouterStore } from '#domain/router/router-store.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { until } from '#test/support/until.ts'

const priceBook = loadPriceBook(
  JSON.stringify({
    version: '2026-11-22',
    source: 'a test',
    entries: {
      'openai/gpt-4o': {
        ...{ lines: { input: '1', output: '2' }, limits: {}, reasoning: false, streaming: true, active: true },
        endpoint: 'chat',
      },
    },
  }),
)
const rules = { priceBook, fluxNanousd: 1_000_000n }
const by = { author: 'ann', reason: 'a test' }
/** Long enough that the clock plays no part. */
const NEVER_MS = 600_000
const LISTENER = `application_name = '${LISTENER_NAME}' and datname = current_database()`

const config = (name: string) => ({ llm: { models: { [name]: { upstreams: [{ baseURL: 'https://a.example/v1' }] } } } })

let database: TestDatabase
let db: Db
let store: RouterStore

before(async () => {
  database = await createTestDatabase({ poolMax: 20 })
  db = database.db
})
after(() => database.close())
beforeEach(async () => {
  await db.query(
    'set session_replication_role = replica; truncate router_config, setting; reset session_replication_role',
  )
  store = createRouterStore({ db, ...rules })
})

/** A feed, everything that it has told, and a promise of what it will tell. */
function watch(options: Partial<RouterFeedOptions> = {}) {
  const reloads: Reload[] = []
  const waiting: { matches: (reload: Reload) => boolean; resolve: () => void }[] = []
  let interruptions = 0
  const feed = createRouterFeed({
    ...{ db, ...rules, pollMs: NEVER_MS },
    onReload(reload) {
      reloads.push(reload)
      for (const { matches, resolve } of waiting) if (matches(reload)) resolve()
    },
    onInterrupted: () => (interruptions += 1),
    ...options,
  })
  return {
    feed,
    reloads,
    interruptions: () => interruptions,
    names: () => [...feed.snapshot().models.keys()],
    /** Also when it was told already. */
    told: (matches: (reload: Reload) => boolean) =>
      reloads.some(matches) ? Promise.resolve() : new Promise<void>((resolve) => waiting.push({ matches, resolve })),
    serves: (version: number) => until(`version ${version} serves`, () => feed.snapshot().version >= version),
    /** From now on writes are heard, so the clock is not needed. */
    listening: () => until('it listens', () => reloads.some(({ source }) => source === 'listening')),
  }
}

async function apply(name: string, settings: Parameters<RouterStore['apply']>[0]['settings'] = {}): Promise<number> {
  const outcome = await store.apply({ config: config(name), settings, ...by })
  assert(outcome.status === 'applied', JSON.stringify(outcome))
  return outcome.version.version
}

/** As an operator's own SQL would write it: nobody is notified. */
async function insertRaw(version: number, text: string): Promise<void> {
  await db.query(
    `insert into router_config (version, config, digest, author, reason, parent)
     values ($1::int8, $2, 'sha256:' || repeat('0', 64), 'x', 'x', $1::int8 - 1)`,
    [version, text],
  )
}

test('before anything is written a feed serves nothing, with the defaults of the settings', async () => {
  const { feed, reloads } = watch()
  assert.throws(() => feed.settings().get('FLUX_PER_REQUEST'), { code: 'config_unavailable' })
  assert.equal(feed.status().loadedAt, undefined)
  await feed.started()
  assert.deepEqual([feed.snapshot().version, feed.snapshot().models.size], [0, 0])
  assert.equal(feed.settings().get('FLUX_PER_REQUEST'), 5)
  assert.throws(() => feed.settings().getOrThrow('DEFAULT_CHAT_MODEL'), { code: 'config_not_set' })
  assert.equal(reloads[0]?.outcome, 'swapped')
  assert.equal(typeof feed.status().loadedAt, 'number')
  await feed.close()
})

test('two processes serve a write within a second, config and settings together', async () => {
  const one = watch()
  const other = watch({ db: createPool({ connection: database.connection, poolMax: 2 }, () => undefined) })
  await Promise.all([one.listening(), other.listening()])
  const startedAt = performance.now()
  const version = await apply('fresh', { FLUX_PER_1K_TOKENS: 2, DEFAULT_CHAT_MODEL: 'fresh' })
  await Promise.all([one.serves(version), other.serves(version)])
  const tookMs = performance.now() - startedAt
  assert(tookMs < 1_000, `${tookMs} ms`)
  for (const { feed, reloads } of [one, other]) {
    const routed = feed.snapshot().models.get('fresh')
    assert.equal(routed?.groups[0]?.upstreams[0]?.price?.price.lines.input, 2_000_000n)
    assert.equal(feed.snapshot().defaults.llm, 'fresh')
    assert.equal(feed.settings().get('FLUX_PER_1K_TOKENS'), 2)
    assert.deepEqual(feed.status().stale, undefined)
    assert(reloads.some(({ source, outcome }) => source === 'notify' && outcome === 'swapped'))
  }
  await Promise.all([one.feed.close(), other.feed.close()])
})

test('a snapshot that is being served does not change under its user', async () => {
  const { feed, listening, serves } = watch()
  await listening()
  await serves(await apply('a'))
  const held = feed.snapshot()
  await serves(await apply('b'))
  assert.deepEqual([...held.models.keys()], ['a'])
  assert.notEqual(feed.snapshot(), held)
  await feed.close()
})

test('a listener that is killed misses nothing: it looks again when it is back', async () => {
  const { feed, reloads, interruptions, listening, serves, names } = watch()
  await listening()
  await serves(await apply('a'))
  const heard = reloads.length
  const { rows } = await db.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${LISTENER}`)
  assert.equal(rows.length, 1)
  const version = await apply('b')
  await serves(version)
  assert.deepEqual(names(), ['b'])
  assert.equal(interruptions(), 1)
  await until('it listens again', () => reloads.slice(heard).some(({ source }) => source === 'listening'))
  await serves(await apply('c'))
  await feed.close()
})

test('the clock finds what nobody has announced', async () => {
  const { feed, listening, serves, reloads } = watch({ pollMs: 20 })
  await listening()
  const good = await apply('a')
  await serves(good)
  const { document } = await store.get(good)
  const { rows } = await db.query(`select digest from router_config where version = ${good}`)
  await db.query(
    `insert into router_config (version, config, digest, author, reason, parent) values ($1, $2, $3, 'x', 'x', $4)`,
    [good + 1, JSON.stringify(document), rows[0].digest, good],
  )
  await serves(good + 1)
  assert(reloads.some(({ source, outcome }) => source === 'poll' && outcome === 'swapped'))
  await feed.close()
})

for (const [name, text] of [
  ['text that is no JSON', '{'],
  ['a config of another release', '{"llm":{"models":{}},"quantum":{}}'],
  ['a config that was changed behind its digest', '{"llm":{"models":{}}}'],
] as const) {
  test(`a bad version keeps the last good one and is told: ${name}`, async () => {
    const { feed, reloads, serves, listening, names } = watch()
    await listening()
    const good = await apply('a')
    await serves(good)
    await insertRaw(good + 1, text)
    await feed.reload()
    assert.deepEqual([names(), feed.snapshot().version], [['a'], good])
    const { version, stale } = feed.status()
    assert.deepEqual([version, stale?.version], [good, good + 1])
    assert((stale?.problems.length ?? 0) > 0)
    assert.equal(reloads.at(-1)?.outcome, 'kept')

    // A process that starts now serves with the same.
    const late = watch()
    await late.feed.started()
    assert.deepEqual([late.names(), late.feed.status().stale?.version], [['a'], good + 1])
    await late.feed.close()

    // And what mends it is served at once.
    await serves(await apply('b'))
    assert.deepEqual([names(), feed.status().stale], [['b'], undefined])
    await feed.close()
  })
}

test('a bad setting keeps its last good value, and others go on changing', async () => {
  const { feed, listening } = watch()
  await listening()
  await apply('a', { FLUX_PER_REQUEST: 7 })
  await feed.reload()
  await db.query(
    `insert into setting (version, key, value, author, reason) values
     (2, 'FLUX_PER_REQUEST', '-1', 'x', 'x'), (3, 'AUTH_RATE_LIMIT_MAX', '30', 'x', 'x'), (4, 'FROM_THE_FUTURE', '1', 'x', 'x')`,
  )
  await feed.reload()
  assert.equal(feed.settings().get('FLUX_PER_REQUEST'), 7)
  assert.equal(feed.settings().get('AUTH_RATE_LIMIT_MAX'), 30)
  assert.deepEqual(
    feed
      .status()
      .stale?.problems.map(({ path }) => path)
      .sort(),
    ['FLUX_PER_REQUEST', 'FROM_THE_FUTURE'],
  )
  const late = watch()
  await late.feed.started()
  assert.throws(() => late.feed.settings().get('FLUX_PER_REQUEST'), { code: 'config_invalid' })
  assert.equal(late.feed.settings().get('AUTH_RATE_LIMIT_MAX'), 30)
  await Promise.all([feed.close(), late.feed.close()])
})

/** A pool whose questions are counted, and can be held back. */
function gated() {
  const pool = createPool({ connection: database.connection, poolMax: 4 }, () => undefined)
  const query = pool.query.bind(pool)
  let loads = 0
  let gate = Promise.resolve()
  let failing = false
  pool.query = (async (...args: Parameters<typeof query>) => {
    const isLoad = JSON.stringify(args[0]).includes('union all')
    if (isLoad) loads += 1
    if (failing) throw new Error('away')
    const result = await query(...args)
    if (isLoad) await gate // What was read is on its way while others write.
    return result
  }) as unknown as typeof pool.query
  return {
    pool,
    loads: () => loads,
    fail: (value: boolean) => (failing = value),
    hold() {
      const held = Promise.withResolvers<void>()
      gate = held.promise
      return () => {
        gate = Promise.resolve()
        held.resolve()
      }
    },
  }
}

test('a stampede is one load', async () => {
  const { pool, loads } = gated()
  await apply('a')
  const { feed, listening } = watch({ db: pool })
  await feed.started()
  await listening()
  const before = loads()
  await insertRaw(2, '{}')
  await Promise.all(Array.from({ length: 200 }, () => feed.reload()))
  assert.equal(loads() - before, 1)
  await feed.close()
  await pool.end()
})

test('what was read before a newer write does not stay: another look follows, and nothing goes backwards', async () => {
  const { pool, loads, hold } = gated()
  const { feed, reloads, listening, serves, names } = watch({ db: pool })
  await listening()
  await serves(await apply('a'))
  const release = hold()
  const before = loads()
  const second = await apply('b')
  await until('the load has read b', () => loads() === before + 1)
  const third = await apply('c')
  const asked = feed.reload()
  release()
  await asked
  await serves(third)
  assert.deepEqual(names(), ['c'])
  const versions = reloads.map(({ version }) => version)
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => a - b),
  )
  assert(second < third)
  await feed.close()
  await pool.end()
})

test('a database that is away changes nothing; afterwards the clock catches up', async () => {
  const { pool, fail } = gated()
  const { feed, told, serves, names } = watch({ db: pool, pollMs: 20 })
  await feed.started()
  await serves(await apply('a'))
  fail(true)
  await apply('b')
  await told(({ outcome }) => outcome === 'failed')
  assert.deepEqual(names(), ['a'])
  fail(false)
  await until('it serves b', () => names()[0] === 'b')
  await feed.close()
  await pool.end()
})

const FORGET =
  'set session_replication_role = replica; delete from router_config where version = 2; reset session_replication_role'

test('a database that has gone back is told, and what was newer goes on serving', async () => {
  const { feed, listening, serves, names } = watch()
  await listening()
  await apply('a')
  await serves(await apply('b'))
  await db.query('create table lost as select * from router_config where version = 2')
  await db.query(FORGET)
  await feed.reload()
  assert.deepEqual([names(), feed.status().version, feed.status().stale?.version], [['b'], 2, 1])
  // A replica that has caught up has all that was seen: there is nothing to tell any more.
  await db.query(`insert into router_config select * from lost`)
  await feed.reload()
  assert.deepEqual([names(), feed.status().version, feed.status().stale], [['b'], 2, undefined])
  await db.query(FORGET)
  await feed.reload()
  assert.equal(feed.status().stale?.version, 1)
  // The same number with another content is another version.
  await serves(await apply('other'))
  await until('it serves the other', () => names()[0] === 'other')
  assert.equal(feed.status().stale, undefined)
  await feed.close()
})

test('a message of another channel makes a feed look; nonsense does not', async () => {
  let handlers: Parameters<Subscribe>[0] | undefined
  let closed = 0
  const subscribe: Subscribe = (given) => {
    handlers = given
    return {
      async close() {
        closed += 1
      },
    }
  }
  const { feed, reloads, listening, told } = watch({ subscribe })
  await listening()
  const before = reloads.length
  for (const text of ['', '{', '[]', '{"key":1}', JSON.stringify({ key: 'x'.repeat(5_000) })]) handlers?.onMessage(text)
  await feed.reload()
  assert.deepEqual(
    reloads.slice(before).map(({ source }) => source),
    ['asked'],
  )

  await insertRaw(1, '{')
  handlers?.onMessage(encodeInvalidation({ config: 1, settings: 0 }, Date.now()))
  await told(({ source, outcome }) => source === 'redis' && outcome === 'kept')
  await feed.close()
  assert.equal(closed, 1)
})

test('hundreds of swaps under readers show each of them one whole config', async () => {
  const { feed, listening, serves } = watch()
  await listening()
  let reading = true
  let reads = 0
  const readers = Array.from({ length: 4 }, async () => {
    while (reading) {
      const { version, models } = feed.snapshot()
      const [name] = models.keys()
      if (version > 0) assert.equal(name, `v${version}`)
      reads += 1
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  let last = 0
  for (let round = 1; round <= 100; round += 1) last = await apply(`v${round}`)
  await serves(last)
  reading = false
  await Promise.all(readers)
  assert(reads > 100)
  await feed.close()
})
