import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { configDigest } from '#domain/router/config-digest.ts'
import { deriveEnvelopeKey, sealEnvelope } from '#lib/envelope.ts'
import {
  ADMIN_KEY,
  createTestGateway,
  ONE_USD,
  type Reply,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'
import { dumpDatabase } from '#test/support/leaks.ts'
import { createRawUpstream, httpAnswer, type RawHandler, type RawUpstream } from '#test/support/raw-upstream.ts'

// Marks that must not leave: in no answer, no log line, no metric, no table. Not even in the escapes that JSON allows.
const KEYS = ['canary/first+key-7d1f0a33', 'canary/second+key-91bb02c4', 'canary/stream+key-55ee8fd0'] as const
const REFUSED_KEY = 'canary/refused+key-0c44d9a1'
const MASTER = randomBytes(32).toString('base64')
const PREVIOUS = randomBytes(32).toString('base64')
/** Each its own: one that a provider refuses is not used again soon. */
const quotedKey = (index: number) => `canary/quoted-${index}+key-2b7c`
const LINES = { input: '100000', output: '400000' }

let upstream: RawUpstream
let gateway: TestGateway
let project: TestProject
const replies: Reply[] = []
before(async () => {
  upstream = await createRawUpstream(() => undefined)
  gateway = await createTestGateway({
    env: {
      LLM_ROUTER_MASTER_KEY: MASTER,
      LLM_ROUTER_MASTER_KEY_PREVIOUS: PREVIOUS,
      LOG_LEVEL: 'debug',
      FIRST_BYTE_TIMEOUT_MS: '500',
    },
  })
  project = await gateway.openProject(100n * ONE_USD)
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

async function admin(line: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const [method = '', path = ''] = line.split(' ')
  const reply = await gateway.chat(body, { key: ADMIN_KEY, method, path, headers })
  replies.push(reply)
  return reply
}

async function chat(model: string, stream = false): Promise<Reply> {
  const body = { model, stream, messages: [{ role: 'user', content: 'hello' }] }
  const reply = await gateway.chat(body, { key: project.secret })
  replies.push(reply)
  return reply
}

const etag = async () => String((await admin('GET /api/admin/router')).headers.etag)

const model = (keys: object[]) => ({
  price: { lines: LINES },
  upstreams: [{ id: 'a', provider: 'acme', preset: 'openai-compatible', baseURL: `${upstream.url}/v1`, keys }],
})
const served = (version: number) =>
  until(`version ${version} serves`, async () =>
    (await (await fetch(`${gateway.url}/metrics`)).text()).includes(`fluxgate_router_config_version ${version}`),
  )

const answer = JSON.stringify({
  choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
})

test('keys are written through every door, and the gateway calls with them', async () => {
  const lost = sealEnvelope(
    deriveEnvelopeKey(randomBytes(32)),
    { modelName: 'lost', keyEntryId: 'k1' },
    Buffer.from(KEYS[0]),
  )
  const old = sealEnvelope(
    deriveEnvelopeKey(Buffer.from(PREVIOUS, 'base64')),
    { modelName: 'chat', keyEntryId: 'k2' },
    Buffer.from(KEYS[1]),
  )
  const config = {
    llm: {
      models: {
        chat: model([
          { id: 'k1', plaintextKey: KEYS[0] },
          { id: 'k2', ciphertext: old },
        ]),
        ...Object.fromEntries(
          cases.map((_, index) => [`quoted-${index}`, model([{ id: 'k', plaintextKey: quotedKey(index) }])]),
        ),
      },
    },
  }
  assert.equal((await admin('POST /api/admin/router:plan', { config })).status, 200)
  const written = await admin('PUT /api/admin/router', { config, reason: 'keys' }, { 'if-match': await etag() })
  assert.equal(written.status, 200, written.text)
  // A key under a master key that is gone is not let in: nobody could ever use it.
  const refused = await admin(
    'PUT /api/admin/router',
    { config: { llm: { models: { lost: model([{ id: 'k1', ciphertext: lost }]) } } }, reason: 'lost' },
    { 'if-match': await etag() },
  )
  assert.equal(refused.status, 400)
  const slice = {
    kind: 'streaming-tts',
    upstreamURL: 'wss://unspeech.test/x',
    plaintextKey: KEYS[2],
  }
  assert.equal((await admin('POST /api/admin/config/router', { slices: [slice] })).status, 200)

  await served(1)
  upstream.answerWith((socket) => socket.write(httpAnswer(answer)))
  assert.equal((await chat('chat')).status, 200)
  assert.match(
    upstream.requests.at(-1)?.head ?? '',
    new RegExp(`^authorization: Bearer ${KEYS[0].replace('+', '\\+')}\r?$`, 'im'),
  )
})

test('the second key serves when the first is refused, also one under the previous master key', async () => {
  upstream.answerWith((socket, { head }) =>
    socket.write(
      head.includes(KEYS[0]) ? httpAnswer(`{"error":{"message":"no: ${KEYS[0]}"}}`, {}, '401 No') : httpAnswer(answer),
    ),
  )
  assert.equal((await chat('chat')).status, 200)
  assert(upstream.requests.at(-1)?.head.includes(KEYS[1]))
})

const quotes =
  (status: string): RawHandler =>
  (socket, { head }) => {
    const key = /^authorization: *Bearer (\S+)/im.exec(head)?.[1] ?? ''
    const escaped = key.replace('/', '\\/').replace('+', '\\u002b')
    const body = `{"error":{"message":"no: ${key} ${escaped}","type":"${key}","code":"${escaped}","param":"${key}"}}`
    socket.write(httpAnswer(body, { 'x-request-id': key, 'x-key': key }, status))
  }
const statuses = ['400 Bad', '401 No', '403 No', '404 None', '429 Slow', '500 Oops', '503 Away']
const cases = statuses.flatMap((status) => [true, false].map((stream) => ({ status, stream })))
for (const [index, { status, stream }] of cases.entries())
  test(`a provider that answers ${status} and quotes its key, ${stream ? 'in a stream' : 'whole'}`, async () => {
    const { length } = upstream.requests
    upstream.answerWith(quotes(status))
    assert((await chat(`quoted-${index}`, stream)).status >= 400)
    assert(upstream.requests.slice(length).some(({ head }) => head.includes(quotedKey(index))))
  })

test('a key that does not open is skipped with one alarm; with none left it is decrypt_failed', async () => {
  const lost = (modelName: string) =>
    sealEnvelope(deriveEnvelopeKey(randomBytes(32)), { modelName, keyEntryId: 'k1' }, Buffer.from(KEYS[0]))
  const current = deriveEnvelopeKey(Buffer.from(MASTER, 'base64'))
  const config = {
    llm: {
      models: {
        lost: model([{ id: 'k1', ciphertext: lost('lost') }]),
        half: model([
          { id: 'k1', ciphertext: lost('half') },
          {
            id: 'k2',
            ciphertext: sealEnvelope(current, { modelName: 'half', keyEntryId: 'k2' }, Buffer.from(KEYS[1])),
          },
        ]),
      },
    },
  }
  // No door lets such keys in: this is what is left of keys whose master key was lost.
  await gateway.db.query(
    `insert into router_config (version, config, digest, author, reason, parent)
     select 2, $1, $2, 'test', 'a lost master key', 1`,
    [JSON.stringify(config), configDigest(config)],
  )
  await gateway.db.query(`select pg_notify('fluxgate_router', '2,0')`)
  await served(2)
  upstream.answerWith((socket) => socket.write(httpAnswer(answer)))
  for (let n = 0; n < 3; n += 1) {
    assert.equal((await chat('half')).status, 200)
    const none = await chat('lost')
    assert.deepEqual([none.status, none.json.error.code], [503, 'decrypt_failed'])
  }
  const alarms = gateway.log.lines().filter(({ msg }) => msg === 'a provider key does not open; it is skipped')
  assert.deepEqual(alarms.map(({ model: name, key }) => [name, key]).sort(), [
    ['half', 'k1'],
    ['lost', 'k1'],
  ])
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text()
  assert.match(metrics, /^fluxgate_credential_decrypt_failures_total\{model="lost",key="k1"\} [1-9]/m)
})

test('doors that refuse do not repeat a key', async () => {
  const now = await etag()
  for (const [line, body, headers] of [
    [
      'PUT /api/admin/router',
      { config: { llm: { models: { m: { plaintextKey: REFUSED_KEY } } } }, reason: 'r' },
      { 'if-match': now },
    ],
    ['PUT /api/admin/router', `{"config":{"llm":{"models":{"m":"${REFUSED_KEY}`, { 'if-match': now }],
    ['PUT /api/admin/router', { config: {}, reason: 'r', plaintextKey: REFUSED_KEY }, { 'if-match': now }],
    ['PUT /api/admin/router', { config: {}, reason: 'r' }, { 'if-match': REFUSED_KEY }],
    ['POST /api/admin/router:plan', { config: { plaintextKey: REFUSED_KEY } }, {}],
    ['POST /api/admin/config/router', { slices: [{ kind: REFUSED_KEY, plaintextKey: REFUSED_KEY }] }, {}],
    ['POST /api/admin/config/router', { slices: [{ kind: 'openrouter', plaintextKey: [REFUSED_KEY] }] }, {}],
    [
      'POST /api/admin/config/router',
      { slices: [{ kind: 'openrouter', modelName: 'm', plaintextKey: `${REFUSED_KEY}\n` }] },
      {},
    ],
    ['PUT /api/admin/settings/FLUX_PER_REQUEST', { value: REFUSED_KEY, reason: 'r' }, {}],
    ['PUT /api/admin/settings/STREAMING_TTS_UPSTREAM', { value: { plaintextKey: REFUSED_KEY }, reason: 'r' }, {}],
  ] as const) {
    const reply = await admin(line, body, headers)
    assert(reply.status >= 400 && reply.status < 500, `${line}: ${reply.text}`)
  }
})

test('what every door shows is redacted', async () => {
  for (const path of [
    '/api/admin/router',
    '/api/admin/router/versions',
    '/api/admin/router/versions/1',
    '/api/admin/config/router',
    '/api/admin/settings',
    '/api/admin/settings/STREAMING_TTS_UPSTREAM',
    '/openapi.json',
    '/readyz',
  ])
    assert.equal((await admin(`GET ${path}`)).status, 200)
  const back = await admin(
    'POST /api/admin/router:rollback',
    { version: 1, reason: 'back' },
    { 'if-match': await etag() },
  )
  assert.equal(back.status, 200)
})

test('no key and no master key is in an answer, the log, the metrics or the database', async () => {
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text()
  const places = {
    answers: replies.map((reply) => JSON.stringify(reply.headers) + reply.text).join('\n'),
    log: gateway.log.text(),
    metrics,
    database: await dumpDatabase(gateway.db),
  }
  assert(replies.length > 40)
  for (const [place, text] of Object.entries(places)) {
    assert(text.length > 1_000, `there is something in ${place}`)
    for (const secret of [...KEYS, REFUSED_KEY, MASTER, PREVIOUS]) {
      for (const spelling of spellings(secret))
        assert(!text.includes(spelling), `${spelling} is in ${place}: ${around(text, spelling)}`)
    }
    // A part of every planted key, as it is and as JSON and addresses spell it.
    for (const mark of ['+key-', '\\u002bkey-', '%2Bkey-'])
      assert(!text.includes(mark), `a part of a key is in ${place}: ${around(text, mark)}`)
  }
  assert(places.answers.includes('<ciphertext: '), 'configs were shown')
  assert(places.database.includes('v1.'), 'envelopes are stored')
})

function spellings(secret: string): string[] {
  return [
    secret,
    secret.replaceAll('/', '\\/'),
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    Buffer.from(secret).toString('base64url'),
    Buffer.from(secret).toString('hex'),
  ]
}

function around(text: string, secret: string): string {
  const at = text.indexOf(secret)
  return text.slice(Math.max(0, at - 200), at + 100)
}
