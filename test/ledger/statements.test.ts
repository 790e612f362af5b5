import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createReceiptSigner } from '#adapters/receipt-signer.ts'
import { encodeBundle } from '#billing/batch.ts'
import { parseReceipt } from '#billing/parse-receipt.ts'
import type { Statement } from '#billing/statement.ts'
import { verifyDocumentBundle } from '#billing/verify-document.ts'
import { verifySet } from '#billing/verify-set.ts'
import { verifyStatements } from '#billing/verify-statements.ts'
import { auditLedger } from '#domain/audit.ts'
import { batchProofs } from '#domain/batch-proofs.ts'
import { publicReceiptKeys } from '#domain/receipt-keys.ts'
import { documentBundles } from '#domain/signed-documents.ts'
import { makeStatements } from '#domain/statements.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { createSeededRandom } from './seeded-random.ts'
import { openSqlHistory, openSqlLedger, type SqlLedger } from './sql-ledger.ts'

const WALLETS = 3
const DAYS = 6
const DAY_MS = 86_400_000
const START_MS = Date.UTC(2026, 2, 1)
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]
/** After this, past midnight, a day has its statements. */
const GRACE_MS = 10 * 60_000

const signer = createReceiptSigner(Buffer.alloc(32, 9))

let database: TestDatabase
let sql: SqlLedger

before(async () => {
  database = await createTestDatabase()
  sql = await openSqlLedger(database)
  // A default names its clock when the table is made, so it is not the test's.
  await database.db.query('alter table transfer alter column at set default test_clock.clock_timestamp()')
  // The histories are older than the test.
  await database.db.query(`update receipt_key set not_before = '2026-01-01'`)
})
after(async () => {
  const report = await auditLedger(database.db)
  await sql.close()
  await database.close()
  assert.deepEqual(
    report.invariants.filter(({ bad }) => bad > 0),
    [],
  )
})

interface Expected {
  opening: bigint
  closing: bigint
  granted: bigint
  charged: bigint
  refunded: bigint
  settled: number[]
}

const maker = {
  signer,
  log: 'test/1',
  onBroken: ({ error }: { error: unknown }) => {
    throw error
  },
}

async function bundlesOf(walletIds: readonly bigint[]): Promise<{ statements: unknown[]; receipts: unknown[] }> {
  const documents = await database.db.query<{ batchId: string; pos: number; document: string }>(
    `select batch_id as "batchId", pos, document from signed_document where wallet_id = any ($1) order by period, wallet_id`,
    [walletIds],
  )
  const records = await database.db.query<{ batchId: string; pos: number; receipt: string }>(
    `select batch_id as "batchId", pos, receipt from request_log where wallet_id = any ($1) order by wallet_id, seq`,
    [walletIds],
  )
  const proofs = await batchProofs(database.db, records.rows)
  return {
    statements: (await documentBundles(database.db, documents.rows)).map((text) => JSON.parse(text)),
    receipts: records.rows.map(({ receipt }, index) => {
      const proof = proofs[index]
      assert(proof)
      return JSON.parse(encodeBundle(receipt, proof))
    }),
  }
}

for (const seed of SEEDS) {
  test(`a random history of ${DAYS} days has statements that agree with it to the nano-dollar, seed ${seed}`, async () => {
    const random = createSeededRandom(seed)
    const upTo = (most: number) => random.integer(0, most)
    const start = START_MS + seed * 30 * DAY_MS
    await sql.setClock(start)
    const lease = await sql.claim(`statements ${seed}`)
    const books = await openSqlHistory(sql, { name: `statements ${seed}`, slot: lease.slot, wallets: WALLETS })
    const { rows } = await database.db.query<{ id: bigint }>('select id from wallet order by id desc limit $1', [
      WALLETS,
    ])
    const ids = rows.map(({ id }) => id).reverse()

    const open: { request: string; wallet: number; seq: bigint; amount: bigint }[] = []
    const charged: { request: string; wallet: number; left: bigint }[] = []
    const days: Expected[][] = []
    const posted = async () =>
      (await database.db.query<{ posted: bigint }>('select posted from wallet where id = any ($1) order by id', [ids]))
        .rows

    let now = start
    let from: string | undefined = new Date(start).toISOString().slice(0, 10)
    const round = async () => {
      const result = await makeStatements(sql.client, maker, from)
      from = result.from
    }
    for (let day = 0; day < DAYS; day++) {
      const opening = await posted()
      const end = start + (day + 1) * DAY_MS
      const today: Expected[] = opening.map((row) => ({
        opening: row.posted,
        closing: 0n,
        granted: 0n,
        charged: 0n,
        refunded: 0n,
        settled: [],
      }))
      days.push(today)
      const quiet = upTo(4) === 0
      for (let step = 0; now < end; step++) {
        await sql.setClock(now)
        const wallet = upTo(WALLETS - 1)
        const mine = today[wallet]
        assert(mine)
        // The statement of an earlier day may be made at any later moment, while calls go on.
        if (upTo(9) === 0) await round()
        const what = quiet ? 9 : upTo(8)
        if (what === 0) {
          const amount = BigInt(1 + upTo(5_000))
          const expiresAt = upTo(1) === 0 ? null : now + upTo(2 * DAY_MS)
          const terms = { source: 4 as const, class: 2, priority: 20, body: 'a' }
          const status = await books.credit(lease.slot, { ref: `${day} ${step}`, wallet, amount, expiresAt, ...terms })
          assert.equal(status, 'credited')
          mine.granted += amount
        } else if (what <= 3) {
          const amount = BigInt(upTo(400))
          const request = `${day} ${step}`
          const row = { request, attempt: 'only', wallet, amount, floor: amount, body: 'a' }
          const [answer] = await books.reserve(lease, DAY_MS, [row])
          if (answer.status === 'reserved') open.push({ request, wallet, seq: answer.seq, amount })
        } else if (what <= 6) {
          const batch = open.splice(upTo(Math.max(0, open.length - 1)), 1 + upTo(2))
          if (batch.length > 0) {
            const rows = batch.map((call) => ({ ...call, charge: (call.amount * BigInt(upTo(2))) / 2n, absorbed: 0n }))
            const answers = await books.settle(lease.slot, rows, now)
            assert(answers.every(({ status }) => status === 'settled'))
            for (const { request, wallet: of, charge, seq } of rows) {
              const theirs = today[of]
              assert(theirs)
              theirs.charged += charge
              theirs.settled.push(Number(seq))
              charged.push({ request, wallet: of, left: charge })
            }
          }
        } else if (what === 7) {
          const call = charged[upTo(Math.max(0, charged.length - 1))]
          const theirs = call === undefined ? undefined : today[call.wallet]
          if (call !== undefined && theirs !== undefined && call.left > 0n) {
            const amount = 1n + BigInt(upTo(Number(call.left) - 1))
            const wanted = { ref: `refund ${day} ${step}`, request: call.request, amount, body: 'a' }
            assert.equal(await books.refund(lease.slot, wanted), 'refunded')
            call.left -= amount
            theirs.refunded += amount
          }
        } else await books.expireQuiet(lease.slot, 100)
        now += 1 + upTo(3_600_000)
      }
      now = end + upTo(GRACE_MS)
      for (const [index, row] of (await posted()).entries()) {
        const mine = today[index]
        assert(mine)
        mine.closing = row.posted
      }
    }
    await sql.setClock(start + DAYS * DAY_MS + GRACE_MS)
    await round()
    const again = await makeStatements(sql.client, maker, new Date(start).toISOString().slice(0, 10))
    assert.equal(again.made, 0, 'a day has one statement')

    const { statements, receipts } = await bundlesOf(ids)
    const keys = await publicReceiptKeys(database.db)
    let expected = 0
    for (const [day, wallets] of days.entries()) {
      for (const [index, mine] of wallets.entries()) {
        const date = new Date(start + day * DAY_MS).toISOString().slice(0, 10)
        const found = (statements as { document: Statement }[]).filter(
          ({ document }) => document.day === date && document.account === books.accounts[index],
        )
        const expired = mine.opening + mine.granted - mine.charged + mine.refunded - mine.closing
        const active = mine.settled.length > 0 || mine.granted > 0n || mine.refunded > 0n || expired > 0n
        assert.equal(found.length, active ? 1 : 0, `${date}, wallet ${index}`)
        const [bundle] = found
        if (bundle === undefined) continue
        expected += 1
        const verdict = await verifyDocumentBundle(bundle, keys)
        assert(verdict.ok, JSON.stringify(verdict.steps, null, 1))
        const { document } = bundle
        assert.deepEqual(
          {
            opening: document.opening_nanousd,
            granted: document.granted_nanousd,
            charged: document.charged_nanousd,
            refunded: document.refunded_nanousd,
            expired: document.expired_nanousd,
            adjusted: document.adjusted_nanousd,
            closing: document.closing_nanousd,
            count: document.receipts.count,
          },
          {
            opening: `${mine.opening}`,
            granted: `${mine.granted}`,
            charged: `${mine.charged}`,
            refunded: `${mine.refunded}`,
            expired: `${expired}`,
            adjusted: '0',
            closing: `${mine.closing}`,
            count: mine.settled.length,
          },
        )
      }
    }
    // Lots of other histories may expire on this one's clock: their wallets have statements of their own.
    assert.equal(statements.length, expected)
    // What a customer does: receipts and statements together, offline.
    const set = await verifyStatements(
      receipts.map((bundle) => parseReceipt((bundle as { receipt: unknown }).receipt)),
      statements.map((bundle) => (bundle as { document: Statement }).document),
    )
    assert(set.ok, JSON.stringify(set.steps, null, 1))
    assert(verifySet(receipts).steps.some(({ name, ok }) => name === 'unique_seq' && ok))
  })
}

test('a day is not closed while a transaction that began in it still runs', async () => {
  const now = Date.now()
  const start = Math.floor(now / DAY_MS) * DAY_MS
  await sql.setClock(now)
  const lease = await sql.claim('statements today')
  const books = await openSqlHistory(sql, { name: 'statements today', slot: lease.slot, wallets: 1 })
  const terms = { source: 4 as const, class: 2, priority: 20, expiresAt: null, body: 'a' }
  await books.credit(lease.slot, { ref: 'only', wallet: 0, amount: 100n, ...terms })
  const day = new Date(start).toISOString().slice(0, 10)
  await sql.setClock(start + DAY_MS + GRACE_MS - 1)
  assert.equal((await makeStatements(sql.client, maker, day)).made, 0, 'the grace is not over')

  await sql.setClock(start + DAY_MS + GRACE_MS)
  const late = await database.db.connect()
  await late.query('begin')
  // By its own clock it began today: whatever it posts now is of today.
  assert.equal((await makeStatements(sql.client, maker, day)).made, 0)
  await late.query('commit')
  late.release()
  // Other connections of the pool are idle: they hold nothing back.
  assert.equal((await makeStatements(sql.client, maker, day)).made, 1)
})

test('of two that make statements at once, one does', async () => {
  const other = await database.db.connect()
  await other.query(`select pg_advisory_lock(hashtext('fluxgate statements'))`)
  await sql.setClock(Date.now() + 3 * DAY_MS)
  assert.deepEqual(await makeStatements(sql.client, maker, '2026-01-01'), { made: 0, from: '2026-01-01' })
  await other.query(`select pg_advisory_unlock(hashtext('fluxgate statements'))`)
  other.release()
})

test('books that do not agree with themselves get no statement, and keep nobody else from one', async () => {
  const start = Date.UTC(2026, 0, 10)
  await sql.setClock(start)
  const lease = await sql.claim('statements broken')
  const books = await openSqlHistory(sql, { name: 'statements broken', slot: lease.slot, wallets: 2 })
  const terms = { source: 4 as const, class: 2, priority: 20, expiresAt: null, body: 'a' }
  for (const wallet of [0, 1]) await books.credit(lease.slot, { ref: `w ${wallet}`, wallet, amount: 100n, ...terms })
  const [bad, good] = books.accounts
  const change = `update wallet set posted = posted + $2, version = version + 1 where account = $1`
  await database.db.query(change, [bad, 1])
  await sql.setClock(start + DAY_MS + GRACE_MS)
  const told: { walletId: bigint; day: string; error: unknown }[] = []
  const options = { ...maker, onBroken: (broken: (typeof told)[number]) => told.push(broken) }
  const from = '2026-01-10'
  assert.deepEqual(await makeStatements(sql.client, options, from), { made: 1, from })
  assert.deepEqual(
    told.map(({ day, error }) => [day, (error as Error).message]),
    [['2026-01-10', 'a day opens with what the day before closed with']],
  )
  await database.db.query(change, [bad, -1])
  assert.deepEqual(await makeStatements(sql.client, options, from), { made: 1, from: '2026-01-11' })
  const { rows } = await database.db.query<{ account: string }>(
    `select document::jsonb->>'account' as account from signed_document where period = $1 order by 1`,
    [from],
  )
  assert.deepEqual(
    rows.map(({ account }) => account),
    [bad, good].toSorted(),
  )
})
