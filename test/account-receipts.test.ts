import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { verifyBundleText } from '#billing/verify-receipt.ts'
import { pricedTarget } from '#domain/call-context.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

test('GET /v1/receipts/{id} 200: the bundle verifies against the published keys, by either id', async () => {
  const project = await api.openProject('mine', 10_000n)
  const requestId = await api.till.charge(project, 2_000n)
  const keys = (await api.call('GET /receipts/public-keys.json', { key: null })).body
  for (const id of [`rcp_${requestId}`, `req_${requestId}`]) {
    const answer = await api.call(`GET /v1/receipts/${id}`, { key: project.secret })
    assert.equal(answer.status, 200)
    assert.equal(answer.body.receipt.receipt_id, `rcp_${requestId}`)
    assert.equal(answer.body.receipt.charged_nanousd, '2000')
    const result = await verifyBundleText(answer.text, keys)
    assert(result.ok, JSON.stringify(result.steps))
  }
})

test('GET /v1/receipts/{id} 200: a minimum, a flat price, every attempt and the version of the config verify too', async () => {
  const project = await api.openProject('routed', 100_000n)
  const keys = (await api.call('GET /receipts/public-keys.json', { key: null })).body
  const book = `sha256:${'0'.repeat(64)}`
  const price = { lines: { input: 1_000n, output: 1_000n }, minimum: 3_000n, flat: 5_000n }
  const targets = [pricedTarget({ provider: 'sim', model: 'flux', price, book })]
  const attemptList = [
    { provider: 'sim', model: 'flux', upstream: 'a', key: '9f86d081', result: 'status_429', ms: 3, costNanos: 7n },
    { provider: 'sim', model: 'flux', upstream: 'b', protocol: 'chat', result: 'ok', ms: 20 },
  ]
  const context = { targets, configVersion: 12 }
  for (const { end, charged } of [
    { end: { usage: { input: 5, output: 3 }, attempts: 2, attemptList }, charged: '3000' },
    { end: { usage: { input: 5_000 }, usageSource: 'estimated' as const }, charged: '5000' },
  ]) {
    const requestId = await api.till.charge(project, 10_000n, { context, end })
    const answer = await api.call(`GET /v1/receipts/rcp_${requestId}`, { key: project.secret })
    const { receipt } = answer.body
    assert.deepEqual([receipt.charged_nanousd, receipt.absorbed_nanousd, receipt.config_version], [charged, '0', 12])
    assert.equal(receipt.attempt_list?.length, end.attemptList?.length)
    const result = await verifyBundleText(answer.text, keys)
    assert(result.ok, JSON.stringify(result.steps))
  }
})

test('GET /v1/receipts/{id} 404: of another project, of nobody, or no id at all', async () => {
  const project = await api.openProject('theirs', 10_000n)
  const stranger = await api.openProject('stranger')
  const requestId = await api.till.charge(project, 1_000n)
  for (const id of [`rcp_${requestId}`, `rcp_${'0'.repeat(32)}`, requestId, `grt_${requestId}`, 'x', '%00']) {
    const { status, body } = await api.call(`GET /v1/receipts/${id}`, { key: stranger.secret })
    assert.deepEqual([status, body.error.code], [404, 'not_found'])
  }
})

test('GET /v1/receipts 200: every call once, by number, page by page', async () => {
  const project = await api.openProject('paged', 100_000n)
  for (let n = 0; n < 7; n += 1) await api.till.charge(project, 1_000n)
  const numbers: number[] = []
  let after = 0
  for (;;) {
    const { status, body } = await api.call(`GET /v1/receipts?limit=3&after=${after}`, { key: project.secret })
    assert.equal(status, 200)
    numbers.push(...body.data.map((bundle: { receipt: { seq: number } }) => bundle.receipt.seq))
    if (!body.has_more) break
    after = body.next_after
  }
  assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7])
  const empty = (await api.call('GET /v1/receipts?after=7', { key: project.secret })).body
  assert.deepEqual(empty, { object: 'list', data: [], has_more: false, next_after: null })
})

for (const query of [
  'limit=0',
  'limit=101',
  'limit=x',
  'after=-1',
  'after=1.5',
  'after=abc',
  'after=99999999999999999999',
  'x=1',
]) {
  test(`GET /v1/receipts 400: ?${query}`, async () => {
    const { secret } = await api.openProject(`bad page ${query}`)
    const { status, body } = await api.call(`GET /v1/receipts?${query}`, { key: secret })
    assert.deepEqual([status, body.error.code, body.error.param], [400, 'body_invalid', query.split('=')[0]])
  })
}

test('GET /v1/wallet 200: the own balance', async () => {
  const project = await api.openProject('wallet', 10_000n)
  await api.till.charge(project, 1_000n)
  const { status, body } = await api.call('GET /v1/wallet', { key: project.secret })
  assert.equal(status, 200)
  assert.deepEqual([body.account, body.available_nanousd, body.last_seq], [project.account, '9000', 1])
})

for (const line of ['GET /v1/receipts/rcp_0', 'GET /v1/receipts', 'GET /v1/wallet'])
  testSharedRefusals(() => api, { line, key: 'client', scope: 'read' })

test('every documented status was met', () =>
  api.expectEveryStatus('GET /v1/receipts/{id}', 'GET /v1/receipts', 'GET /v1/wallet'))
