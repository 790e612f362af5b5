import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type Reply, type TestGateway, type TestProject } from '#test/support/gateway.ts'
import { dumpDatabase, expectWithout } from '#test/support/leaks.ts'
import {
  createRawUpstream,
  httpAnswer,
  type RawHandler,
  type RawUpstream,
  streamHead,
} from '#test/support/raw-upstream.ts'
import { putRouterConfig } from '#test/support/router-config.ts'

// What only the caller or only the operator may see. Words of a mark stand nowhere else in this repository.
const PROMPT = 'zanzibar-prompt of the whale in the cellar'
const SYSTEM = 'zanzibar-instruction to speak like a pirate'
const TOOL = 'zanzibar_tool_of_lanterns'
const ANSWER = 'zanzibar-answer of seven singing owls'
const IDEMPOTENCY = 'zanzibar-idempotency-5d2f'
const ENVIRONMENT_KEY = 'zanzibar/env+key-41c7'
const MASTER = randomBytes(32).toString('base64')
const PREVIOUS = randomBytes(32).toString('base64')
/** Each its own: one that a provider refuses is not used again soon. */
const keyOf = (name: string) => `zanzibar/sealed+key-${name}`

const messages = [
  { role: 'system', content: SYSTEM },
  { role: 'user', content: PROMPT },
]
const tools = [{ type: 'function', function: { name: TOOL, description: PROMPT, parameters: { type: 'object' } } }]
const ask = { role: 'user', content: PROMPT }

interface Door {
  path: string
  body: Record<string, unknown>
  /** What the upstream is asked in. */
  protocols: readonly string[]
  surface?: 'embedding'
  streams: boolean
}

const translated = ['chat', 'responses', 'messages']
const doors: Record<string, Door> = {
  chat: { path: '/v1/chat/completions', body: { messages, tools }, protocols: translated, streams: true },
  airi: { path: '/api/v1/openai/chat/completions', body: { messages }, protocols: translated, streams: true },
  responses: {
    path: '/v1/responses',
    body: { input: PROMPT, instructions: SYSTEM, store: false },
    protocols: translated,
    streams: true,
  },
  messages: {
    path: '/v1/messages',
    body: { messages: [ask], system: SYSTEM, max_tokens: 100 },
    protocols: translated,
    streams: true,
  },
  completions: { path: '/v1/completions', body: { prompt: PROMPT }, protocols: ['completions'], streams: true },
  embeddings: {
    path: '/v1/embeddings',
    body: { input: PROMPT },
    protocols: ['embeddings'],
    surface: 'embedding',
    streams: false,
  },
  count: {
    path: '/v1/messages/count_tokens',
    body: { messages: [ask], system: SYSTEM },
    protocols: ['messages'],
    streams: false,
  },
  explain: { path: '/v1/route:explain', body: { messages }, protocols: ['chat'], streams: false },
}

const presented = (head: string) =>
  /^authorization: *Bearer (\S+)/im.exec(head)?.[1] ?? /^x-api-key: *(\S+)/im.exec(head)?.[1] ?? ''
const quoting =
  (status: string): RawHandler =>
  (socket, { head }) => {
    const key = presented(head)
    const escaped = key.replace('/', '\\/').replace('+', '\\u002b')
    const said = `no: ${key} and ${escaped}, asked ${SYSTEM}`
    const body = `{"type":"error","error":{"message":"${said}","type":"${key}","code":"${escaped}","param":"${key}"}}`
    socket.write(
      httpAnswer(body, { 'x-request-id': key, 'request-id': key, 'x-echo': key, 'retry-after': key }, status),
    )
  }
const inStream =
  (frames: (said: string) => string): RawHandler =>
  (socket, { head }) => {
    const said = `${presented(head)} ${SYSTEM}`
    socket.end(`${streamHead({ 'x-request-id': presented(head) })}${frames(said)}`)
  }

/** By name: what the upstream does. Each of them knows the key and the prompt, and tells. */
const misdeeds: Record<string, RawHandler> = {
  'a 400': quoting('400 Bad'),
  'a 401': quoting('401 No'),
  'a 404': quoting('404 None'),
  'a 429': quoting('429 Slow'),
  'a 500': quoting('500 Oops'),
  'a 529': quoting('529 Busy'),
  'a page': (socket, { head }) =>
    socket.end(`HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\n\r\n<html>${presented(head)} ${SYSTEM}</html>`),
  'an error in a 200': (socket, { head }) =>
    socket.write(httpAnswer(`{"error":{"message":"${presented(head)} ${SYSTEM}"}}`)),
  'an error as the first event': inStream((said) => `event: error\ndata: {"error":{"message":"${said}"}}\n\n`),
  'another answer than was asked for': (socket, { head }) =>
    socket.write(httpAnswer(JSON.stringify({ surprise: presented(head), [SYSTEM]: [PROMPT] }))),
  'nonsense in a stream': inStream((said) => `data: {"${said}": tru\n\n`),
  'not even HTTP': (socket, { head }) => socket.end(`${presented(head)} ${SYSTEM}`),
}

interface Case {
  name: string
  door: Door
  protocol: string
  stream: boolean
  misdeed: string
}

const cases = Object.entries(doors).flatMap(([name, door]) =>
  door.protocols.flatMap((protocol) =>
    (door.streams ? [false, true] : [false]).flatMap((stream) =>
      Object.keys(misdeeds).map(
        (misdeed, n): Case => ({ name: `${name}-${protocol}-${stream}-${n}`, door, protocol, stream, misdeed }),
      ),
    ),
  ),
)

let upstream: RawUpstream
let gateway: TestGateway
let project: TestProject
const replies: Reply[] = []
before(async () => {
  upstream = await createRawUpstream(() => undefined)
  gateway = await createTestGateway({
    env: {
      OPENAI_API_KEY: ENVIRONMENT_KEY,
      OPENAI_BASE_URL: `${upstream.url}/v1`,
      LLM_ROUTER_MASTER_KEY: MASTER,
      LLM_ROUTER_MASTER_KEY_PREVIOUS: PREVIOUS,
      LOG_LEVEL: 'debug',
      FIRST_BYTE_TIMEOUT_MS: '2000',
    },
  })
  project = await gateway.openProject(100n * ONE_USD)
  const model = ({ name, protocol }: Case) => ({
    upstreams: [
      {
        preset: protocol === 'messages' ? 'anthropic-compatible' : 'openai-compatible',
        provider: 'acme',
        baseURL: `${upstream.url}/v1`,
        protocols: protocol === 'messages' ? ['messages', 'count_tokens'] : [protocol],
        keys: [{ id: 'k', plaintextKey: keyOf(name) }],
        price: { lines: { input: '1000', output: '1000' } },
      },
    ],
  })
  const modelsOf = (surface: string | undefined) =>
    Object.fromEntries(cases.filter(({ door }) => door.surface === surface).map((one) => [one.name, model(one)]))
  await putRouterConfig(gateway.url, {
    llm: { models: modelsOf(undefined) },
    embedding: { models: modelsOf('embedding') },
  })
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

async function call({ door, stream }: Pick<Case, 'door' | 'stream'>, model: string, headers = {}): Promise<Reply> {
  const body = { model, ...door.body, ...(stream && { stream }) }
  const reply = await gateway.chat(body, { key: project.secret, path: door.path, headers })
  replies.push(reply)
  return reply
}

for (const [misdeed, handler] of Object.entries(misdeeds))
  test(`an upstream that tells what it knows, by ${misdeed}`, async () => {
    upstream.answerWith(handler)
    for (const one of cases.filter((other) => other.misdeed === misdeed)) {
      const { length } = upstream.requests
      const reply = await call(one, one.name)
      if (one.door === doors.explain) {
        assert.equal(reply.status, 200, reply.text)
        continue
      }
      const head = upstream.requests.slice(length).at(-1)?.head ?? ''
      assert(presented(head) === keyOf(one.name), `${one.name} was asked with its key: ${head}`)
      const all = `${JSON.stringify(reply.headers)}\n${reply.text}`
      expectWithout(`the answer of ${one.name}`, all, [keyOf(one.name), project.secret])
      // A caller's own fault is told in the provider's words, nothing else is.
      const isFailure = reply.status >= 500 || reply.status === 429 || /error/.test(reply.text)
      if (isFailure && !misdeed.includes('400')) expectWithout(`the answer of ${one.name}`, all, ['zanzibar'])
    }
  })

const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 }
const wholeChat = JSON.stringify({
  choices: [{ index: 0, message: { role: 'assistant', content: ANSWER }, finish_reason: 'stop' }],
  usage,
})
const streamedChat = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: ANSWER }, finish_reason: 'stop' }], usage })}\n\ndata: [DONE]\n\n`
const answering: RawHandler = (socket, { body }) =>
  body.includes('"stream":true') ? socket.end(`${streamHead()}${streamedChat}`) : socket.write(httpAnswer(wholeChat))

test('answers are given, translated, and given again under their idempotency key', async () => {
  upstream.answerWith(answering)
  let replayed = 0
  for (const [name, door] of Object.entries(doors).filter(([, { protocols }]) => protocols === translated))
    for (const stream of [false, true]) {
      const headers = { 'idempotency-key': `${IDEMPOTENCY}-${name}-${stream}` }
      const model = `${name}-chat-${stream}-0`
      const first = await call({ door, stream }, model, headers)
      assert.equal(first.status, 200, first.text)
      assert(first.text.includes(ANSWER))
      const again = await call({ door, stream }, model, headers)
      if (again.headers['x-fluxgate-replayed'] === 'true') replayed += 1
      assert(again.text.includes(ANSWER), `${name}: ${again.text}`)
      const other = await call({ door: { ...door, body: { ...door.body, temperature: 0 } }, stream }, model, headers)
      assert.equal(other.status, 409)
      const id = first.headers['x-fluxgate-receipt']
      for (const path of [`/v1/receipts/${id}`, `/v1/requests/${id}`]) {
        const receipt = await gateway.chat(undefined, { method: 'GET', path, key: project.secret })
        assert.equal(receipt.status, 200, receipt.text)
        expectWithout(path, receipt.text, ['zanzibar', project.secret])
      }
    }
  assert.equal(replayed, 8)
})

test('requests that are refused do not tell what they hold', async () => {
  for (const { path, body } of Object.values(doors))
    for (const [sent, key] of [
      [`{"model":"openai/gpt-4o-mini","x":"${PROMPT}`, project.secret],
      [{ ...body, model: `openai/${ENVIRONMENT_KEY}` }, project.secret],
      [{ ...body, model: 'chat-chat-false-0', messages: { [PROMPT]: 1 }, input: { [PROMPT]: 1 } }, project.secret],
      [{ ...body, model: 'chat-chat-false-0' }, `${project.secret}x`],
      [{ ...body, model: 'chat-chat-false-0' }, `fg_key_${ENVIRONMENT_KEY}`],
    ] as const) {
      const reply = await gateway.chat(sent, { path, key })
      assert(reply.status >= 400 && reply.status < 500, `${path}: ${reply.status} ${reply.text}`)
      expectWithout(path, reply.text, [key])
    }
})

test('neither keys nor words are in the log, the metrics, the documents, the database or the spool', async () => {
  const get = async (path: string) => (await fetch(`${gateway.url}${path}`)).text()
  const places = {
    log: gateway.log.text(),
    metrics: await get('/metrics'),
    'the API document': await get('/openapi.json'),
    receipts: (await project.bundles()).join('\n'),
    database: await dumpDatabase(gateway.db),
  }
  for (const [place, text] of Object.entries({ ...places, spool: await spool() })) {
    assert(text.length > 1_000 || place === 'spool', `there is something in ${place}`)
    expectWithout(place, text, ['zanzibar', project.secret, MASTER, PREVIOUS, IDEMPOTENCY, ENVIRONMENT_KEY])
    // Words of content, were the mark before them cut off.
    expectWithout(place, text, ['whale in the', 'like a pirate', 'singing owls', 'tool_of_lanterns', '+key-'])
  }
  assert(replies.length > 250, `${replies.length} calls`)
  assert(places.database.includes('v1.'), 'envelopes are stored')
  assert(/stored_outcome\n\(/.test(places.database), 'answers are stored, sealed')
})

const spool = () => readFile(join(gateway.dataDir, 'spool.jsonl'), 'utf8')
