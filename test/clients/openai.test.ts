import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import OpenAI from 'openai'
import { createTestGateway, ONE_USD, type TestGateway, until } from '#test/support/gateway.ts'
import { expectTruth, putProtocolModels, textProtocols, truthOf } from '#test/support/protocol-models.ts'

// The official client of OpenAI, whatever its models are served by.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
  await putProtocolModels(gateway, {
    echo: {},
    reasoner: { model: 'reasoner' },
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

async function open(nanos = ONE_USD) {
  const project = await gateway.openProject(nanos)
  const openai = new OpenAI({ apiKey: project.secret, maxRetries: 0, baseURL: `${gateway.url}/v1` })
  return { project, openai }
}

const SAID = 'What does a ledger know?'
const ANSWER = /You said: What does a ledger know\?$/
const MESSAGES = [{ role: 'user' as const, content: SAID }]
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const CHAT_TOOL = { type: 'function' as const, function: { name: 'get_weather', parameters: PARAMETERS } }
const RESPONSES_TOOL = { type: 'function' as const, name: 'get_weather', parameters: PARAMETERS, strict: false }
const SCHEMA = {
  type: 'object',
  properties: { answer: { type: 'integer' } },
  required: ['answer'],
  additionalProperties: false,
}

for (const upstream of textProtocols)
  describe(`served by an upstream that speaks ${upstream}`, () => {
    test('chat: an answer in one piece, a stream and the collected stream agree', async () => {
      const { project, openai } = await open()
      const ask = { model: `echo.${upstream}`, messages: MESSAGES }
      const whole = await openai.chat.completions.create(ask)
      const text = whole.choices[0]?.message.content ?? ''
      assert.match(text, ANSWER)
      assert.equal(whole.choices[0]?.finish_reason, 'stop')

      let streamed = ''
      let usages = 0
      const stream = await openai.chat.completions.create({
        ...ask,
        stream: true,
        stream_options: { include_usage: true },
      })
      for await (const chunk of stream) {
        streamed += chunk.choices[0]?.delta.content ?? ''
        if (chunk.usage) {
          usages += 1
          assert.deepEqual(chunk.choices, [])
          assert.equal(chunk.usage.total_tokens, whole.usage?.total_tokens)
        }
      }
      assert.equal(streamed, text)
      assert.equal(usages, 1)

      const collected = await openai.chat.completions.stream(ask).finalChatCompletion()
      assert.equal(collected.choices[0]?.message.content, text)
      for (const receipt of await project.settled(3)) expectTruth(gateway, receipt, upstream)
    })

    test('chat: tools are called, at once, and their results answered', async () => {
      const { project, openai } = await open()
      const ask = { model: `twice.${upstream}`, messages: MESSAGES, tools: [CHAT_TOOL] }
      const { choices } = await openai.chat.completions.stream(ask).finalChatCompletion()
      const message = choices[0]?.message
      assert.equal(choices[0]?.finish_reason, 'tool_calls')
      const calls = message?.tool_calls ?? []
      assert.equal(calls.length, 2)
      assert.equal(new Set(calls.map(({ id }) => id)).size, 2)
      for (const call of calls) {
        assert(call.type === 'function')
        assert.equal(call.function.name, 'get_weather')
        assert.equal(typeof JSON.parse(call.function.arguments).city, 'string')
      }
      const next = await openai.chat.completions.create({
        model: `echo.${upstream}`,
        tools: [CHAT_TOOL],
        messages: [
          ...MESSAGES,
          { role: 'assistant', tool_calls: calls },
          ...calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: 'rain' })),
        ],
      })
      assert.equal(next.choices[0]?.finish_reason, 'stop')
      for (const receipt of await project.settled(2)) expectTruth(gateway, receipt, upstream)
    })

    test('chat: an answer after a schema, parsed by the client', async () => {
      const { project, openai } = await open()
      const { choices } = await openai.chat.completions.parse({
        model: `echo.${upstream}`,
        messages: MESSAGES,
        response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: SCHEMA, strict: true } },
      })
      assert(Number.isInteger((choices[0]?.message.parsed as { answer?: unknown } | null)?.answer))
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      expectTruth(gateway, receipt, upstream)
    })

    test('what was cached and what was thought is told, and is on the receipt', async () => {
      const { project, openai } = await open()
      const cached = await openai.chat.completions.create({ model: `cached.${upstream}`, messages: MESSAGES })
      assert.equal(cached.usage?.prompt_tokens, 100)
      assert.equal(cached.usage?.prompt_tokens_details?.cached_tokens, 60)
      const thought = await openai.responses.create({ model: `reasoner.${upstream}`, input: SAID })
      assert.equal(thought.usage?.output_tokens_details.reasoning_tokens, 64)
      const receipts = await project.settled(2)
      for (const receipt of receipts) expectTruth(gateway, receipt, upstream)
      assert.deepEqual([receipts[0]?.usage.cache_read, receipts[1]?.usage.reasoning], [60, 64])
    })

    test('responses: an answer in one piece and a stream that the client collects', async () => {
      const { project, openai } = await open()
      const ask = { model: `echo.${upstream}`, instructions: 'Be brief.', input: SAID, store: false }
      const whole = await openai.responses.create(ask)
      assert.match(whole.output_text, ANSWER)
      assert.equal(whole.status, 'completed')

      const stream = openai.responses.stream(ask)
      const types: string[] = []
      const sequence: number[] = []
      stream.on('event', (event) => {
        types.push(event.type)
        sequence.push(event.sequence_number)
      })
      const collected = await stream.finalResponse()
      assert.equal(collected.output_text, whole.output_text)
      assert.equal(types[0], 'response.created')
      assert.equal(types.at(-1), 'response.completed')
      assert.deepEqual(
        sequence,
        sequence.map((_, index) => index),
      )
      assert.equal(collected.usage?.total_tokens, whole.usage?.total_tokens)
      for (const receipt of await project.settled(2)) expectTruth(gateway, receipt, upstream)
    })

    test('responses: tools are called at once, and their results answered without anything stored', async () => {
      const { project, openai } = await open()
      const input = [{ role: 'user' as const, content: SAID }]
      const first = await openai.responses
        .stream({ model: `twice.${upstream}`, input, tools: [RESPONSES_TOOL], store: false })
        .finalResponse()
      const calls = first.output.filter((item) => item.type === 'function_call')
      assert.equal(calls.length, 2)
      for (const call of calls) {
        assert.equal(typeof JSON.parse(call.arguments).city, 'string')
        assert.notEqual(call.call_id, call.id)
      }
      const second = await openai.responses.create({
        model: `echo.${upstream}`,
        tools: [RESPONSES_TOOL],
        store: false,
        input: [
          ...input,
          ...calls,
          ...calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'rain' })),
        ],
      })
      assert.equal(second.status, 'completed')
      assert.notEqual(second.output_text, '')
      for (const receipt of await project.settled(2)) expectTruth(gateway, receipt, upstream)
    })

    test('responses: an answer after a schema, parsed by the client', async () => {
      const { openai } = await open()
      const { output_parsed } = await openai.responses.parse({
        model: `echo.${upstream}`,
        input: SAID,
        text: { format: { type: 'json_schema', name: 'answer', schema: SCHEMA, strict: true } },
      })
      assert(Number.isInteger((output_parsed as { answer?: unknown } | null)?.answer))
    })

    test('errors have the class of their kind', async () => {
      const { openai } = await open()
      const poor = (await open(0n)).openai
      const stranger = new OpenAI({ apiKey: 'fg_key_of_nobody', maxRetries: 0, baseURL: `${gateway.url}/v1` })
      const failures = [
        [stranger, 'echo', OpenAI.AuthenticationError, 'invalid_api_key'],
        [poor, 'echo', OpenAI.APIError, 'insufficient_quota'],
        [openai, 'nothing', OpenAI.NotFoundError, 'model_not_found'],
        [openai, 'limited', OpenAI.RateLimitError, 'rate_limit_exceeded'],
        [openai, 'broken', OpenAI.InternalServerError, 'upstream_failed'],
        [openai, 'long', OpenAI.BadRequestError, undefined],
      ] as const
      for (const [client, name, type, code] of failures)
        for (const stream of [false, true]) {
          const model = `${name}.${upstream}`
          const calls = [
            client.chat.completions.create({ model, messages: MESSAGES, stream }),
            client.responses.create({ model, input: SAID, stream }),
          ]
          for (const call of calls)
            await assert.rejects(call, (error) => {
              assert(error instanceof OpenAI.APIError && error instanceof type, String(error))
              if (code !== undefined) assert.equal(error.code, code)
              else assert.match(error.message, /maximum/)
              assert.match(error.requestID ?? '', /^req_[0-9a-f]{32}$/)
              return true
            })
        }
    })

    test('an error inside of a stream is thrown, and what was delivered is charged', async () => {
      const { project, openai } = await open()
      const chat = await openai.chat.completions.create({
        model: `breaking.${upstream}`,
        messages: MESSAGES,
        stream: true,
      })
      await assert.rejects(async () => {
        for await (const _ of chat);
      }, OpenAI.APIError)
      const types: string[] = []
      const responses = await openai.responses.create({ model: `breaking.${upstream}`, input: SAID, stream: true })
      for await (const event of responses) {
        types.push(event.type)
        if (event.type === 'response.failed') assert.equal(event.response.error?.code, 'upstream_failed')
      }
      assert.equal(types.at(-1), 'response.failed')
      for (const receipt of await project.settled(2)) {
        assert.equal(receipt.outcome, 'upstream_error')
        assert((receipt.usage.output ?? 0) > 0)
      }
    })

    test('a stream that is left is closed upstream and charged once', async () => {
      const { project, openai } = await open()
      const stream = await openai.chat.completions.create({
        model: `slow.${upstream}`,
        messages: MESSAGES,
        stream: true,
      })
      let chunks = 0
      for await (const _ of stream) {
        chunks += 1
        if (chunks === 5) break
      }
      const events = await openai.responses.create({ model: `slow.${upstream}`, input: SAID, stream: true })
      for await (const event of events) if (event.type === 'response.output_text.delta') events.controller.abort()
      for (const receipt of await project.settled(2)) {
        await until('the upstream is closed', () => gateway.seen(receipt)[0]?.state === 'aborted', 1_000)
        assert.equal(receipt.outcome, 'client_abort')
        assert((receipt.usage.output ?? 0) < 200)
      }
    })
  })

test('embeddings come as base64 unless asked otherwise, and the client reads both', async () => {
  const { project, openai } = await open()
  const input = ['one', 'two words']
  const byDefault = await openai.embeddings.create({ model: 'sim/embed', input })
  const asNumbers = await openai.embeddings.create({ model: 'sim/embed', input, encoding_format: 'float' })
  const asTokens = await openai.embeddings.create({ model: 'sim/embed', input: [[1, 2, 3]], dimensions: 8 })
  assert.equal(byDefault.data.length, 2)
  for (const [index, { embedding }] of byDefault.data.entries()) {
    assert(Array.isArray(embedding) && embedding.length === 256)
    for (const [at, value] of embedding.entries())
      assert(Math.abs(value - (asNumbers.data[index]?.embedding[at] ?? Number.NaN)) < 1e-6)
  }
  assert.equal(asTokens.data[0]?.embedding.length, 8)
  assert.equal(asTokens.usage.prompt_tokens, 3)
  for (const receipt of await project.settled(3)) {
    const [seen] = gateway.seen(receipt)
    assert(seen !== undefined)
    assert.equal(receipt.usage.input, seen.promptTokens)
  }
})

test('completions in one piece and streamed', async () => {
  const { project, openai } = await open()
  const ask = { model: 'sim/echo', prompt: SAID, max_tokens: 200 }
  const whole = await openai.completions.create(ask)
  assert.match(whole.choices[0]?.text ?? '', ANSWER)
  let text = ''
  for await (const chunk of await openai.completions.create({ ...ask, stream: true }))
    text += chunk.choices[0]?.text ?? ''
  assert.equal(text, whole.choices[0]?.text)
  for (const receipt of await project.settled(2)) {
    const [seen] = gateway.seen(receipt)
    assert(seen !== undefined)
    assert.deepEqual({ ...receipt.usage }, truthOf(seen))
  }
})

test('models of the router config are listed beside the others', async () => {
  const { openai } = await open()
  const ids: string[] = []
  for await (const model of openai.models.list()) ids.push(model.id)
  for (const upstream of textProtocols) assert(ids.includes(`echo.${upstream}`))
  assert(ids.includes('sim/echo'))
  assert.equal((await openai.models.retrieve('echo.messages')).id, 'echo.messages')
})
