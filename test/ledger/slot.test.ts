import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, test } from 'node:test'
import { SLOT_LOST, sqlState } from '#db/failures.ts'
import { claimSlot, type Slot } from '#domain/slot.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import {
  accruedUsage,
  brokenRules,
  openTestLedger,
  openTestWallet,
  readCall,
  readWallet,
  reserveOp,
  settleOp,
  sweepOnce,
  untilGraceIsOver,
} from './test-books.ts'

// Longer than any test, so that no heartbeat disturbs one; silence is made by setting the clock of the slot back.
const LEASE_MS = 60_000
const SWEEP_LEASE_MS = 1_000

let database: TestDatabase
const opened: Slot[] = []

beforeEach(async () => {
  database = await createTestDatabase()
  await untilGraceIsOver(database, SWEEP_LEASE_MS)
})
afterEach(async () => {
  const broken = await brokenRules(database)
  for (const slot of opened.splice(0)) await slot.release()
  await database.close()
  assert.deepEqual(broken, [])
})
after(() => assert.equal(opened.length, 0))

async function open(instance: string, changes: Partial<Parameters<typeof claimSlot>[0]> = {}): Promise<Slot> {
  const slot = await claimSlot({
    db: database.db,
    instance,
    leaseMs: LEASE_MS,
    onLost: () => undefined,
    onError: (error) => assert.fail(String(error)),
    ...changes,
  })
  opened.push(slot)
  return slot
}

/** Its process has said nothing for an hour. */
function silence({ current }: Pick<Slot, 'current'>) {
  return database.db.query(`update gateway_slot set heartbeat_at = now() - interval '1 hour' where slot = $1`, [
    current().slot,
  ])
}

async function countSlots(): Promise<number> {
  const { rows } = await database.db.query('select count(*)::int as n from gateway_slot')
  return rows[0].n
}

test('processes that start at once get a slot each, with accounts of its own', async () => {
  const slots = await Promise.all(Array.from({ length: 16 }, (_, n) => open(`gateway ${n}`)))
  assert.equal(new Set(slots.map((slot) => slot.current().slot)).size, 16)
  const { rows } = await database.db.query(
    'select slot, count(*)::int as n from account where wallet_id is null group by slot',
  )
  assert.deepEqual(
    rows.map((row) => row.n),
    Array.from({ length: 16 }, () => 7),
  )
})

test('a process that starts again on its data takes its own slot at once, under the next epoch', async () => {
  const first = (await open('gateway')).current()
  await open('another')
  assert.deepEqual((await open('gateway')).current(), { slot: first.slot, epoch: first.epoch + 1n })
})

test('no two processes ever have one slot under one epoch', async () => {
  const leases: string[] = []
  for (let round = 0; round < 6; round++) {
    // Two names, so that some come back to a slot and others take one that was left.
    const slots = await Promise.all(Array.from({ length: 6 }, (_, n) => open(`gateway ${n % 4} ${round % 2}`)))
    for (const { current } of slots) leases.push(`${current().slot} ${current().epoch}`)
    for (const slot of slots) if (leases.length % 3 === 0) await silence(slot)
  }
  assert.equal(new Set(leases).size, leases.length)
})

test('a slot that is released, or silent for two leases, is used again; a living one is not', async () => {
  const [alive, released, silent] = [await open('alive'), await open('released'), await open('silent')]
  await released.release()
  await silence(silent)
  const taken = [await open('a'), await open('b'), await open('c')].map((slot) => slot.current().slot)
  assert.deepEqual(taken.slice(0, 2).sort(), [released.current().slot, silent.current().slot].sort())
  assert(!taken.includes(alive.current().slot))
})

test('releasing a lease that was lost does not release its successor', async () => {
  const paused = await open('paused')
  await silence(paused)
  const successor = await open('successor')
  assert.equal(successor.current().slot, paused.current().slot)
  await paused.release()
  const { rows } = await database.db.query('select released, epoch from gateway_slot')
  assert.deepEqual(rows, [{ released: false, epoch: successor.current().epoch }])
})

test('a slot is not taken over while calls are held under it, however silent its owner is', async () => {
  const slot = await open('cut off')
  const { ledger } = await openTestLedger(database, slot)
  const wallet = await openTestWallet(database.db, slot.current().slot, 1_000n)
  const op = reserveOp(wallet, 100n)
  const { seq } = await ledger.reserve(op)
  await silence(slot)

  const newcomer = await open('newcomer')
  assert.notEqual(newcomer.current().slot, slot.current().slot)
  const { ledger: other } = await openTestLedger(database, newcomer)
  assert.equal(await sweepOnce(database, other, newcomer, SWEEP_LEASE_MS), 0, 'its hold has not run out')

  // The database can be reached again, and the call ends as if nothing had been.
  const progress = { requestId: op.requestId, walletId: wallet.id, add: 50n, accrued: 80n, accruedUsage: '{}' }
  assert.equal(await ledger.extend(progress), 50n)
  const settled = await ledger.settle(settleOp(wallet, { requestId: op.requestId, seq: seq ?? 0n, held: 150n }, 140n))
  assert.deepEqual(settled, { status: 'settled', charged: 140n })
  assert.notEqual((await open('later')).current().slot, newcomer.current().slot)
  await Promise.all([ledger.close(), other.close()])
})

test('a paused gateway is fenced: no reserve, no extension, and its swept call is charged once', async () => {
  const paused = await open('paused')
  const lease = paused.current()
  const lost: unknown[] = []
  const { ledger } = await openTestLedger(database, paused, { holdTtlMs: 1 })
  const wallet = await openTestWallet(database.db, lease.slot, 1_000n)
  const op = reserveOp(wallet, 300n)
  const { seq } = await ledger.reserve(op)
  const progress = { requestId: op.requestId, walletId: wallet.id, add: 100n, accrued: 250n }
  await ledger.extend({ ...progress, accruedUsage: accruedUsage(250n) })
  await silence(paused)

  // Others take it for dead: its hold is settled at its progress, then its slot is used again.
  const sweeping = await open('sweeping')
  const { ledger: other } = await openTestLedger(database, sweeping)
  assert.equal(await sweepOnce(database, other, sweeping, SWEEP_LEASE_MS), 1)
  const successor = await open('successor')
  assert.deepEqual(successor.current(), { slot: lease.slot, epoch: lease.epoch + 1n })

  // It wakes up and does not know yet.
  const stale = await openTestLedger(database, { current: () => lease }, { reserveGiveUpMs: 150 })
  await assert.rejects(stale.ledger.reserve(reserveOp(wallet, 1n)), { name: 'GivenUpError' })
  const extending = { ...progress, accruedUsage: '{}' }
  await assert.rejects(stale.ledger.extend(extending), { name: 'GivenUpError' })
  for (const error of stale.outages) lost.push(sqlState(error))
  assert(lost.length > 0 && lost.every((state) => state === SLOT_LOST), lost.join())
  const late = await stale.ledger.settle(
    settleOp(wallet, { requestId: op.requestId, seq: seq ?? 0n, held: 400n }, 400n),
  )
  assert.deepEqual(late, { status: 'already', charged: 250n })
  const { records, moved, outcome } = await readCall(database, op.requestId)
  assert.deepEqual({ records, moved, outcome }, { records: 1, moved: 250n, outcome: 'gateway_lost' })

  // It claims a new lease and goes on under it; the old call stays lost.
  assert.equal((await ledger.reserve(reserveOp(wallet, 1n))).status, 'reserved')
  assert.notEqual(paused.current().slot, lease.slot)
  assert.equal(await ledger.extend(extending), -1n)
  assert.deepEqual(await readWallet(database, wallet), { posted: 750n, held: 1n, seq: 2n })
  await Promise.all([ledger.close(), other.close(), stale.ledger.close()])
})

test('however many operations learn that a lease is lost, it is replaced once', async () => {
  const lost: unknown[] = []
  const slot = await open('gateway', { onLost: (lease) => lost.push(lease) })
  const { ledger } = await openTestLedger(database, slot)
  const wallet = await openTestWallet(database.db, slot.current().slot, 1_000n)
  const call = reserveOp(wallet, 1n)
  await ledger.reserve(call)
  for (let round = 0; round < 5; round++) {
    const before = await countSlots()
    await database.db.query('update gateway_slot set epoch = epoch + 1 where slot = $1', [slot.current().slot])
    const extending = { requestId: call.requestId, walletId: wallet.id, add: 0n, accrued: 0n, accruedUsage: '{}' }
    const answers = await Promise.all([
      ledger.reserve(reserveOp(wallet, 1n)),
      ledger.extend(extending),
      ledger.reserve(reserveOp(wallet, 1n)),
      slot.reclaim(slot.current()),
    ])
    assert.equal(answers[1], -1n)
    assert.equal(await countSlots(), before + 1)
    assert.equal(lost.length, round + 1)
  }
  // The refusal of an old lease says nothing about its successor.
  const current = slot.current()
  await slot.reclaim({ slot: current.slot, epoch: current.epoch - 1n })
  assert.deepEqual(slot.current(), current)
  await ledger.close()
})

test('a heartbeat keeps the lease, and notices alone when it is lost', async () => {
  let notice: (lease: unknown) => void = () => undefined
  const noticed = new Promise((resolve) => {
    notice = resolve
  })
  const slot = await open('beating', { leaseMs: 250, onLost: notice })
  const lease = slot.current()
  await silence(slot)
  for (;;) {
    const { rows } = await database.db.query(
      `select heartbeat_at > now() - interval '1 second' as fresh from gateway_slot`,
    )
    if (rows[0].fresh) break
  }
  await database.db.query('update gateway_slot set epoch = epoch + 1, instance = $1', ['another'])
  assert.deepEqual(await noticed, lease)
  while (slot.current().slot === lease.slot) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(await countSlots(), 2)
})
