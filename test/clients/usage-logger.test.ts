import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { until } from '#test/support/until.ts'
import { createUsageDouble, type Fault, type UsageDouble } from '#test/support/usage-double.ts'
import {
  createUsageLogger,
  type FluxgateError,
  type LossReason,
  type UsageEntry,
  type UsageLoggerOptions,
} from '../../packages/client/src/index.ts'

let double: UsageDouble
beforeEach(async () => {
  double = await createUsageDouble()
})
afterEach(() => double.close())

const quick = { collectMs: 5, backoff: { firstMs: 2, mostMs: 20 } }

function open(options: Partial<UsageLoggerOptions> = {}) {
  const losses: { entries: number; reason: LossReason }[] = []
  const rejected: { entries: readonly unknown[]; error: FluxgateError }[] = []
  const errors: FluxgateError[] = []
  const logger = createUsageLogger({
    baseUrl: double.url,
    apiKey: 'fg_key_test',
    ...quick,
    onLost: (entries, reason) => losses.push({ entries, reason }),
    onRejected: (entries, error) => rejected.push({ entries, error }),
    onError: (error) => errors.push(error),
    ...options,
  })
  return { logger, losses, rejected, errors }
}

const entry = (model: string, more: Partial<UsageEntry> = {}): UsageEntry => ({
  provider: 'openai',
  model,
  usage: { input: 10, output: 2 },
  ...more,
})

const models = () => [...double.kept.values()].map(({ model }) => model)

test('an entry arrives with its members, its own key and its time', async () => {
  const { logger } = open()
  const before = Date.now()
  logger.log(
    entry('gpt-4o-mini', {
      usage: { input: 6, cache_read: 4, cache_write_1h: 3, output: 1, reasoning: 1 },
      aliasName: 'résumé',
      profile: 'prod',
      origin: 'worker',
      idAtOrigin: 'chatcmpl-1',
      latencyMs: 12.6,
      cost: 0.00024,
      metadata: { tenant: 7 },
    }),
  )
  logger.log(entry('b', { occurredAt: new Date('2026-01-01T00:00:00Z'), idempotencyKey: 'mine' }))
  assert.equal(await logger.flush(), true)
  const [whole, second] = [...double.kept.values()]
  assert.ok(whole !== undefined)
  const { occurred_at, idempotency_key, ...first } = whole
  assert.deepEqual(first, {
    provider: 'openai',
    model: 'gpt-4o-mini',
    input_tokens: 13,
    output_tokens: 2,
    cached_input_tokens: 4,
    cache_write_1h_tokens: 3,
    reasoning_tokens: 1,
    alias_name: 'résumé',
    profile: 'prod',
    origin: 'worker',
    id_at_origin: 'chatcmpl-1',
    latency_ms: 13,
    cost: 0.00024,
    metadata: { tenant: 7 },
  })
  assert.match(String(idempotency_key), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.ok(Date.parse(String(occurred_at)) >= before && Date.parse(String(occurred_at)) <= Date.now())
  assert.deepEqual([second?.occurred_at, second?.idempotency_key], ['2026-01-01T00:00:00.000Z', 'mine'])
  assert.equal(double.requests[0]?.key, 'Bearer fg_key_test')
  assert.deepEqual(logger.counts(), { waiting: 0, sent: 2, rejected: 0, lost: 0 })
  await logger.close()
})

test('what is collected goes in few requests, in its order', async () => {
  const { logger } = open({ collectMs: 50 })
  const all = Array.from({ length: 250 }, (_, index) => `m${index}`)
  for (const model of all) logger.log(entry(model))
  await until('all have arrived', () => double.kept.size === 250)
  assert.deepEqual(models(), all)
  assert.deepEqual(
    double.requests.map(({ entries }) => entries),
    [100, 100, 50],
  )
  await logger.close()
})

for (const { name, faults } of [
  { name: 'a hung up connection', faults: ['hang_up', 'hang_up'] },
  { name: 'a connection that hangs up after the entries were kept', faults: ['keep_and_hang_up'] },
  { name: 'status 500', faults: [{ status: 500 }] },
  { name: 'status 503 from a proxy', faults: [{ status: 503, body: 'no JSON of ours' }] },
  { name: 'status 429', faults: [{ status: 429, headers: { 'retry-after': '0' } }] },
  { name: 'status 409 that says to come again', faults: [{ status: 409, headers: { 'x-should-retry': 'true' } }] },
  { name: 'an answer of somebody else', faults: ['garbage', 'garbage'] },
] as { name: string; faults: Fault[] }[]) {
  test(`repeated until it is kept, once: ${name}`, async () => {
    const { logger, errors, rejected, losses } = open()
    double.faults((request) => faults[request - 1])
    for (const model of ['a', 'b', 'c']) logger.log(entry(model))
    await until('all have arrived', () => logger.counts().sent === 3)
    assert.deepEqual(models(), ['a', 'b', 'c'])
    assert.equal(errors.length, faults.length)
    assert.deepEqual([rejected, losses], [[], []])
    await logger.close()
  })
}

test('a wait that the server asks for is waited for, also by flush', async () => {
  const { logger } = open()
  double.faults((request) => (request === 1 ? { status: 429, headers: { 'retry-after-ms': '150' } } : undefined))
  logger.log(entry('a'))
  assert.equal(await logger.flush(), true)
  const [first, second] = double.requests
  // The clock of timers may be a millisecond ahead of this one.
  assert.ok(Number(second?.at) - Number(first?.at) >= 148)
  await logger.close()
})

test('one bad entry does not keep the others back, and comes back with the reason', async () => {
  const { logger, rejected } = open({ collectMs: 30 })
  double.faults((_request, entries) => (entries.some(({ model }) => model === 'm13') ? { status: 422 } : undefined))
  for (let index = 0; index < 40; index += 1) logger.log(entry(`m${index}`))
  assert.equal(await logger.flush(), true)
  assert.equal(double.kept.size, 39)
  assert.deepEqual(
    rejected.map(({ entries, error }) => [entries.map((one) => (one as { model: string }).model), error.status]),
    [[['m13'], 422]],
  )
  await logger.close()
})

test('an entry that the gateway refuses by itself is handed back', async () => {
  const { logger, rejected } = open()
  double.refuse(({ model }) => model === 'b')
  for (const model of ['a', 'b', 'c']) logger.log(entry(model))
  await logger.flush()
  assert.deepEqual(models(), ['a', 'c'])
  assert.deepEqual(
    rejected.map(({ error }) => [error.code, error.message]),
    [['body_invalid', 'not this one']],
  )
  assert.deepEqual(logger.counts(), { waiting: 0, sent: 2, rejected: 1, lost: 0 })
  await logger.close()
})

test('a key that is refused is not tried for ever', async () => {
  const { logger, rejected, errors } = open()
  double.faults(() => ({ status: 401, body: { detail: 'Invalid API key', code: 'invalid_api_key' } }))
  logger.log(entry('a'))
  await until('it is given up', () => rejected.length === 1)
  assert.deepEqual([rejected[0]?.error.code, errors.length, logger.counts().waiting], ['invalid_api_key', 8, 0])
  await logger.close()
})

test('a key that becomes good in time loses nothing', async () => {
  const { logger, rejected } = open()
  double.faults((request) => (request <= 5 ? { status: 403 } : undefined))
  logger.log(entry('a'))
  await until('it has arrived', () => logger.counts().sent === 1)
  assert.deepEqual(rejected, [])
  await logger.close()
})

test('a full queue drops the oldest and says how many', async () => {
  const { logger, losses } = open({ entriesMax: 10 })
  double.faults(() => ({ status: 503 }))
  for (let index = 0; index < 25; index += 1) logger.log(entry(`m${index}`))
  assert.equal(
    losses.reduce((sum, { entries }) => sum + entries, 0),
    15,
  )
  assert.deepEqual(logger.counts(), { waiting: 10, sent: 0, rejected: 0, lost: 15 })
  double.faults(() => undefined)
  await logger.flush()
  assert.deepEqual(
    models(),
    Array.from({ length: 10 }, (_, index) => `m${index + 15}`),
  )
  await logger.close()
})

test('close gives up at its deadline and says what is lost', async () => {
  const { logger, losses } = open()
  double.faults(() => 'silence')
  logger.log(entry('a'))
  assert.equal(await logger.close({ deadlineMs: 30 }), false)
  logger.log(entry('late'))
  assert.deepEqual(losses, [
    { entries: 1, reason: 'closed' },
    { entries: 1, reason: 'closed' },
  ])
  assert.equal(await logger.close(), false)
})

test('nothing that is logged, and no callback, throws into the program', async () => {
  const angry = () => {
    throw new Error('a callback')
  }
  const { logger } = open({ onRejected: angry, onError: angry, onLost: angry })
  const circle: Record<string, unknown> = {}
  circle.self = circle
  for (const bad of [
    undefined,
    null,
    {},
    entry(''),
    entry('a', { usage: { input: -1 } }),
    entry('a', { usage: { output: 1.5 } }),
    entry('a', { usage: { tokens: 1 } as object }),
    entry('a', { aliasName: 'x'.repeat(256) }),
    entry('a', { origin: '\ud800' }),
    entry('a', { metadata: circle }),
    entry('a', { metadata: { text: 'x'.repeat(70_000) } }),
    entry('a', { occurredAt: new Date(Number.NaN) }),
    entry('a', { cost: -1 }),
    entry('a', { idempotencyKey: 'with a blank' }),
  ])
    logger.log(bad as UsageEntry)
  assert.equal(logger.counts().rejected, 14)
  logger.log(entry('good'))
  await logger.close()
  assert.deepEqual(models(), ['good'])
})

test('the base URL is checked when the logger is made', () => {
  assert.throws(() => createUsageLogger({ baseUrl: 'ftp://x', apiKey: 'k' }), TypeError)
})

const fault: fc.Arbitrary<Fault | undefined> = fc.constantFrom<(Fault | undefined)[]>(
  undefined,
  'hang_up',
  'keep_and_hang_up',
  'garbage',
  { status: 500 },
  { status: 503, headers: { 'retry-after': '0' } },
  { status: 429, headers: { 'retry-after-ms': '1' } },
  { status: 401 },
)

test('for any sequence of faults that ends: every entry is kept once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fault, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 130 }), { minLength: 1, maxLength: 4 }),
      async (faults, bursts) => {
        double.kept.clear()
        double.requests.length = 0
        // Refusals in a row would end in giving up, which another test is about.
        let refused = 0
        double.faults((request) => {
          const next = faults[request - 1]
          if (typeof next === 'object' && next.status === 401) refused += 1
          return typeof next === 'object' && next.status === 401 && refused > 6 ? undefined : next
        })
        const { logger, losses, rejected } = open({ collectMs: 1, backoff: { firstMs: 1, mostMs: 4 } })
        let logged = 0
        for (const burst of bursts) {
          for (let index = 0; index < burst; index += 1) logger.log(entry(`m${logged++}`))
          await new Promise((resolve) => setImmediate(resolve))
        }
        assert.equal(await logger.close(), true)
        assert.deepEqual(
          models(),
          Array.from({ length: logged }, (_, index) => `m${index}`),
        )
        assert.deepEqual([losses, rejected], [[], []])
        assert.equal(logger.counts().sent, logged)
      },
    ),
    { seed: 11, numRuns: 40 },
  )
})
