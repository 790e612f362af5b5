import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createTestClient } from '#test/support/gateway.ts'
import {
  CLIENT_KEY,
  createDataDir,
  type GatewayProcess,
  removeDataDir,
  startGateway,
} from '#test/support/gateway-process.ts'
import { untilSize } from '#test/support/log/test-log.ts'
import { until } from '#test/support/until.ts'

let database: TestDatabase
const lives: { gateway: GatewayProcess; dataDir: string }[] = []
before(async () => {
  database = await createTestDatabase()
})
after(async () => {
  for (const { gateway } of lives) {
    gateway.kill('SIGCONT')
    gateway.kill('SIGKILL')
    await gateway.exited
  }
  for (const { dataDir } of lives) await removeDataDir(dataDir)
  await database.close()
})

async function start() {
  const dataDir = await createDataDir()
  const gateway = await startGateway({
    dataDir,
    env: { DATABASE_URL: database.url, WELCOME_GRANT_USD: '5', LOG_INTERVAL_MS: '50' },
  })
  lives.push({ gateway, dataDir })
  const { chat } = createTestClient(gateway.url)
  const get = async (path: string) => (await chat(undefined, { method: 'GET', path, key: CLIENT_KEY })).text
  return {
    ...gateway,
    get,
    files: join(dataDir, 'log'),
    isLeader: async () => /^fluxgate_log_leader 1$/m.test(await get('/metrics')),
    async call() {
      const { status } = await chat(
        { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] },
        { key: CLIENT_KEY },
      )
      assert.equal(status, 200)
    },
  }
}

async function size(): Promise<number> {
  const { rows } = await database.db.query<{ n: bigint }>('select count(*) as n from receipt_batch')
  return Number(rows[0]?.n)
}

test('one of two gateways sequences, both publish the same files, and the other takes over from one that dies or hangs', async () => {
  const one = await start()
  const two = await start()
  await until('one of them leads', async () => (await one.isLeader()) || (await two.isLeader()))
  for (let calls = 0; calls < 6; calls += 1) await Promise.all([one.call(), two.call()])
  const both = async (count: number) => {
    await Promise.all([untilSize(one.files, count), untilSize(two.files, count)])
    const [left, right] = await Promise.all([one, two].map(({ files }) => readFile(join(files, 'checkpoint'), 'utf8')))
    assert.equal(left, right)
  }
  await both(await size())
  assert.notEqual(await one.isLeader(), await two.isLeader(), 'one and only one leads')

  const [leader, follower] = (await one.isLeader()) ? [one, two] : [two, one]
  leader.kill('SIGKILL')
  await leader.exited
  await follower.call()
  await untilSize(follower.files, await size())
  await until('the other leads', () => follower.isLeader())

  // A leader that hangs keeps its connection; the server ends it when it has been silent for long enough.
  const third = await start()
  await until('one of them leads', async () => (await follower.isLeader()) || (await third.isLeader()))
  const [hanging, heir] = (await follower.isLeader()) ? [follower, third] : [third, follower]
  assert.equal(await heir.isLeader(), false)
  hanging.kill('SIGSTOP')
  await heir.call()
  await untilSize(heir.files, await size())
  await until('the heir leads', () => heir.isLeader())
  hanging.kill('SIGCONT')
  await hanging.call()
  const last = await size()
  await Promise.all([untilSize(heir.files, last), untilSize(hanging.files, last)])
  await until('who hung leads no more', async () => !(await hanging.isLeader()))
  const { rows } = await database.db.query<{ batches: bigint; leaves: bigint; size: bigint }>(
    'select (select count(*) from receipt_batch) as batches, (select count(*) from log_leaf) as leaves, size from log_head',
  )
  assert.deepEqual(rows, [{ batches: BigInt(last), leaves: BigInt(last), size: BigInt(last) }])
})
