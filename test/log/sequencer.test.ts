import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { checkConsistency } from '#billing/tlog/check-consistency.ts'
import { readHead } from '#domain/log/log-head.ts'
import { createTileProofs } from '#domain/log/tile-proofs.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { addBatches, expectPublished, openTestLog } from '#test/support/log/test-log.ts'

const CHILD = new URL('../support/log/log-child.ts', import.meta.url).pathname
const CHILD_MS_MAX = 30_000
const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'fluxgate-log-'))
  folders.push(made)
  return made
}

async function withDatabase(work: (database: TestDatabase) => Promise<void>): Promise<void> {
  const database = await createTestDatabase()
  try {
    await work(database)
  } finally {
    await database.close()
  }
}

async function runChild(database: TestDatabase, dir: string, step: string): Promise<NodeJS.Signals | number | null> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify({ url: database.url, dir, step })], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: CHILD_MS_MAX,
    killSignal: 'SIGTERM',
  })
  const [code, signal] = await once(child, 'exit')
  return signal ?? code
}

test('what is signed is queued in its own commit, and a batch that is taken back is not', () =>
  withDatabase(async ({ db }) => {
    const count = async () => Number((await db.query<{ n: bigint }>('select count(*) as n from log_queue')).rows[0]?.n)
    await addBatches(db, 3)
    assert.equal(await count(), 3)
    const client = await db.connect()
    await client.query('begin')
    await client.query(
      `insert into receipt_batch select gen_random_uuid(), key_id, leaves, root, sig, settled_at from receipt_batch limit 1`,
    )
    await client.query('rollback')
    client.release()
    assert.equal(await count(), 3)
  }))

test('an empty log is published, grows by turns of any size, and every byte of it is recomputed', () =>
  withDatabase(async (database) => {
    const dir = await folder()
    let log = await openTestLog(database, dir)
    await log.turn()
    await expectPublished(database.db, dir, 0)
    let size = 0
    for (const [at, count] of [1, 1, 2, 250, 2, 1, 255, 512, 700, 1].entries()) {
      await addBatches(database.db, count)
      size += count
      await log.turn()
      await expectPublished(database.db, dir, size)
      if (at % 3 !== 2) continue
      await log.close()
      assert.deepEqual([log.errors, log.rebuilds], [[], []])
      log = await openTestLog(database, dir)
    }
    // Consistent with every size that was ever signed, by the tiles alone.
    const { rows } = await database.db.query<{ size: bigint; root: Buffer }>(
      'select size, root from log_checkpoint order by size',
    )
    assert(rows.length >= 10)
    const proofs = createTileProofs(async (tile) => (await log.files.readTile(tile, size)) ?? Buffer.alloc(0), size)
    const root = new Uint8Array(await proofs.root())
    for (const old of rows) {
      const oldSize = Number(old.size)
      const path = (await proofs.consistency(oldSize)).map((node) => new Uint8Array(node))
      assert(
        await checkConsistency({ oldSize, oldRoot: new Uint8Array(old.root), size, root, path }),
        `from ${oldSize}`,
      )
    }
    await log.close()
    assert.deepEqual([log.errors, log.rebuilds], [[], []])
  }))

for (const step of ['locked', 'read', 'written', 'committed', 'tile', 'tiles', 'drafted', 'published']) {
  test(`kill -9 at "${step}": the same log goes on, and what was signed is published byte for byte`, () =>
    withDatabase(async (database) => {
      const { db } = database
      const dir = await folder()
      await addBatches(db, 300)
      assert.equal(await runChild(database, dir, 'none'), 0)
      const before = await expectPublished(db, dir, 300)
      await addBatches(db, 220)
      assert.equal(await runChild(database, dir, step), 'SIGKILL')

      const head = await readHead(db)
      const published = await readFile(join(dir, 'checkpoint'), 'utf8')
      const isCommitted = !['locked', 'read', 'written'].includes(step)
      assert.equal(head?.size, isCommitted ? 520 : 300)
      assert.equal(
        published,
        step === 'published' ? head?.checkpoint : before,
        'an old checkpoint or the new one, whole',
      )

      await addBatches(db, 1)
      assert.equal(await runChild(database, dir, 'committed'), 'SIGKILL')
      assert.equal(await runChild(database, dir, 'none'), 0)
      const after = await expectPublished(db, dir, 521)
      const { rows } = await db.query<{ size: bigint; root: Buffer }>(
        'select size, root from log_checkpoint order by size',
      )
      assert.deepEqual(
        rows.map((row) => row.size),
        isCommitted ? [0n, 300n, 520n, 521n] : [0n, 300n, 521n],
      )
      // Elsewhere, from nothing: the same bytes.
      const elsewhere = await folder()
      assert.equal(await runChild(database, elsewhere, 'none'), 0)
      assert.equal(await expectPublished(db, elsewhere, 521), after)
    }))
}

test('one size never gets a second root, nor does a leaf move, whoever asks the database', () =>
  withDatabase(async (database) => {
    const log = await openTestLog(database, await folder())
    await addBatches(database.db, 5)
    await log.turn()
    await log.close()
    await addBatches(database.db, 2)
    const some = `(select batch_id from receipt_batch where batch_id not in (select batch_id from log_leaf) limit 1)`
    for (const [sql, says] of [
      [`insert into log_checkpoint (log_id, size, root) select log_id, 5, sha256('x') from log_head`, /duplicate key/],
      [`update log_checkpoint set root = sha256('x')`, /append-only/],
      [`delete from log_checkpoint`, /append-only/],
      [`update log_leaf set root = sha256('x') where idx = 1`, /append-only/],
      [`delete from log_leaf where idx = 4`, /append-only/],
      [`truncate log_leaf`, /append-only/],
      [`insert into log_leaf select log_id, 4, ${some}, sha256('x') from log_head`, /duplicate key/],
      [`insert into log_leaf select log_id, 5, batch_id, root from log_leaf where idx = 0`, /duplicate key/],
      [`update log_head set size = 4`, /it only grows|check constraint/],
      [`update log_head set root = sha256('x')`, /it only grows/],
      [`update log_head set checkpoint = 'x'`, /it only grows/],
      [`update log_head set origin = 'other'`, /it only grows/],
      [`update log_head set size = 6, frontier = frontier, root = sha256('x')`, /leaves are not/],
      [`update log_head set size = 8, frontier = sha256('x')`, /leaves are not/],
      [`delete from log_head`, /append-only/],
    ] as const)
      await assert.rejects(database.db.query(sql), says, sql)
  }))

test('any history of batches and turns by three processes gives one log', () =>
  withDatabase(async (database) => {
    const dirs = [await folder(), await folder(), await folder()]
    const logs = await Promise.all(dirs.map((dir) => openTestLog(database, dir, { leavesMax: 16 })))
    let size = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.nat(40), fc.constantFrom('a', 'b', 'c', 'all')), { maxLength: 6 }),
        async (steps) => {
          for (const step of steps) {
            if (typeof step === 'number') {
              await addBatches(database.db, step)
              size += step
            } else if (step === 'all') await Promise.all(logs.map((log) => log.turn()))
            else await logs['abc'.indexOf(step)]?.turn()
          }
        },
      ),
      { numRuns: 12 },
    )
    for (let pass = 0; pass < 4; pass += 1) for (const log of logs) await log.turn()
    assert.deepEqual(
      logs.map((log) => log.errors),
      [[], [], []],
    )
    const [one, ...others] = await Promise.all(dirs.map((dir) => expectPublished(database.db, dir, size)))
    for (const other of others) assert.equal(other, one)
    await Promise.all(logs.map((log) => log.close()))
  }))

test('tiles that were damaged on disk are made again, a checkpoint of another key is not believed', () =>
  withDatabase(async (database) => {
    const dir = await folder()
    const log = await openTestLog(database, dir)
    await addBatches(database.db, 300)
    await log.turn()
    await log.close()
    await writeFile(join(dir, 'tile/0/001.p/44'), Buffer.alloc(44 * 32))
    const mended = await openTestLog(database, dir)
    await mended.turn()
    await mended.close()
    assert.deepEqual([mended.errors, mended.rebuilds.length], [[], 1])
    const text = await expectPublished(database.db, dir, 300)
    for (const [bad, says] of [
      [text.replace('\n300\n', '\n299\n'), /not signed by the key/],
      [text.slice(0, -9), /is not readable/],
      ['', /is not readable/],
    ] as const) {
      await writeFile(join(dir, 'checkpoint'), bad)
      await assert.rejects(openTestLog(database, dir), { name: 'LogHaltError', message: says })
    }
  }))
