import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { sqlState } from '#db/failures.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import type { SettleRow } from './reference-model.ts'
import { openSqlHistory, openSqlLedger, type SqlHistory, type SqlLedger } from './sql-ledger.ts'
import { brokenRules } from './test-books.ts'

const NOW_MS = Date.UTC(2030, 0, 1)
const TTL_MS = 60_000
const BIGINT_MAX = 2n ** 63n - 1n
const OUT_OF_RANGE = '22003'

let database: TestDatabase
let sql: SqlLedger
let lease: { slot: number; epoch: bigint }

before(async () => {
  database = await createTestDatabase()
  sql = await openSqlLedger(database)
  await sql.setClock(NOW_MS)
  lease = await sql.claim('guards')
})
afterEach(async () => assert.deepEqual(await brokenRules(database), []))
after(async () => {
  await sql.close()
  await database.close()
})

let opened = 0

/** Two wallets of 100 each. The first has three calls: `good` holds 30, `bad` holds 40, `done` held 10 and paid 6. */
async function openBooks(): Promise<SqlHistory> {
  opened += 1
  const books = await openSqlHistory(sql, { name: `guards ${opened}`, slot: lease.slot, wallets: 2 })
  for (const wallet of [0, 1]) {
    const grant = { wallet, amount: 100n, source: 4 as const, class: 2, priority: 20, expiresAt: null, body: 'a' }
    await books.credit(lease.slot, { ...grant, ref: `grant ${wallet}` })
  }
  await books.reserve(lease, TTL_MS, [hold('good', 30n), hold('bad', 40n), hold('done', 10n)])
  await books.settle(lease.slot, [{ ...good, request: 'done', seq: 3n, charge: 6n }], NOW_MS)
  return books
}

function hold(request: string, amount: bigint, changes: { wallet?: number; floor?: bigint } = {}) {
  return { request, attempt: `${request}, attempt`, wallet: 0, amount, floor: amount, body: 'a', ...changes }
}

const good: SettleRow = { request: 'good', wallet: 0, seq: 1n, charge: 30n, absorbed: 0n }
const bad: SettleRow = { request: 'bad', wallet: 0, seq: 2n, charge: 40n, absorbed: 0n }

for (const [name, row, status] of [
  ['a call number that is not its own', { ...bad, seq: 1n }, 'seq_differs'],
  ['the same call twice', { ...good, charge: 2n }, 'already'],
  ['a charge above its hold', { ...bad, charge: 41n }, 'exceeds_hold'],
  ['a negative charge', { ...bad, charge: -1n }, 'exceeds_hold'],
  ['a call of another wallet', { ...bad, wallet: 1 }, 'no_hold'],
  ['a call that nobody holds', { ...bad, request: 'nobody' }, 'no_hold'],
  ['a call that is settled', { ...bad, request: 'done', seq: 3n }, 'already'],
] as const) {
  test(`a batch with ${name} settles nothing, and says which row to drop`, async () => {
    const books = await openBooks()
    const before = await books.state(lease.slot)
    for (const [batch, expected] of [
      [
        [good, row],
        ['ready', status],
      ],
      ...(name === 'the same call twice'
        ? []
        : [
            [
              [row, good],
              [status, 'ready'],
            ] as const,
          ]),
    ] as const) {
      const rows = await books.settle(lease.slot, [...batch], NOW_MS)
      assert.deepEqual(
        rows.map((answer) => answer.status),
        expected,
      )
      assert.deepEqual(await books.state(lease.slot), before)
    }
  })
}

test('a settlement again, whatever it asks for, is told what was charged', async () => {
  const books = await openBooks()
  const before = await books.state(lease.slot)
  for (const charge of [0n, 6n, 10n]) {
    const [answer] = await books.settle(lease.slot, [{ ...good, request: 'done', seq: 3n, charge }], NOW_MS)
    assert.deepEqual(answer, { status: 'already', charged: 6n })
  }
  assert.deepEqual(await books.state(lease.slot), before)
})

test('holds of odd amounts are refused one by one, and take neither money nor a number', async () => {
  const books = await openBooks()
  const before = await books.state(lease.slot)
  const rows = await books.reserve(lease, TTL_MS, [
    hold('a', 10n, { floor: -1n }),
    hold('b', 9n, { floor: 10n }),
    hold('c', -1n),
    hold('d', 1_000_000_000_001n, { floor: 0n }),
    hold('e', BIGINT_MAX),
    hold('f', 25n),
    hold('g', 1n, { wallet: 2 }),
  ])
  assert.deepEqual(
    rows.map((row) => row.status),
    ['bad_amount', 'bad_amount', 'bad_amount', 'bad_amount', 'bad_amount', 'insufficient', 'no_wallet'],
  )
  await assert.rejects(books.reserve(lease, TTL_MS, [hold('h', BIGINT_MAX + 1n, { floor: 0n })]), (error) => {
    return sqlState(error) === OUT_OF_RANGE
  })
  assert.deepEqual(await books.state(lease.slot), before)
})

test('an extension takes no more than there is, however much it asks for, and never less than nothing', async () => {
  const books = await openBooks()
  const ask = (number: bigint, add: bigint, accrued = 0n) =>
    books.extend(lease, TTL_MS, [{ request: 'good', wallet: 0, number, add, accrued, usage: '{}' }])
  assert.deepEqual(await ask(1n, -1n), [-1n])
  assert.deepEqual(await ask(2n, 1n, -1n), [-1n])
  assert.deepEqual(await ask(3n, BIGINT_MAX), [24n], 'a balance of 94 less the 70 that are held')
  assert.deepEqual(await ask(4n, 1n), [0n])
})

test('a refund of nothing, of less, or of more than was charged is refused', async () => {
  const books = await openBooks()
  const before = await books.state(lease.slot)
  for (const amount of [0n, -1n, 7n, BIGINT_MAX]) {
    const wanted = { ref: `refund ${amount}`, request: 'done', amount, body: 'a' }
    assert.equal(await books.refund(lease.slot, wanted), 'exceeds_charge', `${amount}`)
  }
  assert.equal(
    await books.refund(lease.slot, { ref: 'r', request: 'good', amount: 1n, body: 'a' }),
    'no_request',
    'it is not settled yet',
  )
  assert.deepEqual(await books.state(lease.slot), before)
})
