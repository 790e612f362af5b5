import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { Ledger } from '#domain/ledger.ts'
import { claimSlot, type Slot } from '#domain/slot.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import {
  accruedUsage,
  brokenRules,
  creditTestWallet,
  openTestLedger,
  openTestWallet,
  readCall,
  readWallet,
  reserveOp,
  sweepOnce,
  type TestWallet,
  untilGraceIsOver,
} from './test-books.ts'

const LEASE_MS = 2_000
const MINUTE_MS = 60_000

let database: TestDatabase
const opened: { slot: Slot; ledger: Ledger }[] = []
let wallet: TestWallet

beforeEach(async () => {
  database = await createTestDatabase()
  await untilGraceIsOver(database, LEASE_MS)
})
afterEach(async () => {
  const broken = await brokenRules(database)
  for (const { slot, ledger } of opened.splice(0)) {
    await ledger.close()
    await slot.release()
  }
  await database.close()
  assert.deepEqual(broken, [])
})

/** A gateway that beats all the time; one that is to fall silent has a lease too long for that. */
async function open(instance: string, holdTtlMs = MINUTE_MS, leaseMs = LEASE_MS) {
  const slot = await claimSlot({
    db: database.db,
    instance,
    leaseMs,
    onLost: () => undefined,
    onError: (error) => assert.fail(String(error)),
  })
  const { ledger } = await openTestLedger(database, slot, { holdTtlMs })
  opened.push({ slot, ledger })
  if (opened.length === 1) wallet = await openTestWallet(database.db, slot.current().slot, 1_000_000n)
  const sweep = (onError?: (error: unknown) => void) => sweepOnce(database, ledger, slot, LEASE_MS, onError)
  return { slot, ledger, sweep }
}

/** A call that has delivered as much as it accrued. */
async function call(ledger: Ledger, accrued = 0n): Promise<{ requestId: string; attempt: string }> {
  const op = reserveOp(wallet, 100n)
  assert.equal((await ledger.reserve(op)).status, 'reserved')
  const progress = { requestId: op.requestId, walletId: wallet.id, add: 0n, accrued }
  if (accrued > 0n) assert.equal(await ledger.extend({ ...progress, accruedUsage: accruedUsage(accrued) }), 0n)
  return op
}

async function fate(requestId: string): Promise<string> {
  const { holds, records, charged, outcome } = await readCall(database, requestId)
  return holds === 1 && records === 0 ? 'open' : `${outcome} ${charged}`
}

function silence({ current }: Slot) {
  return database.db.query(`update gateway_slot set heartbeat_at = now() - interval '1 hour' where slot = $1`, [
    current().slot,
  ])
}

test('a process that starts again settles at once what its last life left, at its progress', async () => {
  const before = await open('gateway')
  const [streaming, waiting] = [await call(before.ledger, 70n), await call(before.ledger)]
  const after = await open('gateway')
  assert.equal(await after.sweep(), 2)
  assert.deepEqual(
    [await fate(streaming.requestId), await fate(waiting.requestId)],
    ['gateway_lost 70', 'gateway_lost 0'],
  )
  assert.deepEqual(await readWallet(database, wallet), { posted: 999_930n, held: 0n, seq: 2n })
})

test('a receipt of a lost call claims no attempt that nobody knows of', async () => {
  const { ledger, sweep } = await open('gateway', 1)
  const calls = [await call(ledger), await call(ledger, 70n)]
  for (const { attempt } of calls) ledger.forget(attempt)
  assert.equal(await sweep(), 2)
  const attempts = calls.map(async ({ requestId }) => {
    const { rows } = await database.db.query('select attempts from request_log where request_id = $1', [requestId])
    return rows[0]?.attempts
  })
  assert.deepEqual(await Promise.all(attempts), [0, 1])
})

test('a hold of a living gateway is left alone, however old it is', async () => {
  const [owner, other] = [await open('owner', 1), await open('other')]
  const { requestId } = await call(owner.ledger)
  assert.deepEqual([await owner.sweep(), await other.sweep()], [0, 0])
  assert.equal(await fate(requestId), 'open')
})

test('a call that its gateway has forgotten is swept by it, when its hold has run out', async () => {
  const [short, long] = [await open('short', 1), await open('long')]
  const [past, future] = [await call(short.ledger, 20n), await call(long.ledger)]
  short.ledger.forget(past.attempt)
  long.ledger.forget(future.attempt)
  assert.deepEqual([await short.sweep(), await long.sweep()], [1, 0])
  assert.deepEqual([await fate(past.requestId), await fate(future.requestId)], ['gateway_lost 20', 'open'])
})

test('a hold of a silent gateway is swept by others, when it has run out', async () => {
  const silent = await open('silent', 1, MINUTE_MS)
  const patient = await open('patient', MINUTE_MS, MINUTE_MS)
  const other = await open('other')
  const [past, future] = [await call(silent.ledger, 33n), await call(patient.ledger, 44n)]
  await silence(silent.slot)
  await silence(patient.slot)
  assert.equal(await other.sweep(), 1)
  assert.deepEqual([await fate(past.requestId), await fate(future.requestId)], ['gateway_lost 33', 'open'])
})

test('many sweepers at once charge a lost call once', async () => {
  const lost = await open('lost', 1, MINUTE_MS)
  const calls = await Promise.all(Array.from({ length: 20 }, () => call(lost.ledger, 11n)))
  await silence(lost.slot)
  const others = await Promise.all(Array.from({ length: 4 }, (_, n) => open(`other ${n}`)))
  const swept = await Promise.all(others.map((other) => other.sweep()))
  assert.equal(
    swept.reduce((sum, count) => sum + count, 0),
    20,
  )
  for (const { requestId } of calls) assert.equal(await fate(requestId), 'gateway_lost 11')
  assert.deepEqual(await readWallet(database, wallet), { posted: 1_000_000n - 220n, held: 0n, seq: 20n })
})

test('calls that run on past their holds do not hide the lost ones behind them', async () => {
  const { ledger, sweep } = await open('busy', 1)
  const running = await Promise.all(Array.from({ length: 600 }, () => call(ledger)))
  const lost = await call(ledger, 5n)
  ledger.forget(lost.attempt)
  assert.equal(await sweep(), 1)
  assert.equal(await fate(lost.requestId), 'gateway_lost 5')
  assert.equal(await fate(running[0]?.requestId ?? ''), 'open')
})

test('one hold that cannot be settled keeps neither the others nor the lots from being swept', async () => {
  const { slot, ledger, sweep } = await open('gateway', 1)
  const bad = reserveOp(wallet, 10n, { context: '{"targets":[]}' })
  const worse = reserveOp(wallet, 10n, { context: 'not JSON' })
  for (const op of [bad, worse]) assert.equal((await ledger.reserve(op)).status, 'reserved')
  const good = await call(ledger, 9n)
  for (const { attempt } of [bad, worse, good]) ledger.forget(attempt)
  const expiring = await openTestWallet(database.db, slot.current().slot, 0n)
  const lot = { slot: slot.current().slot, walletId: expiring.id, nanos: 77n }
  await creditTestWallet(database.db, { ...lot, expiresInMs: -1 })

  const errors: unknown[] = []
  assert.equal(await sweep((error) => errors.push(error)), 1)
  assert.equal(errors.length, 2)
  assert.equal(await fate(good.requestId), 'gateway_lost 9')
  assert.deepEqual([await fate(bad.requestId), await fate(worse.requestId)], ['open', 'open'])
  assert.equal((await readWallet(database, expiring)).posted, 0n)
})

test('progress that says more than it accrued is charged at what it accrued', async () => {
  const { ledger, sweep } = await open('gateway', 1)
  const op = reserveOp(wallet, 100n)
  await ledger.reserve(op)
  const progress = { requestId: op.requestId, walletId: wallet.id, add: 0n, accrued: 40n }
  await ledger.extend({ ...progress, accruedUsage: accruedUsage(60n) })
  ledger.forget(op.attempt)
  assert.equal(await sweep(), 1)
  assert.equal(await fate(op.requestId), 'gateway_lost 40')
})
