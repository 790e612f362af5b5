import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Statement } from '#billing/statement.ts'
import { verifyDocumentText } from '#billing/verify-document.ts'
import { makeStatements } from '#domain/statements.ts'
import { openSqlHistory, openSqlLedger } from '#test/ledger/sql-ledger.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

const DAY_MS = 86_400_000
const START_MS = Date.UTC(2026, 4, 1)
const days = ['2026-05-01', '2026-05-02', '2026-05-04']

let api: TestApi
let secret: string
before(async () => {
  api = await createTestApi()
  const { db } = api.database
  const sql = await openSqlLedger(api.database)
  await sql.setClock(START_MS)
  // A default names its clock when the table is made, so it is not the test's; keys are older than the test.
  await db.query('alter table transfer alter column at set default test_clock.clock_timestamp()')
  await db.query(`update receipt_key set not_before = '2026-01-01'`)
  const lease = await sql.claim('statements')
  const books = await openSqlHistory(sql, { name: 'statements', slot: lease.slot, wallets: 1 })
  for (const [index, day] of days.entries()) {
    const now = Date.parse(day) + 5 * 3_600_000
    await sql.setClock(now)
    const terms = { source: 4 as const, class: 2, priority: 20, expiresAt: null, body: 'a' }
    await books.credit(lease.slot, { ref: day, wallet: 0, amount: 1_000n, ...terms })
    const call = { request: `call ${index}`, wallet: 0 }
    await books.reserve(lease, DAY_MS, [{ ...call, attempt: 'only', amount: 200n, floor: 200n, body: 'a' }])
    await books.settle(lease.slot, [{ ...call, seq: BigInt(index + 1), charge: 150n, absorbed: 0n }], now)
  }
  await sql.setClock(START_MS + 10 * DAY_MS)
  const options = {
    signer: api.till.signer,
    log: 'test/1',
    onBroken: ({ error }: { error: unknown }) => assert.fail(String(error)),
  }
  await makeStatements(sql.client, options)
  await sql.close()
  await db.query('alter table transfer alter column at set default clock_timestamp()')
  await db.query(
    `insert into project (id, name, wallet_id) select 'prj_aaaaaaaaaaaaaaaaaaaa', 'stated', id from wallet where account = $1`,
    [books.accounts[0]],
  )
  secret = (await api.deps.keys.create({ projectId: 'prj_aaaaaaaaaaaaaaaaaaaa', name: 'reader' })).secret
})
after(() => api.close())

async function keys() {
  return (await api.call('GET /receipts/public-keys.json', { key: null })).body
}

test('GET /v1/statements/{day} 200: the bundle verifies against the published keys', async () => {
  for (const [index, day] of days.entries()) {
    const { status, text } = await api.call(`GET /v1/statements/${day}`, { key: secret })
    assert.equal(status, 200)
    const verdict = await verifyDocumentText(text, await keys())
    assert(verdict.ok, JSON.stringify(verdict.steps))
    const statement = verdict.document as Statement
    assert.equal(statement.day, day)
    assert.equal(statement.opening_nanousd, String(850 * index))
    assert.equal(statement.closing_nanousd, String(850 * (index + 1)))
    assert.deepEqual(statement.receipts.numbers, [[index + 1, index + 1]])
    assert.deepEqual(statement.open, { count: 0 })
  }
})

test('GET /v1/statements/{day} 404: a day without one, of another wallet, or no day at all', async () => {
  const stranger = await api.openProject('stranger')
  for (const [day, key] of [
    ['2026-05-03', secret],
    ['2026-05-01', stranger.secret],
    ['today', secret],
    ['2026-5-1', secret],
  ] as const) {
    const { status, body } = await api.call(`GET /v1/statements/${day}`, { key })
    assert.deepEqual([status, body.error.code], [404, 'not_found'])
  }
})

test('GET /v1/statements 200: every day once, in order, page by page', async () => {
  const seen: string[] = []
  let after = ''
  for (;;) {
    const page = await api.call(`GET /v1/statements?limit=2${after}`, { key: secret })
    assert.equal(page.status, 200)
    for (const bundle of page.body.data) {
      const verdict = await verifyDocumentText(JSON.stringify(bundle), await keys())
      assert(verdict.ok)
      seen.push(bundle.document.day)
    }
    if (!page.body.has_more) break
    after = `&after=${page.body.next_after}`
  }
  assert.deepEqual(seen, days)
  const empty = (await api.call(`GET /v1/statements?after=${days.at(-1)}`, { key: secret })).body
  assert.deepEqual(empty, { object: 'list', data: [], has_more: false, next_after: null })
})

for (const query of ['limit=0', 'limit=101', 'limit=x', 'after=5', 'after=2026', 'before=2026-05-01'])
  test(`GET /v1/statements 400: ?${query}`, async () => {
    const { status, body } = await api.call(`GET /v1/statements?${query}`, { key: secret })
    assert.deepEqual([status, body.error.code], [400, 'body_invalid'])
  })

for (const line of ['GET /v1/statements/2026-05-01', 'GET /v1/statements'])
  testSharedRefusals(() => api, { line, key: 'client', scope: 'read' })

test('every documented status was met', () => api.expectEveryStatus('GET /v1/statements/{day}', 'GET /v1/statements'))
