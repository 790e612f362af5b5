// Calls that go to a provider and not through the gateway, by the official SDKs, and what is logged of them.
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { createSimulator } from '#simulator/simulator.ts'
import { createUsageDouble, type UsageDouble } from '#test/support/usage-double.ts'
import {
  createUsageLogger,
  logCall,
  logStream,
  type UsageLogger,
  usageEntryOf,
} from '../../packages/client/src/index.ts'

const simulator = createSimulator({ exposeOracle: false })
let openai: OpenAI
let anthropic: Anthropic
let double: UsageDouble
let logger: UsageLogger
before(async () => {
  const { url } = await simulator.listen()
  openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-test', maxRetries: 0 })
  anthropic = new Anthropic({ baseURL: url, apiKey: 'sk-test', maxRetries: 0 })
})
after(() => simulator.close())
beforeEach(async () => {
  double = await createUsageDouble()
  logger = createUsageLogger({ baseUrl: double.url, apiKey: 'fg_key_test', collectMs: 1 })
})
afterEach(async () => {
  await logger.close()
  await double.close()
})

const messages = [{ role: 'user' as const, content: 'hello there' }]
const labels = { provider: 'openai', model: 'echo', aliasName: 'summarizer', origin: 'test' }

async function logged() {
  assert.equal(await logger.flush(), true)
  const [only] = [...double.kept.values()]
  assert.equal(double.kept.size, 1)
  return only
}

test('chat completions: the answer comes back as it is, and its usage is logged', async () => {
  const answer = await logCall(logger, labels, () => openai.chat.completions.create({ model: 'echo', messages }))
  const entry = await logged()
  assert.deepEqual(
    [entry?.provider, entry?.model, entry?.alias_name, entry?.origin, entry?.id_at_origin],
    ['openai', answer.model, 'summarizer', 'test', answer.id],
  )
  assert.ok(Number(entry?.input_tokens) > 0)
  assert.deepEqual(
    [entry?.input_tokens, entry?.output_tokens],
    [answer.usage?.prompt_tokens, answer.usage?.completion_tokens],
  )
  assert.ok(Number(entry?.latency_ms) >= 0)
})

test('a stream of chat completions is logged once, when it has ended', async () => {
  let text = ''
  const stream = logStream(logger, labels, () =>
    openai.chat.completions.create({ model: 'echo', messages, stream: true, stream_options: { include_usage: true } }),
  )
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
  assert.match(text, /hello/)
  const entry = await logged()
  assert.ok(Number(entry?.input_tokens) > 0 && Number(entry?.output_tokens) > 0)
  assert.equal(entry?.model, 'echo')
})

test('a stream that is left early is logged too, and so is one that breaks', async () => {
  const open = () => openai.chat.completions.create({ model: 'echo', messages, stream: true })
  for await (const chunk of logStream(logger, labels, open)) {
    assert.ok(chunk.id)
    break
  }
  async function* broken() {
    yield { model: 'm', usage: { prompt_tokens: 3, completion_tokens: 1 } }
    throw new Error('the line is dead')
  }
  await assert.rejects(async () => {
    for await (const chunk of logStream(logger, { ...labels, provider: 'other' }, broken)) assert.ok(chunk)
  }, /the line is dead/)
  await logger.flush()
  const entries = [...double.kept.values()]
  assert.deepEqual(
    entries.map(({ provider, input_tokens, output_tokens }) => [provider, input_tokens, output_tokens]),
    [
      ['openai', 0, 0], // Nothing was reported, which the gateway keeps apart from nothing used.
      ['other', 3, 1],
    ],
  )
})

test("Anthropic's messages, whole and as a stream", async () => {
  const asked = { ...labels, provider: 'anthropic' }
  const answer = await logCall(logger, asked, () =>
    anthropic.messages.create({ model: 'echo', max_tokens: 50, messages }),
  )
  const whole = await logged()
  assert.deepEqual([whole?.input_tokens, whole?.output_tokens], [answer.usage.input_tokens, answer.usage.output_tokens])
  double.kept.clear()
  const stream = logStream(logger, asked, () =>
    anthropic.messages.create({ model: 'echo', max_tokens: 50, messages, stream: true }),
  )
  for await (const event of stream) assert.ok(event.type)
  const streamed = await logged()
  assert.deepEqual(
    [streamed?.model, streamed?.input_tokens, streamed?.output_tokens],
    [answer.model, answer.usage.input_tokens, answer.usage.output_tokens],
  )
})

test('responses, as a stream', async () => {
  const stream = logStream(logger, labels, () =>
    openai.responses.create({ model: 'echo', input: 'hello', store: false, stream: true }),
  )
  for await (const event of stream) assert.ok(event.type)
  const entry = await logged()
  assert.ok(Number(entry?.input_tokens) > 0 && Number(entry?.output_tokens) > 0)
  assert.match(String(entry?.id_at_origin), /^resp_/)
})

test('a call that fails is thrown as it is, and not logged', async () => {
  const error = new Error('refused')
  await assert.rejects(
    logCall(logger, labels, () => Promise.reject(error)),
    error,
  )
  await logger.flush()
  assert.equal(double.kept.size, 0)
})

test('an answer that cannot be read is handed on all the same', async () => {
  const hostile = {
    get usage(): unknown {
      throw new Error('a getter')
    },
  }
  assert.equal(await logCall(logger, labels, () => hostile), hostile)
  assert.deepEqual(usageEntryOf(labels, 'text').usage, {})
})
