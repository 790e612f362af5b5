import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { on, once } from 'node:events'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createRefunds } from '#domain/refunds.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import type { Orders, Report } from './race-worker.ts'
import {
  brokenRules,
  creditTestWallet,
  openTestLedger,
  openTestWallet,
  readWallet,
  reserveOp,
  settleOp,
  type TestWallet,
} from './test-books.ts'

const PROCESSES = 2
const CLIENTS = 24
const WALLETS = 3
const PLAY_MS = Number(process.env.FLUXGATE_RACE_MS ?? 6_000)
const BALANCE = 20_000n
/** All clients together ask for ten times what the wallets have. */
const NANOS_MAX = Number((10n * BALANCE * BigInt(WALLETS)) / BigInt(PROCESSES * CLIENTS)) * 2
const RUSH = { nanos: 70n, covered: 23, each: 115 }

const worker = fileURLToPath(new URL('./race-worker.ts', import.meta.url))

let database: TestDatabase
before(async () => {
  database = await createTestDatabase()
})
after(() => database.close())

test('whoever waits for an account of its slot still books on it', async (t) => {
  // An update that had to wait for a refund under way lost its own rows, and a charge was credited to nobody.
  const { current } = await claimTestSlot(database.db, 'waiting')
  const { slot } = current()
  const { ledger } = await openTestLedger(database, { current })
  t.after(() => ledger.close())
  const wallet = await openTestWallet(database.db, slot, 1_000n)
  const op = reserveOp(wallet, 300n)
  const { seq } = await ledger.reserve(op)
  const settlement = settleOp(wallet, { requestId: op.requestId, seq: seq ?? 0n, held: 300n }, 200n)
  const expiring = { slot, walletId: wallet.id, nanos: 50n, expiresInMs: -1 }
  const refunds = createRefunds({ db: database.db, slot: { current } })
  const refund = { requestId: op.requestId, amountNanos: 80n, reason: 'test', actor: 'test', idempotencyKey: 'once' }
  const actions: [string, () => Promise<unknown>][] = [
    ['settle', () => ledger.settle(settlement)],
    ['refund', () => refunds.refund(refund)],
    ['credit', () => creditTestWallet(database.db, { slot, walletId: wallet.id, nanos: 70n })],
    ['credit what is due', () => creditTestWallet(database.db, expiring)],
    ['expire', () => ledger.reserve(reserveOp(wallet, 1n))],
  ]
  for (const [name, act] of actions) {
    const other = await database.db.connect()
    await other.query('begin')
    await other.query('update account set version = version + 1 where slot = $1', [slot])
    const acting = act()
    await untilBlocked()
    await other.query('commit')
    other.release()
    await acting
    assert.deepEqual(await brokenRules(database), [], name)
  }
  assert.deepEqual(await readWallet(database, wallet), { posted: 950n, held: 1n, seq: 2n })
})

async function untilBlocked(): Promise<void> {
  for (const lateAt = performance.now() + 5_000; ; ) {
    const { rows } = await database.db.query(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    if (rows[0].n > 0) return
    assert(performance.now() < lateAt, 'the operation waits for the account')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

interface Snapshot {
  negative: number
  unequal: string
}

test('two processes and 48 clients on three wallets never spend what is not there', async (t) => {
  const seed = Number(process.env.FLUXGATE_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`seed ${seed}`)
  const { slot } = (await claimTestSlot(database.db)).current()
  const wallets: TestWallet[] = []
  for (let n = 0; n < WALLETS; n++) wallets.push(await openTestWallet(database.db, slot, BALANCE))
  // Covers so many of the rush and not one more.
  const rushed = await openTestWallet(database.db, slot, RUSH.nanos * BigInt(RUSH.covered) + RUSH.nanos - 1n)
  for (const { id } of wallets)
    await creditTestWallet(database.db, { slot, walletId: id, nanos: BALANCE / 10n, expiresInMs: 700 })
  const deadlocksBefore = await countDeadlocks()

  const children = Array.from({ length: PROCESSES }, (_, n) => start(n))
  t.after(() => {
    for (const child of children) child.kill('SIGKILL')
  })
  const orders = {
    url: database.url,
    clients: CLIENTS,
    playMs: PLAY_MS,
    wallets: [...wallets, rushed].map(({ id, account }) => ({ id: `${id}`, account })),
    nanosMax: NANOS_MAX,
    rush: { reserves: RUSH.each, nanos: `${RUSH.nanos}` },
  }
  const running = children.map((child, n) => follow(child, { ...orders, name: `racer ${n}`, seed: seed + n }))
  let over = false
  const watching = watch(() => over)
  await Promise.all(running.map((racer) => racer.ready))
  for (const child of children) child.send('rush')
  const reports = await Promise.all(running.map((racer) => racer.report))
  over = true
  const snapshots = await watching

  for (const { errors } of reports) assert.deepEqual(errors, [])
  assert.deepEqual(
    snapshots.filter(({ negative, unequal }) => negative > 0 || unequal !== ''),
    [],
  )
  assert.deepEqual(await brokenRules(database), [])
  assert.equal((await countDeadlocks()) - deadlocksBefore, 0n)

  // Nothing is held any more but the rush, and every nano-dollar is somewhere.
  const left = await Promise.all(wallets.map((wallet) => readWallet(database, wallet)))
  assert.deepEqual(
    left.map(({ held }) => held),
    wallets.map(() => 0n),
  )
  const told = (member: 'charged' | 'refunded' | 'credited') =>
    reports.reduce((total, report) => total + BigInt(report[member]), 0n)
  const { swept, expired, refunded } = await readTotals(wallets)
  const given = (BALANCE + BALANCE / 10n) * BigInt(WALLETS) + told('credited')
  const posted = left.reduce((total, wallet) => total + wallet.posted, 0n)
  assert.equal(refunded, told('refunded'))
  assert.equal(posted, given - told('charged') - swept + refunded - expired)

  const admitted = reports.reduce((total, report) => total + report.admitted, 0)
  assert.equal(admitted, RUSH.covered)
  const rush = await readWallet(database, rushed)
  assert.equal(rush.held, RUSH.nanos * BigInt(RUSH.covered))
  assert.equal(rush.seq, BigInt(RUSH.covered))

  const calls = reports.reduce((total, report) => total + report.calls, 0)
  const abandoned = reports.reduce((total, report) => total + report.abandoned, 0)
  const refused = reports.reduce((total, report) => total + (report.statuses.insufficient ?? 0), 0)
  t.diagnostic(
    `${calls} settled, ${abandoned} swept, ${refused} refused for money, ${expired} nano-dollars expired, ${snapshots.length} snapshots`,
  )
  assert(calls > 100 && refused > 100 && expired > 0n && snapshots.length > 10, 'the race was a race')
})

function start(n: number): ChildProcess {
  return fork(worker, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, RACER: `${n}` } })
}

/** Gives a process its orders; resolves when it waits for the rush, and with its report. */
function follow(child: ChildProcess, orders: Orders): { ready: Promise<void>; report: Promise<Report> } {
  const messages = on(child, 'message', { close: ['exit'] })
  const next = async (): Promise<unknown> => {
    const { value, done } = await messages.next()
    assert(done !== true, `a racer ended early with code ${child.exitCode}`)
    return value[0]
  }
  child.send(orders)
  const ready = next().then((word) => assert.equal(word, 'ready'))
  const report = ready.then(next).then(async (result) => {
    if (child.exitCode === null) await once(child, 'exit')
    return result as Report
  })
  return { ready, report }
}

/** Looks at the whole ledger, as of one moment, again and again. */
async function watch(over: () => boolean): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = []
  const client = await database.db.connect()
  while (!over()) {
    await client.query('begin isolation level repeatable read read only')
    const { rows } = await client.query<Snapshot>(`
      select (select count(*)::int from wallet where posted < held or held < 0)
             + (select count(*)::int from account where kind = 1 and debits > credits) as negative,
             concat_ws(', ',
               case when (select sum(debits) - sum(credits) from account) <> 0 then 'debits and credits' end,
               case when (select sum(amount) from transfer) <> (select sum(debits) from account) then 'transfers and debits' end,
               case when (select sum(posted) from wallet) <> (select sum(credits - debits) from account where kind = 1)
                    then 'wallets and lots' end,
               case when (select sum(held) from wallet) <> (select coalesce(sum(amount), 0) from hold) then 'wallets and holds' end,
               case when (select coalesce(sum(charged), 0) from request_log) <> (select coalesce(sum(amount), 0) from transfer where code = 10)
                    then 'records and charges' end,
               case when (select coalesce(sum(charged), 0) from usage_15m) <> (select coalesce(sum(charged), 0) from request_log)
                    then 'records and roll-up' end) as unequal`)
    await client.query('commit')
    snapshots.push(...rows)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  client.release()
  return snapshots
}

async function countDeadlocks(): Promise<bigint> {
  const { rows } = await database.db.query('select deadlocks from pg_stat_database where datname = current_database()')
  return rows[0].deadlocks
}

async function readTotals(wallets: TestWallet[]): Promise<{ swept: bigint; expired: bigint; refunded: bigint }> {
  const { rows } = await database.db.query(
    `select (select coalesce(sum(charged), 0)::bigint from request_log where outcome = 5 and wallet_id = any ($1)) as swept,
            (select coalesce(sum(t.amount), 0)::bigint from transfer t join account a on a.id = t.debit
             where t.code = 3 and a.wallet_id = any ($1)) as expired,
            (select coalesce(sum(t.amount), 0)::bigint from transfer t join account a on a.id = t.credit
             where t.code = 11 and a.wallet_id = any ($1)) as refunded`,
    [wallets.map((wallet) => wallet.id)],
  )
  return rows[0]
}
