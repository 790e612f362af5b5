import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, embedMany, generateText, isStepCount, jsonSchema, Output, streamText, tool } from 'ai'
import { createTestGateway, ONE_USD, type TestGateway, until } from '#test/support/gateway.ts'
import { expectTruth, putProtocolModels, textProtocols, truthOf } from '#test/support/protocol-models.ts'

// The AI SDK of Vercel with each of its three providers, whatever its models are served by.

let gateway: TestGateway
/** What the SDK could not make use of. */
const warnings: unknown[] = []
before(async () => {
  globalThis.AI_SDK_LOG_WARNINGS = (logged) => void warnings.push(...logged.warnings)
  gateway = await createTestGateway()
  await putProtocolModels(gateway, {
    echo: {},
    reasoner: { model: 'reasoner', sim: { show_reasoning: true } },
    slow: { model: 'large', sim: { tokens: 2_000, chunk_ms: 10 } },
    broken: { sim: { status: 500 } },
    breaking: { sim: { tokens: 50, chunk_ms: 5, error_after: 5 } },
  })
})
after(async () => {
  await gateway.close()
  assert.deepEqual(warnings, [])
})

type Provide = (url: string, apiKey: string) => (model: string) => ReturnType<ReturnType<typeof createOpenAI>['chat']>

/** How each provider of the SDK is pointed at the gateway. */
const providers: Record<string, Provide> = {
  'openai, by responses': (url, apiKey) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).responses,
  'openai, by chat': (url, apiKey) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).chat,
  'openai-compatible': (url, apiKey) =>
    createOpenAICompatible({
      name: 'fluxgate',
      baseURL: `${url}/v1`,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }).chatModel,
  anthropic: (url, apiKey) => createAnthropic({ baseURL: `${url}/v1`, apiKey }),
}

const SAID = 'What does a ledger know?'
const ANSWER = /You said: What does a ledger know\?$/

const tools = {
  get_weather: tool({
    description: 'The weather of a city.',
    inputSchema: jsonSchema<{ city: string }>({
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    }),
    execute: async ({ city }) => ({ city, weather: 'rain' }),
  }),
}

const schema = jsonSchema<{ answer: number }>({
  type: 'object',
  properties: { answer: { type: 'integer' } },
  required: ['answer'],
  additionalProperties: false,
})

for (const [provider, provide] of Object.entries(providers))
  for (const upstream of textProtocols)
    describe(`${provider}, served by an upstream that speaks ${upstream}`, () => {
      async function open(nanos = ONE_USD) {
        const project = await gateway.openProject(nanos)
        const model = provide(gateway.url, project.secret)
        return { project, model: (name: string) => model(`${name}.${upstream}`) }
      }
      const options = { maxRetries: 0, maxOutputTokens: 1_000 }

      test('generateText and streamText say the same and count the same', async () => {
        const { project, model } = await open()
        const whole = await generateText({ ...options, model: model('echo'), prompt: SAID })
        assert.match(whole.text, ANSWER)
        assert.equal(whole.finishReason, 'stop')
        const stream = streamText({ ...options, model: model('echo'), prompt: SAID })
        let text = ''
        for await (const piece of stream.textStream) text += piece
        assert.equal(text, whole.text)
        assert.equal(await stream.finishReason, 'stop')
        const usage = await stream.usage
        assert.deepEqual([usage.inputTokens, usage.outputTokens], [whole.usage.inputTokens, whole.usage.outputTokens])
        for (const receipt of await project.settled(2)) {
          expectTruth(gateway, receipt, upstream)
          assert.deepEqual([receipt.usage.input, receipt.usage.output], [usage.inputTokens, usage.outputTokens])
        }
      })

      test('a loop of tools runs to its end, in one piece and streamed', async () => {
        const { project, model } = await open()
        const ask = { ...options, model: model('echo'), prompt: SAID, tools, stopWhen: isStepCount(3) }
        const whole = await generateText(ask)
        const stream = streamText(ask)
        await stream.consumeStream()
        for (const steps of [whole.steps, await stream.steps]) {
          assert.deepEqual(
            steps.map(({ finishReason }) => finishReason),
            ['tool-calls', 'stop'],
          )
          const [call] = steps[0]?.toolCalls ?? []
          assert(call !== undefined)
          assert.equal(call.toolName, 'get_weather')
          assert.equal(typeof (call.input as { city: unknown }).city, 'string')
          assert.notEqual(steps[1]?.text, '')
        }
        for (const receipt of await project.settled(4)) expectTruth(gateway, receipt, upstream)
      })

      test('an object after a schema, in one piece and streamed', async () => {
        const { project, model } = await open()
        const ask = { ...options, model: model('echo'), prompt: SAID, output: Output.object({ schema }) }
        const { output } = await generateText(ask)
        assert(Number.isInteger(output.answer))
        const stream = streamText(ask)
        assert.deepEqual(await stream.output, output)
        for (const receipt of await project.settled(2)) expectTruth(gateway, receipt, upstream)
      })

      test('reasoning is told apart from the answer, and the conversation goes on with it', async () => {
        const { project, model } = await open()
        const providerOptions = {
          anthropic: { thinking: { type: 'enabled' as const, budgetTokens: 1_024 } },
          openai:
            provider === 'openai, by responses' ? { forceReasoning: true, reasoningSummary: 'auto', store: false } : {},
        }
        const ask = { maxRetries: 0, maxOutputTokens: 4_000, model: model('reasoner'), providerOptions }
        const first = await generateText({ ...ask, prompt: SAID })
        assert.match(first.text, ANSWER)
        const stream = streamText({ ...ask, prompt: SAID })
        assert.match(await stream.text, ANSWER)
        // OpenAI's own chat never shows reasoning, and its provider does not look for any.
        if (provider !== 'openai, by chat') {
          assert.notEqual(first.reasoningText ?? '', '')
          assert.equal(await stream.reasoningText, first.reasoningText)
        }
        const next = await generateText({
          ...ask,
          messages: [
            { role: 'user', content: SAID },
            ...first.response.messages,
            { role: 'user', content: 'And then?' },
          ],
        })
        assert.match(next.text, /You said: And then\?$/)
        for (const receipt of await project.settled(3)) expectTruth(gateway, receipt, upstream)
      })

      test('failures are errors of a call, before a stream and inside of one', async () => {
        const { project, model } = await open()
        const poor = await open(0n)
        for (const [ask, status] of [
          [model('broken'), 502],
          [model('nothing'), 404],
          [poor.model('echo'), 402],
        ] as const)
          await assert.rejects(
            generateText({ ...options, model: ask, prompt: SAID }),
            (error) => APICallError.isInstance(error) && error.statusCode === status,
          )
        const errors: unknown[] = []
        const stream = streamText({
          ...options,
          model: model('breaking'),
          prompt: SAID,
          onError: ({ error }) => void errors.push(error),
        })
        let text = ''
        for await (const piece of stream.textStream) text += piece
        assert.notEqual(text, '')
        assert.equal(errors.length, 1)
        const [failed, broke] = await project.settled(2)
        assert.deepEqual([failed?.outcome, broke?.outcome], ['void', 'upstream_error'])
      })

      test('an abort closes the upstream and is charged once', async () => {
        const { project, model } = await open()
        const controller = new AbortController()
        const stream = streamText({
          ...options,
          maxOutputTokens: 4_000,
          model: model('slow'),
          prompt: SAID,
          abortSignal: controller.signal,
        })
        let pieces = 0
        for await (const _ of stream.textStream) {
          pieces += 1
          if (pieces === 5) controller.abort()
        }
        const [receipt] = await project.settled(1)
        assert(receipt !== undefined)
        await until('the upstream is closed', () => gateway.seen(receipt)[0]?.state === 'aborted', 1_000)
        assert.equal(receipt.outcome, 'client_abort')
      })
    })

test('embedMany', async () => {
  const project = await gateway.openProject(ONE_USD)
  const models = [
    createOpenAI({ baseURL: `${gateway.url}/v1`, apiKey: project.secret }).embedding('sim/embed'),
    createOpenAICompatible({
      name: 'fluxgate',
      baseURL: `${gateway.url}/v1`,
      apiKey: project.secret,
    }).embeddingModel('sim/embed'),
  ]
  for (const model of models) {
    const { embeddings } = await embedMany({ model, values: ['one', 'two'], maxRetries: 0 })
    assert.deepEqual(
      embeddings.map(({ length }) => length),
      [256, 256],
    )
  }
  for (const receipt of await project.settled(2)) {
    const [seen] = gateway.seen(receipt)
    assert(seen !== undefined)
    assert.equal(receipt.usage.input, truthOf(seen).input)
  }
})
