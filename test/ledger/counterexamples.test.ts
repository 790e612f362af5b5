import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { REQUEST_MAX, SlotLostError } from './reference-model.ts'
import { openSqlHistory, openSqlLedger, type SqlHistory, type SqlLedger } from './sql-ledger.ts'
import { brokenRules } from './test-books.ts'

// What random histories have found, as short as it could be made.

const NOW_MS = Date.UTC(2030, 0, 1)
const TTL_MS = 60_000

let database: TestDatabase
let sql: SqlLedger
let lease: { slot: number; epoch: bigint }

before(async () => {
  database = await createTestDatabase()
  sql = await openSqlLedger(database)
})
afterEach(async () => assert.deepEqual(await brokenRules(database), []))
after(async () => {
  await sql.close()
  await database.close()
})

async function open(name: string): Promise<SqlHistory> {
  await sql.setClock(NOW_MS)
  lease = await sql.claim(name)
  return openSqlHistory(sql, { name, slot: lease.slot, wallets: 1 })
}

function lot(ref: string, amount: bigint, expiresInMs: number | null) {
  const expiresAt = expiresInMs === null ? null : NOW_MS + expiresInMs
  return { ref, wallet: 0, amount, source: 4 as const, class: 2, priority: 20, expiresAt, body: 'a' }
}

function call(request: string, amount: bigint, floor = amount) {
  return { request, attempt: `${request}, first`, wallet: 0, amount, floor, body: 'a' }
}

test('a lot that is due soon is looked at in time, though a running call keeps another one alive', async () => {
  // While a running call kept a due lot alive, the wallet was only looked at again after a minute, whatever came due before.
  const books = await open('two lots')
  await books.credit(lease.slot, lot('first', 100n, 400))
  await books.credit(lease.slot, lot('second', 100n, 900))
  await books.reserve(lease, TTL_MS, [call('running', 150n)])
  await sql.setClock(NOW_MS + 500)
  await books.reserve(lease, TTL_MS, [call('looks', 1n)])
  assert.deepEqual(await lotsLeft(books), [50n, 100n])
  await books.settle(lease.slot, [{ request: 'running', wallet: 0, seq: 1n, charge: 0n, absorbed: 0n }], NOW_MS)
  await sql.setClock(NOW_MS + 1_000)
  const [late] = await books.reserve(lease, TTL_MS, [call('late', 1n)])
  assert.equal(late?.status, 'insufficient')
  assert.deepEqual(await lotsLeft(books), [0n, 0n])
})

test('no call is held for more than 1,000 dollars, however often it is extended', async () => {
  const books = await open('rich')
  await books.credit(lease.slot, lot('plenty', 5n * REQUEST_MAX, null))
  const answers = await books.reserve(lease, TTL_MS, [
    call('above', REQUEST_MAX + 1n, 0n),
    call('at', REQUEST_MAX),
    call('below', REQUEST_MAX - 10n),
  ])
  assert.deepEqual(
    answers.map(({ status, granted }) => [status, granted]),
    [
      ['bad_amount', 0n],
      ['reserved', REQUEST_MAX],
      ['reserved', REQUEST_MAX - 10n],
    ],
  )
  const more = (request: string, number: bigint) => ({ request, wallet: 0, number, add: 25n, accrued: 0n, usage: '{}' })
  assert.deepEqual(await books.extend(lease, TTL_MS, [more('at', 1n), more('below', 2n)]), [0n, 10n])
  assert.deepEqual(await books.extend(lease, TTL_MS, [more('below', 3n)]), [0n])
})

test('a reserve that is sent again under a new lease can be extended under it', async () => {
  // Its answer and its lease were lost together: the repeat found its hold under the old epoch, which nobody can extend.
  const books = await open('restarted')
  await books.credit(lease.slot, lot('some', 100n, null))
  await books.reserve(lease, TTL_MS, [call('call', 10n)])
  const lost = lease
  lease = await sql.claim('restarted')
  assert.deepEqual(lease, { slot: lost.slot, epoch: lost.epoch + 1n })
  const extension = { request: 'call', wallet: 0, number: 1n, add: 5n, accrued: 0n, usage: '{}' }
  await assert.rejects(books.extend(lost, TTL_MS, [extension]), SlotLostError)
  assert.deepEqual(await books.extend(lease, TTL_MS, [extension]), [-1n])
  const [again] = await books.reserve(lease, TTL_MS, [call('call', 10n)])
  assert.deepEqual([again?.status, again?.seq, again?.granted], ['reserved', 1n, 10n])
  assert.deepEqual(await books.extend(lease, TTL_MS, [extension]), [5n])
})

async function lotsLeft(books: SqlHistory): Promise<bigint[]> {
  const { lots } = await books.state(lease.slot)
  return lots.map((row: string[]) => BigInt(row[3] ?? 0) - BigInt(row[4] ?? 0))
}
