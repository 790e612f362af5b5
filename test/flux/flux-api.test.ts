import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { HISTORY_OFFSET_MAX } from '#domain/flux/flux-history.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { openPerson } from '#test/support/people.ts'
import { createRandom } from '#test/support/random.ts'

const FLUX = 1_000_000n

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

let people = 0
const open = (options: { nanos?: bigint; initialFlux?: number } = {}) =>
  openPerson({ db: api.database.db, ...api.deps }, `person${++people}@example.com`, options)

const routes = [
  'GET /api/v1/flux',
  'GET /api/v1/flux/stats',
  'GET /api/v1/flux/lots',
  'GET /api/v1/flux/history',
  'GET /api/v1/flux/history.csv',
]

for (const line of routes) {
  test(`${line} 401, 403, 503: in AIRI's shape`, async () => {
    const { secret } = await api.openProject(`shared ${line}`)
    for (const key of [null, 'wrong', 'x'.repeat(10_000)]) {
      const answer = await api.call(line, { key })
      assert.deepEqual([answer.status, answer.body.error], [401, 'UNAUTHORIZED'])
    }
    const shared = await api.call(line, { key: secret })
    assert.deepEqual([shared.status, shared.body.error], [403, 'FORBIDDEN'])
    const { projectId } = await open()
    const { secret: noRead } = await api.deps.keys.create({ projectId, name: 'ingest', scopes: ['ingest'] })
    assert.equal((await api.call(line, { key: noRead })).status, 403)
    const away = await api.callAway(line, { key: 'fg_key_of_nobody' })
    assert.deepEqual([away.status, away.body.error], [503, 'SERVICE_UNAVAILABLE'])
  })
}

test('GET /api/v1/flux: whole Flux rounded down, exact figures beside it, and nothing of the row behind it', async () => {
  const one = await open({ nanos: 7_999_999n })
  const { body } = await api.call('GET /api/v1/flux', { key: one.secret })
  assert.deepEqual(body, {
    ...{ userId: one.userId, flux: 7, flux_exact: '7.999999' },
    ...{ balance_nanousd: '7999999', held_nanousd: '0', available_nanousd: '7999999', frozen: false },
  })
})

test('GET /api/v1/flux/history: each kind of movement as AIRI names it, exactly, newest first', async () => {
  const one = await open({ initialFlux: 3, nanos: 10n * FLUX })
  const call = await api.till.charge(one, 1_500_000n)
  await api.till.charge(one, 0n)
  await api.deps.refunds.refund({
    requestId: call,
    amountNanos: FLUX,
    reason: 'slow',
    idempotencyKey: `r${one.userId}`,
    actor: 'admin',
  })
  const { body } = await api.call('GET /api/v1/flux/history', { key: one.secret })
  assert.equal(body.hasMore, false)
  assert.deepEqual(
    body.records.map(
      ({
        type,
        amount,
        metadata,
        description,
      }: {
        type: string
        amount: number
        metadata: { kind: string }
        description: string
      }) => [type, amount, metadata.kind, description],
    ),
    [
      ['credit', 1, 'refund', 'slow'],
      ['debit', 1.5, 'charge', 'sim/till'],
      ['credit', 10, 'grant', 'a test'],
      ['initial', 3, 'grant', 'Initial grant'],
    ],
  )
  const { metadata, id, amount_nanousd, createdAt } = body.records[1]
  assert.deepEqual(
    [id, metadata.receiptId, metadata.outcome, amount_nanousd],
    [`rcp_${call}`, `rcp_${call}`, 'complete', '1500000'],
  )
  assert.match(createdAt, /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/)
  const receipt = await api.call(`GET /v1/receipts/${metadata.receiptId}`, { key: one.secret })
  assert.equal(receipt.body.receipt.charged_nanousd, '1500000')
})

test('GET /api/v1/flux/history: what is no number counts as left out, and limits are clamped, as at AIRI', async () => {
  const one = await open({ nanos: 100n * FLUX })
  for (let n = 0; n < 4; n += 1) await api.till.charge(one, 1_000n)
  const count = async (query: string) =>
    (await api.call(`GET /api/v1/flux/history?${query}`, { key: one.secret })).body.records.length
  assert.deepEqual(
    [await count('limit=2'), await count('limit=0'), await count('limit=abc'), await count('limit=1000&offset=-5')],
    [2, 1, 5, 5],
  )
  assert.deepEqual([await count('offset=3'), await count('offset=99')], [2, 0])
  const deep = await api.call(`GET /api/v1/flux/history?offset=${HISTORY_OFFSET_MAX + 1}`, { key: one.secret })
  assert.deepEqual([deep.status, deep.body.error], [400, 'BAD_REQUEST'])
  for (const after of ['x', Buffer.from('2026-13-45T00:00:00.000000Z 0').toString('base64url')])
    assert.equal((await api.call(`GET /api/v1/flux/history?after=${after}`, { key: one.secret })).status, 400)
})

test('every movement is met once by cursor while calls go on, and the history adds up to the balance: seeded histories', async () => {
  const random = createRandom(20_261_201)
  const one = await open({ initialFlux: 5, nanos: 50n * FLUX })
  const calls: string[] = []
  for (let n = 0; n < 120; n += 1) {
    const what = random.integer(0, 9)
    if (what < 7) calls.push(await api.till.charge(one, BigInt(random.integer(0, 300)) * 1_000n))
    else if (what === 7)
      await api.deps.grants.grant({
        ...{ projectId: one.projectId, amountNanos: BigInt(random.integer(1, 3_000_000)), reason: '=SUM(A1)' },
        ...{ actor: 'admin', idempotencyKey: `g${n}`, kind: random.integer(0, 1) === 0 ? 'promo' : 'admin' },
      })
    else if (calls.length > 0)
      await api.deps.refunds
        .refund({
          requestId: calls[random.integer(0, calls.length - 1)] ?? '',
          reason: 'a test',
          idempotencyKey: `h${n}`,
          actor: 'admin',
        })
        .catch(() => undefined)
  }
  // A lot whose time is over, written off by the next call.
  await api.deps.grants.grant({
    ...{ projectId: one.projectId, amountNanos: 77n, reason: 'short', actor: 'admin', idempotencyKey: 'short' },
    expiresAt: new Date(Date.now() + 30),
  })
  await new Promise((resolve) => setTimeout(resolve, 40))
  await api.till.charge(one, 1_000n)

  const seen: { id: string; metadata: { kind: string }; amount_nanousd: string; createdAt: string }[] = []
  let after: string | null = ''
  for (let page = 0; after !== null; page += 1) {
    const { body } = await api.call(`GET /api/v1/flux/history?limit=7&after=${after}`, { key: one.secret })
    seen.push(...body.records)
    assert.equal(body.hasMore, body.next_after !== null)
    after = body.next_after
    if (page === 2) await api.till.charge(one, 5_000n) // What comes in between is newer than any page.
  }
  assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length)
  assert(seen.some(({ metadata }) => metadata.kind === 'expiry'))
  assert.deepEqual(
    seen.map(({ createdAt }) => createdAt),
    seen
      .map(({ createdAt }) => createdAt)
      .toSorted()
      .reverse(),
  )
  const signed = (record: { metadata: { kind: string }; amount_nanousd: string }) =>
    ['grant', 'refund'].includes(record.metadata.kind) ? BigInt(record.amount_nanousd) : -BigInt(record.amount_nanousd)
  const { body: balance } = await api.call('GET /api/v1/flux', { key: one.secret })
  assert.equal(seen.reduce((sum, record) => sum + signed(record), 0n) - 5_000n, BigInt(balance.balance_nanousd))

  const csv = await api.call('GET /api/v1/flux/history.csv', { key: one.secret })
  assert.equal(csv.headers['content-type'], 'text/csv; charset=utf-8')
  const lines = csv.text.trimEnd().split('\r\n').slice(1)
  assert.equal(lines.length, seen.length + 1)
  assert.equal(
    lines.reduce((sum, line) => sum + BigInt(line.split(',')[4] ?? ''), 0n),
    BigInt(balance.balance_nanousd),
  )
  assert(
    lines.some((line) => line.includes(",'=SUM(A1),")),
    'no spreadsheet runs a reason',
  )
  assert(!csv.text.includes(',=SUM'))
})

test('GET /api/v1/flux/stats: the balance after the last credit, whatever was spent and refunded since', async () => {
  const one = await open()
  const capacity = async () => (await api.call('GET /api/v1/flux/stats', { key: one.secret })).body.capacity
  assert.equal(await capacity(), 0)
  const grant = (nanos: bigint, key: string) =>
    api.deps.grants.grant({
      ...{ projectId: one.projectId, amountNanos: nanos, reason: 'x', actor: 'admin', idempotencyKey: key },
    })
  await grant(10n * FLUX, 'a')
  const call = await api.till.charge(one, 4n * FLUX)
  assert.equal(await capacity(), 10)
  await grant(2n * FLUX, 'b')
  await api.deps.refunds.refund({ requestId: call, reason: 'x', idempotencyKey: `s${one.userId}`, actor: 'admin' })
  await api.till.charge(one, 1n * FLUX)
  assert.equal(await capacity(), 8)
})

test('GET /api/v1/flux/lots: what burns first comes first', async () => {
  const one = await open({ nanos: 2n * FLUX, initialFlux: 1 })
  const { body } = await api.call('GET /api/v1/flux/lots', { key: one.secret })
  assert.deepEqual(
    body.lots.map(({ kind, rest_nanousd }: Record<string, string>) => [kind, rest_nanousd]),
    [
      ['promo', '1000000'],
      ['admin', '2000000'],
    ],
  )
})

test('nothing of another person is seen', async () => {
  const [one, other] = [await open({ nanos: FLUX }), await open({ nanos: 2n * FLUX })]
  const { body } = await api.call('GET /api/v1/flux/history', { key: one.secret })
  assert.deepEqual(
    body.records.map(({ amount }: { amount: number }) => amount),
    [1],
  )
  assert.equal((await api.call('GET /api/v1/flux', { key: other.secret })).body.flux, 2)
})

test('no route sets a balance', () => {
  const writing = Object.entries(api.documented.paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => method !== 'get')
      .map((method) => `${method} ${path}`),
  )
  assert(writing.length > 10)
  assert.deepEqual(
    writing.filter((route) => /balance|wallet|flux(?!-grants|\/)/.test(route)),
    [],
  )
})

test('every status of these routes has been met', () => api.expectEveryStatus(...routes))
