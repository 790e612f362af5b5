import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auditLedger } from '#domain/audit.ts'
import { dashedUuid, uuidFromName } from '#lib/ids.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { until } from '#test/support/until.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const BATCH = 'POST /api/v1/logs:batch'
const report = { model: 'gpt-4o-mini', provider: 'openai', input_tokens: 1000, output_tokens: 200 }
let projects = 0

async function open() {
  projects += 1
  return api.openProject(`batch ${projects}`)
}

async function countOf(projectId: string) {
  const { rows } = await api.database.db.query<{ logs: number; calls: number; cost: string }>(
    `select (select count(*)::int from reported_log where project_id = $1) as logs,
            coalesce(sum(u.calls), 0)::int as calls, coalesce(sum(u.cost), 0)::text as cost
     from usage_15m u join usage_series s on s.id = u.series where s.project_id = $1 and s.source = 2`,
    [projectId],
  )
  return rows[0]
}

test('POST /api/v1/logs:batch 200: one result for each entry, in order', async () => {
  const { secret, projectId } = await open()
  const logs = [report, { ...report, alias: 'a' }, { ...report, model: 'nobody-knows' }]
  for (const path of ['/api/v1/logs:batch', '/api/v1/logs:batch/']) {
    const { status, body } = await api.call(`POST ${path}`, { key: secret, body: { logs } })
    assert.equal(status, 200)
    assert.deepEqual(
      body.results.map(({ log_id, timestamp, ...rest }: Record<string, unknown>) => {
        assert(typeof log_id === 'string' && typeof timestamp === 'string')
        return rest
      }),
      [
        ...[0, 1].map((index) => ({
          ...{ index, status: 'created', status_code: 200 },
          ...{ cost: 0.00027, cost_nanousd: '270000', cost_status: 'priced' },
        })),
        {
          ...{ index: 2, status: 'created', status_code: 200 },
          ...{ cost: 0, cost_nanousd: null, cost_status: 'model_not_in_registry' },
        },
      ],
    )
  }
  assert.deepEqual(await countOf(projectId), { logs: 6, calls: 6, cost: '1080000' })
})

test('POST /api/v1/logs:batch 207: what is refused keeps nothing else from being recorded', async () => {
  const { secret, projectId } = await open()
  const first = await api.call(BATCH, { key: secret, body: { logs: [{ ...report, idempotency_key: 'a' }] } })
  const logs = [
    { ...report, input_tokens: -1 },
    { ...report, idempotency_key: 'a' },
    { ...report, idempotency_key: 'b' },
    { ...report, output_tokens: 1, idempotency_key: 'a' },
    7,
    { ...report, idempotency_key: 'b' },
    { ...report, output_tokens: 1, idempotency_key: 'b' },
    { ...report, idempotency_key: 'ä' },
    { ...report, alias: 'x\0' },
  ]
  const { status, body } = await api.call(BATCH, { key: secret, body: { logs } })
  assert.equal(status, 207)
  assert.deepEqual(
    body.results.map((result: Record<string, unknown>) => [result.status, result.status_code, result.code]),
    [
      ['refused', 422, 'body_invalid'],
      ['duplicate', 200, undefined],
      ['created', 200, undefined],
      ['refused', 409, 'idempotency_mismatch'],
      ['refused', 422, 'body_invalid'],
      ['duplicate', 200, undefined],
      ['refused', 409, 'idempotency_mismatch'],
      ['refused', 400, 'idempotency_key_invalid'],
      ['refused', 422, 'body_invalid'],
    ],
  )
  assert.deepEqual(body.results[0].detail[0].loc, ['body', 'input_tokens'])
  assert.equal(body.results[1].log_id, first.body.results[0].log_id)
  assert.equal(body.results[5].log_id, body.results[2].log_id)
  assert.deepEqual(await countOf(projectId), { logs: 2, calls: 2, cost: '540000' })
})

test('an idempotency key of the whole batch names each of its entries', async () => {
  const { secret, projectId } = await open()
  const headers = { 'idempotency-key': 'night' }
  const logs = [report, { ...report, alias: 'b' }, { ...report, idempotency_key: 'own' }]
  const first = await api.call(BATCH, { key: secret, headers, body: { logs } })
  const again = await api.call(BATCH, { key: secret, headers, body: { logs } })
  const ids = (answer: typeof first) => answer.body.results.map(({ log_id }: { log_id: string }) => log_id)
  assert.deepEqual(ids(again), ids(first))
  assert(again.body.results.every(({ status }: { status: string }) => status === 'duplicate'))
  assert.deepEqual(await countOf(projectId), { logs: 3, calls: 3, cost: '810000' })
})

test('POST /api/v1/logs:batch 200: none, and a thousand', async () => {
  const { secret, projectId } = await open()
  const none = await api.call(BATCH, { key: secret, body: { logs: [] } })
  assert.deepEqual([none.status, none.body], [200, { results: [] }])
  const logs = Array.from({ length: 1000 }, (_, index) => ({
    ...{ ...report, alias: `alias ${index % 7}`, idempotency_key: `k${index}` },
    occurred_at: new Date(Date.UTC(2026, 0, 1 + (index % 5))).toISOString(),
  }))
  const { status, body } = await api.call(BATCH, { key: secret, body: { logs } })
  assert.deepEqual([status, body.results.length], [200, 1000])
  assert.deepEqual(await countOf(projectId), { logs: 1000, calls: 1000, cost: '270000000' })
})

test('POST /api/v1/logs:batch 422: a thousand and one, and bodies that are no batch', async () => {
  const { secret } = await open()
  for (const body of [
    { logs: Array.from({ length: 1001 }, () => report) },
    {},
    { logs: {} },
    [report],
    { logs: null },
  ]) {
    const answer = await api.call(BATCH, { key: secret, body })
    assert.deepEqual([answer.status, answer.body.code], [422, 'body_invalid'])
  }
})

test('POST /api/v1/logs:batch 401, 413 and 415', async () => {
  const { secret } = await open()
  assert.equal((await api.call(BATCH, { key: 'nobody', body: { logs: [] } })).status, 401)
  const large = await api.call(BATCH, { key: secret, body: { logs: ['x'.repeat(8 * 1_048_576)] } })
  assert.deepEqual([large.status, large.body.code], [413, 'body_too_large'])
  const xml = await api.call(BATCH, { key: secret, body: '<a/>', headers: { 'content-type': 'text/xml' } })
  assert.deepEqual([xml.status, xml.body.code], [415, 'media_type_unsupported'])
})

test('many clients with the same keys at once: each report is one row, and the roll-up is exact', async () => {
  const { secret, projectId } = await open()
  const entry = (name: number) => ({
    ...report,
    ...{ alias: `alias ${name % 3}`, idempotency_key: `race-${name}` },
    occurred_at: new Date(Date.UTC(2026, 1, 1, 0, (name % 4) * 15)).toISOString(),
  })
  const names = Array.from({ length: 24 }, (_, index) => index)
  // Half of them send the names backwards, so that writers meet head-on.
  const clients = Array.from({ length: 16 }, async (_, client) => {
    const order = client % 2 === 0 ? names : names.toReversed()
    if (client % 4 === 3)
      return Promise.all(
        order.map(async (name) => {
          const { status, body } = await api.call('POST /api/v1/log', { key: secret, body: entry(name) })
          assert.equal(status, 200)
          return [name, body.log_id] as const
        }),
      )
    const { status, body } = await api.call(BATCH, { key: secret, body: { logs: order.map(entry) } })
    assert.equal(status, 200, JSON.stringify(body))
    return order.map((name, index) => [name, body.results[index].log_id] as const)
  })
  const told = (await Promise.all(clients)).flat()
  for (const name of names) assert.equal(new Set(told.filter(([of]) => of === name).map(([, id]) => id)).size, 1)
  assert.deepEqual(await countOf(projectId), { logs: 24, calls: 24, cost: String(24 * 270_000) })
  assert((await auditLedger(api.database.db)).ok)
})

test('batches that meet head-on wait for each other in one direction', async () => {
  const { secret, projectId, walletId, keyId } = await open()
  const entry = (name: number) => ({
    ...{ ...report, alias: `alias ${name % 10}`, idempotency_key: `met-${name}` },
    occurred_at: new Date(Date.UTC(2026, 2, 1, 0, 15 * (name % 8))).toISOString(),
  })
  const names = Array.from({ length: 100 }, (_, index) => index)
  const send = async (order: number[]) => {
    const { status, body } = await api.call(BATCH, { key: secret, body: { logs: order.map(entry) } })
    assert.equal(status, 200, JSON.stringify(body).slice(0, 300))
  }
  // Somebody is about to record the one in the middle, so that all of them come to stand among their rows.
  const blocker = await api.database.db.connect()
  await blocker.query('begin')
  await blocker.query(
    `insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, provider, model, input_tokens,
                               output_tokens, usage, cost_status)
     values ($1, $2, $3, $4, '', now(), 'p', 'm', 0, 0, '{}', 'no_usage')`,
    [dashedUuid(uuidFromName('usage', projectId, 'met-50')), walletId, projectId, keyId],
  )
  const sent = Promise.all([send(names), send(names.toReversed()), send(names), send(names.toReversed())])
  await until(
    'all of them wait',
    async () => {
      const { rows } = await api.database.db.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      )
      return rows[0]?.n === 4
    },
    30_000,
  )
  await blocker.query('rollback')
  blocker.release()
  await sent
  assert.deepEqual(await countOf(projectId), { logs: 100, calls: 100, cost: String(100 * 270_000) })
  assert((await auditLedger(api.database.db)).ok)
})
