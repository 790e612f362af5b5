import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { runCli } from '#cli/run-cli.ts'
import { createPool } from '#db/pool.ts'
import { createCredentialAlarms } from '#domain/credential-alarms.ts'
import { lookForLowWallets } from '#domain/low-wallets.ts'
import { createTestApi, envelopeKeys, type TestApi, webhookGuard } from '#test/support/http-api.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(async () => {
  await api.close()
  await webhookGuard.close()
})

const eventsOf = async (type: string) => (await api.call(`GET /api/admin/events?type=${type}`)).body.data

test('wallet.low: once per crossing, however many look at once, and again only after it was above', async () => {
  const { db } = api.database
  const project = await api.openProject('low', 1_000n)
  const grant = (key: string, nanos: bigint) =>
    api.deps.grants.grant({
      ...{ projectId: project.projectId, amountNanos: nanos, reason: 'a test', actor: 'test', idempotencyKey: key },
    })
  const look = async () => {
    const found = await Promise.all(Array.from({ length: 8 }, () => lookForLowWallets(db)))
    return found.reduce((sum, one) => sum + one, 0)
  }
  const place = `PATCH /api/admin/projects/${project.projectId}`
  const threshold = async (nanos: string | null) => {
    const set = await api.call(place, { body: { low_balance_nanousd: nanos } })
    assert.deepEqual([set.status, set.body.low_balance_nanousd], [200, nanos])
  }
  assert.equal(await look(), 0)
  await threshold('1000')
  assert.equal(await look(), 0, 'a balance at the threshold is not below it')
  await threshold('1500')
  assert.equal(await look(), 1)
  assert.equal(await look(), 0)
  await grant('too-little', 499n)
  assert.equal(await look(), 0)
  await grant('enough', 1n)
  assert.equal(await look(), 0)
  assert.equal((await eventsOf('wallet.low')).length, 1)
  await threshold('2000')
  assert.equal(await look(), 1)
  await threshold(null)
  assert.equal(await look(), 0)
  await threshold('1600')
  assert.equal(await look(), 1, 'a threshold that was taken away and set again begins afresh')

  const [, second, first] = await eventsOf('wallet.low')
  assert.deepEqual(first.data, {
    project_id: project.projectId,
    account: project.account,
    balance_nanousd: '1000',
    threshold_nanousd: '1500',
  })
  assert.deepEqual([second.data.balance_nanousd, second.data.threshold_nanousd], ['1500', '2000'])
  for (const bad of ['0', '-1', '1.5', 5, '1'.repeat(19)])
    assert.equal((await api.call(place, { body: { low_balance_nanousd: bad } })).status, 400)
})

test('credential.failing: once per credential and hour over all processes; at the third refusal, or at once when it does not open', async () => {
  const errors: unknown[] = []
  let now = Date.parse('2026-01-01T00:59:00Z')
  const alarms = [1, 2].map(() =>
    createCredentialAlarms({
      ...{ db: api.database.db, everyMs: 60_000, now: () => now, onError: (error) => errors.push(error) },
    }),
  )
  const note = (credential: string, reason: string) => {
    for (const one of alarms) one.note({ credential, data: { provider: 'p', credential: 'abcd0123' }, reason })
  }
  const told = async () => {
    await Promise.all(alarms.map((one) => one.flush()))
    return (await eventsOf('credential.failing')).length
  }
  note('a', 'status_401')
  note('a', 'status_401')
  assert.equal(await told(), 0)
  for (let count = 0; count < 10; count += 1) note('a', 'status_403')
  assert.equal(await told(), 1)
  note('b', 'undecryptable')
  note('b', 'undecryptable')
  assert.equal(await told(), 2)
  now += 120_000
  note('b', 'undecryptable')
  assert.equal(await told(), 3)
  for (const event of await eventsOf('credential.failing')) assert.equal(event.data.provider, 'p')
  await Promise.all(alarms.map((one) => one.close()))
  assert.deepEqual(errors, [])
})

test('credential.failing: a database that is away loses the alarm and nothing else', async () => {
  const errors: unknown[] = []
  const away = createPool({ connection: { host: '127.0.0.1', port: 1, user: 'nobody' }, poolMax: 1 }, () => undefined)
  const alarms = createCredentialAlarms({ db: away, everyMs: 60_000, onError: (error) => errors.push(error) })
  alarms.note({ credential: 'c', data: {}, reason: 'undecryptable' })
  await alarms.flush()
  assert.equal(errors.length, 1)
  await alarms.close()
  await away.end()
})

test('command line: a webhook is added, listed, tested and removed', async () => {
  const fluxgate = async (...words: string[]) => {
    const [out, err] = [new PassThrough(), new PassThrough()]
    const code = await runCli(
      {
        ...{ out, err, stdin: Readable.from([]), serve: async () => 0, providerKeys: {}, fluxNanousd: 1_000_000n },
        openDatabase: async () => ({ db: api.database.db, close: async () => undefined }),
        envelopeKeys: async () => envelopeKeys,
        checkWebhookUrl: (url) => void webhookGuard.route(url),
        priceBook: () => assert.fail('no price is looked at'),
        receiptKeys: {} as never,
      },
      words,
    )
    out.end()
    err.end()
    return { code, out: await text(out), err: await text(err) }
  }
  const json = async (...words: string[]) => {
    const { code, out, err } = await fluxgate(...words, '--json')
    assert.equal(code, 0, err)
    return JSON.parse(out)
  }
  const { secret, ...made } = await json('webhook', 'add', 'https://hooks.example.com/x', '--events', 'wallet.low')
  assert.match(secret, /^whsec_/)
  assert.deepEqual((await json('webhook', 'list')).data, [made])
  assert.match((await fluxgate('webhook', 'list')).out, /enabled\s+wallet\.low\s+https:/)
  const tested = await json('webhook', 'test', made.id)
  assert.equal(tested.state, 'pending')
  assert.equal((await json('webhook', 'resend', tested.id)).id, tested.id)
  assert.equal((await fluxgate('webhook', 'add', 'http://hooks.example.com/')).code, 1)
  assert.equal((await fluxgate('webhook', 'add', 'https://hooks.example.com/', '--events', 'wallet.high')).code, 1)
  assert.equal((await json('webhook', 'remove', made.id)).removed, true)
  assert.equal((await fluxgate('webhook', 'remove', made.id)).code, 1)
  assert.deepEqual((await json('webhook', 'list')).data, [])
  const { rows } = await api.database.db.query('select distinct actor from audit_event where subject in ($1, $2)', [
    made.id,
    tested.id,
  ])
  assert.deepEqual(rows, [{ actor: 'cli' }])
})
