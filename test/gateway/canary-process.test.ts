import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createPool } from '#db/pool.ts'
import { createDatabaseDoor, type DatabaseDoor } from '#test/support/database-door.ts'
import { type DurableDatabase, startDurableDatabase } from '#test/support/durable-database.ts'
import {
  ADMIN_KEY,
  CLIENT_KEY,
  createDataDir,
  type GatewayProcess,
  removeDataDir,
  runGateway,
  startGateway,
} from '#test/support/gateway-process.ts'
import { dumpDatabase, expectWithout } from '#test/support/leaks.ts'
import { createRawUpstream, httpAnswer, type RawUpstream } from '#test/support/raw-upstream.ts'
import { until } from '#test/support/until.ts'

const PROMPT = 'zanzibar-prompt of the whale in the cellar'
const ANSWER = 'zanzibar-answer of seven singing owls'
const ENVIRONMENT_KEY = 'zanzibar/env+key-41c7'
const SEALED_KEY = 'zanzibar/sealed+key-90aa'
const IDEMPOTENCY = 'zanzibar-idempotency-5d2f'
const REDIS_PASSWORD = 'zanzibar-redis-0b1c'
const MASTER = randomBytes(32).toString('base64')
const PREVIOUS = randomBytes(32).toString('base64')
const SIGNING = randomBytes(32).toString('base64')
const marks = ['zanzibar', MASTER, PREVIOUS, SIGNING, ADMIN_KEY, CLIENT_KEY]

/** A bug that nobody catches, when it is asked for. */
const BUG = 'data:text/javascript,process.on("SIGUSR2",()=>{throw new Error("a bug that nobody catches")})'

let database: DurableDatabase
let door: DatabaseDoor
let upstream: RawUpstream
let gateway: GatewayProcess
let dataDir = ''
before(async () => {
  ;[database, dataDir] = await Promise.all([startDurableDatabase(), createDataDir()])
  door = await createDatabaseDoor(database.url)
  upstream = await createRawUpstream(() => undefined)
  gateway = await startGateway({
    dataDir,
    nodeArgs: ['--import', BUG],
    env: {
      DATABASE_URL: door.url,
      // Nobody listens there, which is logged.
      REDIS_URL: `redis://:${REDIS_PASSWORD}@127.0.0.1:9`,
      OPENAI_API_KEY: ENVIRONMENT_KEY,
      OPENAI_BASE_URL: `${upstream.url}/v1`,
      LLM_ROUTER_MASTER_KEY: MASTER,
      LLM_ROUTER_MASTER_KEY_PREVIOUS: PREVIOUS,
      RECEIPT_SIGNING_KEY: SIGNING,
      WELCOME_GRANT_USD: '5',
      SETTLE_WAIT_MS: '200',
      LOG_LEVEL: 'debug',
    },
  })
})
after(async () => {
  gateway.kill('SIGKILL')
  await gateway.exited
  await upstream.close()
  await door.close()
  await database.close()
  await removeDataDir(dataDir)
})

const send = (path: string, key: string, body: object, headers = {}, method = 'POST') =>
  fetch(`${gateway.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

const answer = httpAnswer(
  JSON.stringify({
    choices: [{ index: 0, message: { role: 'assistant', content: ANSWER }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
  }),
)

test('a settlement that waits on disk holds no key and no word', async () => {
  const upstreams = [
    {
      id: 'a',
      baseURL: `${upstream.url}/v1`,
      keys: [{ id: 'k', plaintextKey: SEALED_KEY }],
      price: { lines: { input: '1000', output: '1000' } },
    },
  ]
  const config = { llm: { models: { chat: { upstreams } } } }
  const written = await send('/api/admin/router', ADMIN_KEY, { config, reason: 'r' }, { 'if-match': '"0"' }, 'PUT')
  assert.equal(written.status, 200, await written.text())
  await until('it serves', async () => (await (await fetch(`${gateway.url}/readyz`)).text()).includes('"version":1'))

  upstream.answerWith((socket) => {
    door.shut()
    socket.write(answer)
  })
  for (const [model, key] of [
    ['chat', SEALED_KEY],
    ['openai/gpt-4o-mini', ENVIRONMENT_KEY],
  ]) {
    const body = { model, messages: [{ role: 'user', content: PROMPT }] }
    const reply = await send('/v1/chat/completions', CLIENT_KEY, body, { 'idempotency-key': `${IDEMPOTENCY}-${model}` })
    assert.match(await reply.text(), /"settlement_pending"/)
    assert(upstream.requests.at(-1)?.head.includes(key ?? ''))
    const spool = await readFile(join(dataDir, 'spool.jsonl'), 'utf8')
    assert(spool.length > 500, 'something waits')
    expectWithout('the spool', spool, marks)
    door.reopen()
    await until('it is settled', async () => (await readFile(join(dataDir, 'spool.jsonl'), 'utf8')) === '')
  }
})

test('a bug that nobody catches does not tell what the process knew', async () => {
  gateway.kill('SIGUSR2')
  const { code, out, err } = await gateway.exited
  assert.notEqual(code, 0)
  assert.match(err, /a bug that nobody catches/)
  expectWithout('what it printed', `${err}\n${out}`, marks.slice(0, 4))
  // The greeting shows the address and the names of keys; those that the operator has set he knows.
  expectWithout('what it printed', `${err}\n${out}`, [ADMIN_KEY])
  assert.match(out, /redis is away/)
  const db = createPool({ connection: database.connection, poolMax: 1 }, () => undefined)
  expectWithout('the database', await dumpDatabase(db), marks)
  await db.end()
})

test('settings that cannot be used are named, and not shown', async () => {
  const wrong = {
    LLM_ROUTER_MASTER_KEY: 'zanzibar-master',
    LLM_ROUTER_MASTER_KEY_PREVIOUS: 'zanzibar-previous',
    RECEIPT_SIGNING_KEY: 'zanzibar-signing',
    FLUXGATE_ADMIN_KEY: 'zanzibar',
    DATABASE_URL: 'zanzibar://ann:swordfish@host/db',
    REDIS_URL: 'http://:zanzibar@host',
  }
  const { code, out, err } = await runGateway({ dataDir, env: wrong })
  assert.equal(code, 2)
  for (const name of Object.keys(wrong)) assert(err.includes(name), `${name} is named: ${err}`)
  expectWithout('what it printed', out + err, ['zanzibar', 'swordfish'])
})
