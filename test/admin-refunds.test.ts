import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
let project: Awaited<ReturnType<TestApi['openProject']>>
before(async () => {
  api = await createTestApi()
  project = await api.openProject('refunds', 1_000_000n)
})
after(() => api.close())

const POST = 'POST /api/admin/refunds'
const key = (value: string) => ({ 'idempotency-key': value })

test('POST /api/admin/refunds 201: a part, then what is left', async () => {
  const receipt_id = `rcp_${await api.till.charge(project, 10_000n)}`
  const part = await api.call(POST, {
    body: { receipt_id, amount_nanousd: '4000', reason: 'slow' },
    headers: key('part'),
  })
  assert.deepEqual([part.status, part.body.amount_nanousd, part.body.receipt_id], [201, '4000', receipt_id])
  const rest = await api.call(POST, { body: { receipt_id, reason: 'slow' }, headers: key('rest') })
  assert.deepEqual([rest.status, rest.body.amount_nanousd], [201, '6000'])
  const wallet = (await api.call('GET /v1/wallet', { key: project.secret })).body
  assert.equal(wallet.available_nanousd, '1000000')
})

test('POST /api/admin/refunds 201: the call may be named by its request id', async () => {
  const receipt_id = `req_${await api.till.charge(project, 1_000n)}`
  const { status, body } = await api.call(POST, { body: { receipt_id, reason: 'r' }, headers: key('by-request') })
  assert.deepEqual([status, body.receipt_id], [201, receipt_id.replace('req_', 'rcp_')])
})

test('POST /api/admin/refunds 200: a replay answers the same and refunds nothing', async () => {
  const receipt_id = `rcp_${await api.till.charge(project, 2_000n)}`
  const call = () => api.call(POST, { body: { receipt_id, reason: 'again' }, headers: key('replay') })
  const first = await call()
  const [second, third] = [await call(), await call()]
  assert.equal(first.status, 201)
  for (const again of [second, third]) assert.deepEqual([again.status, again.body], [200, first.body])
})

test('POST /api/admin/refunds 409: more than is left of the charge', async () => {
  const receipt_id = `rcp_${await api.till.charge(project, 3_000n)}`
  const tooMuch = { receipt_id, amount_nanousd: '3001', reason: 'r' }
  const answer = await api.call(POST, { body: tooMuch, headers: key('too-much') })
  assert.deepEqual([answer.status, answer.body.error.code], [409, 'exceeds_charge'])
  await api.call(POST, { body: { receipt_id, reason: 'r' }, headers: key('all') })
  const nothingLeft = await api.call(POST, { body: { receipt_id, reason: 'r' }, headers: key('all-again') })
  assert.deepEqual([nothingLeft.status, nothingLeft.body.error.code], [409, 'exceeds_charge'])
})

test('POST /api/admin/refunds 409: the same key for another amount, reason or receipt', async () => {
  const [receipt_id, other] = [
    `rcp_${await api.till.charge(project, 3_000n)}`,
    `rcp_${await api.till.charge(project, 3_000n)}`,
  ]
  const body = { receipt_id, amount_nanousd: '1000', reason: 'r' }
  await api.call(POST, { body, headers: key('reused') })
  for (const change of [{ amount_nanousd: '2000' }, { reason: 's' }, { receipt_id: other }]) {
    const answer = await api.call(POST, { body: { ...body, ...change }, headers: key('reused') })
    assert.deepEqual([answer.status, answer.body.error.code], [409, 'idempotency_mismatch'])
  }
})

test('POST /api/admin/refunds 404: no settled call has this receipt', async () => {
  const receipt_id = `rcp_${'0'.repeat(32)}`
  for (const amount of [{}, { amount_nanousd: '1' }]) {
    const answer = await api.call(POST, { body: { receipt_id, reason: 'r', ...amount }, headers: key('nobody') })
    assert.deepEqual([answer.status, answer.body.error.code], [404, 'not_found'])
  }
})

for (const [what, change, param] of [
  ['without a receipt', { receipt_id: undefined }, 'receipt_id'],
  ['with another id', { receipt_id: 'grt_00000000000000000000000000000000' }, 'receipt_id'],
  ['with an id that is too short', { receipt_id: 'rcp_00' }, 'receipt_id'],
  ['of nothing', { amount_nanousd: '0' }, 'amount_nanousd'],
  ['of a number', { amount_nanousd: 1 }, 'amount_nanousd'],
  ['without a reason', { reason: undefined }, 'reason'],
] as const) {
  test(`POST /api/admin/refunds 400: a refund ${what}`, async () => {
    const body = { receipt_id: `rcp_${'0'.repeat(32)}`, reason: 'r', ...change }
    const answer = await api.call(POST, { body, headers: key('bad') })
    assert.deepEqual([answer.status, answer.body.error.code, answer.body.error.param], [400, 'body_invalid', param])
  })
}

test('POST /api/admin/refunds 400: no idempotency key', async () => {
  const answer = await api.call(POST, { body: { receipt_id: `rcp_${'0'.repeat(32)}`, reason: 'r' } })
  assert.deepEqual([answer.status, answer.body.error.code], [400, 'idempotency_key_invalid'])
})

testSharedRefusals(() => api, {
  line: POST,
  body: { receipt_id: `rcp_${'0'.repeat(32)}`, reason: 'r' },
  headers: key('refused'),
})

test('every documented status was met', () => api.expectEveryStatus(POST))
