import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway } from '#test/support/gateway.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'
import { putModels } from '#test/support/routed-models.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const attemptList = [
  { provider: 'sim', model: 'till', upstream: 'a', key: '9f86d081', result: 'status_429', ms: 3 },
  { provider: 'sim', model: 'till', upstream: 'b', result: 'timeout_first_byte', ms: 400, costNanos: 7n },
  { provider: 'sim', model: 'till', upstream: 'c', protocol: 'chat', result: 'ok', ms: 20 },
]

test('GET /v1/requests/{id} 200: the facts of the receipt and every attempt, by either id', async () => {
  const project = await api.openProject('mine', 10_000n)
  const end = { attempts: 3, attemptList }
  const requestId = await api.till.charge(project, 2_000n, { context: { configVersion: 12 }, end })
  for (const id of [`rcp_${requestId}`, `req_${requestId}`]) {
    const { status, body } = await api.call(`GET /v1/requests/${id}`, { key: project.secret })
    assert.equal(status, 200)
    const { object, receipt_id, outcome, charged_nanousd, config_version, attempts_count } = body
    assert.deepEqual(
      { object, id: body.id, receipt_id, outcome, charged_nanousd, config_version, attempts_count },
      {
        object: 'request',
        id: `req_${requestId}`,
        receipt_id: `rcp_${requestId}`,
        outcome: 'complete',
        charged_nanousd: '2000',
        config_version: 12,
        attempts_count: 3,
      },
    )
    assert.deepEqual(
      body.attempts.map(({ upstream, key, status, result, ms, cost_nanousd }: Record<string, unknown>) => ({
        ...{ upstream, key, status, result, ms, cost_nanousd },
      })),
      [
        { upstream: 'a', key: '9f86d081', status: 429, result: 'status_429', ms: 3, cost_nanousd: undefined },
        { upstream: 'b', key: undefined, status: null, result: 'timeout_first_byte', ms: 400, cost_nanousd: '7' },
        { upstream: 'c', key: undefined, status: 200, result: 'ok', ms: 20, cost_nanousd: undefined },
      ],
    )
  }
})

test('GET /v1/requests/{id} 200: a call whose attempts nobody listed says how many there were', async () => {
  const project = await api.openProject('unlisted', 10_000n)
  const requestId = await api.till.charge(project, 1_000n, { end: { attempts: 100 } })
  const { body } = await api.call(`GET /v1/requests/req_${requestId}`, { key: project.secret })
  assert.deepEqual([body.attempts_count, body.attempts], [100, []])
})

test('GET /v1/requests/{id} 404: of another project, of nobody, or no id at all', async () => {
  const project = await api.openProject('theirs', 10_000n)
  const stranger = await api.openProject('stranger')
  const requestId = await api.till.charge(project, 1_000n)
  for (const id of [`rcp_${requestId}`, `req_${'0'.repeat(32)}`, requestId, `grt_${requestId}`, 'x', '%00']) {
    const { status, body } = await api.call(`GET /v1/requests/${id}`, { key: stranger.secret })
    assert.deepEqual([status, body.error.code], [404, 'not_found'])
  }
})

testSharedRefusals(() => api, { line: 'GET /v1/requests/rcp_0', key: 'client', scope: 'read' })

test('every documented status was met', () => api.expectEveryStatus('GET /v1/requests/{id}'))

test('a call through the gateway is found by its x-request-id; one with an idempotency key by its receipt', async (t) => {
  const gateway = await createTestGateway()
  t.after(() => gateway.close())
  const url = gateway.simulatorUrl
  const failing = { id: 'a', url, sim: { status: 500 }, more: { overrideModel: 'free' } }
  const version = await putModels(gateway, { m: { upstreams: [failing, { id: 'b', url }] } })
  const project = await gateway.openProject(1_000_000n)
  const body = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
  const ask = async (id: unknown) =>
    gateway.chat(undefined, { method: 'GET', path: `/v1/requests/${id}`, key: project.secret })

  const plain = await gateway.chat(body, { key: project.secret })
  const found = (await ask(plain.headers['x-request-id'])).json
  assert.equal(found.receipt_id, plain.headers['x-fluxgate-receipt'])
  assert.equal(found.config_version, version)
  assert.deepEqual(
    found.attempts.map(({ upstream, status }: Record<string, unknown>) => [upstream, status]),
    [
      ['a', 500],
      ['b', 200],
    ],
  )

  const named = await gateway.chat(body, { key: project.secret, headers: { 'idempotency-key': 'once' } })
  assert.equal((await ask(named.headers['x-request-id'])).status, 404)
  assert.equal((await ask(named.headers['x-fluxgate-receipt'])).status, 200)
})
