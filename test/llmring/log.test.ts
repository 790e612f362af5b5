import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const LOG = 'POST /api/v1/log'
const report = { model: 'gpt-4o-mini', provider: 'openai', input_tokens: 1000, output_tokens: 200 }
let projects = 0

async function open() {
  projects += 1
  return api.openProject(`log ${projects}`)
}

async function rowsOf(projectId: string) {
  const { rows } = await api.database.db.query(
    `select id, provider, model, alias_name, profile, origin, id_at_origin, input_tokens, output_tokens, cached_input_tokens,
            usage, latency_ms, cost, cost_status, reported_cost, metadata, conversation_id, key_id, price_book,
            abs(extract(epoch from received_at - clock_timestamp())) < 60 as fresh, occurred_at = received_at as at_once
     from reported_log where project_id = $1 order by received_at, id`,
    [projectId],
  )
  return rows
}

async function rollUp(projectId: string) {
  const { rows } = await api.database.db.query(
    `select sum(u.calls)::int as calls, sum(u.input_tokens)::int as tin, sum(u.output_tokens)::int as tout, sum(u.cost)::text as cost,
            sum(u.unpriced)::int as unpriced, sum(u.charged)::int as charged
     from usage_15m u join usage_series s on s.id = u.series where s.project_id = $1 and s.source = 2`,
    [projectId],
  )
  return rows[0]
}

test('POST /api/v1/log 200: the exact answer, the row and the roll-up', async () => {
  const { secret, projectId, keyId } = await open()
  const body = {
    ...{ ...report, cached_input_tokens: 400, origin: 'llmring', alias: 'summarizer', profile: 'prod', cost: 0.00024 },
    ...{ latency_ms: 1200, id_at_origin: 'abc', metadata: { finish_reason: 'stop' } },
  }
  const answer = await api.call(LOG, { key: secret, body })
  assert.equal(answer.status, 200)
  const { log_id, timestamp, ...rest } = answer.body
  assert.match(log_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  assert(Math.abs(Date.parse(timestamp) - Date.now()) < 60_000)
  assert.deepEqual(rest, { cost: 0.00024, cost_status: 'priced', cost_nanousd: '240000' })
  const [row, ...others] = await rowsOf(projectId)
  assert.equal(others.length, 0)
  const { price_book, ...told } = row
  assert.match(price_book, /^sha256:/)
  assert.deepEqual(told, {
    ...{ id: log_id, provider: 'openai', model: 'gpt-4o-mini', alias_name: 'summarizer', profile: 'prod' },
    ...{ origin: 'llmring', id_at_origin: 'abc', input_tokens: 1000n, output_tokens: 200n, cached_input_tokens: 400n },
    ...{
      usage: '{"input":600,"cache_read":400,"output":200}',
      latency_ms: 1200n,
      cost: 240000n,
      cost_status: 'priced',
    },
    ...{ reported_cost: '0.00024', metadata: '{"finish_reason":"stop"}', conversation_id: null, key_id: keyId },
    ...{ fresh: true, at_once: true },
  })
  assert.deepEqual(await rollUp(projectId), {
    ...{ calls: 1, tin: 1000, tout: 200, cost: '240000', unpriced: 0, charged: 0 },
  })
})

test('both slash forms, numeric strings, null for what is absent, unknown members', async () => {
  const { secret, projectId } = await open()
  const body = {
    ...{
      model: 'gpt-4o-mini',
      provider: 'openai',
      input_tokens: '12',
      output_tokens: ' 3 ',
      cached_input_tokens: null,
    },
    ...{ alias: null, profile: '', origin: null, metadata: null, latency_ms: '7', cost: '1e-7', whatever: { a: [1] } },
  }
  for (const path of ['/api/v1/log', '/api/v1/log/']) {
    const { status } = await api.call(`POST ${path}`, { key: secret, body })
    assert.equal(status, 200)
  }
  const rows = await rowsOf(projectId)
  assert.equal(rows.length, 2)
  const [{ input_tokens, output_tokens, cached_input_tokens, profile, latency_ms, reported_cost, metadata }] = rows
  assert.deepEqual(
    [input_tokens, output_tokens, cached_input_tokens, profile, latency_ms, reported_cost, metadata],
    [12n, 3n, 0n, 'default', 7n, '0.0000001', '{}'],
  )
})

for (const [what, alias, stored] of [
  ['of 255 characters', 'a'.repeat(255), 'a'.repeat(255)],
  ['of 255 characters that are two units each', '🦊'.repeat(255), '🦊'.repeat(255)],
  ['with spaces and punctuation', ' re: "sum" / {x} \\ \n', ' re: "sum" / {x} \\ \n'],
  ['with a colon', 'pkg:deep', 'pkg:deep'],
  ['that is empty', '', null],
  ['that is blank', ' \t ', null],
] as const) {
  test(`an alias ${what} is kept as it is, or is none`, async () => {
    const { secret, projectId } = await open()
    for (const name of ['alias', 'alias_name']) {
      const { status } = await api.call(LOG, { key: secret, body: { ...report, [name]: alias } })
      assert.equal(status, 200)
    }
    const both = await api.call(LOG, { key: secret, body: { ...report, alias, alias_name: alias } })
    assert.equal(both.status, 200)
    const rows = await rowsOf(projectId)
    assert.deepEqual(
      rows.map(({ alias_name }) => alias_name),
      [stored, stored, stored],
    )
  })
}

const SAFE = Number.MAX_SAFE_INTEGER
for (const [what, body, loc, type] of [
  ['nothing', {}, ['body', 'model'], 'missing'],
  ['an alias of 256 characters', { ...report, alias: 'a'.repeat(256) }, ['body', 'alias'], 'value_error'],
  ['an alias_name of 256 pairs', { ...report, alias_name: '🦊'.repeat(256) }, ['body', 'alias_name'], 'value_error'],
  ['two aliases', { ...report, alias: 'a', alias_name: 'b' }, ['body', 'alias'], 'value_error'],
  ['a NUL', { ...report, alias: 'a\0b' }, ['body', 'alias'], 'value_error'],
  [
    'half a surrogate pair',
    '{"model":"m","provider":"p","input_tokens":1,"output_tokens":1,"origin":"\\ud83d"}',
    ['body', 'origin'],
    'value_error',
  ],
  ['a blank model', { ...report, model: ' ' }, ['body', 'model'], 'value_error'],
  ['an empty provider', { ...report, provider: '' }, ['body', 'provider'], 'value_error'],
  ['a model that is a number', { ...report, model: 4 }, ['body', 'model'], 'string_type'],
  ['negative tokens', { ...report, input_tokens: -5 }, ['body', 'input_tokens'], 'greater_than_equal'],
  ['half a token', { ...report, output_tokens: 12.5 }, ['body', 'output_tokens'], 'int_from_float'],
  ['half a token as text', { ...report, output_tokens: '12.5' }, ['body', 'output_tokens'], 'int_type'],
  ['true tokens', { ...report, output_tokens: true }, ['body', 'output_tokens'], 'int_type'],
  ['2^53 tokens', { ...report, input_tokens: SAFE + 1 }, ['body', 'input_tokens'], 'less_than_equal'],
  [
    '1e400 tokens',
    '{"model":"m","provider":"p","input_tokens":1e400,"output_tokens":1}',
    ['body', 'input_tokens'],
    'int_from_float',
  ],
  ['more tokens than a call can have', { ...report, input_tokens: SAFE }, ['body', 'input_tokens'], 'value_error'],
  ['NaN tokens', { ...report, input_tokens: 'NaN' }, ['body', 'input_tokens'], 'int_type'],
  [
    'more cached tokens than tokens',
    { ...report, cached_input_tokens: 1001 },
    ['body', 'cached_input_tokens'],
    'value_error',
  ],
  [
    'more parts than tokens',
    { ...report, cache_write_5m_tokens: 600, audio_input_tokens: 401 },
    ['body', 'input_tokens'],
    'value_error',
  ],
  ['more reasoning than output', { ...report, reasoning_tokens: 201 }, ['body', 'output_tokens'], 'value_error'],
  ['a negative cost', { ...report, cost: -1 }, ['body', 'cost'], 'greater_than_equal'],
  ['a cost of a million and one', { ...report, cost: 1_000_001 }, ['body', 'cost'], 'value_error'],
  ['an infinite cost', { ...report, cost: 'Infinity' }, ['body', 'cost'], 'number_type'],
  ['a negative latency', { ...report, latency_ms: -1 }, ['body', 'latency_ms'], 'greater_than_equal'],
  ['a list of metadata', { ...report, metadata: [] }, ['body', 'metadata'], 'dict_type'],
  ['huge metadata', { ...report, metadata: { x: 'y'.repeat(65_536) } }, ['body', 'metadata'], 'value_error'],
  ['deep metadata', { ...report, metadata: nested(33) }, ['body', 'metadata'], 'value_error'],
  ['metadata with a NUL in a name', { ...report, metadata: { 'a\0': 1 } }, ['body', 'metadata'], 'value_error'],
  ['a conversation that is no UUID', { ...report, conversation_id: 'x' }, ['body', 'conversation_id'], 'value_error'],
  ['a time that is none', { ...report, occurred_at: 'yesterday' }, ['body', 'occurred_at'], 'value_error'],
  ['a day that is none', { ...report, occurred_at: '2026-02-31T00:00:00Z' }, ['body', 'occurred_at'], 'value_error'],
  ['a time of 1999', { ...report, timestamp: '1999-12-31T23:59:59Z' }, ['body', 'timestamp'], 'value_error'],
  [
    'a time of tomorrow',
    { ...report, timestamp: new Date(Date.now() + 86_400_000).toISOString() },
    ['body', 'timestamp'],
    'value_error',
  ],
  [
    'two times',
    { ...report, timestamp: '2026-01-01T00:00:00Z', occurred_at: '2026-01-01T00:00:01Z' },
    ['body', 'timestamp'],
    'value_error',
  ],
  ['a list', [], ['body'], 'dict_type'],
  ['null', 'null', ['body'], 'missing'],
  ['nothing at all', '', ['body'], 'missing'],
  ['half of JSON', '{"model":', ['body'], 'json_invalid'],
  ['NaN as Python writes it', '{"input_tokens":NaN}', ['body'], 'json_invalid'],
  ['a nest of 10,000 lists', `${'['.repeat(10_000)}${']'.repeat(10_000)}`, ['body'], 'json_invalid'],
] as const) {
  test(`POST /api/v1/log 422: a body with ${what}`, async () => {
    const { secret, projectId } = await open()
    const answer = await api.call(LOG, { key: secret, body })
    assert.equal(answer.status, 422, answer.text)
    assert.match(answer.body.code, /^body_(?:invalid|malformed)$/)
    const [issue] = answer.body.detail
    assert.deepEqual([issue.loc, issue.type], [loc, type], answer.text)
    assert.deepEqual(Object.keys(issue), ['type', 'loc', 'msg', 'input'])
    assert.equal(answer.headers['x-should-retry'], 'false')
    assert.deepEqual(await rowsOf(projectId), [])
  })
}

function nested(depth: number): object {
  let value: object = {}
  for (let level = 1; level < depth; level += 1) value = { a: value }
  return value
}

test('all that is wrong is told at once, in words of pydantic', async () => {
  const { secret } = await open()
  const { body } = await api.call(LOG, { key: secret, body: { model: 4, input_tokens: 'x' } })
  assert.deepEqual(body.detail[0], { type: 'missing', loc: ['body', 'provider'], msg: 'Field required', input: null })
})

for (const [what, told, stored] of [
  ['with a zone', '2026-02-03T04:05:06.789+02:00', '2026-02-03T02:05:06.789000Z'],
  ['without a zone: UTC', '2026-02-03T04:05:06', '2026-02-03T04:05:06.000000Z'],
  ['to the microsecond, as Python prints it', '2026-02-03 04:05:06.123456+00:00', '2026-02-03T04:05:06.123456Z'],
  ['of a leap day', '2024-02-29T23:59Z', '2024-02-29T23:59:00.000000Z'],
] as const) {
  test(`a time ${what} is when the call counts`, async () => {
    const { secret, projectId } = await open()
    for (const name of ['timestamp', 'occurred_at']) {
      const { body } = await api.call(LOG, { key: secret, body: { ...report, [name]: told } })
      assert.equal(body.timestamp, stored)
    }
    const { rows } = await api.database.db.query(
      `select distinct bucket = date_bin('15 minutes', $2::timestamptz, '2000-01-01Z') as there from usage_15m u
       join usage_series s on s.id = u.series where s.project_id = $1`,
      [projectId, stored],
    )
    assert.deepEqual(rows, [{ there: true }])
  })
}

// The figures of the price book, and of the rules that calls through the gateway are charged by.
for (const [what, body, nanos, status] of [
  ['cached tokens at their own price', { cached_input_tokens: 400 }, '240000', 'priced'],
  ['a model with its provider', { model: 'openai:gpt-4o-mini' }, '270000', 'priced'],
  ['a model with a slash', { model: 'openai/gpt-4o-mini' }, '270000', 'priced'],
  ['a provider in capitals', { provider: 'OpenAI' }, '270000', 'priced'],
  [
    'Sonnet with 8,000 of 9,500 read',
    {
      provider: 'anthropic',
      model: 'claude-sonnet-4-5',
      input_tokens: 9500,
      cached_input_tokens: 8000,
      output_tokens: 150,
    },
    '9150000',
    'priced',
  ],
  [
    'Sonnet with cache writes',
    {
      provider: 'anthropic',
      model: 'claude-sonnet-4-5-20250929',
      input_tokens: 6400,
      cached_input_tokens: 1200,
      cache_write_5m_tokens: 800,
      cache_write_1h_tokens: 600,
      output_tokens: 1000,
    },
    '33360000',
    'priced',
  ],
  ['reasoning of gpt-5', { model: 'gpt-5', output_tokens: 300, reasoning_tokens: 120 }, '4250000', 'priced'],
  [
    'Gemini above 200,000, the whole call',
    { provider: 'google', model: 'gemini-2.5-pro', input_tokens: 300_000, output_tokens: 1000 },
    '765000000',
    'priced',
  ],
  [
    'Sonnet above 200,000, the whole call',
    { provider: 'anthropic', model: 'anthropic:claude-sonnet-4-5', input_tokens: 300_000, output_tokens: 1000 },
    '1822500000',
    'priced',
  ],
  ['a model that is free', { provider: 'ollama', model: 'llama3:8b' }, '0', 'priced'],
  ['an unknown model', { model: 'gpt-99' }, null, 'model_not_in_registry'],
  ['a model of another provider', { model: 'anthropic:claude-sonnet-4-5' }, null, 'model_not_in_registry'],
  ['an unknown provider', { provider: 'nobody' }, null, 'model_not_in_registry'],
  ['no usage', { input_tokens: 0, output_tokens: 0 }, null, 'no_usage'],
  ['usage of a kind that has no price', { audio_input_tokens: 10 }, null, 'no_pricing_in_registry'],
  [
    'characters of speech',
    { model: 'tts-1', input_tokens: 0, output_tokens: 0, characters: 1000 },
    '15000000',
    'priced',
  ],
] as const) {
  test(`what a call costs: ${what}`, async () => {
    const { secret, projectId } = await open()
    const { body: answer } = await api.call(LOG, { key: secret, body: { ...report, cost: 7.5, ...body } })
    assert.deepEqual([answer.cost_nanousd, answer.cost_status, answer.cost], [nanos, status, Number(nanos ?? 0) / 1e9])
    const { cost, unpriced } = await rollUp(projectId)
    assert.deepEqual([cost, unpriced], [nanos ?? '0', nanos === null ? 1 : 0])
    const [{ reported_cost }] = await rowsOf(projectId)
    assert.equal(reported_cost, '7.5')
  })
}

test('an idempotency key: the first answer again, 409 for another report, of its project alone', async () => {
  const { secret, projectId } = await open()
  const headers = { 'idempotency-key': 'call-1' }
  const first = await api.call(LOG, { key: secret, headers, body: { ...report, metadata: { a: 1, b: 2 } } })
  const again = await api.call(LOG, { key: secret, headers, body: { metadata: { b: 2, a: 1 }, ...report, more: 1 } })
  assert.deepEqual(again.body, { ...first.body, idempotent_replay: true })
  const inBody = await api.call(LOG, {
    key: secret,
    body: { ...report, metadata: { a: 1, b: 2 }, idempotency_key: 'call-1' },
  })
  assert.deepEqual(inBody.body, again.body)
  const other = await api.call(LOG, { key: secret, headers, body: { ...report, output_tokens: 201 } })
  assert.deepEqual([other.status, other.body.code], [409, 'idempotency_mismatch'])
  assert.equal((await rowsOf(projectId)).length, 1)
  assert.equal((await rollUp(projectId)).calls, 1)

  const elsewhere = await open()
  const { body } = await api.call(LOG, { key: elsewhere.secret, headers, body: report })
  assert.notEqual(body.log_id, first.body.log_id)
  const { key, secret: second } = await api.deps.keys.create({ projectId, name: 'second' })
  assert(key)
  const bySecond = await api.call(LOG, { key: second, headers, body: { ...report, metadata: { a: 1, b: 2 } } })
  assert.deepEqual(bySecond.body, again.body)
})

test('POST /api/v1/log 400: an idempotency key that is none, or two', async () => {
  const { secret } = await open()
  for (const [header, own] of [
    ['x'.repeat(256), undefined],
    ['a b', undefined],
    [undefined, 'ä'],
    ['a', 'b'],
  ]) {
    const { status, body } = await api.call(LOG, {
      key: secret,
      ...(header !== undefined && { headers: { 'idempotency-key': header } }),
      body: { ...report, idempotency_key: own },
    })
    assert.deepEqual([status, body.code], [400, 'idempotency_key_invalid'])
  }
})

test('the table of headers: which key, and what is wrong with it', async () => {
  const { secret } = await open()
  const as = (headers: Record<string, string>) => api.call(LOG, { key: null, headers, body: report })
  for (const [headers, status, detail] of [
    [{}, 401, 'X-API-Key header required'],
    [{ 'x-api-key': '' }, 401, 'X-API-Key header required'],
    [{ 'x-api-key': '   ' }, 401, 'X-API-Key header cannot be empty'],
    [{ 'x-api-key': 'x'.repeat(256) }, 400, 'X-API-Key too long'],
    [{ 'x-api-key': 'a b' }, 400, 'X-API-Key must not contain whitespace'],
    [{ 'x-project-key': 'a\tb' }, 400, 'X-Project-Key must not contain whitespace'],
    [{ 'x-api-key': 'x'.repeat(255) }, 401, 'Invalid API key'],
    [{ 'x-api-key': secret, authorization: 'Bearer other' }, 400, 'X-API-Key and Authorization name different keys'],
    [{ authorization: 'Basic abc' }, 401, 'X-API-Key header required'],
    [{ 'x-api-key': 'schlüssel' }, 401, 'Invalid API key'],
  ] as const) {
    const answer = await as(headers)
    assert.deepEqual([answer.status, answer.body.detail], [status, detail])
    assert.equal(answer.body.code, status === 401 ? 'invalid_api_key' : 'key_malformed')
  }
  for (const headers of [
    { 'x-api-key': secret },
    { 'x-api-key': ` ${secret} ` },
    { 'x-project-key': secret },
    { authorization: `Bearer ${secret}` },
    { 'x-api-key': secret, authorization: `bearer ${secret}`, 'x-project-key': secret },
    { 'x-api-key': secret, authorization: 'Basic proxy' },
  ])
    assert.equal((await as(headers)).status, 200)
})

test('POST /api/v1/log 413, 415 and 503', async () => {
  const { secret } = await open()
  const large = await api.call(LOG, { key: secret, body: { ...report, x: 'y'.repeat(1_048_576) } })
  assert.deepEqual([large.status, large.body.code], [413, 'body_too_large'])
  const form = await api.call(LOG, { key: secret, body: 'a=b', headers: { 'content-type': 'text/plain' } })
  assert.deepEqual([form.status, form.body.code], [415, 'media_type_unsupported'])
  for (const line of [LOG, 'POST /api/v1/logs:batch']) {
    const away = await api.callAway(line, { key: 'fg_key_of_nobody', body: report })
    assert.deepEqual([away.status, away.body.code, away.headers['x-should-retry']], [503, 'ledger_unavailable', 'true'])
    assert.equal(away.headers['retry-after'], '1')
  }
})

test('403: a key that may do other things', async () => {
  const { projectId } = await open()
  const keyWith = async (...scopes: ('inference' | 'ingest' | 'read' | 'admin')[]) =>
    (await api.deps.keys.create({ projectId, name: scopes.join(' '), scopes })).secret
  const [reader, writer] = [await keyWith('inference', 'read', 'admin'), await keyWith('ingest')]
  const plain = await keyWith('inference', 'ingest', 'read')
  for (const [line, key, scope] of [
    [LOG, reader, 'ingest'],
    ['POST /api/v1/logs:batch', reader, 'ingest'],
    ['POST /api/v1/conversations/log', reader, 'ingest'],
    ['POST /api/v1/conversations', reader, 'ingest'],
    ['PUT /api/v1/conversations/00000000-0000-0000-0000-000000000000', reader, 'ingest'],
    ['POST /api/v1/conversations/00000000-0000-0000-0000-000000000000/messages/batch', reader, 'ingest'],
    ['GET /api/v1/conversations', writer, 'read'],
    ['GET /conversations/00000000-0000-0000-0000-000000000000', writer, 'read'],
    ['GET /conversations/00000000-0000-0000-0000-000000000000/messages', writer, 'read'],
    ['DELETE /api/v1/conversations/old-messages', plain, 'admin'],
  ] as const) {
    const { status, body } = await api.call(line, { key })
    assert.deepEqual([status, body], [403, { detail: `This key lacks the scope '${scope}'.`, code: 'forbidden' }], line)
  }
  assert.equal((await api.call(LOG, { key: writer, body: report })).status, 200)
})
