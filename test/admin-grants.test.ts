import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
let projectId: string
before(async () => {
  api = await createTestApi()
  projectId = (await api.openProject('grants')).projectId
})
after(() => api.close())

const body = { amount_nanousd: '5000000000', reason: 'a prize' }
const key = (value: string) => ({ 'idempotency-key': value })
const grants = (id = projectId) => `POST /api/admin/projects/${id}/grants`
const available = async () =>
  (await api.call(`GET /api/admin/projects/${projectId}`)).body.wallet.available_nanousd as string

test('POST …/grants 201: the money is there', async () => {
  const before = BigInt(await available())
  const answer = await api.call(grants(), { body, headers: key('first') })
  assert.equal(answer.status, 201)
  assert.match(answer.body.id, /^grt_[0-9a-f]{32}$/)
  assert.equal(answer.body.amount_nanousd, '5000000000')
  assert.equal(BigInt(await available()) - before, 5_000_000_000n)
})

test('POST …/grants 200: a replay answers the same and grants nothing', async () => {
  const expires_at = '2099-01-01T00:00:00.000Z'
  const first = await api.call(grants(), { body: { ...body, expires_at }, headers: key('replay') })
  const before = await available()
  for (let n = 0; n < 3; n += 1) {
    const again = await api.call(grants(), { body: { ...body, expires_at }, headers: key('replay') })
    assert.deepEqual([again.status, again.body], [200, first.body])
  }
  assert.equal(await available(), before)
})

test('POST …/grants 201 and 200: of twenty at once, one grants', async () => {
  const before = BigInt(await available())
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => api.call(grants(), { body, headers: key('at-once') })),
  )
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [...Array(19).fill(200), 201])
  assert.equal(BigInt(await available()) - before, 5_000_000_000n)
})

test('POST …/grants 409: the same key with another body', async () => {
  await api.call(grants(), { body, headers: key('reused') })
  for (const other of [
    { amount_nanousd: '5000000001' },
    { reason: 'another' },
    { expires_at: '2099-01-01T00:00:00Z' },
  ]) {
    const answer = await api.call(grants(), { body: { ...body, ...other }, headers: key('reused') })
    assert.deepEqual([answer.status, answer.body.error.code], [409, 'idempotency_mismatch'])
  }
})

for (const [what, change, param] of [
  ['as a number', { amount_nanousd: 5_000_000_000 }, 'amount_nanousd'],
  ['of nothing', { amount_nanousd: '0' }, 'amount_nanousd'],
  ['below nothing', { amount_nanousd: '-5' }, 'amount_nanousd'],
  ['with a fraction', { amount_nanousd: '5.0' }, 'amount_nanousd'],
  ['with an exponent', { amount_nanousd: '5e9' }, 'amount_nanousd'],
  ['with a leading zero', { amount_nanousd: '05' }, 'amount_nanousd'],
  ['above a million dollars', { amount_nanousd: '1000000000000001' }, 'amount_nanousd'],
  ['above BIGINT', { amount_nanousd: '9999999999999999999' }, 'amount_nanousd'],
  ['of 30 digits', { amount_nanousd: '9'.repeat(30) }, 'amount_nanousd'],
  ['without a reason', { reason: '' }, 'reason'],
  ['with a reason of 501 characters', { reason: 'x'.repeat(501) }, 'reason'],
  ['that expired yesterday', { expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
  ['with a currency', { currency: 'EUR' }, 'currency'],
] as const) {
  test(`POST …/grants 400: an amount or grant ${what}`, async () => {
    const answer = await api.call(grants(), { body: { ...body, ...change }, headers: key(`bad-${what.length}`) })
    assert.deepEqual([answer.status, answer.body.error.code, answer.body.error.param], [400, 'body_invalid', param])
  })
}

for (const [what, headers] of [
  ['no idempotency key', {}],
  ['an empty idempotency key', key('')],
  ['an idempotency key with a space', key('a b')],
  ['an idempotency key of 256 characters', key('k'.repeat(256))],
] as const) {
  test(`POST …/grants 400: ${what}`, async () => {
    const answer = await api.call(grants(), { body, headers })
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'idempotency_key_invalid'])
  })
}

test('POST …/grants 404: no such project', async () => {
  const answer = await api.call(grants('prj_aaaaaaaaaaaaaaaaaaaa'), { body, headers: key('nobody') })
  assert.deepEqual([answer.status, answer.body.error.code], [404, 'not_found'])
})

testSharedRefusals(() => api, { line: 'POST /api/admin/projects/prj_x/grants', body, headers: key('refused') })

test('every documented status was met', () => api.expectEveryStatus('POST /api/admin/projects/{id}/grants'))
