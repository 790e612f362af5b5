import assert from 'node:assert/strict'
import { appendFile, copyFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import pg from 'pg'
import type { Ledger, SettleOp } from '#domain/ledger.ts'
import { openSpool, parseSpool, type Spool } from '#domain/spool.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { startTcpProxy } from '#test/support/tcp-proxy.ts'
import {
  brokenRules,
  openTestLedger,
  openTestWallet,
  readCall,
  readWallet,
  reserveOp,
  settleOp,
  type TestWallet,
} from './test-books.ts'

const CALLS = 20
const CHARGE = 7n

let database: TestDatabase
let slot: Awaited<ReturnType<typeof claimTestSlot>>
let ledger: Ledger
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-spool-'))
  database = await createTestDatabase()
  slot = await claimTestSlot(database.db)
  ;({ ledger } = await openTestLedger(database, slot))
})
afterEach(async () => assert.deepEqual(await brokenRules(database), []))
after(async () => {
  await ledger.close()
  await database.close()
  await rm(folder, { recursive: true, force: true })
})

/** A wallet of 1,000 with calls that are done and not settled yet. */
async function openCalls(): Promise<{ wallet: TestWallet; ops: SettleOp[] }> {
  const wallet = await openTestWallet(database.db, slot.current().slot, 1_000n)
  const ops = await Promise.all(
    Array.from({ length: CALLS }, async () => {
      const op = reserveOp(wallet, 10n)
      const { seq } = await ledger.reserve(op)
      assert(seq !== null)
      return settleOp(wallet, { requestId: op.requestId, seq, held: 10n }, CHARGE)
    }),
  )
  return { wallet, ops }
}

/** What the next process does with what it finds. */
async function replay(spool: Spool): Promise<string[]> {
  return Promise.all(
    spool.left.map(async (op) => {
      const { status } = await ledger.settle(op)
      spool.settled(op.requestId)
      return status
    }),
  )
}

async function assertChargedOnce({ wallet, ops }: { wallet: TestWallet; ops: SettleOp[] }): Promise<void> {
  for (const { requestId } of ops) {
    const { holds, records, charged, moved } = await readCall(database, requestId)
    assert.deepEqual([holds, records, charged, moved], [0, 1, CHARGE, CHARGE])
  }
  const { posted, held } = await readWallet(database, wallet)
  assert.deepEqual([posted, held], [1_000n - BigInt(CALLS) * CHARGE, 0n])
}

test('what a dead process left is settled by the next one, once, however often it is found', async () => {
  const calls = await openCalls()
  const path = join(folder, 'left')
  const dying = await openSpool(path)
  await dying.append(calls.ops)
  await dying.close()
  await copyFile(path, `${path}-again`)
  // The next process died before it had read everything, and wrote half a line.
  await appendFile(path, (await readFile(path)).subarray(0, 100))

  const next = await openSpool(path)
  assert.deepEqual([next.left.length, next.torn], [CALLS, 1])
  assert.deepEqual(new Set(await replay(next)), new Set(['settled']))
  await next.append([])
  assert.deepEqual([next.size, (await stat(path)).size], [0, 0])
  await next.close()
  await assertChargedOnce(calls)

  const again = await openSpool(`${path}-again`)
  assert.deepEqual(new Set(await replay(again)), new Set(['already']))
  await again.close()
  await assertChargedOnce(calls)
})

test('what waits for a database that is away is on disk, and settles once though two processes have it', async (t) => {
  const { host, port, user, password, database: name } = new pg.Client(database.connection)
  const proxy = await startTcpProxy(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
  t.after(() => proxy.close())
  const path = join(folder, 'away')
  const spool = await openSpool(path)
  t.after(() => spool.close())
  let spooled: () => void = () => undefined
  const onDisk = new Promise<void>((resolve) => {
    spooled = resolve
  })
  const { ledger: cutOff } = await openTestLedger(database, slot, {
    connection: {
      host: proxy.host,
      port: proxy.port,
      ...(name !== undefined && { database: name }),
      ...(user !== undefined && { user }),
      ...(password !== undefined && { password }),
    },
    onSettleOutage: (ops) =>
      void spool.append(ops).then(() => {
        if (spool.size === CALLS) spooled()
      }),
  })
  t.after(() => cutOff.close())

  const calls = await openCalls()
  proxy.down()
  const settling = calls.ops.map(async (op) => {
    const { status } = await cutOff.settle(op)
    spool.settled(op.requestId)
    return status
  })
  await onDisk
  assert.deepEqual(
    new Set(parseSpool(await readFile(path, 'utf8')).ops.map((op) => op.requestId)),
    new Set(calls.ops.map((op) => op.requestId)),
  )
  // Half of them are settled by somebody who found the file, the rest by the process that still lives.
  await copyFile(path, `${path}-found`)
  const found = await openSpool(`${path}-found`)
  t.after(() => found.close())
  for (const op of found.left.slice(0, CALLS / 2)) assert.equal((await ledger.settle(op)).status, 'settled')
  proxy.open()
  const statuses = await Promise.all(settling)
  assert.deepEqual(
    [statuses.filter((s) => s === 'already').length, statuses.filter((s) => s === 'settled').length],
    [CALLS / 2, CALLS / 2],
  )
  await spool.append([])
  assert.deepEqual([spool.size, (await stat(path)).size], [0, 0])
  await assertChargedOnce(calls)
})

test('whatever comes and goes meanwhile, an operation that waits is in the file', async () => {
  const { wallet, ops } = await openCalls()
  const path = join(folder, 'busy')
  const spool = await openSpool(path)
  const waiting = new Set<string>()
  // Every operation comes while its predecessors go, so that the file is emptied many times and mostly in use.
  for (const [n, op] of ops.entries()) {
    const writing = spool.append([op])
    const gone = ops[n - (n % 3) - 1]
    if (gone !== undefined) {
      spool.settled(gone.requestId)
      waiting.delete(gone.requestId)
    }
    await writing
    waiting.add(op.requestId)
    if (n % 5 === 4)
      for (const requestId of waiting) {
        if (requestId === op.requestId) continue
        spool.settled(requestId)
        waiting.delete(requestId)
      }
    const inFile = new Set(parseSpool(await readFile(path, 'utf8')).ops.map(({ requestId }) => requestId))
    for (const requestId of waiting) assert(inFile.has(requestId), `after operation ${n}`)
    assert.equal(spool.size, waiting.size)
  }
  await spool.close()
  for (const op of ops) await ledger.settle(op)
  await assertChargedOnce({ wallet, ops })
})
