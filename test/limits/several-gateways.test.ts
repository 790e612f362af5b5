import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createKeys } from '#domain/keys.ts'
import { createLimitEditor } from '#domain/limits/limit-editor.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createTestClient } from '#test/support/gateway.ts'
import { createDataDir, type GatewayProcess, removeDataDir, startGateway } from '#test/support/gateway-process.ts'
import { inOneMinute } from '#test/support/one-minute.ts'
import { until } from '#test/support/until.ts'

const redisUrl = process.env.TEST_REDIS_URL
const CHAT = { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] }

let database: TestDatabase
const lives: { gateway: GatewayProcess; dataDir: string }[] = []
before(async () => {
  database = await createTestDatabase()
})
after(async () => {
  for (const { gateway } of lives) {
    gateway.kill('SIGKILL')
    await gateway.exited
  }
  for (const { dataDir } of lives) await removeDataDir(dataDir)
  await database.close()
})

async function start(env: Record<string, string> = {}) {
  const dataDir = await createDataDir()
  const gateway = await startGateway({
    dataDir,
    env: { DATABASE_URL: database.url, WELCOME_GRANT_USD: '5', RATE_LIMIT_WAIT_MS: '10000', ...env },
  })
  lives.push({ gateway, dataDir })
  return { ...gateway, ...createTestClient(gateway.url) }
}

/** A key of the first project, with limits of its own. */
async function openKey(limits: object): Promise<string> {
  const { rows } = await database.db.query<{ id: string }>('select id from project order by created_at limit 1')
  const { key, secret } = await createKeys({ db: database.db }).create({
    projectId: rows[0]?.id ?? '',
    name: 'limited',
  })
  await createLimitEditor({ db: database.db }).set({ kind: 'key', id: key.id }, limits, { actor: 'test' })
  return secret
}

for (const [name, env] of [
  ['PostgreSQL', {}],
  ['Redis', { REDIS_URL: redisUrl ?? '' }],
] as const)
  test(`two gateways count together in ${name}: no more requests and no more calls at once than one would admit`, {
    skip: name === 'Redis' && redisUrl === undefined ? 'TEST_REDIS_URL is not set' : false,
  }, async (t) => {
    const [one, two] = await Promise.all([start(env), start(env)])
    const probe = await openKey({ requestsPerMinute: 10_000 })
    const remaining = async (gateway: typeof one) =>
      Number((await gateway.chat(CHAT, { key: probe })).headers['x-ratelimit-remaining-requests'])
    await until('they count together', async () => (await remaining(one)) - (await remaining(two)) === 1)
    const statuses = await inOneMinute(10_000, async () => {
      const key = await openKey({ requestsPerMinute: 25 })
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? one : two).chat(CHAT, { key })),
      )
      return [200, 429].map((status) => answers.filter((answer) => answer.status === status).length)
    })
    assert.deepEqual(statuses, [25, 35])

    const few = await openKey({ concurrentCalls: 3 })
    const abort = new AbortController()
    const streams = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        (n % 2 === 0 ? one : two).open(
          { ...CHAT, stream: true, sim: { tokens: 2_000, chunk_ms: 50 } },
          { key: few, signal: abort.signal },
        ),
      ),
    )
    assert.equal(streams.filter(({ status }) => status === 200).length, 3)
    // One gateway dies with calls that run: their places are free when nobody says any more that they do.
    one.kill('SIGKILL')
    await one.exited
    abort.abort()
    const lost = streams.filter(({ status }, n) => status === 200 && n % 2 === 0).length
    await until('the places of the living are free', async () => {
      const { headers, status } = await two.chat(CHAT, { key: few })
      return status === 200 ? Number(headers['x-ratelimit-remaining-concurrent']) >= 2 - lost : lost === 3
    })
    if (name === 'PostgreSQL') {
      const { rows } = await database.db.query<{ left: number }>(
        `select coalesce(max(extract(epoch from expires_at - now())), 0)::float8 as left from rate_lease`,
      )
      assert((rows[0]?.left ?? 0) <= 60, 'a lease ends within a minute')
      await database.db.query(`update rate_lease set expires_at = now() - interval '1 second'`)
      await until('all places are free', async () => {
        const { headers } = await two.chat(CHAT, { key: few })
        return headers['x-ratelimit-remaining-concurrent'] === '2'
      })
    }
    t.diagnostic(`25 of 60 requests, 3 of 12 calls at once, ${lost} of them on the gateway that was killed`)
  })
