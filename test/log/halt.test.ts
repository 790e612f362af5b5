import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { decodeHash } from '#billing/tlog/checkpoint.ts'
import { verifyTlogProof } from '#billing/tlog/tlog-proof.ts'
import { parseVerifierKey } from '#billing/tlog/verifier-key.ts'
import { createLogKeeper } from '#domain/log/log-keeper.ts'
import { createLogSigner } from '#domain/log/log-signer.ts'
import { copyTestDatabase, createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createTestClient } from '#test/support/gateway.ts'
import { CLIENT_KEY, createDataDir, removeDataDir, runGateway, startGateway } from '#test/support/gateway-process.ts'
import { addBatches, logSigner, openTestLog, untilSize } from '#test/support/log/test-log.ts'
import { until } from '#test/support/until.ts'

/** On a busy machine. */
const START_MS_MAX = 60_000
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const opened: (() => Promise<unknown>)[] = []
after(async () => {
  for (const close of opened.reverse()) await close()
})

async function database(from?: TestDatabase): Promise<TestDatabase> {
  const made = from === undefined ? await createTestDatabase() : await copyTestDatabase(from)
  opened.push(() => made.close())
  return made
}

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fluxgate-halt-'))
  opened.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

async function keep(db: TestDatabase, dir: string, batches: number): Promise<unknown[]> {
  const log = await openTestLog(db, dir)
  await addBatches(db.db, batches)
  await log.turn()
  await log.close()
  return log.errors
}

test('a database that lost the end of what was published is refused, and so is one that went on from there', async () => {
  const dir = await folder()
  const live = await database()
  assert.deepEqual(await keep(live, dir, 10), [])
  const backup = await database(live)
  assert.deepEqual(await keep(live, dir, 5), [])
  const published = await readFile(join(dir, 'checkpoint'), 'utf8')

  await assert.rejects(openTestLog(backup, dir), {
    name: 'LogHaltError',
    message: /published with 15 leaves.* knows 10 of them/,
  })
  // On another machine, without the files, the restored database goes on: the first machine notices.
  assert.deepEqual(await keep(backup, await folder(), 3), [])
  await assert.rejects(openTestLog(backup, dir), { name: 'LogHaltError', message: /knows 13 of them/ })
  assert.deepEqual(await keep(backup, await folder(), 9), [])
  await assert.rejects(openTestLog(backup, dir), { name: 'LogHaltError', message: /never signed that root/ })
  assert.equal(await readFile(join(dir, 'checkpoint'), 'utf8'), published)

  // The newer database is still good.
  assert.deepEqual(await keep(live, dir, 1), [])
})

test('a database that is swapped for its backup under a running gateway halts the log before anything is signed', async () => {
  const dir = await folder()
  const live = await database()
  assert.deepEqual(await keep(live, dir, 10), [])
  const backup = await database(live)
  assert.deepEqual(await keep(live, dir, 5), [])
  const seen = await openTestLog(live, dir)
  await seen.close()
  await addBatches(backup.db, 7)
  // The same process, now connected to the backup: as after a failover to a standby that lagged.
  const halts: Error[] = []
  const keeper = createLogKeeper({
    db: backup.db,
    connection: backup.connection,
    signer: logSigner,
    publisher: seen.publisher,
    everyMs: 3_600_000,
    onTurn: () => assert.fail('nothing is done'),
    onError: (error) => assert.fail(String(error)),
    onHalt: (error) => halts.push(error),
  })
  await keeper.turn()
  await keeper.turn()
  await keeper.close()
  assert.equal(halts.length, 1)
  assert.match(String(halts[0]), /published with 15 leaves/)
  const { rows } = await backup.db.query('select size from log_head')
  assert.deepEqual(rows, [{ size: 10n }])
})

test('files of a log that the database does not know, another name and another key are refused', async () => {
  const dir = await folder()
  const live = await database()
  assert.deepEqual(await keep(live, dir, 2), [])
  const open = async (db: TestDatabase, where: string, origin: string, seed: number) =>
    openTestLog(db, where, { signer: await createLogSigner(origin, createReceiptSigner(Buffer.alloc(32, seed))) })
  await assert.rejects(
    open(live, await folder(), 'other.test/1', 11),
    /keeps the log log\.test\/1, but RECEIPT_LOG_ORIGIN is other/,
  )
  await assert.rejects(open(live, await folder(), 'log.test/1', 12), /signed with another key/)
  await assert.rejects(
    open(await database(), dir, 'other.test/1', 11),
    /holds the log log\.test\/1, which this database does not know/,
  )
})

test('a restored backup stops the start; a new log under a new name takes in everything, and the old one stays as evidence', async () => {
  const live = await database()
  const dataDir = await createDataDir()
  opened.push(() => removeDataDir(dataDir))
  const env = (db: TestDatabase, origin = 'halt.example/1') => ({
    DATABASE_URL: db.url,
    WELCOME_GRANT_USD: '5',
    LOG_INTERVAL_MS: '50',
    RECEIPT_LOG_ORIGIN: origin,
  })
  const serve = async (db: TestDatabase, origin?: string) => {
    const gateway = await startGateway({ dataDir, env: env(db, origin) })
    return { ...gateway, ...createTestClient(gateway.url) }
  }
  const stop = async (gateway: { kill(signal: NodeJS.Signals): void; exited: Promise<unknown> }) => {
    gateway.kill('SIGTERM')
    await gateway.exited
  }
  const call = async ({ chat }: ReturnType<typeof createTestClient>): Promise<string> => {
    const { status, headers } = await chat(
      { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] },
      { key: CLIENT_KEY },
    )
    assert.equal(status, 200)
    return String(headers['x-fluxgate-receipt'])
  }
  const files = join(dataDir, 'log')

  const first = await serve(live)
  const early = await call(first)
  await untilSize(files, 1)
  await stop(first)
  const backup = await database(live)
  const second = await serve(live)
  for (let calls = 0; calls < 3; calls += 1) await call(second)
  await untilSize(files, 2)
  await stop(second)
  const evidence = await readFile(join(files, 'checkpoint'), 'utf8')

  const refused = await runGateway({ dataDir, env: env(backup) }, START_MS_MAX)
  assert.equal(refused.code, 1)
  assert.match(refused.err, /restored from a backup.*fluxgate log restart/s)
  assert.doesNotMatch(refused.err, /\n\s+at /)

  const restart = ['log', 'restart', '--origin', 'halt.example/2', '--reason', 'backup of Monday restored']
  const careless = await fluxgate(restart, { ...env(backup), DATA_DIR: dataDir })
  assert.equal(careless.code, 2)
  assert.match(careless.err, /--i-accept-that-the-old-log-ends is missing/)
  const done = await fluxgate([...restart, '--i-accept-that-the-old-log-ends', '--json'], {
    ...env(backup),
    DATA_DIR: dataDir,
  })
  assert.equal(done.code, 0, done.err)
  const { ended, vkey, queued } = JSON.parse(done.out)
  assert.deepEqual([ended, queued], [{ origin: 'halt.example/1', size: 1 }, 1])
  const again = await fluxgate([...restart, '--i-accept-that-the-old-log-ends'], { ...env(backup), DATA_DIR: dataDir })
  assert.match(again.err, /name_taken/)
  assert.match((await runGateway({ dataDir, env: env(backup) }, START_MS_MAX)).err, /keeps the log halt\.example\/2/)

  const third = await serve(backup, 'halt.example/2')
  await untilSize(files, 1)
  const { json: bundle } = await third.chat(undefined, {
    method: 'GET',
    path: `/v1/receipts/${early}`,
    key: CLIENT_KEY,
  })
  assert.equal(bundle.receipt.log, 'halt.example/1')
  const policy = { log: await parseVerifierKey(vkey), witnesses: [], quorum: 0 }
  let proof = ''
  await until('the old receipt is in the new log', async () => {
    const reply = await third.chat(undefined, { method: 'GET', path: `/v1/receipts/${early}/proof`, key: CLIENT_KEY })
    proof = reply.text
    return reply.status === 200
  })
  const verdict = await verifyTlogProof(proof, decodeHash(bundle.batch.root), policy)
  assert(verdict.ok, JSON.stringify(verdict))
  await call(third)
  await untilSize(files, 2)
  assert.equal(await readFile(join(files, 'ended/log-1/checkpoint'), 'utf8'), evidence)
  const { rows } = await backup.db.query('select origin, end_reason as reason from log_head order by log_id')
  assert.deepEqual(rows, [
    { origin: 'halt.example/1', reason: 'backup of Monday restored' },
    { origin: 'halt.example/2', reason: null },
  ])
  const status = await fluxgate(['log', 'status', '--json'], { ...env(backup, 'halt.example/2'), DATA_DIR: dataDir })
  const { origin, size, queue_depth, published } = JSON.parse(status.out)
  assert.deepEqual(
    { origin, size, queue_depth, published },
    { origin: 'halt.example/2', size: 2, queue_depth: 0, published: { origin: 'halt.example/2', size: 2 } },
  )
  await stop(third)
})

async function fluxgate(words: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, ['src/main.ts', ...words], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH,
      ...env,
      FLUXGATE_ADMIN_KEY: 'fg_admin_for_tests_0123456789',
      LOG_SIGNING_KEY: Buffer.alloc(32, 11).toString('base64'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: START_MS_MAX,
  })
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await closed, out, err }
}
