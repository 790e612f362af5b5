import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadPriceBook } from '#domain/price-book.ts'
import { createRouterFeed } from '#domain/router/router-feed.ts'
import { createRouterStore } from '#domain/router/router-store.ts'
import { createRoutes } from '#gateway/routes.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { runSoak } from '#test/support/soak/soak-run.ts'
import { until } from '#test/support/until.ts'

for (const [gateways, writes] of [
  [1, 60],
  [2, 20],
] as const)
  test(`${writes} writes of the router config under 16 clients, on ${gateways} processes: no call fails, no charge is wrong`, async () => {
    const report = await runSoak({
      seed: 20 + gateways,
      gateways,
      writesPerRound: writes,
      goesOn: (rounds) => rounds < 1,
      idleModels: 10,
      heapMegabytesMax: 256,
      say: () => undefined,
    })
    assert.deepEqual(
      report.rules.filter(({ bad }) => bad > 0),
      [],
    )
    assert(report.calls > 100, `${report.calls} calls`)
    assert(report.versions > writes / 2 && report.versionsServed === report.versions, JSON.stringify(report))
    assert(report.fallbacks > 0, 'an upstream that fails is met, and another one serves')
  })

const VERSIONS = 20
const gc = collector()
const priceBook = loadPriceBook(await readFile('prices/price-book.json'))

let database: TestDatabase
before(async () => {
  database = await createTestDatabase({ poolMax: 4 })
})
after(() => database.close())

test('no snapshot outlives the next one, but in calls that began with it', async () => {
  const rules = { db: database.db, priceBook, fluxNanousd: 1_000_000n }
  const store = createRouterStore(rules)
  const feed = createRouterFeed(rules)
  const routes = createRoutes({
    providers: [],
    priceBook,
    snapshot: feed.snapshot,
    credentials: { open: () => undefined },
    auth: { headersFor: () => ({}), rejected: () => undefined },
    timeouts: { firstByteMs: 1, idleMs: 1, totalMs: 1, chainMs: undefined },
  })
  const old: WeakRef<object>[] = []
  let running: object | undefined
  for (let n = 1; n <= VERSIONS; n += 1) {
    const upstreams = [{ baseURL: 'https://a.test/v1', price: { lines: { input: `${n}`, output: '1' } } }]
    await store.apply({ config: { llm: { models: { m: { upstreams } } } }, author: 'ann', reason: 'a test' })
    await until(`version ${n} serves`, () => feed.snapshot().version === n)
    const route = routes.resolve('m', 'chat')
    if (n === 3) running = route
    else old.push(new WeakRef(feed.snapshot().models), new WeakRef(route))
  }
  const left = () => old.filter((ref) => ref.deref() !== undefined).length
  // What holds now is two of them: its models and the route that was asked for.
  await until('the others are gone', () => {
    gc()
    return left() <= 2
  })
  assert.equal(left(), 2)
  assert.equal((running as { configVersion: number }).configVersion, 3)
  await feed.close()
})

/** The collector of this process, which Node hands out only when it is asked at its start, or like this. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
