import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { auditLedger } from '#domain/audit.ts'
import { fuzzSettings } from '#test/support/fuzz-settings.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

// Whatever is sent, the answer is one of ours and the books stay whole.

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const names = [
  ...[
    'model',
    'provider',
    'input_tokens',
    'output_tokens',
    'cached_input_tokens',
    'cache_write_5m_tokens',
    'reasoning_tokens',
  ],
  ...[
    'audio_output_tokens',
    'alias',
    'alias_name',
    'profile',
    'cost',
    'latency_ms',
    'origin',
    'id_at_origin',
    'metadata',
  ],
  ...[
    'conversation_id',
    'occurred_at',
    'timestamp',
    'idempotency_key',
    'seconds',
    '__proto__',
    'constructor',
    'toString',
  ],
]
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    ...[
      null,
      true,
      '',
      ' ',
      '0',
      '-0',
      -0,
      '1',
      1,
      12.5,
      '12.5',
      -1,
      2 ** 31,
      2 ** 53,
      1e308,
      5e-324,
      'NaN',
      '1e3',
      '٣',
      '\0',
    ],
    ...['\ud800', 'a\u2028b', '{}', '"\\', "';--", '2026-01-01', '2026-01-01T00:00:00Z', '9999-12-31T23:59:59+23:59'],
    ...['00000000-0000-0000-0000-000000000000', 'x'.repeat(256), '🦊'.repeat(255), [], {}, [[]], { a: { b: ['\0'] } }],
  ),
  fc.array(fc.nat(0xffff), { maxLength: 300 }).map((units) => String.fromCharCode(...units)),
  fc.integer(),
  fc.double(),
  fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<unknown>,
)
const good = fc.record({
  model: fc.constantFrom('gpt-4o-mini', 'openai:gpt-5', 'x'),
  provider: fc.constantFrom('openai', 'google', 'y'),
  input_tokens: fc.nat(1000),
  output_tokens: fc.nat(1000),
})
const report = fc
  .tuple(good, fc.dictionary(fc.constantFrom(...names), odd, { maxKeys: 5 }))
  .map(([base, more]) => ({ ...base, ...more }))

test('no body of any shape makes the server fail', async () => {
  const { secret, projectId } = await api.openProject('fuzz')
  let recorded = 0
  await fc.assert(
    fc.asyncProperty(fc.oneof({ weight: 9, arbitrary: report }, { weight: 1, arbitrary: odd }), async (body) => {
      const { status, text } = await api.call('POST /api/v1/log', { key: secret, body: JSON.stringify(body) })
      assert([200, 400, 409, 422].includes(status), `${status} ${text} for ${JSON.stringify(body)}`)
      if (status === 200 && !text.includes('idempotent_replay')) recorded += 1
    }),
    fuzzSettings(400),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(report, odd), { maxLength: 30 }), async (logs) => {
      const answer = await api.call('POST /api/v1/logs:batch', { key: secret, body: JSON.stringify({ logs }) })
      assert([200, 207].includes(answer.status), `${answer.status} ${answer.text} for ${JSON.stringify(logs)}`)
      assert.equal(answer.body.results.length, logs.length)
      for (const { status } of answer.body.results) if (status === 'created') recorded += 1
    }),
    fuzzSettings(40),
  )
  assert(recorded > 50, 'some of it was good')
  const { rows } = await api.database.db.query('select count(*)::int as n from reported_log where project_id = $1', [
    projectId,
  ])
  assert.deepEqual(rows, [{ n: recorded }])
  assert((await auditLedger(api.database.db)).ok)
})

test('no bytes of any kind make the server fail', async () => {
  const { secret } = await api.openProject('fuzz bytes')
  const whole = Buffer.from(
    JSON.stringify({ model: 'm', provider: 'p', input_tokens: 1, output_tokens: 1, alias: 'é' }),
  )
  const bytes = fc
    .array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const copy = Buffer.from(whole)
      for (const [at, value] of changes) copy[at] = value
      return copy
    })
  await fc.assert(
    fc.asyncProperty(bytes, async (body) => {
      const { statusCode } = await api.app.inject({
        method: 'POST',
        url: '/api/v1/log',
        headers: { 'x-api-key': secret, 'content-type': 'application/json' },
        payload: body,
      })
      assert([200, 422].includes(statusCode), `${statusCode} for ${body.toString('latin1')}`)
    }),
    fuzzSettings(200),
  )
})
