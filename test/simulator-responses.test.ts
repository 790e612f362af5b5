import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import OpenAI, { BadRequestError } from 'openai'
import type {
  Response,
  ResponseCreateParamsNonStreaming,
  ResponseStreamEvent,
} from 'openai/resources/responses/responses'
import { eventsOf, startSimulatorHere, withSim } from '#test/support/simulator-run.ts'

const simulator = await startSimulatorHere()
after(() => simulator.close())
const { url, post, ended } = simulator

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-anything', maxRetries: 0 })
const base: ResponseCreateParamsNonStreaming = { model: 'echo', input: 'Say hi', store: false }
const weather = {
  type: 'function' as const,
  name: 'weather',
  strict: false,
  parameters: { type: 'object', properties: { city: { type: 'string', enum: ['Oslo'] } } },
}

async function streamed(body: ResponseCreateParamsNonStreaming): Promise<ResponseStreamEvent[]> {
  const stream = await client.responses.create({ ...body, stream: true })
  const events = []
  for await (const event of stream) events.push(event)
  return events
}

/** The response that the last event carries. */
function responseOf(events: readonly ResponseStreamEvent[]): Response {
  const last = events.at(-1)
  assert.ok(last !== undefined && 'response' in last)
  return last.response
}

test('the SDK reads a plain response, and the oracle agrees with its usage', async () => {
  const answer = await client.responses.create(base)
  assert.match(answer.id, /^resp_sim-/)
  assert.deepEqual([answer.status, answer.output.length], ['completed', 1])
  assert.match(answer.output_text, /You said: Say hi$/)
  const call = await ended()
  assert.deepEqual(
    [call.protocol, call.promptTokens, call.completionTokens],
    ['responses', answer.usage?.input_tokens, answer.usage?.output_tokens],
  )
})

test('a stream has the full sequence of events, numbered without a gap', async () => {
  const events = await streamed(withSim(base, { tokens: 2 }))
  assert.deepEqual(
    events.map(({ type }) => type),
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
  )
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, index) => index),
  )
  assert.equal(responseOf(events).usage?.output_tokens, 2)
  assert.equal((await ended()).completionTokens, 2)
})

test('the SDK assembles a stream to what a plain answer says', async () => {
  const whole = await client.responses.create(base)
  const final = await client.responses.stream({ ...base, stream: true }).finalResponse()
  assert.equal(final.output_text, whole.output_text)
  assert.deepEqual(final.usage, whole.usage)
})

test('function calls open with their name and end with their arguments', async () => {
  const body = withSim({ ...base, tools: [weather] }, { tool_calls: 2 })
  const events = await streamed(body)
  const calls = responseOf(events).output.filter((item) => item.type === 'function_call')
  assert.deepEqual(
    calls.map(({ name, arguments: text, status }) => [name, JSON.parse(text), status]),
    [
      ['weather', { city: 'Oslo' }, 'completed'],
      ['weather', { city: 'Oslo' }, 'completed'],
    ],
  )
  assert.equal(new Set(calls.flatMap(({ id, call_id }) => [id, call_id])).size, 4)
  const pieces = events.flatMap((event) =>
    event.type === 'response.function_call_arguments.delta' && event.output_index === 1 ? event.delta : [],
  )
  assert.equal(pieces.join(''), calls[1]?.arguments)
  assert.equal((await ended()).completionTokens, responseOf(events).usage?.output_tokens)
})

test("a tool's output is answered in words", async () => {
  const { output } = await client.responses.create({
    ...base,
    tools: [weather],
    input: [
      { role: 'user', content: 'weather?' },
      { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{}' },
      { type: 'function_call_output', call_id: 'call_1', output: 'rain' },
    ],
  })
  assert.deepEqual(
    output.map(({ type }) => type),
    ['message'],
  )
})

test('reasoning is an item of its own, with a summary and its sealed content when asked for', async () => {
  const body: ResponseCreateParamsNonStreaming = { ...base, model: 'sim/reasoner' }
  const plain = await streamed(body)
  const [bare] = responseOf(plain).output
  assert.ok(bare?.type === 'reasoning' && bare.summary.length === 0 && bare.encrypted_content === undefined)
  assert.equal(responseOf(plain).usage?.output_tokens_details.reasoning_tokens, 64)
  assert.equal((await ended()).reasoningTokens, 64)
  const told = await streamed({ ...body, reasoning: { summary: 'auto' }, include: ['reasoning.encrypted_content'] })
  const [item] = responseOf(told).output
  assert.ok(item?.type === 'reasoning')
  const pieces = told.flatMap((event) => (event.type === 'response.reasoning_summary_text.delta' ? event.delta : []))
  assert.equal(pieces.join(''), item.summary[0]?.text)
  assert.ok((item.encrypted_content?.length ?? 0) > 20)
  const call = await ended()
  assert.deepEqual([call.reasoningTokens, call.completionTokens], [64, responseOf(told).usage?.output_tokens])

  const back = (reasoning: unknown) => ({
    ...base,
    input: [reasoning, { role: 'user', content: 'go on' }],
    sim: { reject_foreign_reasoning: true },
  })
  assert.equal((await post('responses', back(item))).status, 200)
  assert.equal((await post('responses', back({ ...item, encrypted_content: 'gAAAA' }))).status, 400)
})

for (const { name, body, want } of [
  { name: 'a limit', body: { ...base, max_output_tokens: 2 }, want: ['incomplete', 'max_output_tokens'] },
  { name: 'a filter', body: withSim(base, { content_filter: 'answer' }), want: ['incomplete', 'content_filter'] },
]) {
  test(`${name} makes a response incomplete, streamed and whole`, async () => {
    const whole = await client.responses.create(body)
    assert.deepEqual([whole.status, whole.incomplete_details?.reason], want)
    const events = await streamed(body)
    assert.equal(events.at(-1)?.type, 'response.incomplete')
    assert.deepEqual(
      responseOf(events).output.map((item) => item.type === 'message' && item.content),
      whole.output.map((item) => item.type === 'message' && item.content),
    )
  })
}

test('text is shaped by a schema', async () => {
  const schema = { type: 'object', properties: { ok: { type: 'boolean' } } }
  const answer = await client.responses.create({
    ...base,
    text: { format: { type: 'json_schema', name: 'reply', schema } },
  })
  assert.deepEqual(JSON.parse(answer.output_text), { ok: true })
})

for (const [members, param] of [
  [{ store: true }, 'store'],
  [{ store: undefined }, 'store'],
  [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
  [{ conversation: 'conv_1' }, 'conversation'],
  [{ prompt: { id: 'pmpt_1' } }, 'prompt'],
  [{ input: undefined }, 'input'],
  [{ max_output_tokens: 0 }, 'max_output_tokens'],
  [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
] as const) {
  test(`${JSON.stringify(members)} is refused`, async () => {
    const body = { ...base, ...members } as ResponseCreateParamsNonStreaming
    await assert.rejects(client.responses.create(body), (error: unknown) => {
      assert.ok(error instanceof BadRequestError)
      assert.equal(error.param, param)
      return true
    })
  })
}

test('an error inside a stream fails the response; one before it is said plainly', async () => {
  const failed = await streamed(withSim(base, { error_after: 1, status: 429 }))
  const last = failed.at(-1)
  assert.ok(last?.type === 'response.failed')
  assert.deepEqual([last.response.status, last.response.error?.code], ['failed', 'rate_limit_exceeded'])
  assert.equal(last.sequence_number, failed.length - 1)
  assert.deepEqual([(await ended()).state, (await ended()).completionTokens], ['cut', 1])
  const text = await (await post('responses', { ...base, stream: true, sim: { error_in_200: true } })).text()
  assert.deepEqual(
    eventsOf(text).map(({ event, data }) => [event, data.code]),
    [['error', 'server_error']],
  )
  const whole = await client.responses.create(withSim(base, { error_in_200: true }))
  assert.deepEqual([whole.status, whole.error?.code], ['failed', 'server_error'])
})
