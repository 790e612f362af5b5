import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type Reply, type TestGateway, type TestProject } from '#test/support/gateway.ts'

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
})
after(() => gateway.close())

const REQUEST_ID = /^req_[0-9a-f]{12}7[0-9a-f]{19}$/
const RECEIPT = /^rcp_[0-9a-f]{32}$/
const ASK = { model: 'sim/echo', messages: [{ role: 'user', content: 'hello' }] }
const ask = (body: object = {}, headers: Record<string, string> = {}): Promise<Reply> =>
  gateway.chat({ ...ASK, ...body }, { key: project.secret, headers })

/** A header value as it goes over the wire: UTF-8 bytes, which Node writes as Latin-1. */
const wire = (text: string) => Buffer.from(text).toString('latin1')

test('an answer names its request, receipt, model, attempts and charge', async () => {
  const { headers } = await ask()
  assert.match(String(headers['x-request-id']), REQUEST_ID)
  assert.match(String(headers['x-fluxgate-receipt']), RECEIPT)
  assert.equal(headers['x-fluxgate-model'], 'sim/echo')
  assert.equal(headers['x-fluxgate-attempts'], '1')
  assert.equal(headers['cache-control'], 'no-store')
  const receipt = (await project.receipts()).find(({ receipt_id }) => receipt_id === headers['x-fluxgate-receipt'])
  assert.equal(headers['x-fluxgate-charged-nanousd'], receipt?.charged_nanousd)
})

test('a stream names them too, and its charge in a comment before the end', async () => {
  const { headers, text } = await ask({ stream: true })
  assert.match(String(headers['x-request-id']), REQUEST_ID)
  assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8')
  assert.equal(headers['cache-control'], 'no-cache, no-transform')
  assert.equal(headers['x-accel-buffering'], 'no')
  assert.equal(headers['x-fluxgate-model'], 'sim/echo')
  assert.equal(headers['x-fluxgate-attempts'], '1')
  const [, receiptId, charged] =
    /: fluxgate receipt=(\S+) charged_nanousd=(\d+)\n\ndata: \[DONE\]\n\n$/.exec(text) ?? []
  assert.equal(receiptId, headers['x-fluxgate-receipt'])
  const receipt = (await project.receipts()).find(({ receipt_id }) => receipt_id === receiptId)
  assert.equal(charged, receipt?.charged_nanousd)
})

test('request ids are unique, and the receipt of an ordinary call has the number of its request', async () => {
  const replies = await Promise.all(Array.from({ length: 20 }, () => ask()))
  const ids = replies.map(({ headers }) => String(headers['x-request-id']))
  assert.equal(new Set(ids).size, 20)
  for (const { headers } of replies)
    assert.equal(String(headers['x-fluxgate-receipt']).slice(4), String(headers['x-request-id']).slice(4))
})

const failing: [name: string, body: object, named: boolean][] = [
  ['before anything is held', { model: 'sim/nothing' }, false],
  ['by the provider', { sim: { status: 400 } }, true],
  ['of the provider', { sim: { status: 500 } }, true],
  ['of the provider, streamed', { stream: true, sim: { status: 500 } }, true],
]
for (const [name, body, named] of failing)
  test(`a failure ${name} names what is known of it`, async () => {
    const { status, headers } = await ask(body)
    assert(status >= 400)
    assert.match(String(headers['x-request-id']), REQUEST_ID)
    assert.match(String(headers['x-should-retry']), /^(true|false)$/)
    assert.equal(headers['content-type'], 'application/json; charset=utf-8')
    assert.equal(headers['x-fluxgate-receipt'] !== undefined, named)
    if (!named) return
    assert.equal(headers['x-fluxgate-attempts'], '1')
    assert.equal(headers['x-fluxgate-model'], 'sim/echo')
    const receipt = (await project.receipts()).find(({ receipt_id }) => receipt_id === headers['x-fluxgate-receipt'])
    assert.equal(receipt?.outcome, 'void')
  })

test('every address answers with a request id, also those that do not exist', async () => {
  for (const [method, path] of [
    ['GET', '/v1/models'],
    ['GET', '/v1/nothing'],
    ['GET', '/v1/chat/completions'],
    ['DELETE', '/v1/models'],
    ['GET', '/livez'],
    ['GET', '/v1/receipts'],
    ['GET', '/nowhere'],
  ] as const) {
    const { headers } = await gateway.chat(undefined, { method, path, key: project.secret })
    assert.match(String(headers['x-request-id']), REQUEST_ID, `${method} ${path}`)
  }
})

const labels: [name: string, text: string][] = [
  ['ASCII', 'summariser v2'],
  ['UTF-8', 'résumé 日本語 🚀'],
  ['255 letters', 'x'.repeat(255)],
  ['255 characters of four bytes', '🚀'.repeat(255)],
  ['quotes and backslashes', `"a\\'; --`],
]
for (const [name, text] of labels)
  test(`labels stand on the receipt: ${name}`, async () => {
    const { status, headers } = await ask(
      {},
      { 'x-fluxgate-alias': wire(text), 'x-fluxgate-profile': wire(text), 'x-fluxgate-origin': wire(text) },
    )
    assert.equal(status, 200)
    const receipt = (await project.receipts()).find(({ receipt_id }) => receipt_id === headers['x-fluxgate-receipt'])
    assert.deepEqual([receipt?.alias_name, receipt?.profile, receipt?.origin], [text, text, text])
    const { rows } = await gateway.db.query<{ alias_name: string }>(
      'select alias_name from request_log where request_id = $1',
      [receipt?.receipt_id.slice(4)],
    )
    assert.deepEqual(rows, [{ alias_name: text }])
  })

test('an empty label is an absent one', async () => {
  const { headers } = await ask({}, { 'x-fluxgate-alias': '' })
  const receipt = (await project.receipts()).find(({ receipt_id }) => receipt_id === headers['x-fluxgate-receipt'])
  assert.equal(receipt !== undefined && 'alias_name' in receipt, false)
})

const refusedLabels: [name: string, raw: string][] = [
  ['256 letters', 'x'.repeat(256)],
  ['256 characters of four bytes', wire('🚀'.repeat(256))],
  ['bytes that are no UTF-8', '\xff\xfe'],
  ['a tab', 'a\tb'],
  ['a C1 control character', wire('\u0085')],
]
for (const [name, raw] of refusedLabels)
  test(`a label is refused by name: ${name}`, async () => {
    const before = gateway.oracle.totals().all.calls
    const { status, json } = await ask({}, { 'x-fluxgate-origin': raw })
    assert.equal(status, 400)
    assert.equal(json.error.code, 'label_invalid')
    assert.equal(json.error.param, 'x-fluxgate-origin')
    assert.equal(gateway.oracle.totals().all.calls, before)
  })

test('a browser may call: preflight, and headers that scripts can read', async () => {
  const origin = { origin: 'https://app.example.com' }
  const preflight = await gateway.chat(undefined, {
    method: 'OPTIONS',
    headers: {
      ...origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,x-fluxgate-alias',
    },
  })
  assert.equal(preflight.status, 204)
  assert.match(String(preflight.headers['x-request-id']), REQUEST_ID)
  assert.equal(preflight.headers['access-control-allow-origin'], '*')
  assert.match(String(preflight.headers['access-control-allow-methods']), /POST/)
  assert.match(String(preflight.headers['access-control-allow-headers']), /x-fluxgate-alias/)

  for (const [key, stream] of [
    [project.secret, false],
    [project.secret, true],
    [null, false],
  ] as const) {
    const { headers } = await gateway.chat({ ...ASK, stream }, { key, headers: origin })
    assert.equal(headers['access-control-allow-origin'], '*')
    assert.equal(headers['access-control-allow-credentials'], undefined)
    const forBrowsers = ['x-accel-buffering', 'x-content-type-options']
    const exposed = String(headers['access-control-expose-headers']).split(', ')
    for (const name of Object.keys(headers).filter((name) => name.startsWith('x-') && !forBrowsers.includes(name)))
      assert(exposed.includes(name), `${name} is exposed`)
  }
})

test('without an origin nothing is said of origins', async () => {
  const { headers } = await ask()
  assert.equal(headers['access-control-allow-origin'], undefined)
})

test('the receipt of an answer is found at its address, by its own project only', async () => {
  const { headers } = await ask()
  const path = `/v1/receipts/${headers['x-fluxgate-receipt']}`
  const mine = await gateway.chat(undefined, { method: 'GET', path, key: project.secret })
  assert.equal(mine.status, 200)
  assert.equal(mine.json.receipt.receipt_id, headers['x-fluxgate-receipt'])
  const other = await gateway.openProject(0n)
  const theirs = await gateway.chat(undefined, { method: 'GET', path, key: other.secret })
  assert.equal(theirs.status, 404)
})
