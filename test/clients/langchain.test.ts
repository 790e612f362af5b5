import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type AIMessageChunk, HumanMessage, ToolMessage, type UsageMetadata } from '@langchain/core/messages'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { createTestGateway, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { expectTruth, putProtocolModels, textProtocols, truthOf } from '#test/support/protocol-models.ts'

// LangChain's models of OpenAI, by chat and by responses, whatever they are served by.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
  await putProtocolModels(gateway, { echo: {}, twice: { sim: { tool_calls: 2 } }, broken: { sim: { status: 500 } } })
})
after(() => gateway.close())

const SAID = 'What does a ledger know?'
const ANSWER = /You said: What does a ledger know\?$/

const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

/** A stream as LangChain adds it up. */
async function collect(stream: Promise<AsyncIterable<AIMessageChunk>>): Promise<AIMessageChunk> {
  let all: AIMessageChunk | undefined
  for await (const chunk of await stream) all = all === undefined ? chunk : all.concat(chunk)
  assert(all !== undefined)
  return all
}

function usageOf(message: { usage_metadata?: unknown }): UsageMetadata {
  assert(message.usage_metadata !== undefined)
  return message.usage_metadata as UsageMetadata
}

for (const useResponsesApi of [false, true])
  for (const upstream of textProtocols)
    describe(`by ${useResponsesApi ? 'responses' : 'chat'}, served by an upstream that speaks ${upstream}`, () => {
      async function open() {
        const project = await gateway.openProject(ONE_USD)
        const model = (name: string) =>
          new ChatOpenAI({
            model: `${name}.${upstream}`,
            apiKey: project.secret,
            maxRetries: 0,
            useResponsesApi,
            configuration: { baseURL: `${gateway.url}/v1` },
          })
        return { project, model }
      }

      test('an answer in one piece and a stream whose usage is counted once', async () => {
        const { project, model } = await open()
        const whole = await model('echo').invoke(SAID)
        assert.match(whole.text, ANSWER)
        const streamed = await collect(model('echo').stream(SAID))
        assert.equal(streamed.text, whole.text)
        const [once, counted] = [usageOf(whole), usageOf(streamed)]
        assert.deepEqual([counted.input_tokens, counted.output_tokens], [once.input_tokens, once.output_tokens])
        for (const receipt of await project.settled(2)) {
          expectTruth(gateway, receipt, upstream)
          assert.equal(receipt.usage.output, counted.output_tokens)
        }
      })

      test('tools are called at once, in one piece and streamed, and their results answered', async () => {
        const { project, model } = await open()
        const whole = await model('twice').bindTools([weather]).invoke(SAID)
        const streamed = await collect(model('twice').bindTools([weather]).stream(SAID))
        for (const message of [whole, streamed]) {
          const calls = message.tool_calls ?? []
          assert.deepEqual(
            calls.map(({ name, args }) => [name, typeof args.city]),
            [
              ['get_weather', 'string'],
              ['get_weather', 'string'],
            ],
          )
          const results = calls.map(({ id = '' }) => new ToolMessage({ tool_call_id: id, content: 'rain' }))
          const next = await model('echo')
            .bindTools([weather])
            .invoke([new HumanMessage(SAID), message, ...results])
          assert.notEqual(next.text, '')
        }
        for (const receipt of await project.settled(4)) expectTruth(gateway, receipt, upstream)
      })

      test('an answer after a schema', async () => {
        const { model } = await open()
        const structured = model('echo').withStructuredOutput({
          title: 'answer',
          type: 'object',
          properties: { answer: { type: 'integer' } },
          required: ['answer'],
          additionalProperties: false,
        })
        const { answer } = (await structured.invoke(SAID)) as { answer: unknown }
        assert(Number.isInteger(answer))
      })

      test('a broken upstream is an error', async () => {
        const { project, model } = await open()
        await assert.rejects(model('broken').invoke(SAID), { status: 502 })
        const [receipt] = await project.settled(1)
        assert.equal(receipt?.outcome, 'void')
      })
    })

test('embeddings of texts, and of tokens as the Python client sends them', async () => {
  const project = await gateway.openProject(ONE_USD)
  const configuration = { baseURL: `${gateway.url}/v1` }
  const embeddings = new OpenAIEmbeddings({ model: 'sim/embed', apiKey: project.secret, maxRetries: 0, configuration })
  const vectors = await embeddings.embedDocuments(['one', 'two words'])
  assert.deepEqual(
    vectors.map(({ length }) => length),
    [256, 256],
  )
  assert.deepEqual(await embeddings.embedQuery('one'), vectors[0])
  const tokens = await gateway.chat(
    { model: 'sim/embed', input: [[1, 2, 3], [4]], encoding_format: 'base64' },
    { key: project.secret, path: '/v1/embeddings' },
  )
  assert.equal(tokens.status, 200)
  assert.equal(Buffer.from(tokens.json.data[0].embedding, 'base64').length, 256 * 4)
  assert.equal(tokens.json.usage.prompt_tokens, 4)
  for (const receipt of await project.settled(3)) {
    const [seen] = gateway.seen(receipt)
    assert(seen !== undefined)
    assert.equal(receipt.usage.input, truthOf(seen).input)
  }
})
