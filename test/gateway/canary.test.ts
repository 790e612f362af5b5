import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
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
import {
  createRawUpstream,
  httpAnswer,
  type RawHandler,
  type RawUpstream,
  streamHead,
} from '#test/support/raw-upstream.ts'

// Marks that must not leave: in no answer, no log line, no metric, no table.
const PROVIDER_KEY = 'canary/of+the-provider-8f3a91c27b'
const PROMPT = 'canary prompt about the whale in the cellar'
const SYSTEM = 'canary instruction to speak like a pirate'
const ANSWER = 'canary answer of seven singing lanterns'

let upstream: RawUpstream
let gateway: TestGateway
let project: TestProject
const replies: Reply[] = []
before(async () => {
  upstream = await createRawUpstream(() => undefined)
  gateway = await createTestGateway({
    env: {
      OPENAI_API_KEY: PROVIDER_KEY,
      OPENAI_BASE_URL: `${upstream.url}/v1`,
      LOG_LEVEL: 'debug',
      FIRST_BYTE_TIMEOUT_MS: '300',
      IDLE_TIMEOUT_MS: '300',
      TOTAL_TIMEOUT_MS: '1200',
      SETTLE_WAIT_MS: '1000',
      HOLD_TTL_MS: '1000',
      SLOT_LEASE_MS: '500',
    },
  })
  project = await gateway.openProject(100n * ONE_USD)
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

const MESSAGES = [
  { role: 'system', content: SYSTEM },
  { role: 'user', content: PROMPT },
]
const whole = JSON.stringify({
  choices: [{ index: 0, message: { role: 'assistant', content: ANSWER }, finish_reason: 'stop' }],
})
const chunk = `data: {"choices":[{"index":0,"delta":{"content":"${ANSWER}"}}]}\n\n`
const status =
  (line: string, message: string): RawHandler =>
  (socket) => {
    const body = JSON.stringify({ error: { message, type: 'x', code: 'y' } })
    socket.write(`HTTP/1.1 ${line}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  }
const quoted = `Incorrect API key provided: ${PROVIDER_KEY}. Your prompt was: ${PROMPT}`

const misdeeds: [name: string, handler: RawHandler, streams: boolean[]][] = [
  [
    'an answer',
    (socket, { body }) =>
      socket.end(body.includes('"stream":true') ? `${streamHead()}${chunk}data: [DONE]\n\n` : httpAnswer(whole)),
    [true, false],
  ],
  ['a refused credential that quotes it', status('401 Unauthorized', quoted), [true, false]],
  ["a caller's fault that quotes the credential", status('400 Bad Request', `no: ${PROVIDER_KEY}`), [true, false]],
  [
    "a caller's fault that quotes the credential with escapes",
    (socket) => {
      const key = PROVIDER_KEY.replace('/', '\\/').replace('+', '\\u002b')
      const body = `{"error":{"message":"no: ${key}","type":"${key}","param":"${key}","code":"${key}"}}`
      socket.write(
        `HTTP/1.1 400 Bad\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      )
    },
    [true, false],
  ],
  ['a fault that quotes everything', status('500 Oops', quoted), [true, false]],
  [
    'a page that quotes everything',
    (socket) => socket.end(`HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\n\r\n<html>${quoted}</html>`),
    [true, false],
  ],
  [
    'an error in a 200 that quotes everything',
    (socket) => socket.end(`${streamHead()}data: {"error":{"message":"${quoted}"}}\n\n`),
    [true, false],
  ],
  [
    'an error after content',
    (socket) =>
      socket.write(`${streamHead()}${chunk}`, () =>
        setTimeout(() => socket.end(`data: {"error":{"message":"${quoted}"}}\n\n`), 30),
      ),
    [true],
  ],
  [
    'nonsense after content',
    (socket) => socket.write(`${streamHead()}${chunk}`, () => setTimeout(() => socket.end(`data: ${quoted}\n\n`), 30)),
    [true],
  ],
  ['a reset', (socket) => socket.resetAndDestroy(), [true, false]],
  [
    'a reset after content',
    (socket) => socket.write(`${streamHead()}${chunk}`, () => setTimeout(() => socket.resetAndDestroy(), 30)),
    [true],
  ],
  ['silence', () => undefined, [true, false]],
  [
    'headers that quote everything',
    (socket) =>
      socket.write(httpAnswer(whole, { 'x-key': PROVIDER_KEY, 'x-request-id': PROVIDER_KEY, 'set-cookie': PROMPT })),
    [false],
  ],
  ['not even HTTP', (socket) => socket.end(quoted), [true, false]],
]

test('all kinds of calls, with a provider that gives away what it knows', async () => {
  for (const [name, handler, streams] of misdeeds)
    for (const stream of streams) {
      upstream.answerWith(handler)
      const body = { model: 'openai/gpt-4o-mini', stream, messages: MESSAGES }
      const reply = await gateway.chat(body, { key: project.secret, headers: { 'x-fluxgate-alias': 'canary-test' } })
      assert(!reply.text.includes(PROVIDER_KEY), `${name} shows our credential: ${reply.text}`)
      assert(!JSON.stringify(reply.headers).includes(PROVIDER_KEY), `${name} shows our credential in its headers`)
      // What goes wrong may tell the caller of his own fault, but nothing that the provider says of others.
      if (reply.status >= 500)
        assert(!reply.text.includes('canary'), `${name} passes on what a provider says: ${reply.text}`)
      replies.push(reply)
    }
  assert.deepEqual([...new Set(replies.map((reply) => reply.status))].toSorted(), [200, 400, 502, 504])
})

test('requests that are refused, with prompts and keys in places where they are quoted', async () => {
  const refused: [body: unknown, key: string, headers?: Record<string, string>][] = [
    [`{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"${PROMPT}"`, project.secret],
    [{ model: `openai/${PROMPT}`, messages: MESSAGES }, project.secret],
    [{ model: 'openai/gpt-4o-mini', messages: [{ role: 'user', content: { text: PROMPT } }] }, project.secret],
    [{ model: 'openai/gpt-4o-mini', messages: MESSAGES }, `${project.secret}x`],
    [{ model: 'openai/gpt-4o-mini', messages: MESSAGES }, project.secret, { 'idempotency-key': `${PROMPT}` }],
    [{ model: 'openai/gpt-4o-mini', messages: MESSAGES }, project.secret, { 'content-type': 'text/plain' }],
  ]
  for (const [body, key, headers = {}] of refused) {
    const reply = await gateway.chat(body, { key, headers })
    assert(reply.status >= 400 && reply.status < 500)
    assert(!reply.text.includes(key), 'a refusal repeats the key')
  }
})

test('a client that leaves, and a database that breaks under a settlement', async () => {
  upstream.answerWith((socket) => socket.write(`${streamHead()}${chunk}`))
  const open = await gateway.open(
    { model: 'openai/gpt-4o-mini', stream: true, messages: MESSAGES },
    { key: project.secret },
  )
  await open.until((text) => text.includes(ANSWER))
  open.hangUp()
  await until('no call is open', () => gateway.app.openCalls() === 0)

  // The batch that holds this receipt is refused by the database, which likes to quote what it refuses.
  await gateway.db.query(`alter table request_log add constraint canary check (alias_name <> 'poison')`)
  upstream.answerWith((socket) => socket.write(httpAnswer(whole)))
  const poisoned = await gateway.chat(
    { model: 'openai/gpt-4o-mini', messages: MESSAGES },
    { key: project.secret, headers: { 'x-fluxgate-alias': 'poison' } },
  )
  assert.equal(poisoned.json.error.code, 'settlement_pending')
  await gateway.db.query('alter table request_log drop constraint canary')
  await until('the sweeper has its hold', async () => (await project.wallet()).heldNanos === 0n)
  assert.equal((await project.receipts()).at(-1)?.outcome, 'gateway_lost')
})

test('neither keys nor words are in the log, the metrics or the database', async () => {
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text()
  assert.match(metrics, /fluxgate_calls_total/)
  const places = { log: gateway.log.text(), metrics, database: await dumpDatabase(gateway.db) }
  for (const [place, text] of Object.entries(places)) {
    assert(text.length > 1_000, `there is something in the ${place}`)
    for (const secret of [
      PROVIDER_KEY,
      project.secret,
      ADMIN_KEY,
      gateway.config.RECEIPT_SIGNING_KEY?.reveal() ?? 'none',
      gateway.config.LOG_SIGNING_KEY?.reveal() ?? 'none',
    ])
      assert(!text.includes(secret), `a key is in the ${place}: ${around(text, secret)}`)
    for (const word of ['whale', 'pirate', 'lanterns'])
      assert(!text.includes(word), `"${word}" is in the ${place}: ${around(text, word)}`)
  }
  assert(
    gateway.log.lines().some(({ msg }) => msg === 'call'),
    'calls are logged',
  )
  assert(places.database.includes('canary-test'), 'labels are kept, they are no content')
})

function around(text: string, secret: string): string {
  const at = text.indexOf(secret)
  return text.slice(Math.max(0, at - 200), at + 200)
}
