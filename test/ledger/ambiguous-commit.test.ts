import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Ledger, LedgerOptions, ReserveOp } from '#domain/ledger.ts'
import { GivenUpError } from '#lib/group-commit.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { type Fault, startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts'
import { createSeededRandom } from './seeded-random.ts'
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
  type TestWallet,
} from './test-books.ts'

const QUERY_MS_MAX = 200
const PLENTY = 1_000_000_000n

let database: TestDatabase
let slot: Awaited<ReturnType<typeof claimTestSlot>>
/** Where the database really is. */
let address: pg.ClientConfig
let proxy: TcpProxy
/** Sees the database through the proxy. */
let ledger: Ledger
let outages: unknown[]
/** Sees it directly: it prepares what the tested operation finds. */
let direct: Ledger

before(async () => {
  database = await createTestDatabase()
  slot = await claimTestSlot(database.db)
  const { host, port, user, password, database: name } = new pg.Client(database.connection)
  address = {
    host,
    port,
    database: name,
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
  }
  proxy = await startTcpProxy(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
  ;({ ledger, outages } = await openProxied())
  ;({ ledger: direct } = await openTestLedger(database, slot))
})
afterEach(async () => {
  assert.deepEqual(await brokenRules(database), [])
})
after(async () => {
  await Promise.all([ledger.close(), direct.close()])
  await proxy.close()
  await database.close()
})

function openProxied(changes: Partial<LedgerOptions> = {}) {
  const { host, port } = proxy
  const connection = { ...address, host, port, query_timeout: QUERY_MS_MAX, connectionTimeoutMillis: QUERY_MS_MAX }
  return openTestLedger(database, slot, { connection, ...changes })
}

interface Case {
  /** The operation under test. Resolves when its caller has an answer that is true. */
  act(): Promise<void>
  /** What the database must say afterwards, whatever the wire did. */
  check(): Promise<void>
}

const operations: Record<string, (through: Ledger, wallet: TestWallet) => Promise<Case>> = {
  async reserve(through, wallet) {
    const op = reserveOp(wallet, 700n)
    const before = await readWallet(database, wallet)
    return {
      async act() {
        const { status, granted, seq } = await through.reserve(op)
        assert.deepEqual({ status, granted, seq }, { status: 'reserved', granted: 700n, seq: before.seq + 1n })
      },
      async check() {
        const { holds, held } = await readCall(database, op.requestId)
        assert.deepEqual({ holds, held }, { holds: 1, held: 700n })
        assert.deepEqual(await readWallet(database, wallet), {
          ...before,
          held: before.held + 700n,
          seq: before.seq + 1n,
        })
      },
    }
  },

  async extend(through, wallet) {
    const op = await reserved(wallet, 700n)
    const before = await readWallet(database, wallet)
    return {
      async act() {
        const granted = await through.extend({
          requestId: op.requestId,
          walletId: wallet.id,
          add: 300n,
          accrued: 650n,
          accruedUsage: accruedUsage(650n),
        })
        assert.equal(granted, 300n)
      },
      async check() {
        const { held, accrued } = await readCall(database, op.requestId)
        assert.deepEqual({ held, accrued }, { held: 1_000n, accrued: 650n })
        assert.deepEqual(await readWallet(database, wallet), { ...before, held: before.held + 300n })
      },
    }
  },

  async settle(through, wallet) {
    const op = await reserved(wallet, 700n)
    const before = await readWallet(database, wallet)
    return {
      async act() {
        const { status, charged } = await through.settle(settleOp(wallet, op, 450n))
        assert(status === 'settled' || status === 'already', status)
        assert.equal(charged, 450n)
      },
      async check() {
        const { holds, records, charged, moved } = await readCall(database, op.requestId)
        assert.deepEqual({ holds, records, charged, moved }, { holds: 0, records: 1, charged: 450n, moved: 450n })
        assert.deepEqual(await readWallet(database, wallet), {
          ...before,
          posted: before.posted - 450n,
          held: before.held - 700n,
        })
      },
    }
  },
}

/** A hold that was made beside the proxy. */
async function reserved(wallet: TestWallet, nanos: bigint) {
  const op = reserveOp(wallet, nanos)
  const { seq } = await direct.reserve(op)
  assert(seq !== null)
  return { requestId: op.requestId, attempt: op.attempt, seq, held: nanos }
}

function openWallet(nanos = PLENTY): Promise<TestWallet> {
  return openTestWallet(database.db, slot.current().slot, nanos)
}

/** An operation on the lane, so that the next one finds an open connection and a prepared statement. */
async function warmUp(name: string, wallet: TestWallet): Promise<void> {
  const { act } = await (operations[name] ?? assert.fail())(ledger, wallet)
  await act()
}

for (const name of Object.keys(operations)) {
  test(`${name}: a connection cut at any message, in either direction, changes nothing`, async (t) => {
    const wallet = await openWallet()
    const prepare = operations[name] ?? assert.fail()
    await warmUp(name, wallet)
    const probe = await prepare(ledger, wallet)
    const seen = proxy.watch()
    await probe.act()
    const messages = { request: count(seen, '>'), reply: count(seen, '<') }
    assert(messages.request >= 4 && messages.reply >= 4, `an operation is a few messages: ${seen.join(' ')}`)

    let cases = 0
    for (const side of ['request', 'reply'] as const) {
      for (let message = 0; message < messages[side]; message++) {
        for (const cut of ['before', 'within', 'after'] as const) {
          await warmUp(name, wallet)
          const { act, check } = await prepare(ledger, wallet)
          const place = `${cut} ${side} message ${message} of ${messages[side]}`
          const broken = proxy.arm({ side, message, cut, how: 'close' })
          await act().catch((cause) => assert.fail(new Error(place, { cause })))
          await broken
          await settleDown()
          await check().catch((cause) => assert.fail(new Error(place, { cause })))
          cases += 1
        }
      }
    }
    t.diagnostic(`${cases} places; ${seen.join(' ')}`)
  })

  for (const withheld of ['arrives', 'lost'] as const) {
    test(`${name}: when the network falls silent and what it held back ${withheld}, it happens once`, async () => {
      const wallet = await openWallet()
      const places: Fault[] = [
        { side: 'request', message: 0, cut: 'before', how: 'silence' },
        { side: 'request', message: 2, cut: 'within', how: 'silence' },
        { side: 'reply', message: 0, cut: 'before', how: 'silence' },
        { side: 'reply', message: 3, cut: 'after', how: 'silence' },
      ]
      for (const fault of places) {
        await warmUp(name, wallet)
        const { act, check } = await (operations[name] ?? assert.fail())(ledger, wallet)
        const broken = proxy.arm(fault)
        const acting = act()
        await broken
        // Long enough for the lane to notice, so that the withheld statement meets the one that was sent again.
        await delay(QUERY_MS_MAX * 1.2)
        await proxy.heal(withheld)
        await acting
        await settleDown()
        await check()
      }
    })
  }
}

test('a connection that breaks while it is opened is opened again', async () => {
  const wallet = await openWallet()
  for (let message = 0; message < 6; message++) {
    proxy.down()
    const { act, check } = await (operations.reserve ?? assert.fail())(ledger, wallet)
    const acting = act()
    await until(() => outages.length > 0)
    await proxy.heal('lost')
    const broken = proxy.arm({ side: 'reply', message, cut: 'within', how: 'close' })
    await acting
    await broken
    await check()
    outages.length = 0
  }
})

test('an extension that arrives after its successor changes nothing', async () => {
  const wallet = await openWallet()
  await warmUp('extend', wallet)
  const op = await reserved(wallet, 100n)
  const extend = (add: bigint) =>
    ledger.extend({ requestId: op.requestId, walletId: wallet.id, add, accrued: 0n, accruedUsage: '{}' })
  const broken = proxy.arm({ side: 'request', message: 0, cut: 'before', how: 'silence' })
  const first = extend(10n)
  await broken
  proxy.open()
  assert.deepEqual([await first, await extend(20n)], [10n, 20n])
  await proxy.release('arrives')
  await settleDown()
  assert.equal((await readCall(database, op.requestId)).held, 130n)
})

test('slowness alone costs nothing but time', async () => {
  const wallet = await openWallet()
  proxy.setLatency(25)
  const cases = await Promise.all(
    Array.from({ length: 8 }, async () => ({ op: await reserved(wallet, 50n), add: reserveOp(wallet, 10n) })),
  )
  const answers = await Promise.all(
    cases.flatMap(({ op, add }) => [
      ledger.settle(settleOp(wallet, op, 20n)).then((result) => result.status),
      ledger.reserve(add).then((result) => result.status),
    ]),
  )
  proxy.setLatency(0)
  // On a busy machine a slow answer may come too late and be asked for again.
  for (const answer of answers) assert(['settled', 'already', 'reserved'].includes(answer), answer)
  assert.deepEqual(await readWallet(database, wallet), { posted: PLENTY - 160n, held: 80n, seq: 16n })
})

test('a reserve is refused in bounded time while the database is away, and its hold, if any, is swept', async () => {
  const wallet = await openWallet(1_000n)
  const short = await openProxied({ reserveGiveUpMs: 300, holdTtlMs: 150 })
  await short.ledger.reserve(reserveOp(wallet, 0n))

  const ops: ReserveOp[] = []
  for (const away of ['reply lost', 'silent', 'down'] as const) {
    const op = reserveOp(wallet, 100n)
    ops.push(op)
    if (away === 'reply lost') void proxy.arm({ side: 'reply', message: 0, cut: 'before', how: 'silence' })
    else if (away === 'silent') proxy.silence()
    else proxy.down()
    const startedAt = performance.now()
    const error = await short.ledger.reserve(op).catch((failure) => failure)
    const tookMs = performance.now() - startedAt
    assert(error instanceof GivenUpError, String(error))
    assert.equal(error.sent, true)
    assert(tookMs < 2_000, `refused after ${tookMs} ms`)
    assert.equal(short.ledger.isRunning(op.attempt), false)
    await proxy.heal('lost')
  }
  const [made] = ops
  assert(made !== undefined)
  assert.equal((await readCall(database, made.requestId)).holds, 1, 'the first one was committed unseen')

  await delay(200)
  assert((await sweepOnce(database, direct, slot, 60_000)) >= 1)
  for (const op of ops) {
    const { holds, charged } = await readCall(database, op.requestId)
    assert.deepEqual([holds, charged ?? 0n], [0, 0n])
  }
  await short.ledger.close()
})

test('closing ends in bounded time while the network is silent, and whoever waited is told', async () => {
  const wallet = await openWallet()
  const { ledger: closing } = await openProxied()
  await closing.reserve(reserveOp(wallet, 1n))
  await closing.settle(settleOp(wallet, await reserved(wallet, 1n), 1n))
  const op = await reserved(wallet, 100n)
  proxy.silence()
  const settling = closing.settle(settleOp(wallet, op, 100n)).catch((error) => error)
  const startedAt = performance.now()
  await closing.close()
  assert(performance.now() - startedAt < 3_000)
  assert((await settling) instanceof GivenUpError)
  await proxy.heal('lost')
})

test('a lane whose database refuses it for a while comes back by itself', async () => {
  const wallet = await openWallet()
  const { ledger: refused, outages: met } = await openProxied()
  const op = await reserved(wallet, 100n)
  // Not a passing failure by its code, but no fault of any operation either.
  const admin = new pg.Client({ ...address, database: 'template1' })
  await admin.connect()
  await admin.query(`alter database ${database.name} with allow_connections false`)
  const settling = refused.settle(settleOp(wallet, op, 60n))
  const reserving = refused.reserve(reserveOp(wallet, 5n))
  await until(() => met.length > 1)
  await admin.query(`alter database ${database.name} with allow_connections true`)
  await admin.end()
  assert.equal((await settling).status, 'settled')
  assert.equal((await reserving).status, 'reserved')
  await refused.close()
})

test('a connection that tells its end late takes nothing from its successor', async () => {
  const wallet = await openWallet()
  const { ledger: lane, outages: met } = await openProxied()
  const others = await admissionLanes()
  await lane.reserve(reserveOp(wallet, 1n))
  const [old] = (await admissionLanes()).filter((pid) => !others.includes(pid))
  // The server says farewell, and the end of the connection follows when there is a new one.
  const broken = proxy.arm({ side: 'reply', message: 0, cut: 'after', how: 'silence' })
  await database.db.query('select pg_terminate_backend($1)', [old])
  await broken
  await until(() => met.length === 1)
  proxy.open()
  await lane.reserve(reserveOp(wallet, 1n))
  proxy.cutOff()
  await until(() => met.length === 2)
  await lane.reserve(reserveOp(wallet, 1n))
  assert.equal((await admissionLanes()).filter((pid) => !others.includes(pid)).length, 1)
  await lane.close()
})

async function admissionLanes(): Promise<number[]> {
  const { rows } = await database.db.query(
    `select pid from pg_stat_activity where datname = $1 and query like 'select status, seq, granted%'`,
    [database.name],
  )
  return rows.map((row) => row.pid)
}

test('no connection is left behind, however many broke', async () => {
  await settleDown()
  const { rows } = await database.db.query(
    `select count(*)::int as n from pg_stat_activity where datname = $1 and query like 'select%from%($1,%'`,
    [database.name],
  )
  assert(rows[0].n <= 4, `two ledgers have two lanes each, and there are ${rows[0].n} connections`)
})

test('under random cuts no acknowledged settlement is lost and none is charged twice', async (t) => {
  const seed = Number(process.env.FLUXGATE_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`seed ${seed}`)
  const random = createSeededRandom(seed)
  const wallet = await openWallet()
  const { ledger: patient } = await openProxied({ reserveGiveUpMs: 30_000 })
  let cutting = true
  let cuts = 0
  const cutter = (async () => {
    while (cutting) {
      const [side, cut] = [random.pick(['request', 'reply']), random.pick(['before', 'within', 'after'])]
      void proxy.arm({ side, message: random.integer(0, 59), cut, how: 'close' })
      cuts += 1
      await delay(random.integer(20, 60))
    }
  })()
  const acknowledged = new Map<string, bigint>()
  async function call(): Promise<void> {
    const op = reserveOp(wallet, 100n)
    const { seq } = await patient.reserve(op)
    assert(seq !== null)
    const progress = { requestId: op.requestId, walletId: wallet.id, accrued: 10n, accruedUsage: accruedUsage(10n) }
    assert.equal(await patient.extend({ ...progress, add: 50n }), 50n)
    const nanos = BigInt(random.integer(0, 150))
    const { charged } = await patient.settle(settleOp(wallet, { requestId: op.requestId, seq, held: 150n }, nanos))
    assert.equal(charged, nanos)
    acknowledged.set(op.requestId, nanos)
  }
  try {
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        for (let n = 0; n < 60; n++) await call()
      }),
    )
  } finally {
    cutting = false
    await cutter
    await proxy.heal('lost')
    await patient.close()
  }
  await settleDown()
  const { rows } = await database.db.query('select request_id, charged from request_log where wallet_id = $1', [
    wallet.id,
  ])
  assert.deepEqual(new Map(rows.map((row) => [row.request_id.replaceAll('-', ''), row.charged])), acknowledged)
  const spent = [...acknowledged.values()].reduce((sum, nanos) => sum + nanos, 0n)
  assert.deepEqual(await readWallet(database, wallet), { posted: PLENTY - spent, held: 0n, seq: 720n })
  t.diagnostic(`${cuts} cuts armed, ${acknowledged.size} calls`)
})

function count(seen: string[], mark: string): number {
  return seen.filter((name) => name.startsWith(mark)).length
}

/** Waits until no statement of a broken connection still runs on the server. */
async function settleDown(): Promise<void> {
  for (;;) {
    const { rows } = await database.db.query(
      `select count(*)::int as n from pg_stat_activity
       where datname = $1 and pid <> pg_backend_pid() and state = 'active' and backend_type = 'client backend'`,
      [database.name],
    )
    if (rows[0].n === 0) return
    await delay(5)
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000
  while (!condition()) {
    assert(performance.now() < deadline, 'what was waited for never happened')
    await delay(5)
  }
}
