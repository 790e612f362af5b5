import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawUpstream } from '#test/support/raw-upstream.ts'

// Requests that are allowed to stand in JSON but must not harm the process, other tenants or the operator.

let upstream: RawUpstream
let gateway: TestGateway
let project: TestProject
let other: TestProject

before(async () => {
  upstream = await createRawUpstream(() => undefined)
  gateway = await createTestGateway({
    env: {
      OLLAMA_BASE_URL: `${upstream.url}/v1`,
      OPENAI_API_KEY: 'a-credential',
      OPENAI_BASE_URL: `${upstream.url}/v1`,
      KEEPALIVE_MS: '300',
      OPEN_BODY_BYTES_MAX: '8000000',
    },
  })
  project = await gateway.openProject(1_000n * ONE_USD)
  other = await gateway.openProject(1_000n * ONE_USD)
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

const FRAMES = [
  '{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}',
  '{"id":"x","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
  '{"id":"x","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}',
  '[DONE]',
]
const STREAM = FRAMES.map((frame) => `data: ${frame}\n\n`).join('')
const WHOLE =
  '{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'

const streamAnswer = httpAnswer(STREAM, { 'content-type': 'text/event-stream' })
const wholeAnswer = httpAnswer(WHOLE)

for (const { name, stream, answer, status } of [
  { name: 'streamed', stream: true, answer: streamAnswer, status: 200 },
  { name: 'whole', stream: false, answer: wholeAnswer, status: 200 },
  {
    name: 'failing',
    stream: false,
    answer: httpAnswer('{}', {}, '500 Internal Server Error'),
    status: 502,
  },
]) {
  test(`a model name in any script is answered, ${name}`, async () => {
    upstream.answerWith((socket) => socket.end(answer))
    const reply = await gateway.chat(
      { model: 'ollama/日本', stream, messages: [{ role: 'user', content: 'hi' }] },
      { key: project.secret },
    )
    assert.equal(reply.status, status)
    assert.equal(reply.headers['x-fluxgate-model'], 'ollama/%E6%97%A5%E6%9C%AC')
    assert.equal(reply.whole, true)
  })
}

test('a model name in any script survives a keep-alive before the first content', async () => {
  upstream.answerWith((socket) => {
    setTimeout(() => socket.end(streamAnswer), 900)
  })
  const reply = await gateway.chat(
    { model: 'ollama/日本', stream: true, messages: [{ role: 'user', content: 'hi' }] },
    { key: project.secret },
  )
  assert.equal(reply.status, 200)
  assert.match(reply.text, /: keepalive\n\n/)
  assert.match(reply.text, /data: \[DONE\]\n\n$/)
})

test('a tenant whose stream options are refused changes nothing for others', async () => {
  let lastBody = ''
  upstream.answerWith((socket, request) => {
    lastBody = request.body.toString()
    const { stream_options: options } = JSON.parse(lastBody) as { stream_options?: Record<string, unknown> }
    const message = "Unknown parameter: 'stream_options.foo'"
    const refusal = JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } })
    socket.end(options?.foo === undefined ? streamAnswer : httpAnswer(refusal, {}, '400 Bad Request'))
  })
  const call = (key: string, extra: object) =>
    gateway.chat(
      { model: 'openai/gpt-4o-mini', stream: true, messages: [{ role: 'user', content: 'hi' }], ...extra },
      { key },
    )
  assert.equal((await call(project.secret, { stream_options: { foo: 1 } })).status, 400)
  assert.equal((await call(other.secret, {})).status, 200)
  assert.match(lastBody, /"include_usage":true/)
})

test('hanging up before the end does not make unseen reasoning free', async () => {
  const leaving = new AbortController()
  const reply = await gateway.open(
    {
      model: 'sim/reasoner',
      stream: true,
      messages: [{ role: 'user', content: 'hi' }],
      sim: { tokens: 600, reasoning_tokens: 3000, chunk_ms: 5 },
    },
    { key: other.secret, signal: leaving.signal },
  )
  await reply.until((text) => text.includes('"content":"'))
  leaving.abort()
  const receipt = (await other.settled(2)).find(({ model }) => model === 'sim/reasoner')
  assert(receipt !== undefined)
  assert.equal(receipt.outcome, 'client_abort')
  assert.equal(receipt.usage.reasoning, 3000)
  assert.equal(receipt.usage_source, 'provider')
})

test('a body of nothing but structure is refused before it is parsed', async () => {
  const body = `{"model":"sim/echo","messages":[${'[],'.repeat(1_000_001)}[]]}`
  const reply = await gateway.chat(body, { key: project.secret })
  assert.equal(reply.status, 400)
  assert.equal(reply.json.error.code, 'body_invalid')
})

test('bodies together stay within their limit, and leave it when they are done', async () => {
  const large = (content: number) => ({
    model: 'sim/free',
    messages: [{ role: 'user', content: 'x'.repeat(content) }],
    sim: { first_byte_ms: 600 },
  })
  const first = gateway.chat(large(5_000_000), { key: project.secret })
  await until('the first is under way', async () => (await gateway.running(project)).length === 1)
  const second = await gateway.chat(large(5_000_000), { key: project.secret })
  assert.equal(second.status, 503)
  assert.equal(second.json.error.code, 'overloaded')
  assert.equal((await first).status, 200)
  assert.equal((await gateway.chat(large(5_000_000), { key: project.secret })).status, 200)
})
