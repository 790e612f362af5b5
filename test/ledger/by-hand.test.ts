import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { sqlState } from '#db/failures.ts'
import { connectLane } from '#db/pool.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'
import { openSqlHistory } from './sql-ledger.ts'
import {
  brokenRules,
  creditTestWallet,
  openTestLedger,
  openTestWallet,
  readCall,
  readWallet,
  reserveOp,
  settleOp,
  type TestWallet,
} from './test-books.ts'

const RESTRICT = '23001'
const INTEGRITY = '23000'
const CHECK = '23514'
const UNIQUE = '23505'
const FOREIGN_KEY = '23503'
const NOT_NULL = '23502'
const OUT_OF_RANGE = '22003'

let database: TestDatabase
let slot: Awaited<ReturnType<typeof claimTestSlot>>
let open: Awaited<ReturnType<typeof openTestLedger>>
/** Has 10,000 nano-dollars, of which an open call holds 400 and a settled one paid 300. */
let wallet: TestWallet
let held: string
let settled: string

before(async () => {
  database = await createTestDatabase()
  slot = await claimTestSlot(database.db)
  open = await openTestLedger(database, slot)
  wallet = await openTestWallet(database.db, slot.current().slot, 10_000n)
  held = (await reserve(400n)).requestId
  const call = await reserve(500n)
  settled = call.requestId
  await open.ledger.settle(settleOp(wallet, call, 300n))
})
after(async () => {
  await open.ledger.close()
  const [broken, left] = [await brokenRules(database), await readWallet(database, wallet)]
  await database.close()
  assert.deepEqual(broken, [])
  assert.deepEqual([left.posted, left.held], [9_700n, 400n])
})

async function reserve(nanos: bigint, from = wallet) {
  const op = reserveOp(from, nanos)
  const { seq, status } = await open.ledger.reserve(op)
  assert(seq !== null, status)
  return { requestId: op.requestId, seq, held: nanos }
}

// $1 is the wallet, $2 its open call, $3 its settled call.
const refusals: [string, string, string][] = [
  // What was written stays.
  ['a transfer is not altered', RESTRICT, `update transfer set amount = 1 where ref = $3`],
  ['a transfer is not deleted', RESTRICT, `delete from transfer where ref = $3`],
  ['a record is not altered', RESTRICT, `update request_log set charged = 0 where request_id = $3`],
  ['a record is not deleted', RESTRICT, `delete from request_log where request_id = $3`],
  ['a batch is not altered', RESTRICT, `update receipt_batch set settled_at = now()`],
  ['a batch is not deleted', RESTRICT, `delete from receipt_batch`],
  ['a grant is not altered', RESTRICT, `update adjustment set reason = 'another' where wallet_id = $1`],
  ['a grant is not deleted', RESTRICT, `delete from adjustment where wallet_id = $1`],
  ['transfers are not truncated', RESTRICT, `truncate transfer`],
  ['records are not truncated', RESTRICT, `truncate request_log`],
  ['batches are not truncated', RESTRICT, `truncate receipt_batch cascade`],
  ['grants are not truncated', RESTRICT, `truncate adjustment`],
  ['accounts are not truncated away from their transfers', RESTRICT, `truncate account cascade`],
  ['wallets are not truncated away from their books', RESTRICT, `truncate wallet cascade`],
  ['an account with transfers is not deleted', FOREIGN_KEY, `delete from account where wallet_id = $1`],
  ['a wallet with lots is not deleted', FOREIGN_KEY, `delete from wallet where id = $1`],

  // Counters only grow.
  ['a wallet is not changed behind its version', INTEGRITY, `update wallet set posted = posted + 1 where id = $1`],
  ['a version is not skipped', INTEGRITY, `update wallet set version = version + 2 where id = $1`],
  ['call numbers do not go back', INTEGRITY, `update wallet set seq = seq - 1, version = version + 1 where id = $1`],
  [
    'a wallet keeps the name that receipts show',
    INTEGRITY,
    `update wallet set account = 'acc_' || repeat('0', 32), version = version + 1 where id = $1`,
  ],
  [
    'debits do not go back',
    INTEGRITY,
    `update account set debits = debits - 1, version = version + 1 where wallet_id = $1`,
  ],
  [
    'credits do not go back',
    INTEGRITY,
    `update account set credits = credits - 1, version = version + 1 where wallet_id = $1`,
  ],
  [
    'an account is not changed behind its version',
    INTEGRITY,
    `update account set credits = credits + 1 where kind = 2`,
  ],
  [
    'a lot does not change hands',
    INTEGRITY,
    `update account set wallet_id = wallet_id + 1, version = version + 1 where wallet_id = $1`,
  ],

  // Nothing is spent that is not there.
  [
    'more is not held than is posted',
    CHECK,
    `update wallet set held = posted + 1, version = version + 1 where id = $1`,
  ],
  [
    'less is not posted than is held',
    CHECK,
    `update wallet set posted = held - 1, version = version + 1 where id = $1`,
  ],
  ['nothing negative is held', CHECK, `update wallet set held = -1, version = version + 1 where id = $1`],
  [
    'a lot is not overdrawn',
    CHECK,
    `update account set debits = credits + 1, version = version + 1 where wallet_id = $1`,
  ],
  [
    'a lot with money is not closed',
    CHECK,
    `update account set open = false, version = version + 1 where wallet_id = $1`,
  ],
  ['a hold is not negative', CHECK, `update hold set amount = -1 where request_id = $2`],
  ['a hold is not above the bound', CHECK, `update hold set amount = 1000000000001 where request_id = $2`],
  ['progress is not beyond the hold', CHECK, `update hold set accrued = amount + 1 where request_id = $2`],
  [
    'a transfer moves something',
    CHECK,
    `insert into transfer (ref, leg, code, debit, credit, asset, amount) select $3, 90, 10, min(id), max(id), 1, 0 from account`,
  ],
  [
    'a transfer moves nothing backwards',
    CHECK,
    `insert into transfer (ref, leg, code, debit, credit, asset, amount) select $3, 90, 10, min(id), max(id), 1, -5 from account`,
  ],
  [
    'a transfer has two sides',
    CHECK,
    `insert into transfer (ref, leg, code, debit, credit, asset, amount) select $3, 90, 10, min(id), min(id), 1, 5 from account`,
  ],
  [
    'both sides are in one asset',
    FOREIGN_KEY,
    `insert into transfer (ref, leg, code, debit, credit, asset, amount) select $3, 90, 10, min(id), max(id), 2, 5 from account`,
  ],
  [
    'a posting exists once',
    UNIQUE,
    `insert into transfer (ref, leg, code, debit, credit, asset, amount)
     select ref, leg, code, debit, credit, asset, amount from transfer where ref = $3`,
  ],
  [
    'a call number exists once',
    UNIQUE,
    `insert into request_log select (jsonb_populate_record(l, jsonb_build_object('request_id', gen_random_uuid()))).*
     from request_log l where request_id = $3`,
  ],
]

for (const [name, state, sql] of refusals) {
  test(`${name}, not even by hand`, async () => {
    const used = [wallet.id, held, settled].filter((_, index) => sql.includes(`$${index + 1}`))
    const numbered = ['$1', '$2', '$3'].filter((name) => sql.includes(name))
    const text = numbered.reduce((query, name, index) => query.replaceAll(name, `$${index + 1}`), sql)
    await assert.rejects(database.db.query(text, used), (error) => {
      assert.equal(sqlState(error), state, String(error))
      return true
    })
  })
}

test('what would not fit into a balance is refused, and changes nothing', async () => {
  const { slot: n } = slot.current()
  const rich = await openTestWallet(database.db, n, 2n ** 62n)
  const state = (error: unknown) => sqlState(error) === OUT_OF_RANGE
  await assert.rejects(creditTestWallet(database.db, { slot: n, walletId: rich.id, nanos: 2n ** 62n }), state)
  assert.deepEqual(await readWallet(database, rich), { posted: 2n ** 62n, held: 0n, seq: 0n })
})

test('a settlement whose leaves are not one hash each writes nothing', async () => {
  const call = await reserve(50n)
  const op = settleOp(wallet, call, 20n)
  for (const leaf of [Buffer.alloc(0), op.leaf.subarray(1), Buffer.concat([op.leaf, op.leaf])])
    await assert.rejects(open.ledger.settle({ ...op, leaf }))
  assert.deepEqual([(await readCall(database, call.requestId)).holds], [1])
  await settleVoid(call)
})

for (const [name, change] of [
  ['a negative cost', { cost: -1n }],
  ['negative tokens', { outputTokens: -1 }],
  ['an outcome that is not known', { outcome: 7 }],
  ['a NUL in a label', { aliasName: 'a\0b' }],
] as const) {
  test(`a settlement with ${name} fails alone and whole`, async () => {
    const [bad, good] = [await reserve(50n), await reserve(50n)]
    const [failed, done] = await Promise.allSettled([
      open.ledger.settle({ ...settleOp(wallet, bad, 20n), ...change }),
      open.ledger.settle(settleOp(wallet, good, 0n)),
    ])
    assert.equal(failed.status, 'rejected')
    assert.equal(done.status === 'fulfilled' && done.value.status, 'settled')
    const { holds, moved } = await readCall(database, bad.requestId)
    assert.deepEqual([holds, moved], [1, 0n])
    await settleVoid(bad)
  })
}

test('a request that stands twice in one batch is refused with its batch', async () => {
  const lane = await connectLane(database.connection, () => undefined)
  const { slot: n, epoch } = slot.current()
  const books = await openSqlHistory({ client: lane }, { name: 'twice', slot: n, wallets: 1 })
  const row = { request: 'call', attempt: 'one', wallet: 0, amount: 0n, floor: 0n, body: 'a' }
  const batch = [{ ...row, request: 'other' }, row, { ...row, attempt: 'two' }]
  await assert.rejects(books.reserve({ slot: n, epoch }, 1_000, batch), (error) => sqlState(error) === UNIQUE)
  assert.deepEqual((await books.state(n)).holds, [])
  await lane.end()
})

test('a writer without accounts of its own moves nothing', async () => {
  const call = await reserve(50n)
  const lane = await connectLane(database.connection, () => undefined)
  const nowhere = await openTestLedger(database, { current: () => ({ slot: 9_999, epoch: 1n }) })
  const refused = (error: unknown) => sqlState(error) === NOT_NULL
  await assert.rejects(nowhere.ledger.settle(settleOp(wallet, call, 20n)), refused)
  const expiring = await openTestWallet(lane, slot.current().slot, 0n)
  await creditTestWallet(lane, { slot: slot.current().slot, walletId: expiring.id, nanos: 5n, expiresInMs: -1 })
  await assert.rejects(lane.query('select expire_quiet_wallets(9999::smallint, 10)'), refused)
  assert.equal((await readWallet(database, expiring)).posted, 5n)
  assert.equal((await readCall(database, call.requestId)).holds, 1)
  await lane.query('select expire_quiet_wallets($1, 10)', [slot.current().slot])
  assert.equal((await readWallet(database, expiring)).posted, 0n)
  await lane.end()
  await nowhere.ledger.close()
  await settleVoid(call)
})

/** Gives back what a test held, so that the wallet ends as it began; the call numbers are counted out. */
async function settleVoid(call: { requestId: string; seq: bigint; held: bigint }): Promise<void> {
  assert.equal((await open.ledger.settle(settleOp(wallet, call, 0n))).status, 'settled')
}

const WALLETS = 10_000
const ROWS_PER_ROUND_MAX = 60

test(`with ${WALLETS} wallets no call reads a table from end to end, whenever it was planned`, async (t) => {
  const big = await createTestDatabase()
  t.after(() => big.close())
  const lease = (await claimTestSlot(big.db)).current()
  const { ledger } = await openTestLedger(big, { current: () => lease }) // Registers the receipt key.
  await ledger.close()

  let rounds = 0
  async function round(lane: pg.Client): Promise<void> {
    rounds += 1
    const books = await openSqlHistory({ client: lane }, { name: `round ${rounds}`, slot: lease.slot, wallets: 2 })
    for (const [index, expiresAt] of [null, Date.now() - 1].entries()) {
      const grant = { amount: 1_000n, source: 4 as const, class: 2, priority: 20, body: 'a', expiresAt }
      assert.equal(await books.credit(lease.slot, { ...grant, ref: `grant ${index}`, wallet: index }), 'credited')
    }
    const row = { amount: 100n, floor: 50n, body: 'a', attempt: 'one' }
    const holds = await books.reserve(lease, 60_000, [
      { ...row, request: 'a', wallet: 0 },
      { ...row, request: 'b', wallet: 1 },
    ])
    assert.deepEqual(
      holds.map((hold) => hold.status),
      ['reserved', 'insufficient'],
    )
    const extension = { request: 'a', wallet: 0, number: 1n, add: 10n, accrued: 5n, usage: '{}' }
    assert.deepEqual(await books.extend(lease, 60_000, [extension]), [10n])
    const call = { request: 'a', wallet: 0, seq: 1n, charge: 40n, absorbed: 0n }
    assert.equal((await books.settle(lease.slot, [call], Date.now()))[0]?.status, 'settled')
    assert.equal((await books.settle(lease.slot, [call], Date.now()))[0]?.status, 'already')
    const refund = { ref: 'refund', request: 'a', amount: 15n, body: 'a' }
    assert.equal(await books.refund(lease.slot, refund), 'refunded')
  }

  const early = await connectLane(big.connection, () => undefined)
  t.after(() => early.end())
  for (let n = 0; n < 8; n++) await round(early)
  await fill(big, lease.slot)
  const late = await connectLane(big.connection, () => undefined)
  t.after(() => late.end())
  await round(late)
  for (const [planned, lane] of [
    ['while the tables were empty', early],
    ['when they were full', late],
  ] as const) {
    const before = await reads(big, lane)
    await round(lane)
    const after = await reads(big, lane)
    for (const [table, read] of after) {
      const was = before.get(table) ?? { sequential: 0n, rows: 0n }
      const rows = read.rows - was.rows
      t.diagnostic(`planned ${planned}: ${rows} rows of ${table}`)
      assert.equal(read.sequential - was.sequential, 0n, `planned ${planned}, ${table} was read from end to end`)
      assert(rows <= ROWS_PER_ROUND_MAX, `planned ${planned}, ${rows} rows of ${table} were looked at`)
    }
  }
})

/** Tables as they are after some time: wallets, open calls, settled calls. */
async function fill({ db }: TestDatabase, n: number): Promise<void> {
  await db.query(
    `insert into wallet (account, posted) select 'acc_' || md5(i::text), 1000 from generate_series(1, $1::int) i`,
    [WALLETS],
  )
  await db.query(
    `insert into account (kind, wallet_id, class, priority, credits) select 1, id, 2, 20, 1000 from wallet where posted = 1000`,
  )
  await db.query(
    `insert into transfer (ref, leg, code, debit, credit, asset, amount)
     select gen_random_uuid(), 0, 2, s.id, l.id, 1, 1000
     from account l, (select id from account where kind = 4 limit 1) s where l.kind = 1`,
  )
  await db.query(
    `insert into hold (request_id, attempt, wallet_id, seq, amount, slot, epoch, body_hash, context, created_at, expires_at)
     select gen_random_uuid(), gen_random_uuid(), id, 1, 0, $1, 1, '', '{}', now(), now() + interval '1 hour'
     from wallet limit 5000`,
    [n],
  )
  await db.query(
    `insert into request_log select (jsonb_populate_record(null::request_log, to_jsonb(l) || jsonb_build_object(
       'request_id', gen_random_uuid(), 'wallet_id', 1000000 + i, 'pos', i))).*
     from (select * from request_log limit 1) l, generate_series(1, 5000) i`,
  )
  await db.query('vacuum analyze')
}

async function reads({ db }: TestDatabase, lane: pg.Client) {
  await lane.query('select pg_stat_force_next_flush()')
  const { rows } = await db.query<{ table: string; sequential: bigint; rows: bigint }>(
    `select t.relname as table, t.seq_scan as sequential,
            t.seq_tup_read + coalesce(sum(i.idx_tup_read), 0)::bigint as rows
     from pg_stat_user_tables t left join pg_stat_user_indexes i using (relid)
     where t.relname in ('wallet', 'account', 'transfer', 'hold', 'request_log', 'receipt_batch', 'usage_15m', 'adjustment')
     group by t.relname, t.seq_scan, t.seq_tup_read`,
  )
  assert.equal(rows.length, 8)
  return new Map(rows.map(({ table, ...read }) => [table, read]))
}
