import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { createTestGateway, ONE_USD, type TestGateway, until } from '#test/support/gateway.ts'
import { expectTruth, putProtocolModels, textProtocols } from '#test/support/protocol-models.ts'

// The official client of Anthropic, whatever its models are served by.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
  await putProtocolModels(gateway, {
    echo: {},
    reasoner: { model: 'reasoner', sim: { show_reasoning: true } },
    strict: { model: 'reasoner', sim: { show_reasoning: true, reject_foreign_reasoning: true } },
    cached: { sim: { prompt_tokens: 100, cached_tokens: 60 } },
    twice: { sim: { tool_calls: 2 } },
    slow: { model: 'large', sim: { tokens: 2_000, chunk_ms: 10 } },
    broken: { sim: { status: 500 } },
    limited: { sim: { status: 429, retry_after: '2' } },
    long: { sim: { context_length: true } },
    breaking: { sim: { tokens: 50, chunk_ms: 5, error_after: 5 } },
  })
})
after(() => gateway.close())

/** As the client sends a key by default, `x-api-key`, or as a bearer. */
async function open(options: { nanos?: bigint; bearer?: boolean } = {}) {
  const project = await gateway.openProject(options.nanos ?? ONE_USD)
  const credential = options.bearer ? { authToken: project.secret, apiKey: null } : { apiKey: project.secret }
  return { project, anthropic: new Anthropic({ ...credential, maxRetries: 0, baseURL: gateway.url }) }
}

const SAID = 'What does a ledger know?'
const ANSWER = /You said: What does a ledger know\?$/
const MESSAGES = [{ role: 'user' as const, content: SAID }]
const TOOL = {
  name: 'get_weather',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] },
}

function textOf(message: Anthropic.Message): string {
  return message.content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}

for (const upstream of textProtocols)
  describe(`served by an upstream that speaks ${upstream}`, () => {
    test('a message in one piece and a stream that the client collects', async () => {
      const { project, anthropic } = await open()
      const ask = { model: `echo.${upstream}`, max_tokens: 500, system: 'Be brief.', messages: MESSAGES }
      const { data: whole, request_id } = await anthropic.messages.create(ask).withResponse()
      assert.match(textOf(whole), ANSWER)
      assert.equal(whole.stop_reason, 'end_turn')
      assert.match(request_id ?? '', /^req_[0-9a-f]{32}$/)

      const stream = anthropic.messages.stream(ask)
      const types: string[] = []
      stream.on('streamEvent', ({ type }) => types.push(type))
      const collected = await stream.finalMessage()
      assert.equal(textOf(collected), textOf(whole))
      assert.equal(collected.stop_reason, 'end_turn')
      assert.equal(collected.usage.output_tokens, whole.usage.output_tokens)
      assert.equal(types[0], 'message_start')
      assert.equal(types.at(-1), 'message_stop')
      for (const receipt of await project.settled(2)) expectTruth(gateway, receipt, upstream)
    })

    test('tools are called at once, and their results answered', async () => {
      const { project, anthropic } = await open({ bearer: true })
      const ask = { model: `twice.${upstream}`, max_tokens: 500, messages: MESSAGES, tools: [TOOL] }
      const whole = await anthropic.messages.create(ask)
      const first = await anthropic.messages.stream(ask).finalMessage()
      for (const message of [whole, first]) {
        assert.equal(message.stop_reason, 'tool_use')
        const calls = message.content.filter((block) => block.type === 'tool_use')
        assert.equal(calls.length, 2)
        assert.equal(new Set(calls.map(({ id }) => id)).size, 2)
        for (const { name, input } of calls) {
          assert.equal(name, 'get_weather')
          assert.equal(typeof (input as { city?: unknown }).city, 'string')
        }
      }
      const results = first.content
        .filter((block) => block.type === 'tool_use')
        .map(({ id }) => ({ type: 'tool_result' as const, tool_use_id: id, content: 'rain' }))
      const next = await anthropic.messages.create({
        model: `echo.${upstream}`,
        max_tokens: 500,
        tools: [TOOL],
        messages: [...MESSAGES, { role: 'assistant', content: first.content }, { role: 'user', content: results }],
      })
      assert.equal(next.stop_reason, 'end_turn')
      assert.notEqual(textOf(next), '')
      for (const receipt of await project.settled(3)) expectTruth(gateway, receipt, upstream)
    })

    test('thinking is shown with a signature, and goes back to where it came from', async () => {
      const { project, anthropic } = await open()
      const ask = {
        model: `reasoner.${upstream}`,
        max_tokens: 4_000,
        thinking: { type: 'enabled' as const, budget_tokens: 2_000 },
        messages: MESSAGES,
      }
      const whole = await anthropic.messages.create(ask)
      const collected = await anthropic.messages.stream(ask).finalMessage()
      for (const message of [whole, collected]) {
        const [thinking, text] = message.content
        assert(thinking?.type === 'thinking' && thinking.thinking !== '' && thinking.signature !== '')
        assert.equal(text?.type, 'text')
        const next = await anthropic.messages.create({
          ...ask,
          model: `strict.${upstream}`,
          messages: [
            ...MESSAGES,
            { role: 'assistant', content: message.content },
            { role: 'user', content: 'And then?' },
          ],
        })
        assert.match(textOf(next), /You said: And then\?$/)
      }
      for (const receipt of await project.settled(4)) {
        expectTruth(gateway, receipt, upstream)
        assert.equal(receipt.usage.reasoning, 64)
      }
    })

    test('what was cached is told beside the input', async () => {
      const { project, anthropic } = await open()
      const { usage } = await anthropic.messages.create({
        model: `cached.${upstream}`,
        max_tokens: 500,
        messages: MESSAGES,
      })
      assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens], [40, 60])
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      expectTruth(gateway, receipt, upstream)
    })

    test('an answer after a schema', async () => {
      const { anthropic } = await open()
      const schema = {
        type: 'object',
        properties: { answer: { type: 'integer' } },
        required: ['answer'],
        additionalProperties: false,
      }
      const message = await anthropic.messages.create({
        model: `echo.${upstream}`,
        max_tokens: 500,
        messages: MESSAGES,
        output_config: { format: { type: 'json_schema', schema } },
      })
      assert(Number.isInteger(JSON.parse(textOf(message)).answer))
    })

    test('tokens are counted, and nothing is charged', async () => {
      const { project, anthropic } = await open()
      const { input_tokens } = await anthropic.messages.countTokens({ model: `echo.${upstream}`, messages: MESSAGES })
      assert(input_tokens >= 4 && input_tokens < 50, String(input_tokens))
      await project.settled(0)
    })

    test('errors have the class of their kind', async () => {
      const { anthropic } = await open()
      const poor = (await open({ nanos: 0n })).anthropic
      const stranger = new Anthropic({ apiKey: 'fg_key_of_nobody', maxRetries: 0, baseURL: gateway.url })
      const failures = [
        [stranger, 'echo', Anthropic.AuthenticationError, 401, 'authentication_error'],
        [poor, 'echo', Anthropic.APIError, 402, 'billing_error'],
        [anthropic, 'nothing', Anthropic.NotFoundError, 404, 'not_found_error'],
        [anthropic, 'limited', Anthropic.RateLimitError, 429, 'rate_limit_error'],
        [anthropic, 'broken', Anthropic.InternalServerError, 502, 'api_error'],
        [anthropic, 'long', Anthropic.BadRequestError, 400, 'invalid_request_error'],
      ] as const
      for (const [client, name, type, status, kind] of failures)
        for (const stream of [false, true])
          await assert.rejects(
            client.messages.create({ model: `${name}.${upstream}`, max_tokens: 100, messages: MESSAGES, stream }),
            (error) => {
              assert(error instanceof Anthropic.APIError && error instanceof type, String(error))
              assert.equal(error.status, status)
              assert.equal((error.error as { error: { type: string } }).error.type, kind)
              assert.match(error.requestID ?? '', /^req_[0-9a-f]{32}$/)
              return true
            },
          )
    })

    test('an error inside of a stream is thrown, and what was delivered is charged', async () => {
      const { project, anthropic } = await open()
      const stream = await anthropic.messages.create({
        model: `breaking.${upstream}`,
        max_tokens: 500,
        messages: MESSAGES,
        stream: true,
      })
      await assert.rejects(
        async () => {
          for await (const _ of stream);
        },
        (error) => error instanceof Anthropic.APIError && /upstream/i.test(error.message),
      )
      const [receipt] = await project.settled(1)
      assert.equal(receipt?.outcome, 'upstream_error')
      assert((receipt.usage.output ?? 0) > 0)
    })

    test('a stream that is left is closed upstream and charged once', async () => {
      const { project, anthropic } = await open()
      const stream = await anthropic.messages.create({
        model: `slow.${upstream}`,
        max_tokens: 4_000,
        messages: MESSAGES,
        stream: true,
      })
      let events = 0
      for await (const _ of stream) {
        events += 1
        if (events === 5) break
      }
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      await until('the upstream is closed', () => gateway.seen(receipt)[0]?.state === 'aborted', 1_000)
      assert.equal(receipt.outcome, 'client_abort')
      assert((receipt.usage.output ?? 0) < 200)
    })
  })

test('models are listed in the shape of this client, and found by name', async () => {
  const { anthropic } = await open()
  const models = []
  for await (const model of anthropic.models.list()) models.push(model)
  const ids = models.map(({ id }) => id)
  for (const upstream of textProtocols) assert(ids.includes(`echo.${upstream}`))
  assert(!ids.includes('sim/embed'))
  for (const model of models) {
    assert.equal(model.type, 'model')
    assert(!Number.isNaN(Date.parse(model.created_at)))
  }
  assert.equal((await anthropic.models.retrieve('echo.chat')).id, 'echo.chat')
  await assert.rejects(anthropic.models.retrieve('nothing'), Anthropic.NotFoundError)
})
