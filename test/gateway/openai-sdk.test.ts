import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import OpenAI from 'openai'
import { createTestGateway, ONE_USD, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'

// The official client, as published: what it can read is what OpenAI's users can read.

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
})
after(() => gateway.close())

/** A client of the project's own. `sent` counts its requests. */
function client(options: { apiKey?: string; maxRetries?: number } = {}) {
  const { apiKey = project.secret, maxRetries = 0 } = options
  const sent: number[] = []
  const openai = new OpenAI({
    apiKey,
    maxRetries,
    baseURL: `${gateway.url}/v1`,
    async fetch(input, init) {
      const response = await fetch(input, init)
      sent.push(response.status)
      return response
    },
  })
  return { openai, sent }
}

const MESSAGES = [{ role: 'user' as const, content: 'What does a ledger know?' }]
const ASK = { model: 'sim/echo', messages: MESSAGES }
const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

/** The same request with switches for the simulator, which the client's types do not know. */
function withSim<Body extends object>(body: Body, sim: Record<string, unknown>): Body {
  return { ...body, sim } as Body
}

test('an answer in one piece', async () => {
  const { data, response, request_id } = await client().openai.chat.completions.create(ASK).withResponse()
  assert.match(data.choices[0]?.message.content ?? '', /You said: What does a ledger know\?$/)
  assert.equal(data.choices[0]?.finish_reason, 'stop')
  assert.equal(data.usage?.total_tokens, (data.usage?.prompt_tokens ?? 0) + (data.usage?.completion_tokens ?? 0))
  assert.match(request_id ?? '', /^req_[0-9a-f]{32}$/)
  assert.equal(response.headers.get('x-fluxgate-model'), 'sim/echo')
  assert.match(response.headers.get('x-fluxgate-charged-nanousd') ?? '', /^[1-9]\d*$/)
})

test('a stream says the same as the answer in one piece', async () => {
  const { openai } = client()
  const whole = await openai.chat.completions.create(ASK)
  const stream = await openai.chat.completions.create({ ...ASK, stream: true })
  let text = ''
  const ids = new Set<string>()
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    ids.add(chunk.id)
    assert.equal(chunk.object, 'chat.completion.chunk')
  }
  assert.equal(text, whole.choices[0]?.message.content)
  assert.equal(ids.size, 1)
})

test("the client's own accumulator of streams agrees", async () => {
  const runner = client().openai.chat.completions.stream({ ...ASK, stream_options: { include_usage: true } })
  const final = await runner.finalChatCompletion()
  assert.match(final.choices[0]?.message.content ?? '', /What does a ledger know\?$/)
  assert.equal(final.usage?.completion_tokens, Math.ceil((final.choices[0]?.message.content ?? '').length / 4))
})

for (const include_usage of [true, false, undefined])
  test(`usage comes with a stream only when asked for: include_usage ${include_usage}`, async () => {
    const stream = await client().openai.chat.completions.create({
      ...ASK,
      stream: true,
      ...(include_usage !== undefined && { stream_options: { include_usage } }),
    })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    const last = chunks.pop()
    assert(chunks.every(({ usage, choices }) => (usage ?? null) === null && choices.length === 1))
    assert.deepEqual(last?.choices.length, include_usage === true ? 0 : 1)
    assert.equal((last?.usage ?? null) !== null, include_usage === true)
  })

test('tools are called in one piece', async () => {
  const { choices } = await client().openai.chat.completions.create({ ...ASK, tools: [WEATHER] })
  assert.equal(choices[0]?.finish_reason, 'tool_calls')
  const [call] = choices[0].message.tool_calls ?? []
  assert(call?.type === 'function')
  assert.equal(call.function.name, 'get_weather')
  assert.equal(typeof JSON.parse(call.function.arguments).city, 'string')
})

test('tools are called in a stream, two at once', async () => {
  const runner = client().openai.chat.completions.stream(
    withSim(
      { ...ASK, tools: [WEATHER, { ...WEATHER, function: { ...WEATHER.function, name: 'get_tide' } }] },
      { tool_calls: 2 },
    ),
  )
  const { choices } = await runner.finalChatCompletion()
  const calls = choices[0]?.message.tool_calls ?? []
  assert.deepEqual(
    calls.map((call) => call.type === 'function' && call.function.name),
    ['get_weather', 'get_tide'],
  )
  for (const call of calls) assert(call.type === 'function' && JSON.parse(call.function.arguments).city !== undefined)
  assert.equal(new Set(calls.map(({ id }) => id)).size, 2)
})

test('JSON by mode and by schema', async () => {
  const { openai } = client()
  const byMode = await openai.chat.completions.create({ ...ASK, response_format: { type: 'json_object' } })
  assert.equal(typeof JSON.parse(byMode.choices[0]?.message.content ?? ''), 'object')
  const schema = { type: 'object', properties: { answer: { type: 'integer' } }, required: ['answer'] }
  const bySchema = await openai.chat.completions.create({
    ...ASK,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
  })
  assert(Number.isInteger(JSON.parse(bySchema.choices[0]?.message.content ?? '').answer))
})

test('two answers at once, in one piece and streamed', async () => {
  const { openai } = client()
  const whole = await openai.chat.completions.create({ ...ASK, n: 2 })
  assert.deepEqual(
    whole.choices.map(({ index }) => index),
    [0, 1],
  )
  const { choices } = await openai.chat.completions.stream({ ...ASK, n: 2 }).finalChatCompletion()
  assert.deepEqual(
    choices.map(({ message }) => message.content),
    whole.choices.map(({ message }) => message.content),
  )
})

interface Failure {
  name: string
  body?: object
  sim?: Record<string, unknown>
  apiKey?: string
  type: new (...args: never[]) => Error
  status: number
  code: string | null
  param?: string
  message: RegExp
}

const failures: Failure[] = [
  {
    name: 'a wrong key',
    apiKey: 'fg_key_of_nobody',
    type: OpenAI.AuthenticationError,
    status: 401,
    code: 'invalid_api_key',
    message: /API key/,
  },
  {
    name: 'an unknown model',
    body: { model: 'sim/eco' },
    type: OpenAI.NotFoundError,
    status: 404,
    code: 'model_not_found',
    param: 'model',
    message: /Did you mean 'sim\/echo'/,
  },
  {
    name: 'a wrong type',
    body: { messages: [{ role: 'user', content: 7 }] },
    type: OpenAI.BadRequestError,
    status: 400,
    code: 'body_invalid',
    param: 'messages[0].content',
    message: /string or an array/,
  },
  {
    name: "the provider's own refusal",
    sim: { context_length: true },
    type: OpenAI.BadRequestError,
    status: 400,
    code: 'context_length_exceeded',
    param: 'messages',
    message: /maximum context length/,
  },
  {
    name: 'a refusal of another kind',
    sim: { status: 422, error: { message: 'no such voice', type: 'invalid_request_error', param: 'voice', code: 'v' } },
    type: OpenAI.UnprocessableEntityError,
    status: 422,
    code: 'v',
    param: 'voice',
    message: /no such voice/,
  },
  {
    name: 'a limited rate',
    sim: { status: 429, retry_after: '2' },
    type: OpenAI.RateLimitError,
    status: 429,
    code: 'rate_limit_exceeded',
    message: /rate/,
  },
  {
    name: 'a broken provider',
    sim: { status: 500 },
    type: OpenAI.InternalServerError,
    status: 502,
    code: 'upstream_failed',
    message: /upstream/,
  },
]
for (const { name, body = {}, sim, apiKey, type, status, code, param, message } of failures)
  for (const stream of [false, true])
    test(`the class of the error of ${name}${stream ? ', streamed' : ''}`, async () => {
      const { openai } = client(apiKey === undefined ? {} : { apiKey })
      const request = { ...ASK, ...body, stream, ...(sim && { sim }) } as OpenAI.Chat.ChatCompletionCreateParams
      await assert.rejects(openai.chat.completions.create(request), (error) => {
        assert(error instanceof OpenAI.APIError && error instanceof type, String(error))
        assert.equal(error.status, status)
        assert.equal(error.code, code)
        assert.equal(error.param, param ?? null)
        assert.match(error.message, message)
        assert.match(error.requestID ?? '', /^req_[0-9a-f]{32}$/)
        if (status === 429) assert.equal(error.headers?.get('retry-after'), '2')
        return true
      })
    })

test('an empty wallet is 402 and not tried again', async () => {
  const poor = await gateway.openProject(0n)
  const { openai, sent } = client({ apiKey: poor.secret, maxRetries: 2 })
  await assert.rejects(openai.chat.completions.create(ASK), (error) => {
    assert(error instanceof OpenAI.APIError)
    assert.equal(error.code, 'insufficient_quota')
    assert.equal(error.type, 'insufficient_quota')
    return true
  })
  assert.deepEqual(sent, [402])
})

test('what may pass is tried again by the client, and only the answer is charged', async () => {
  const own = await gateway.openProject(ONE_USD)
  const { openai, sent } = client({ apiKey: own.secret, maxRetries: 1 })
  const sim = { key: 'sdk-retry', fail_first: 1, status: 429, retry_after_ms: 20 }
  await openai.chat.completions.create(withSim(ASK, sim))
  assert.deepEqual(sent, [429, 200])
  const receipts = await own.settled(2)
  assert.deepEqual(
    receipts.map(({ outcome }) => outcome),
    ['void', 'complete'],
  )
  const retries = gateway.log.lines().filter(({ msg, project }) => msg === 'call' && project === own.id)
  assert.deepEqual(
    retries.map(({ clientRetry }) => clientRetry),
    [0, 1],
    'the log tells a retry of the client',
  )
})

test('a failure inside of a stream is thrown', async () => {
  const sim = { tokens: 50, chunk_ms: 5, error_after: 5 }
  const stream = await client().openai.chat.completions.create(withSim({ ...ASK, stream: true as const }, sim))
  let chunks = 0
  await assert.rejects(
    async () => {
      for await (const _ of stream) chunks += 1
    },
    (error) => error instanceof OpenAI.APIError && error.code === 'upstream_failed',
  )
  assert(chunks >= 5)
})

for (const how of ['controller.abort()', 'break'])
  test(`${how} closes the upstream within a second and is charged once`, async () => {
    const own = await gateway.openProject(ONE_USD)
    const { openai } = client({ apiKey: own.secret })
    const request = withSim({ ...ASK, stream: true as const }, { tokens: 2_000, chunk_ms: 10 })
    const stream = await openai.chat.completions.create(request)
    let chunks = 0
    for await (const _ of stream) {
      chunks += 1
      if (chunks < 5) continue
      if (how === 'break') break
      stream.controller.abort()
    }
    const leftAt = performance.now()
    const [receipt] = await own.settled(1)
    assert(receipt !== undefined)
    await until('the upstream is closed', () => gateway.seen(receipt)[0]?.state === 'aborted', 1_000)
    assert(performance.now() - leftAt < 1_000)
    assert.equal(receipt.outcome, 'client_abort')
    assert((receipt.usage.output ?? 0) < 100)
  })

test('models are listed and found by name', async () => {
  const { entries } = JSON.parse(await readFile('prices/price-book.json', 'utf8')) as { entries: object }
  const simModels = Object.keys(entries).filter((id) => id.startsWith('sim/'))
  const { openai } = client()
  const models = []
  for await (const model of openai.models.list()) models.push(model)
  assert.deepEqual(
    models.map(({ id }) => id),
    simModels.toSorted(),
  )
  const echo = await openai.models.retrieve('sim/echo')
  assert.deepEqual(echo, models[0])
  assert.equal(echo.owned_by, 'sim')
  assert(Number.isInteger(echo.created) && echo.created > 0)
  await assert.rejects(openai.models.retrieve('sim/nothing'), OpenAI.NotFoundError)
  await assert.rejects(client({ apiKey: 'fg_key_of_nobody' }).openai.models.list(), OpenAI.AuthenticationError)
})
