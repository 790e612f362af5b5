import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { createRandom } from '#test/support/random.ts'
import { createUsageHistory, type UsageFact, type UsageHistory, type UsageProject } from './usage-history.ts'

let api: TestApi
let history: UsageHistory
let mine: UsageProject
let theirs: UsageProject
const facts: UsageFact[] = []
const random = createRandom(7)
const NOON = 1_795_348_800_000_000n // 2026-11-22T12:00Z

before(async () => {
  api = await createTestApi()
  history = await createUsageHistory(api.database)
  mine = await history.openProject('mine')
  theirs = await history.openProject('theirs')
  for (const project of [mine, theirs])
    for (let n = 0; n < 20; n += 1) {
      const at = NOON + BigInt(random.integer(-40, 40)) * 3_600_000_000n + BigInt(random.integer(0, 999_999))
      facts.push(await (n % 2 === 0 ? history.call : history.report)(random, project, at))
    }
})
after(async () => {
  await history.close()
  await api.close()
})

const RANGE = 'start_date=2026-11-20&end_date=2026-11-24'
const keyOf = (project: UsageProject) => project.keys[0]?.secret ?? ''
const get = (path: string, headers: Record<string, string> = {}) =>
  api.call(`GET ${path}`, { key: keyOf(mine), headers })

test('GET /api/v1/stats 200: llmring’s object with llmring’s types, and everything sums to the summary', async () => {
  const { status, body } = await get(`/api/v1/stats?${RANGE}`)
  assert.equal(status, 200)
  const own = facts.filter(({ project }) => project === mine)
  const cost = own.reduce((sum, { costNanos }) => sum + (costNanos ?? 0n), 0n)
  assert.deepEqual(body.summary, {
    total_requests: 20,
    total_cost: `${cost / 1_000_000_000n}.${String(cost % 1_000_000_000n).padStart(9, '0')}`,
    total_tokens: own.reduce((sum, fact) => sum + fact.inputTokens + fact.outputTokens, 0),
    unique_models: new Set(own.map(({ model }) => model)).size,
    unique_origins: new Set(own.flatMap(({ origin }) => origin ?? [])).size,
    input_tokens: own.reduce((sum, { inputTokens }) => sum + inputTokens, 0),
    output_tokens: own.reduce((sum, { outputTokens }) => sum + outputTokens, 0),
    cost_nanousd: cost.toString(),
    unpriced: own.filter(({ costNanos }) => costNanos === null).length,
  })
  for (const group of Object.values(body.by_origin) as { cost: unknown }[]) assert.equal(typeof group.cost, 'number')
  for (const group of Object.values(body.by_alias) as { cost: unknown }[]) assert.equal(typeof group.cost, 'string')
  assert.deepEqual(Object.keys(body.by_project), [mine.id])
  assert(Object.hasOwn(body.by_alias, '__proto__') || own.every(({ alias }) => alias !== '__proto__'))
  assert.deepEqual(body.range, {
    start: '2026-11-20T00:00:00.000000Z',
    end: '2026-11-25T00:00:00.000000Z',
    tz: 'UTC',
    group_by: 'day',
  })
  const days = body.by_day.map(({ date }: { date: string }) => date)
  assert.deepEqual(days, days.toSorted().reverse())
  assert.equal(
    body.by_day.reduce((sum: number, { requests }: { requests: number }) => sum + requests, 0),
    20,
  )
})

test('GET /api/v1/stats 200: parameters without a value are absent ones, with and without the slash', async () => {
  const { body } = await get('/api/v1/stats')
  for (const path of [
    '/api/v1/stats/',
    '/api/v1/stats?start_date=&end_date=&group_by=&tz=&alias=&source=&project=',
    '/api/v1/stats?start_date=&end_date=&group_by=day',
  ])
    assert.deepEqual((await get(path)).body.summary, body.summary)
})

test('GET /api/v1/stats 200: today to today is today, and half an hour is two quarter hours', async () => {
  const inside = (from: bigint, to: bigint) =>
    facts.filter(({ project, atMicros }) => project === mine && atMicros >= from && atMicros < to).length
  const day = await get('/api/v1/stats?start_date=2026-11-22&end_date=2026-11-22')
  assert.equal(day.body.summary.total_requests, inside(NOON - 43_200_000_000n, NOON + 43_200_000_000n))
  const { range } = (await get('/api/v1/stats?start_date=2026-11-22T12:07Z&end_date=2026-11-22T12:16Z')).body
  assert.deepEqual([range.start, range.end], ['2026-11-22T12:00:00.000000Z', '2026-11-22T12:30:00.000000Z'])
})

test('GET /api/v1/stats 200: the admin key sees all projects, or one', async () => {
  const all = (await api.call(`GET /api/v1/stats?${RANGE}`)).body
  assert.equal(all.summary.total_requests, 40)
  assert.deepEqual(Object.keys(all.by_project).toSorted(), [mine.id, theirs.id].toSorted())
  const one = (await api.call(`GET /api/v1/stats?${RANGE}&project=${theirs.id}`)).body
  assert.deepEqual(Object.keys(one.by_project), [theirs.id])
  const own = (await get(`/api/v1/stats?${RANGE}&project=${mine.id}`)).body
  assert.equal(own.summary.total_requests, 20)
})

test('GET /api/v1/stats 200: a group of more than a thousand shows the dearest, and the sum of the rest', async () => {
  const crowded = await history.openProject('crowded')
  await api.database.db.query(
    `with n as (select n, series_id($1, $2, $3, 2::smallint, 'p', 'm', 'm', 'alias ' || n, 'default', null) as series
                from generate_series(1, 1100) n),
          l as (insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, provider, model, alias_name,
                                          input_tokens, output_tokens, usage, cost, cost_status)
                select gen_random_uuid(), $1, $2, $3, '', '2026-11-22 12:00Z', 'p', 'm', 'alias ' || n, 2, 1, '{}', n, 'priced' from n),
          s as (insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile)
                select series, $1, $2, $3, 2, 'p', 'm', 'm', 'alias ' || n, 'default' from n)
     insert into usage_15m select $1, '2026-11-22 12:00Z', series, 1, 2, 1, 0, 0, n, 0 from n`,
    [crowded.walletId, crowded.id, crowded.keys[0]?.id],
  )
  const { body } = await api.call(`GET /api/v1/stats?${RANGE}`, { key: keyOf(crowded) })
  assert.equal(Object.keys(body.by_alias).length, 1_000)
  assert.equal(Object.keys(body.by_alias)[0], 'alias 1100')
  const rest = (100 * 101) / 2
  assert.deepEqual(body.other, {
    by_alias: {
      members: 100,
      requests: 100,
      cost: `0.00000${rest}`,
      input_tokens: 200,
      output_tokens: 100,
      cost_nanousd: String(rest),
      unpriced: 0,
    },
  })
  assert.equal(body.summary.cost_nanousd, String((1_100 * 1_101) / 2))
})

for (const [query, loc] of [
  ['tz=Mars/Olympus', 'tz'],
  ['tz=%2B05:30', 'tz'],
  ['start_date=yesterday', 'start_date'],
  ['end_date=2026-02-30', 'end_date'],
  ['end_date=2026-11-22T25:00:00Z', 'end_date'],
  ['start_date=2026-11-23&end_date=2026-11-22', 'start_date'],
  ['start_date=1999-01-01&end_date=2026-11-22', 'start_date'],
  ['group_by=year', 'group_by'],
  ['source=elsewhere', 'source'],
  [`alias=${'x'.repeat(256)}`, 'alias'],
  ['alias=a&alias=b', 'alias'],
  ['model=%00', 'model'],
] as const) {
  test(`GET /api/v1/stats 422: ?${query.slice(0, 60)}`, async () => {
    const { status, body } = await get(`/api/v1/stats?${query}`)
    assert.deepEqual([status, body.code, body.detail[0].loc], [422, 'body_invalid', ['query', loc]])
  })
}

test('GET /api/v1/logs 200: a bare array, newest first, with llmring’s fields and ours', async () => {
  const { status, body, headers } = await get(`/api/v1/logs?${RANGE}`)
  assert.equal(status, 200)
  const own = facts.filter(({ project }) => project === mine).sort((a, b) => (a.atMicros < b.atMicros ? 1 : -1))
  assert.deepEqual(
    body.map(({ id }: { id: string }) => id),
    own.map(({ id }) => id),
  )
  assert.equal(headers.link, undefined)
  const fact = own.find(({ source }) => source === 'reported')
  assert(fact)
  const shown = body.find(({ id }: { id: string }) => id === fact.id)
  const { received_at, logged_at, ...rest } = shown
  assert.equal(Date.parse(logged_at), Number(fact.atMicros / 1_000n))
  assert(Date.parse(received_at) <= Date.now())
  assert.deepEqual(rest, {
    id: fact.id,
    provider: fact.provider,
    model: fact.model,
    alias: fact.alias,
    profile: fact.profile,
    origin: fact.origin,
    input_tokens: fact.inputTokens,
    output_tokens: fact.outputTokens,
    cached_input_tokens: fact.cachedTokens,
    cost: Number(fact.costNanos ?? 0n) / 1e9,
    metadata: { note: '=1' },
    conversation_id: fact.conversationId,
    id_at_origin: null,
    alias_name: fact.alias,
    source: 'reported',
    cost_nanousd: fact.costNanos?.toString() ?? null,
    cost_status: fact.costNanos === null ? 'model_unknown' : 'priced',
    reported_cost: '0.25',
    receipt_id: null,
    project_id: mine.id,
    key_id: fact.keyId,
    outcome: null,
    model_requested: fact.model,
    latency_ms: null,
  })
})

test('GET /api/v1/logs 200: the headers lead from page to page, with every filter kept', async () => {
  for (const query of [
    `limit=3&${RANGE}`,
    `limit=2&source=gateway&offset=2&${RANGE}`,
    `limit=1&provider=openai&${RANGE}`,
  ]) {
    const ids: string[] = []
    for (let path: string | undefined = `/api/v1/logs?${query}`; path !== undefined; ) {
      const { status, body, headers } = await get(path)
      assert.equal(status, 200)
      ids.push(...body.map(({ id }: { id: string }) => id))
      path = /^<([^>]+)>; rel="next"$/.exec(String(headers.link))?.[1]
      assert.equal(new URLSearchParams(path?.split('?')[1]).get('after'), headers['x-next-cursor'] ?? null)
    }
    const whole = (await get(`/api/v1/logs?${query.replace(/limit=\d+/, 'limit=500')}`)).body
    assert.deepEqual(
      ids,
      whole.map(({ id }: { id: string }) => id),
    )
  }
})

test('GET /api/v1/logs 200: by conversation, and for the operator of all projects', async () => {
  const talk = '018f0000-0000-7000-8000-00000000000a'
  const own = facts.filter(({ project, conversationId }) => project === mine && conversationId === talk)
  assert.equal((await get(`/api/v1/logs?${RANGE}&conversation_id=${talk}`)).body.length, own.length)
  assert.deepEqual((await get(`/api/v1/logs?${RANGE}&conversation_id=${talk}&source=gateway`)).body, [])
  assert.equal((await api.call(`GET /api/v1/logs?${RANGE}&limit=40`)).body.length, 40)
  const theirOwn = facts.filter(({ project, conversationId }) => project === theirs && conversationId === talk)
  const named = await api.call(`GET /api/v1/logs?${RANGE}&conversation_id=${talk}&project=${theirs.id}`)
  assert.equal(named.body.length, theirOwn.length)
  const { status, body } = await api.call(`GET /api/v1/logs?${RANGE}&conversation_id=${talk}`)
  assert.deepEqual([status, body.detail[0].loc], [422, ['query', 'conversation_id']])
})

for (const [query, loc] of [
  ['limit=0', 'limit'],
  ['limit=501', 'limit'],
  ['limit=x', 'limit'],
  ['offset=-1', 'offset'],
  ['offset=10001', 'offset'],
  ['after=AAAA', 'after'],
  ['conversation_id=x', 'conversation_id'],
  ['start_date=x', 'start_date'],
] as const) {
  test(`GET /api/v1/logs 422: ?${query}`, async () => {
    const { status, body } = await get(`/api/v1/logs?${query}`)
    assert.deepEqual([status, body.code, body.detail[0].loc], [422, 'body_invalid', ['query', loc]])
    if (query === 'offset=10001') assert.match(body.detail[0].msg, /after=/)
  })
}

test('GET /api/v1/logs/export 200: CSV, NDJSON and Parquet have the same calls', async () => {
  const listed = (await get(`/api/v1/logs?${RANGE}`)).body
  const ids = listed.map(({ id }: { id: string }) => id)
  const csv = await get(`/api/v1/logs/export?${RANGE}`)
  assert.equal(csv.headers['content-type'], 'text/csv; charset=utf-8; header=present')
  assert.equal(csv.headers['content-disposition'], 'attachment; filename="usage.csv"')
  for (const id of ids) assert(csv.text.includes(`,${id},`))
  assert.equal(csv.text.split('\r\n').length, ids.length + 2)
  const ndjson = await get(`/api/v1/logs/export?${RANGE}`, { accept: 'application/x-ndjson' })
  const lines = ndjson.text.trimEnd().split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    listed,
  )
  const response = await api.app.inject({
    url: `/api/v1/logs/export?${RANGE}&format=parquet`,
    headers: { 'x-api-key': keyOf(mine) },
  })
  assert.equal(response.headers['content-type'], 'application/vnd.apache.parquet')
  const { buffer, byteOffset, byteLength } = response.rawPayload
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
  assert.equal((await parquetMetadataAsync(file)).num_rows, BigInt(ids.length))
  assert.deepEqual(
    (await parquetReadObjects({ file })).map(({ id }) => id),
    ids,
  )
})

test('GET /api/v1/logs/export 200: nothing found is a file with its head', async () => {
  const { text } = await get('/api/v1/logs/export?start_date=2020-01-01&end_date=2020-01-02')
  assert.match(text, /^logged_at,.*,metadata\r\n$/)
  const ndjson = await get('/api/v1/logs/export?start_date=2020-01-01&end_date=2020-01-02&format=ndjson')
  assert.deepEqual([ndjson.status, ndjson.text], [200, ''])
})

test('GET /api/v1/logs 200: a range that begins before 1970, to the microsecond', async () => {
  const end = '1970-01-02T00:00:00.000001Z'
  const { status, body } = await get(`/api/v1/logs?end_date=${end}`)
  assert.deepEqual([status, body], [200, []])
})

test('GET /api/v1/logs/export 422: no such format', async () => {
  const { status, body } = await get('/api/v1/logs/export?format=xlsx')
  assert.deepEqual([status, body.detail[0].loc], [422, ['query', 'format']])
})

for (const path of ['/api/v1/stats', '/api/v1/logs', '/api/v1/logs/export']) {
  test(`GET ${path} 400: a key that cannot be one`, async () => {
    const { status, body } = await api.call(`GET ${path}`, { key: null, headers: { 'x-api-key': 'a b' } })
    assert.deepEqual([status, body.code], [400, 'key_malformed'])
  })

  test(`GET ${path} 401: no key, or an unknown one`, async () => {
    assert.equal((await api.call(`GET ${path}`, { key: null })).status, 401)
    const { status, body } = await api.call(`GET ${path}`, { key: null, headers: { 'x-api-key': 'nobodys' } })
    assert.deepEqual([status, body.detail], [401, 'Invalid API key'])
  })

  test(`GET ${path} 403: another project’s usage`, async () => {
    const { status, body } = await get(`${path}?project=${theirs.id}`)
    assert.deepEqual([status, body.code], [403, 'forbidden'])
  })

  test(`GET ${path} 503: the database is away`, async () => {
    assert.equal((await api.callAway(`GET ${path}`)).status, 503)
  })
}

test('every documented status was met', () =>
  api.expectEveryStatus('GET /api/v1/stats', 'GET /api/v1/logs', 'GET /api/v1/logs/export'))
