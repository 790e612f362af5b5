import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { emitOperatorEvent } from '#domain/operator-events.ts'
import { ENDPOINTS_MAX } from '#domain/webhooks/endpoints.ts'
import { createTestApi, type TestApi, webhookGuard } from '#test/support/http-api.ts'
import { until } from '#test/support/until.ts'
import { createWebhookReceiver, type WebhookReceiver } from '#test/support/webhook-receiver.ts'
import { openDeliverer } from '#test/support/webhooks.ts'

let api: TestApi
let receiver: WebhookReceiver
before(async () => {
  api = await createTestApi()
  receiver = await createWebhookReceiver()
})
afterEach(async () => {
  receiver.messages.length = 0
  await api.database.db.query('delete from webhook_endpoint')
  await api.database.db.query('delete from operator_event')
})
after(async () => {
  await receiver.close()
  await api.close()
  await webhookGuard.close()
})

const create = async (body: object = {}) => {
  const made = await api.call('POST /api/admin/webhooks', { body: { url: receiver.url, ...body } })
  assert.equal(made.status, 201, made.text)
  return made.body
}
const acts = async (subject: string) => {
  const sql = 'select actor, action, before, after from audit_event where subject = $1 order by at, id'
  return (await api.database.db.query(sql, [subject])).rows
}
const emit = (name: string, type: 'wallet.low' | 'budget.exhausted' = 'wallet.low') =>
  emitOperatorEvent(api.database.db, { type, once: [name], data: { name } })

test('webhooks: made, listed, changed and removed; the secret is shown once; every change is on the trail', async () => {
  const { secret, ...made } = await create({ description: 'ours', event_types: ['wallet.low'] })
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  const { rows } = await api.database.db.query('select secret from webhook_endpoint')
  assert.match(rows[0].secret, /^v1\./)
  const listed = await api.call('GET /api/admin/webhooks')
  assert.deepEqual(listed.body.data, [made])
  const place = `/api/admin/webhooks/${made.id}`
  assert.deepEqual((await api.call(`GET ${place}`)).body, made)
  const changed = await api.call(`PATCH ${place}`, { body: { enabled: false, description: null, event_types: null } })
  assert.deepEqual(changed.body, { ...made, enabled: false, description: null, event_types: null })
  assert.equal((await api.call(`POST ${place}/test`)).body.error.code, 'webhook_disabled')
  assert.equal((await api.call(`DELETE ${place}`)).status, 204)
  assert.equal((await api.call(`GET ${place}`)).status, 404)
  const trail = await acts(made.id)
  assert.deepEqual(
    trail.map(({ actor, action }) => [actor, action]),
    ['create', 'update', 'delete'].map((verb) => ['admin', `webhook.${verb}`]),
  )
  const told = JSON.stringify(trail)
  assert(!told.includes(secret) && !told.includes('/hook'))
})

test('webhooks: a test event arrives signed, and the official library accepts it', async () => {
  const { id, secret } = await create({ event_types: ['budget.exhausted'] })
  const delivering = openDeliverer(api.database.db)
  try {
    const queued = await api.call(`POST /api/admin/webhooks/${id}/test`)
    assert.deepEqual([queued.status, queued.body.type, queued.body.state], [202, 'webhook.test', 'pending'])
    await until('the message', () => receiver.messages.length === 1)
    const [message] = receiver.messages
    assert(message)
    assert.equal(message.id, queued.body.event_id)
    assert.equal(message.headers['content-type'], 'application/json')
    const body = new Webhook(secret).verify(message.body, message.headers as Record<string, string>) as object
    assert.deepEqual(Object.keys(body), ['type', 'timestamp', 'data'])
    assert.partialDeepStrictEqual(body, { type: 'webhook.test', data: { webhook_id: id } })
    assert.throws(() => new Webhook(secret).verify(`${message.body} `, message.headers as Record<string, string>))
    await until('the record', async () => {
      const page = await api.call(`GET /api/admin/webhooks/${id}/deliveries?state=delivered`)
      return page.body.data.length === 1 && page.body.data[0].attempt_list[0].status === 204
    })
  } finally {
    await delivering.close()
  }
})

test('webhooks: after a rotation both secrets sign until the overlap is over', async () => {
  const { id, secret: old } = await create()
  const place = `/api/admin/webhooks/${id}`
  const rotated = await api.call(`POST ${place}/rotate-secret`, { body: { overlap_seconds: 60 } })
  assert.equal(rotated.status, 200)
  assert.notEqual(rotated.body.secret, old)
  assert(rotated.body.previous_secret_until !== null)
  const delivering = openDeliverer(api.database.db)
  const verifies = (secret: string, message: WebhookReceiver['messages'][number]) => {
    try {
      new Webhook(secret).verify(message.body, message.headers as Record<string, string>)
      return true
    } catch {
      return false
    }
  }
  const sentNow = async (name: string) => {
    const seen = receiver.messages.length
    await emit(name)
    await until('the message', () => receiver.messages.length > seen)
    const message = receiver.messages.at(-1)
    assert(message)
    return message
  }
  try {
    const both = await sentNow('both')
    assert.deepEqual([verifies(old, both), verifies(rotated.body.secret, both)], [true, true])
    delivering.clock.aheadMs = 61_000
    const later = await sentNow('later')
    assert.deepEqual([verifies(old, later), verifies(rotated.body.secret, later)], [false, true])
    const last = await api.call(`POST ${place}/rotate-secret`, { body: { overlap_seconds: 0 } })
    const atOnce = await sentNow('at once')
    assert.deepEqual([verifies(rotated.body.secret, atOnce), verifies(last.body.secret, atOnce)], [false, true])
  } finally {
    await delivering.close()
  }
})

test('webhooks: deliveries page by page, and one that was delivered is sent again under its id', async () => {
  const { id } = await create({ event_types: ['wallet.low'] })
  const delivering = openDeliverer(api.database.db)
  try {
    for (let index = 0; index < 5; index += 1) await emit(`event ${index}`)
    await emit('not for it', 'budget.exhausted')
    await until('five messages', () => receiver.messages.length === 5)
    const place = `/api/admin/webhooks/${id}/deliveries`
    await until('their records', async () => (await api.call(`GET ${place}?state=delivered`)).body.data.length === 5)
    const first = await api.call(`GET ${place}?limit=3`)
    const second = await api.call(`GET ${place}?limit=3&after=${first.body.next_after}`)
    assert.deepEqual([first.body.has_more, second.body.has_more], [true, false])
    const all = [...first.body.data, ...second.body.data]
    assert.equal(new Set(all.map((one) => one.id)).size, 5)

    const [again] = all
    const resent = await api.call(`POST /api/admin/webhook-deliveries/${again.id}/resend`)
    assert.equal(resent.status, 202)
    await until('it again', () => receiver.messages.filter((message) => message.id === again.event_id).length === 2)
    await until('its record', async () => {
      const [newest] = (await api.call(`GET ${place}?state=delivered`)).body.data
      return newest.id === again.id && newest.attempts === 2 && newest.attempt_list.length === 2
    })
    assert.equal((await acts(again.id))[0]?.action, 'webhook.resend')

    const events = await api.call('GET /api/admin/events?limit=4')
    assert.deepEqual(
      [events.body.data.length, events.body.has_more, events.body.data[0].type],
      [4, true, 'budget.exhausted'],
    )
    const rest = await api.call(`GET /api/admin/events?type=wallet.low&after=${events.body.next_after}`)
    assert.deepEqual(
      rest.body.data.map((event: { data: { name: string } }) => event.data.name),
      ['event 1', 'event 0'],
    )
    await api.call(`PATCH /api/admin/webhooks/${id}`, { body: { enabled: false } })
    const refused = await api.call(`POST /api/admin/webhook-deliveries/${again.id}/resend`)
    assert.equal(refused.body.error.code, 'webhook_disabled')
  } finally {
    await delivering.close()
  }
})

test('webhooks: no address inside, without encryption, with a password or by number', async () => {
  for (const url of [
    'http://hooks.example.com/',
    'https://user:password@hooks.example.com/',
    'https://user@hooks.example.com/',
    'https://127.0.0.1/',
    'https://10.0.0.1/',
    'https://169.254.169.254/latest/meta-data',
    'https://[::1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[fd00:ec2::254]/',
    'https://0x7f.1/',
    'https://2130706433/',
    'ftp://hooks.example.com/',
    'hooks.example.com',
    'javascript:alert(1)',
  ]) {
    const refused = await api.call('POST /api/admin/webhooks', { body: { url } })
    assert.deepEqual([refused.status, refused.body.error.param], [400, 'url'], url)
  }
  const allowed = await api.call('POST /api/admin/webhooks', { body: { url: 'https://hooks.example.com:8443/x?y=z' } })
  assert.equal(allowed.status, 201)
})

test('webhooks: every other status that is documented', async () => {
  const { id } = await create()
  const one = `/api/admin/webhooks/${id}`
  const none = '/api/admin/webhooks/whe_aaaaaaaaaaaaaaaaaaaa'
  const delivery = `/api/admin/webhook-deliveries/whd_${'0'.repeat(32)}/resend`
  const routes: [string, string, object?][] = [
    ['GET', '/api/admin/webhooks'],
    ['POST', '/api/admin/webhooks', { url: receiver.url }],
    ['GET', one],
    ['PATCH', one, { enabled: true }],
    ['DELETE', one],
    ['POST', `${one}/rotate-secret`, {}],
    ['POST', `${one}/test`],
    ['GET', `${one}/deliveries`],
    ['POST', delivery],
    ['GET', '/api/admin/events'],
  ]
  for (const [method, path, body] of routes) {
    const sent = body === undefined ? {} : { body }
    assert.equal((await api.call(`${method} ${path}`, { ...sent, key: null })).status, 401, path)
    assert.equal((await api.callAway(`${method} ${path}`, sent)).status, 503, path)
    const missing = path === one || path.startsWith(`${one}/`) ? path.replace(one, none) : delivery
    if (path !== '/api/admin/webhooks' && path !== '/api/admin/events')
      assert.equal((await api.call(`${method} ${missing}`, sent)).status, 404, path)
    if (body === undefined) continue
    assert.equal((await api.call(`${method} ${path}`, { body: { nothing: 1 } })).status, 400, path)
    assert.equal((await api.call(`${method} ${path}`, { body: { url: 'x'.repeat(2 ** 20) } })).status, 413, path)
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    assert.equal((await api.call(`${method} ${path}`, { body: 'a=b', headers: form })).status, 415, path)
  }
  for (const bad of ['event_types', 'limit'])
    assert.equal((await api.call(`GET ${one}/deliveries?${bad}=x`)).status, 400)
  assert.equal((await api.call('GET /api/admin/events?after=evt_1')).status, 400)
  for (const types of [[], ['wallet.high'], ['wallet.low', 'wallet.low']])
    assert.equal((await api.call(`PATCH ${one}`, { body: { event_types: types } })).status, 400)

  const rest = Array.from({ length: ENDPOINTS_MAX + 4 }, () =>
    api.call('POST /api/admin/webhooks', { body: { url: receiver.url } }),
  )
  const made = await Promise.all(rest)
  assert.equal(made.filter(({ status }) => status === 201).length, ENDPOINTS_MAX - 1)
  assert.equal(made.find(({ status }) => status === 409)?.body.error.code, 'too_many_webhooks')
})
