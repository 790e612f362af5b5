import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import Anthropic, { APIError, BadRequestError, InternalServerError, RateLimitError } from '@anthropic-ai/sdk'
import { eventsOf, startSimulatorHere, withSim } from '#test/support/simulator-run.ts'

const simulator = await startSimulatorHere()
after(() => simulator.close())
const { url, post, ended } = simulator

const client = new Anthropic({ baseURL: url, apiKey: 'sk-ant-anything', maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Say hi' }]
const base = { model: 'echo', max_tokens: 100, messages }
const weather = {
  name: 'weather',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string', enum: ['Oslo'] } } },
}

test('the SDK reads a plain message, and the oracle agrees with its usage', async () => {
  const { data, response } = await client.messages.create(base).withResponse()
  assert.match(data.id, /^msg_sim-/)
  assert.deepEqual(
    [data.type, data.role, data.stop_reason, data.stop_sequence],
    ['message', 'assistant', 'end_turn', null],
  )
  assert.ok(data.content[0]?.type === 'text')
  assert.match(data.content[0].text, /You said: Say hi$/)
  assert.match(response.headers.get('request-id') ?? '', /^req-sim-/)
  const call = await ended()
  assert.deepEqual(
    [call.protocol, call.state, call.promptTokens, call.completionTokens],
    ['messages', 'finished', data.usage.input_tokens, data.usage.output_tokens],
  )
})

test('usage leaves out of the input what was cached', async () => {
  const sim = { prompt_tokens: 1000, cached_tokens: 700, cache_write_tokens: 100, cache_write_1h_tokens: 50 }
  const { usage } = await client.messages.create(withSim(base, sim))
  assert.equal(usage.input_tokens, 150)
  assert.equal(usage.cache_read_input_tokens, 700)
  assert.equal(usage.cache_creation_input_tokens, 150)
  assert.deepEqual(usage.cache_creation, { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 50 })
  const call = await ended()
  assert.deepEqual(
    [call.promptTokens, call.cachedTokens, call.cacheWriteTokens, call.cacheWrite1hTokens],
    [1000, 700, 100, 50],
  )
})

test('no more is cached than there is, and what is read comes first', async () => {
  const sim = { prompt_tokens: 1000, cached_tokens: 900, cache_write_tokens: 500, cache_write_1h_tokens: 5 }
  const { usage } = await client.messages.create(withSim(base, sim))
  assert.deepEqual(
    [usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation?.ephemeral_5m_input_tokens],
    [0, 900, 100],
  )
  assert.equal(usage.cache_creation?.ephemeral_1h_input_tokens, 0)
})

test('a stream has every event in order, with a placeholder first and the truth last', async () => {
  const text = await (await post('messages', { ...base, stream: true, sim: { tokens: 3 } })).text()
  const events = eventsOf(text)
  assert.deepEqual(
    events.map(({ event }) => event),
    [
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
  )
  assert.ok(events.every(({ event, data }) => event === data.type))
  const started = events[0]?.data.message as { usage: { input_tokens: number; output_tokens: number } }
  assert.deepEqual([started.usage.input_tokens, started.usage.output_tokens], [2, 1])
  const last = events.at(-2)?.data as { usage: { output_tokens: number } }
  assert.equal(last.usage.output_tokens, 3)
  assert.ok(!text.includes('[DONE]'))
  assert.equal((await ended()).completionTokens, 3)
})

test('the SDK assembles a stream to what a plain answer says', async () => {
  const whole = await client.messages.create(base)
  const streamed = await client.messages.stream(base).finalMessage()
  assert.deepEqual(streamed.content, whole.content)
  assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens)
  assert.equal(streamed.stop_reason, 'end_turn')
})

test('the SDK assembles parallel tools from pieces of their input', async () => {
  const body = withSim({ ...base, tools: [weather, { ...weather, name: 'clock' }] }, { tool_calls: 3 })
  const streamed = await client.messages.stream(body).finalMessage()
  assert.equal(streamed.stop_reason, 'tool_use')
  assert.deepEqual(
    streamed.content.map((block) => block.type === 'tool_use' && [block.name, block.input]),
    [
      ['weather', { city: 'Oslo' }],
      ['clock', { city: 'Oslo' }],
      ['weather', { city: 'Oslo' }],
    ],
  )
  const ids = streamed.content.map((block) => block.type === 'tool_use' && block.id)
  assert.equal(new Set(ids).size, 3)
  const whole = await client.messages.create(body)
  assert.equal(whole.usage.output_tokens, streamed.usage.output_tokens)
  assert.equal((await ended()).completionTokens, whole.usage.output_tokens)
})

for (const { name, choice, want } of [
  { name: 'any', choice: { type: 'any' }, want: ['tool_use', 1] },
  { name: 'none', choice: { type: 'none' }, want: ['end_turn', 0] },
  { name: 'one by name', choice: { type: 'tool', name: 'weather' }, want: ['tool_use', 1] },
  { name: 'not in parallel', choice: { type: 'auto', disable_parallel_tool_use: true }, want: ['tool_use', 1] },
] as const) {
  test(`tool_choice: ${name}`, async () => {
    const body = {
      ...base,
      tools: [weather],
      tool_choice: choice,
      sim: name === 'not in parallel' ? { tool_calls: 3 } : {},
    }
    const answer = await client.messages.create(body as typeof base)
    assert.deepEqual([answer.stop_reason, answer.content.filter(({ type }) => type === 'tool_use').length], want)
  })
}

test("a tool's result is answered in words", async () => {
  const answer = await client.messages.create({
    ...base,
    tools: [weather],
    messages: [
      ...messages,
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'rain' }] },
    ],
  })
  assert.equal(answer.stop_reason, 'end_turn')
})

test('the reasoner thinks first and signs it', async () => {
  const body = { ...base, model: 'sim/reasoner' }
  const streamed = await client.messages.stream(body).finalMessage()
  const [thinking, text] = streamed.content
  assert.ok(thinking?.type === 'thinking' && text?.type === 'text')
  assert.ok(thinking.thinking.length > 0 && thinking.signature.length > 20)
  assert.equal(streamed.usage.output_tokens_details?.thinking_tokens, 64)
  const call = await ended()
  assert.deepEqual([call.reasoningTokens, call.completionTokens], [64, streamed.usage.output_tokens])
  const whole = await client.messages.create(body)
  assert.deepEqual(
    whole.content.map(({ type }) => type),
    ['thinking', 'text'],
  )
})

test('thinking can be left out of sight, or be switched off', async () => {
  const body = { ...base, model: 'reasoner', stream: true }
  const hidden = await (await post('messages', { ...body, thinking: { type: 'adaptive', display: 'omitted' } })).text()
  assert.ok(!hidden.includes('thinking_delta') && hidden.includes('signature_delta'))
  assert.equal((await ended()).reasoningTokens, 64)
  const off = await (await post('messages', { ...body, thinking: { type: 'disabled' } })).text()
  assert.ok(!off.includes('"thinking"'))
  assert.equal((await ended()).reasoningTokens, 0)
})

test('thinking that the simulator signed comes back, foreign thinking is refused on request', async () => {
  const { content } = await client.messages.create({ ...base, model: 'reasoner' })
  const more = (blocks: unknown) => ({
    ...base,
    messages: [...messages, { role: 'assistant', content: blocks }, ...messages],
    sim: { reject_foreign_reasoning: true },
  })
  assert.equal((await post('messages', more(content))).status, 200)
  const foreign = await post('messages', more([{ type: 'thinking', thinking: 'x', signature: 'ErUB' }]))
  assert.equal(foreign.status, 400)
  assert.match(await foreign.text(), /Invalid `signature` in `thinking` block/)
})

for (const [body, want] of [
  [{ ...base, max_tokens: 2 }, ['max_tokens', null]],
  [{ ...base, stop_sequences: ['!'] }, ['stop_sequence', '!']],
  [withSim(base, { content_filter: 'answer' }), ['refusal', null]],
  [{ ...base, max_tokens: 0 }, ['max_tokens', null]],
] as const) {
  test(`${JSON.stringify(body).slice(1, 60)} ends with ${want[0]}`, async () => {
    const answer = await client.messages.create(body as typeof base)
    assert.deepEqual([answer.stop_reason, answer.stop_sequence], want)
  })
}

test('a prompt is counted for nothing', async () => {
  const body = { model: 'echo', system: 'Be brief.', messages, tools: [weather] }
  const { input_tokens } = await client.messages.countTokens(body)
  const call = await ended()
  assert.deepEqual(
    [call.protocol, call.state, call.promptTokens, call.completionTokens],
    ['count_tokens', 'finished', 0, 0],
  )
  const answer = await client.messages.create({ ...body, max_tokens: 10 })
  assert.equal(answer.usage.input_tokens, input_tokens)
})

for (const [sim, errorClass, type] of [
  [{ status: 429, retry_after: '3' }, RateLimitError, 'rate_limit_error'],
  [{ status: 529 }, InternalServerError, 'overloaded_error'],
  [{ status: 500 }, InternalServerError, 'api_error'],
  [{ context_length: true }, BadRequestError, 'invalid_request_error'],
  [{ content_filter: 'prompt' }, BadRequestError, 'invalid_request_error'],
  [{ bogus: true }, BadRequestError, 'invalid_request_error'],
] as const) {
  test(`the SDK sees ${errorClass.name} for ${JSON.stringify(sim)}`, async () => {
    await assert.rejects(client.messages.create(withSim(base, sim)), (error: unknown) => {
      assert.ok(error instanceof errorClass)
      assert.match(error.requestID ?? '', /^req-sim/)
      const body = error.error as { type: string; error: { type: string } }
      assert.deepEqual([body.type, body.error.type], ['error', type])
      if ('retry_after' in sim) assert.equal(error.headers?.get('retry-after'), '3')
      return true
    })
    assert.equal((await ended()).state, 'failed')
  })
}

test('an error inside a stream reaches the SDK as an error', async () => {
  const body = withSim({ ...base, stream: true as const }, { error_after: 2, status: 529 })
  const stream = await client.messages.create(body)
  const seen: string[] = []
  await assert.rejects(async () => {
    for await (const event of stream) seen.push(event.type)
  }, APIError)
  assert.equal(seen.filter((type) => type === 'content_block_delta').length, 2)
  const call = await ended()
  assert.deepEqual([call.state, call.completionTokens], ['cut', 2])
})

test('a prefill is refused in the words of Anthropic', async () => {
  const body = { ...base, messages: [...messages, { role: 'assistant', content: '{' }], sim: { reject_prefill: true } }
  const response = await post('messages', body)
  assert.equal(response.status, 400)
  assert.match(await response.text(), /does not support assistant message prefill/)
})

test('switches may stand in the header x-sim, for clients that cannot add members', async () => {
  const refused = await post('messages', base, { 'x-sim': '{"status":503}' })
  assert.equal(refused.status, 503)
  assert.equal((await post('messages', base, { 'x-sim': '{' })).status, 400)
  const own = await post('messages', { ...base, sim: {} }, { 'x-sim': '{"status":503}' })
  assert.equal(own.status, 200)
})

test('the key may come as x-api-key', async (t) => {
  const { createSimulator } = await import('#simulator/simulator.ts')
  const guarded = createSimulator({ apiKey: 'sk-right' })
  const { url: baseURL } = await guarded.listen()
  t.after(() => guarded.close())
  assert.ok(await new Anthropic({ baseURL, apiKey: 'sk-right' }).messages.create(base))
  const wrong = new Anthropic({ baseURL, apiKey: 'sk-wrong-and-secret', maxRetries: 0 })
  await assert.rejects(wrong.messages.create(base), (error: unknown) => {
    assert.ok(error instanceof Anthropic.AuthenticationError)
    assert.ok(!error.message.includes('wrong-and-secret'))
    return true
  })
})

test('models are listed as Anthropic lists them', async () => {
  const names = []
  for await (const model of client.models.list()) names.push(model.id)
  assert.ok(names.includes('reasoner'))
})
