import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import {
  type CallOptions,
  createTestGateway,
  ONE_USD,
  openReply,
  type Reply,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts'

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway({
    env: {
      BODY_BYTES_MAX: '20000',
      HEADERS_MAX: '40',
      OLLAMA_BASE_URL: 'http://127.0.0.1:1/v1',
      GROQ_API_KEY: 'gsk_unused',
    },
  })
  project = await gateway.openProject(ONE_USD)
})
after(() => gateway.close())

const ASK = { model: 'sim/echo', messages: [{ role: 'user', content: 'hello' }] }
const REQUEST_ID = /^req_[0-9a-f]{12}7[0-9a-f]{19}$/

/** OpenAI's shape, the names of the request, and nothing that was held or sent. */
async function expectRefusal(
  reply: Reply,
  expected: { status: number; code: string; param?: string | null; retry: boolean },
) {
  const { status, headers, json } = reply
  assert.equal(status, expected.status, reply.text)
  assert.deepEqual(Object.keys(json), ['error'])
  assert.deepEqual(Object.keys(json.error).toSorted(), ['code', 'message', 'param', 'type'])
  assert.equal(json.error.code, expected.code)
  assert.equal(json.error.param, expected.param ?? null)
  assert(typeof json.error.message === 'string' && json.error.message.length > 10)
  assert.match(String(headers['x-request-id']), REQUEST_ID)
  assert.equal(headers['x-should-retry'], String(expected.retry))
  if (expected.retry && (status === 429 || status === 503)) assert.match(String(headers['retry-after']), /^\d+$/)
  assert.equal(headers['content-type'], 'application/json; charset=utf-8')
}

interface Refusal {
  name: string
  body?: unknown
  call?: CallOptions | (() => Promise<CallOptions> | CallOptions)
  status: number
  code: string
  param?: string
  message?: RegExp
}

const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`
const refusals: Refusal[] = [
  { name: 'malformed JSON', body: '{"model":"sim/echo",', status: 400, code: 'body_malformed' },
  { name: 'no body at all', body: '', status: 400, code: 'body_malformed' },
  { name: 'invalid UTF-8', body: Buffer.from('{"model":"sim/\xff"}', 'latin1'), status: 400, code: 'body_malformed' },
  { name: 'a list', body: [ASK], status: 400, code: 'body_invalid' },
  { name: 'no model', body: { messages: ASK.messages }, status: 400, code: 'body_invalid', param: 'model' },
  { name: 'empty messages', body: { ...ASK, messages: [] }, status: 400, code: 'body_invalid', param: 'messages' },
  {
    name: 'a wrong type deep inside',
    body: { ...ASK, messages: [ASK.messages[0], { role: 'user', content: [{ type: 'text', text: 1 }] }] },
    status: 400,
    code: 'body_invalid',
    param: 'messages[1].content[0].text',
  },
  { name: 'a number for a name', body: { ...ASK, model: 5 }, status: 400, code: 'body_invalid', param: 'model' },
  { name: 'stream as text', body: { ...ASK, stream: 'yes' }, status: 400, code: 'body_invalid', param: 'stream' },
  {
    name: 'nesting without end',
    body: `{"model":"sim/echo","messages":[],"x":${deep(8_000)}}`,
    status: 400,
    code: 'body_invalid',
  },
  {
    name: 'a name that no record can hold',
    body: { ...ASK, model: 'ollama/a\u0000' },
    status: 400,
    code: 'body_invalid',
    param: 'model',
  },
  {
    name: 'an unknown model, with near names',
    body: { ...ASK, model: 'sim/ecko' },
    status: 404,
    code: 'model_not_found',
    param: 'model',
    message: /'sim\/ecko'.*Did you mean 'sim\/echo'\?/,
  },
  {
    name: 'a model far from all names',
    body: { ...ASK, model: 'zzzzzzzzzzzz' },
    status: 404,
    code: 'model_not_found',
    param: 'model',
    message: /GET \/v1\/models/,
  },
  {
    name: 'a model that has no price',
    body: { ...ASK, model: 'groq/some-model' },
    status: 400,
    code: 'pricing_missing',
    param: 'model',
    message: /'groq\/some-model' has no price/,
  },
  {
    name: 'a kind of use that has no price',
    body: { ...ASK, modalities: ['text', 'audio'] },
    status: 400,
    code: 'pricing_missing',
    param: 'model',
    message: /audio_output/,
  },
  {
    name: 'a picture of text',
    call: { headers: { 'content-type': 'text/plain' } },
    status: 415,
    code: 'media_type_unsupported',
  },
  {
    name: 'a form',
    call: { headers: { 'content-type': 'multipart/form-data; boundary=x' } },
    status: 415,
    code: 'media_type_unsupported',
  },
  {
    name: 'a compressed body',
    call: { headers: { 'content-encoding': 'gzip' } },
    status: 415,
    code: 'media_type_unsupported',
  },
  {
    name: 'a body that is too large',
    body: { ...ASK, x: 'y'.repeat(30_000) },
    status: 413,
    code: 'body_too_large',
    message: /20000 bytes/,
  },
  {
    name: 'a body that is too large and does not say so',
    body: { ...ASK, x: 'y'.repeat(30_000) },
    call: { headers: { 'transfer-encoding': 'chunked' } },
    status: 413,
    code: 'body_too_large',
  },
  {
    name: 'too many headers',
    call: { headers: Object.fromEntries(Array.from({ length: 41 }, (_, n) => [`x-h${n}`, 'v'])) },
    status: 431,
    code: 'headers_too_many',
    message: /40/,
  },
  {
    name: 'a label that is too long',
    call: { headers: { 'x-fluxgate-alias': 'x'.repeat(256) } },
    status: 400,
    code: 'label_invalid',
    param: 'x-fluxgate-alias',
  },
  {
    name: 'an idempotency key with a space',
    call: { headers: { 'idempotency-key': 'a b' } },
    status: 400,
    code: 'idempotency_key_invalid',
    param: 'Idempotency-Key',
  },
  {
    name: 'an idempotency key of 256 characters',
    call: { headers: { 'idempotency-key': 'x'.repeat(256) } },
    status: 400,
    code: 'idempotency_key_invalid',
    param: 'Idempotency-Key',
  },
  { name: 'no key', call: { key: null }, status: 401, code: 'invalid_api_key' },
  { name: 'an unknown key', call: { key: 'fg_key_unknown' }, status: 401, code: 'invalid_api_key' },
  {
    name: 'an unknown key as X-API-Key',
    call: { key: null, headers: { 'x-api-key': 'fg_key_unknown' } },
    status: 401,
    code: 'invalid_api_key',
  },
  {
    name: 'another scheme',
    call: () => ({ key: null, headers: { authorization: `Basic ${project.secret}` } }),
    status: 401,
    code: 'invalid_api_key',
  },
  {
    name: 'an empty bearer',
    call: { key: null, headers: { authorization: 'Bearer ' } },
    status: 401,
    code: 'invalid_api_key',
  },
  {
    name: 'two keys in one header',
    call: () => ({ key: null, headers: { authorization: `Bearer ${project.secret} x` } }),
    status: 401,
    code: 'invalid_api_key',
  },
  { name: 'the admin key', call: { key: 'the-admin-key-of-the-tests' }, status: 401, code: 'invalid_api_key' },
  { name: 'a key of 300 characters', call: { key: 'x'.repeat(300) }, status: 401, code: 'invalid_api_key' },
  { name: 'an expired key', call: expiredKey, status: 401, code: 'invalid_api_key' },
  {
    name: 'an empty wallet',
    call: emptyWallet(0n),
    status: 402,
    code: 'insufficient_quota',
    message: /at least \d+ nano-dollars and 0 are available/,
  },
  {
    name: 'a wallet with too little',
    call: emptyWallet(100n),
    status: 402,
    code: 'insufficient_quota',
    message: /100 are available/,
  },
  { name: 'a frozen wallet', call: frozenWallet, status: 402, code: 'wallet_frozen' },
  { name: 'another method', call: { method: 'PUT' }, status: 405, code: 'method_not_allowed' },
]

async function expiredKey(): Promise<CallOptions> {
  const { key, secret } = await gateway.app.keys.create({ projectId: project.id, name: 'short' })
  const models = () => gateway.chat(undefined, { method: 'GET', path: '/v1/models', key: secret })
  await gateway.db.query(`update api_key set expires_at = now() + interval '600 ms' where id = $1`, [key.id])
  await until('the key has expired', async () => (await models()).status === 401)
  return { key: secret }
}

function emptyWallet(nanos: bigint) {
  return async (): Promise<CallOptions> => ({ key: (await gateway.openProject(nanos)).secret })
}

async function frozenWallet(): Promise<CallOptions> {
  const frozen = await gateway.openProject(ONE_USD)
  await gateway.db.query('update wallet set frozen = true, version = version + 1 where id = $1', [frozen.walletId])
  return { key: frozen.secret }
}

/** The statuses that the OpenAPI document promises for chat. */
async function documentedStatuses(): Promise<string[]> {
  const { json } = await gateway.chat(undefined, { method: 'GET', path: '/openapi.json', key: null })
  return Object.keys(json.paths['/v1/chat/completions'].post.responses)
}

test('one model by name has the shape that is documented, and 404 and 400 are documented too', async () => {
  const get = (path: string) => gateway.chat(undefined, { method: 'GET', path, key: project.secret })
  const { responses } = (await get('/openapi.json')).json.paths['/v1/models/{id}'].get
  for (const path of ['/v1/models/sim/echo', '/v1/models/sim%2Fecho']) {
    const { status, json } = await get(path)
    assert.equal(status, 200)
    const { required, properties } = responses[200].content['application/json'].schema
    assert.deepEqual(Object.keys(json).toSorted(), required.toSorted())
    for (const [member, value] of Object.entries(json))
      assert.equal(typeof value, properties[member].type.replace('integer', 'number'), member)
  }
  for (const [path, status] of [
    ['/v1/models/sim/nothing', 404],
    ['/v1/models/groq/x', 400],
  ] as const) {
    assert.equal((await get(path)).status, status)
    assert(String(status) in responses)
  }
})

describe('refusals', () => {
  for (const { name, body = ASK, call = {}, status, code, param, message } of refusals)
    test(`${status} ${code}: ${name}`, async () => {
      const options = typeof call === 'function' ? await call() : call
      const seen = gateway.oracle.totals().all.calls
      const reply = await gateway.chat(body, { key: project.secret, ...options })
      await expectRefusal(reply, { status, code, retry: false, ...(param !== undefined && { param }) })
      if (message !== undefined) assert.match(reply.json.error.message, message)
      assert((await documentedStatuses()).includes(String(status)), 'the OpenAPI document says that it can happen')
      if (status === 401) assert.equal(reply.headers['www-authenticate'], 'Bearer')
      if (status === 405) assert.equal(reply.headers.allow, 'POST')
      await gateway.expectNothingHeld()
      assert.equal(gateway.oracle.totals().all.calls, seen, 'the upstream was not asked')
    })
})

test('a key is accepted as X-API-Key and in any case of Bearer', async () => {
  for (const headers of [{ 'x-api-key': project.secret }, { authorization: `bEARER  ${project.secret}` }])
    assert.equal((await gateway.chat(ASK, { key: null, headers })).status, 200)
})

test('a revoked key is refused within a second', async () => {
  const { key, secret } = await gateway.app.keys.create({ projectId: project.id, name: 'revoked' })
  assert.equal((await gateway.chat(ASK, { key: secret })).status, 200)
  await gateway.app.keys.revoke(key.id)
  await until('the key is refused', async () => (await gateway.chat(ASK, { key: secret })).status === 401, 1_000)
})

test('a client that is still sending a body that is too large gets to read why', async () => {
  for (const headers of [{}, { 'content-length': 64 * 1024 * 1024 }]) {
    const request = httpRequest(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { authorization: `Bearer ${project.secret}`, 'content-type': 'application/json', ...headers },
    })
    const answered = new Promise<Reply>((resolve, reject) => {
      request.on('response', (response) => void openReply(response).all().then(resolve)).on('error', reject)
    })
    const chunk = Buffer.alloc(64 * 1024, 0x20)
    let writing = true
    const write = () => {
      while (writing && request.write(chunk)) writing = request.writableLength < 1e9
      if (writing) request.once('drain', write)
    }
    write()
    const reply = await answered
    writing = false
    request.destroy()
    assert.equal(reply.status, 413)
    assert.equal(reply.json.error.code, 'body_too_large')
  }
  await until('no call is open', () => gateway.app.openCalls() === 0)
})

test('a client that leaves in the middle of its body leaves nothing behind', async () => {
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${project.secret}\r\ncontent-length: 900\r\n\r\n{"model"`,
  )
  await until('the call is open', () => gateway.app.openCalls() === 1)
  socket.destroy()
  await until('no call is open', () => gateway.app.openCalls() === 0)
  await gateway.expectNothingHeld()
})

test('a client that leaves while its key is looked up leaves nothing behind', async () => {
  const locker = await gateway.db.connect()
  try {
    await locker.query('begin')
    await locker.query('lock table api_key in access exclusive mode')
    const leaving = new AbortController()
    const gone = assert.rejects(gateway.open(ASK, { key: 'fg_key_looked_up', signal: leaving.signal }))
    await until('the call is open', () => gateway.app.openCalls() === 1)
    leaving.abort()
    await gone
  } finally {
    await locker.query('rollback')
    locker.release()
  }
  await until('no call is open', () => gateway.app.openCalls() === 0)
})

test('what is not HTTP is answered in the same shape', async () => {
  for (const [text, status] of [
    ['GET / NOT-HTTP\r\n\r\n', 400],
    [`GET /v1/models HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    socket.end(text)
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
    assert.match(answer, /x-request-id: req_[0-9a-f]{32}\r\n/)
    assert.equal(typeof JSON.parse(answer.slice(answer.indexOf('{'))).error.message, 'string')
  }
})

test('no more calls run at once than allowed', async (t) => {
  const small = await createTestGateway({ env: { OPEN_CALLS_MAX: '2' } })
  t.after(() => small.close())
  const own = await small.openProject(ONE_USD)
  const slow = { ...ASK, sim: { first_byte_ms: 400 } }
  const running = [1, 2].map(() => small.chat(slow, { key: own.secret }))
  await until('two calls run', async () => (await small.running(own)).length === 2)
  await expectRefusal(await small.chat(ASK, { key: own.secret }), { status: 503, code: 'overloaded', retry: true })
  for (const reply of await Promise.all(running)) assert.equal(reply.status, 200)
  assert.equal((await small.chat(ASK, { key: own.secret })).status, 200)
  await own.settled(3)
})

test('a full queue of admissions is 503 overloaded, at once', async (t) => {
  const small = await createTestGateway({ env: { LEDGER_QUEUE_MAX: '256', RESERVE_WAIT_MS: '60000' } })
  t.after(() => small.close())
  const own = await small.openProject(ONE_USD)
  const locker = await small.db.connect()
  const answered: Reply[] = []
  let calls: Promise<number>[] = []
  try {
    await locker.query('begin')
    await locker.query('select 1 from wallet where id = $1 for update', [own.walletId])
    // A batch that waits for the lock, a full queue behind it, and some more.
    calls = Array.from({ length: 540 }, async () => answered.push(await small.chat(ASK, { key: own.secret })))
    await until('the queue is full', () => answered.length > 0, 20_000)
    for (const reply of answered) await expectRefusal(reply, { status: 503, code: 'overloaded', retry: true })
  } finally {
    await locker.query('rollback')
    locker.release()
  }
  await Promise.all(calls)
  const admitted = answered.filter(({ status }) => status === 200).length
  assert(admitted >= 256 && admitted < 540, `${admitted} were admitted`)
  await own.settled(admitted)
})

describe('a database that is away', () => {
  let proxy: TcpProxy
  let away: TestGateway
  let own: TestProject
  before(async () => {
    away = await createTestGateway({
      env: {
        RESERVE_WAIT_MS: '1500',
        SETTLE_WAIT_MS: '500',
      },
      async through(url) {
        const { host, port, user, password, database } = new pg.Client({ connectionString: url })
        proxy = await startTcpProxy(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
        const login = `${user ?? ''}${password ? `:${encodeURIComponent(password)}` : ''}`
        return `postgres://${login}@127.0.0.1:${proxy.port}/${database}`
      },
    })
    own = await away.openProject(ONE_USD)
  })
  after(async () => {
    await away.close()
    await proxy.close()
  })

  test('is 503 and never 401, for keys that are known and for those that are not', async () => {
    assert.equal((await away.chat(ASK, { key: own.secret })).status, 200)
    const seen = away.oracle.totals().all.calls
    proxy.down()
    try {
      const replies = await Promise.all([
        ...[own.secret, 'fg_key_unknown'].flatMap((key) =>
          [false, true].map((stream) => away.chat({ ...ASK, stream }, { key })),
        ),
        away.chat(undefined, { method: 'GET', path: '/v1/models', key: 'fg_key_other' }),
      ])
      for (const reply of replies) await expectRefusal(reply, { status: 503, code: 'ledger_unavailable', retry: true })
      assert.equal(away.oracle.totals().all.calls, seen, 'the upstream was not asked')
    } finally {
      proxy.open()
    }
    await until('calls are admitted again', async () => (await away.chat(ASK, { key: own.secret })).status === 200)
    await away.expectNothingHeld()
  })

  test('an answer that cannot be settled in time says so, is not tried again, and is charged once', async () => {
    for (const stream of [false, true]) {
      const fresh = await away.openProject(ONE_USD)
      const opening = away.open(
        { ...ASK, stream, sim: { tokens: 40, chunk_ms: 10, first_byte_ms: stream ? 0 : 300 } },
        { key: fresh.secret },
      )
      await until('the upstream has the call', async () => (await away.running(fresh)).length > 0)
      proxy.down()
      try {
        const reply = await (await opening).all()
        if (stream) {
          assert.match(reply.text, /"code":"settlement_pending"\}\}\n\n$/)
          assert.doesNotMatch(reply.text, /"finish_reason":"|\[DONE\]/, 'the end waits for the settlement')
        } else await expectRefusal(reply, { status: 503, code: 'settlement_pending', retry: false })
      } finally {
        proxy.open()
      }
      const [receipt] = await fresh.settled(1)
      assert.equal(receipt?.outcome, 'complete')
      assert.equal(receipt.usage.output, 40)
    }
  })
})
