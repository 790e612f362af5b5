import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { transaction } from '#db/pool.ts'
import { emitOperatorEvent } from '#domain/operator-events.ts'
import { claimDeliveries, FAILING_DAYS_MAX, LEASE_MS } from '#domain/webhooks/claims.ts'
import { createWebhookDeliveries } from '#domain/webhooks/deliveries.ts'
import { spreadEvents } from '#domain/webhooks/fan-out.ts'
import { retryDelaysMs } from '#domain/webhooks/retry-schedule.ts'
import { discardOfDisabled, KEPT_DAYS, pruneEvents, resealSecrets } from '#domain/webhooks/upkeep.ts'
import { createWebhookSecrets } from '#domain/webhooks/webhook-secrets.ts'
import { deriveEnvelopeKey } from '#lib/envelope.ts'
import { createTestApi, envelopeKeys, type TestApi, webhookGuard } from '#test/support/http-api.ts'
import { until } from '#test/support/until.ts'
import { createWebhookReceiver } from '#test/support/webhook-receiver.ts'
import { openDeliverer } from '#test/support/webhooks.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
afterEach(async () => {
  await api.database.db.query('delete from webhook_endpoint')
  await api.database.db.query('delete from operator_event')
})
after(async () => {
  await api.close()
  await webhookGuard.close()
})

const DAY_MS = 86_400_000
const create = async (url: string, body: object = {}): Promise<string> => {
  const made = await api.call('POST /api/admin/webhooks', { body: { url, ...body } })
  assert.equal(made.status, 201, made.text)
  return made.body.id
}
const emit = (name: string) => emitOperatorEvent(api.database.db, { type: 'wallet.low', once: [name], data: { name } })
const deliveriesOf = async (id: string) => (await api.call(`GET /api/admin/webhooks/${id}/deliveries`)).body.data
const webhook = async (id: string) => (await api.call(`GET /api/admin/webhooks/${id}`)).body

test('delivery: retried on schedule under one id, then given up; sent again by hand it starts afresh', async () => {
  const receiver = await createWebhookReceiver(
    (_message, response) => void response.writeHead(500).end('no\u0000pe '.repeat(900)),
  )
  const id = await create(receiver.url)
  let givenUp = 0
  const run = openDeliverer(api.database.db, {
    onAttempt: ({ finished }) => {
      givenUp += Number(finished.givenUp)
    },
  })
  try {
    await emit('one')
    for (const [index, delayMs] of retryDelaysMs.entries()) {
      await until(`attempt ${index + 1}`, async () => (await deliveriesOf(id))[0]?.attempt_list.length === index + 1)
      const [delivery] = await deliveriesOf(id)
      assert.equal(delivery.state, 'pending')
      const waits = Date.parse(delivery.next_attempt_at) - Date.now() - run.clock.aheadMs
      assert(waits > delayMs * 0.8 - 2_000 && waits < delayMs * 1.2 + 2_000, `${waits} after attempt ${index + 1}`)
      assert.equal(receiver.messages.length, index + 1)
      run.clock.aheadMs += waits + 50
    }
    await until('the end', () => givenUp === 1)
    const [failed] = await deliveriesOf(id)
    assert.deepEqual([failed.state, failed.attempts, failed.last_status], ['failed', 10, 500])
    assert(failed.last_error.length <= 320 && failed.last_error.startsWith('status 500: no pe'))
    assert.equal(new Set(receiver.messages.map((message) => message.id)).size, 1)
    assert.equal(new Set(receiver.messages.map((message) => message.body)).size, 1)
    assert((await webhook(id)).failing_since !== null)

    await api.call(`POST /api/admin/webhook-deliveries/${failed.id}/resend`)
    await until('one more', () => receiver.messages.length === 11)
    await until('its record', async () => (await deliveriesOf(id))[0].attempt_list.length === 11)
    assert.equal((await deliveriesOf(id))[0].state, 'pending')
  } finally {
    await run.close()
    await receiver.close()
  }
})

test('delivery: Retry-After is honoured; a success ends the failing', async () => {
  let status = 429
  const receiver = await createWebhookReceiver(
    (_message, response) => void response.writeHead(status, { 'retry-after': '3000' }).end(),
  )
  const id = await create(receiver.url)
  const run = openDeliverer(api.database.db)
  try {
    await emit('one')
    await until('the record', async () => (await deliveriesOf(id))[0]?.last_status === 429)
    const [delivery] = await deliveriesOf(id)
    const waits = Date.parse(delivery.next_attempt_at) - Date.now()
    assert(waits > 2_990_000 && waits <= 3_001_000, String(waits))
    status = 200
    run.clock.aheadMs = 3_001_000
    await until('the delivery', async () => (await deliveriesOf(id))[0].state === 'delivered')
    assert.equal((await webhook(id)).failing_since, null)
  } finally {
    await run.close()
    await receiver.close()
  }
})

test('delivery: 410 disables the endpoint, and what waits for it is discarded', async () => {
  const receiver = await createWebhookReceiver((_message, response) => void response.writeHead(410).end())
  const id = await create(receiver.url)
  const run = openDeliverer(api.database.db, { perEndpointMax: 1 })
  try {
    for (let index = 0; index < 5; index += 1) await emit(`event ${index}`)
    await until('disabled', async () => (await webhook(id)).enabled === false)
    assert.equal((await webhook(id)).disabled_reason, 'gone')
    await emit('unheard')
    await until('the queue is empty', async () => (await spreadEvents(api.database.db)) === 0)
    await discardOfDisabled(api.database.db)
    const states = (await deliveriesOf(id)).map((one: { state: string }) => one.state).toSorted()
    assert.deepEqual(states.slice(0, -1), Array(states.length - 1).fill('discarded'))
    assert.equal(states.at(-1), 'failed')
    const { rows } = await api.database.db.query(
      `select actor, after from audit_event where subject = $1 and action = 'webhook.disable'`,
      [id],
    )
    assert.deepEqual(rows, [{ actor: 'system', after: '{"enabled":false,"disabled_reason":"gone"}' }])
  } finally {
    await run.close()
    await receiver.close()
  }
})

test('delivery: an endpoint with nothing but failures for days is disabled, once', async () => {
  const receiver = await createWebhookReceiver((_message, response) => void response.writeHead(503).end())
  const id = await create(receiver.url)
  const run = openDeliverer(api.database.db)
  try {
    await emit('one')
    await until('failing', async () => (await webhook(id)).failing_since !== null)
    assert.equal((await webhook(id)).enabled, true)
    run.clock.aheadMs = FAILING_DAYS_MAX * DAY_MS + 60_000
    await until('disabled', async () => (await webhook(id)).disabled_reason === 'failing')
    const enabled = await api.call(`PATCH /api/admin/webhooks/${id}`, { body: { enabled: true } })
    assert.deepEqual([enabled.body.disabled_reason, enabled.body.failing_since], [null, null])
  } finally {
    await run.close()
    await receiver.close()
  }
})

test('delivery: slow, dead, redirecting and endless receivers fail alone; a good one is not delayed', async () => {
  const good = await createWebhookReceiver()
  const slow = await createWebhookReceiver(() => undefined)
  const redirecting = await createWebhookReceiver(
    (_message, response) => void response.writeHead(302, { location: good.url }).end(),
  )
  const endless = await createWebhookReceiver((_message, response) => {
    response.writeHead(500)
    const chunk = Buffer.alloc(65_536, 'x')
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', more)
    more()
  })
  const dead = await createWebhookReceiver()
  await dead.close()
  const ids = new Map<string, string>()
  const all = { slow, redirecting, endless, dead }
  for (const [name, receiver] of Object.entries(all)) ids.set(name, await create(receiver.url))
  const goodId = await create(good.url)
  const run = openDeliverer(api.database.db, { timeoutMs: 600, attemptsMax: 24 })
  try {
    for (let index = 0; index < 20; index += 1) await emit(`event ${index}`)
    const startedAt = performance.now()
    await until('the good one has all', () => good.messages.length === 20)
    assert(performance.now() - startedAt < 5_000)
    const errorOf = async (name: string) =>
      (await deliveriesOf(ids.get(name) ?? '')).find((one: { last_error: string | null }) => one.last_error !== null)
        ?.last_error
    await until('all have failed', async () =>
      (await Promise.all(Object.keys(all).map(errorOf))).every((error) => typeof error === 'string'),
    )
    assert.equal(await errorOf('slow'), 'timeout')
    assert.equal(await errorOf('redirecting'), 'redirects are not followed')
    assert.match(await errorOf('endless'), /^status 500: x{300}$/)
    assert.equal(await errorOf('dead'), 'econnrefused')
    assert(slow.openMax() <= 4)
    assert.equal(good.messages.length, 20)
    assert.equal((await webhook(goodId)).failing_since, null)
  } finally {
    await run.close()
    for (const receiver of [good, slow, redirecting, endless]) await receiver.close()
  }
})

test('delivery: a gateway that dies between claim and answer leaves the attempt to others, under the same id', async () => {
  const receiver = await createWebhookReceiver()
  await create(receiver.url)
  await emit('one')
  await spreadEvents(api.database.db)
  const limits = { room: 10, running: new Map<string, number>(), perEndpoint: 4 }
  const [lost] = await claimDeliveries(api.database.db, limits)
  assert(lost)
  assert.deepEqual(await claimDeliveries(api.database.db, limits), [])
  const run = openDeliverer(api.database.db, { aheadMs: () => 0 })
  await run.close()
  assert.equal(receiver.messages.length, 0)
  const later = openDeliverer(api.database.db, { aheadMs: () => LEASE_MS + 1_000 })
  try {
    await until('the message', () => receiver.messages.length === 1)
    assert.equal(receiver.messages[0]?.id, `evt_${lost.eventId.replaceAll('-', '')}`)
    const delivery = () => createWebhookDeliveries({ db: api.database.db }).get(lost.id)
    await until('its record', async () => (await delivery()).state === 'delivered')
    assert.equal((await delivery()).attempts, 2)
  } finally {
    await later.close()
    await receiver.close()
  }
})

test('delivery: events race with new endpoints on two gateways: none lost, none doubled, also those that commit late', async () => {
  const receiver = await createWebhookReceiver()
  await create(`${receiver.url}/first`)
  const runs = [1, 2].map(() => openDeliverer(api.database.db, { perEndpointMax: 24 }))
  const EVENTS = 1_000
  try {
    // This one is older than all others and commits after them.
    let commit: () => void = () => undefined
    const late = transaction(api.database.db, async (tx) => {
      await emitOperatorEvent(tx, { type: 'wallet.low', once: ['late'], data: { name: 'late' } })
      await new Promise<void>((resolve) => {
        commit = resolve
      })
    })
    const names = Array.from({ length: EVENTS }, (_none, index) => `event ${index}`)
    let isOpen = false
    const second = create(`${receiver.url}/second`).then(() => {
      isOpen = true
    })
    const surely = ['late', 'after']
    const pending = names.values()
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (const name of pending) {
          if (isOpen) surely.push(name)
          await emit(name)
        }
      }),
    )
    await second
    await emit('after')
    const at = (path: string) => receiver.messages.filter((message) => message.path.endsWith(path))
    await until('all at the first', () => at('/first').length >= EVENTS + 1)
    commit()
    await late
    await until('the late one', () => at('/first').length >= EVENTS + 2)
    const told = () => new Set(at('/second').map((message) => JSON.parse(message.body).data.name))
    await until('the second has all since it was made', () => new Set(surely).difference(told()).size === 0)
    for (const path of ['/first', '/second']) {
      const ids = at(path).map((message) => message.id)
      assert.equal(new Set(ids).size, ids.length, `${path}: nothing failed, so nothing comes twice`)
    }
    const { rows } = await api.database.db.query('select count(*)::int as count from operator_event where not spread')
    assert.deepEqual(rows, [{ count: 0 }])
  } finally {
    for (const run of runs) await run.close()
    await receiver.close()
  }
})

test('upkeep: what is older than 30 days goes, but for what is under way', async () => {
  const id = await create('https://hooks.example.com/')
  for (const name of ['old', 'under way', 'new']) await emit(name)
  await spreadEvents(api.database.db)
  const { db } = api.database
  await db.query(`update operator_event set at = at - $1 * interval '1 day' where data not like '%new%'`, [
    KEPT_DAYS + 1,
  ])
  await db.query(
    `update webhook_delivery d set state = 'failed' from operator_event e where e.id = d.event_id and data like '%old%'`,
  )
  assert.equal(await pruneEvents(db), 1)
  assert.equal((await deliveriesOf(id)).length, 2)
  assert.equal(await pruneEvents(db), 0)
})

test('upkeep: after a change of the master key secrets are sealed anew, and those that do not open are counted', async () => {
  const id = await create('https://hooks.example.com/')
  const { db } = api.database
  const sealed = async () => (await db.query('select secret from webhook_endpoint where id = $1', [id])).rows[0].secret
  const before = await sealed()
  const next = { current: deriveEnvelopeKey(Buffer.alloc(32, 6)), previous: envelopeKeys.current }
  assert.equal(await resealSecrets(db, createWebhookSecrets(next)), 0)
  assert.notEqual(await sealed(), before)
  const only = createWebhookSecrets({ current: next.current, previous: undefined })
  assert.equal(only.open(id, await sealed()), createWebhookSecrets(envelopeKeys).open(id, before))
  assert.equal(await resealSecrets(db, createWebhookSecrets(envelopeKeys)), 1)
})
