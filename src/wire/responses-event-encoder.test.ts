import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import OpenAI from 'openai'
import type { AnswerEvent, Finish, NeutralAnswer, Part } from './neutral.ts'
import { type CutEnd, type ErrorWords, WireError } from './protocol.ts'
import { openReasoning } from './reasoning-seal.ts'
import { decodeResponsesAnswer } from './responses-decode-answer.ts'
import { createResponsesEventDecoder } from './responses-event-decoder.ts'
import { createResponsesEventEncoder, encodeResponsesAnswer } from './responses-event-encoder.ts'
import { frameData } from './sse-frames.ts'

const tool = { type: 'function' as const, name: 'f', parameters: {}, strict: false }
const options = {
  id: '0123456789abcdef0123456789abcdef',
  created: 1_763_900_000,
  request: {
    model: 'fallback',
    body: { model: 'fallback', input: 'x', tools: [tool], temperature: 0.5, instructions: 'Be brief.' },
  },
}
const words: ErrorWords = {
  message: 'It broke.',
  type: 'server_error',
  code: 'upstream_failed',
  param: null,
  status: 502,
}
const end: CutEnd = {
  reason: 'insufficient_credits',
  fallback: { id: 'ours', model: 'm' },
  created: 1,
  choices: 1,
  usage: { input: 10, output: 7 },
}

const usage = { input: 402, cacheRead: 256, cacheWrite5m: 0, cacheWrite1h: 0, output: 119, reasoning: 64 }
const start: AnswerEvent = { type: 'start', id: 'chatcmpl-123', model: 'claude-x' }
const text: AnswerEvent = { type: 'block', block: 'text' }
const call: AnswerEvent = { type: 'block', block: 'tool_call', id: 'call_1', name: 'f' }
const delta = (said: string): AnswerEvent => ({ type: 'delta', text: said })
const finish = (why: Finish): AnswerEvent => ({ type: 'finish', finish: why, usage })

const whole: AnswerEvent[] = [
  start,
  { type: 'block', block: 'reasoning', origin: 'messages' },
  ...[delta('Let me '), delta('look.'), { type: 'signature', signature: 'sig==' } as const],
  ...[text, delta('Hello'), delta(', 世界'), { type: 'block', block: 'refusal' } as const, delta('But no.')],
  ...[call, delta('{"a"'), delta(':1}'), finish('tool_calls')],
]

function encode(events: readonly AnswerEvent[]) {
  const encoder = createResponsesEventEncoder(options)
  return { encoder, frames: events.map((event) => encoder.encode(event)).join('') }
}

function parse(frames: string) {
  return frames
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => {
      const data = JSON.parse(frameData(frame) ?? '')
      assert.equal(frame.slice(0, frame.indexOf('\n')), `event: ${data.type}`)
      return data
    })
}

/** The frames as OpenAI's own client takes them in. */
async function throughSdk(frames: string) {
  const seen: { type: string; sequence_number: number }[] = []
  const client = new OpenAI({
    apiKey: 'none',
    baseURL: 'http://localhost:1/v1',
    maxRetries: 0,
    fetch: async () => new Response(frames, { headers: { 'content-type': 'text/event-stream' } }),
  })
  const stream = client.responses.stream({ model: 'm', input: 'x' })
  let snapshot = ''
  stream.on('response.output_text.delta', (event) => {
    snapshot = event.snapshot
  })
  for await (const event of stream) seen.push(event as (typeof seen)[number])
  return { seen, snapshot, final: await stream.finalResponse() }
}

test('all events, in order and numbered', () => {
  const events = parse(encode(whole).frames)
  assert.deepEqual(
    events.map(({ type }) => type.replace('response.', '')),
    [
      ...['created', 'in_progress'],
      ...['output_item.added', 'reasoning_summary_part.added'],
      ...['reasoning_summary_text.delta', 'reasoning_summary_text.delta', 'reasoning_summary_text.done'],
      ...['reasoning_summary_part.done', 'output_item.done'],
      ...['output_item.added', 'content_part.added', 'output_text.delta', 'output_text.delta'],
      ...['output_text.done', 'content_part.done', 'content_part.added', 'refusal.delta', 'refusal.done'],
      ...['content_part.done', 'output_item.done'],
      ...['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.delta'],
      ...['function_call_arguments.done', 'output_item.done', 'completed'],
    ],
  )
  assert.deepEqual(
    events.map(({ sequence_number }) => sequence_number),
    events.map((_, index) => index),
  )
})

test('the last event holds the whole response', () => {
  const { response } = parse(encode(whole).frames).at(-1)
  assert.equal(response.id, 'resp_123')
  assert.equal(response.model, 'claude-x')
  assert.equal(response.status, 'completed')
  assert.equal(response.store, false)
  assert.equal(response.instructions, 'Be brief.')
  assert.deepEqual(response.tools, [tool])
  const [reasoning, message, called] = response.output
  assert.deepEqual(reasoning.summary, [{ type: 'summary_text', text: 'Let me look.' }])
  assert.deepEqual(openReasoning(reasoning.encrypted_content), { origin: 'messages', signature: 'sig==' })
  assert.deepEqual(
    message.content.map((part: { text?: string; refusal?: string }) => part.text ?? part.refusal),
    ['Hello, 世界', 'But no.'],
  )
  assert.equal(called.call_id, 'call_1')
  assert.notEqual(called.id, called.call_id)
  assert.equal(called.arguments, '{"a":1}')
  assert.deepEqual(response.usage, {
    input_tokens: 402,
    input_tokens_details: { cached_tokens: 256, cache_write_tokens: 0 },
    output_tokens: 119,
    output_tokens_details: { reasoning_tokens: 64 },
    total_tokens: 521,
  })
})

test('an answer that nobody has named gets our name', () => {
  const [created] = parse(encode([{ type: 'start', id: '', model: '' }]).frames)
  assert.equal(created.response.id, `resp_${options.id}`)
  assert.equal(created.response.model, 'fallback')
})

for (const [why, type, status, reason] of [
  ['stop', 'response.completed', 'completed', undefined],
  ['tool_calls', 'response.completed', 'completed', undefined],
  ['refusal', 'response.incomplete', 'incomplete', 'content_filter'],
  ['pause', 'response.completed', 'completed', undefined],
  ['length', 'response.incomplete', 'incomplete', 'max_output_tokens'],
  ['content_filter', 'response.incomplete', 'incomplete', 'content_filter'],
] as const)
  test(`${why} is ${type}`, () => {
    const last = parse(encode([start, text, delta('x'), finish(why)]).frames).at(-1)
    assert.equal(last.type, type)
    assert.equal(last.response.status, status)
    assert.equal(last.response.incomplete_details?.reason, reason)
    assert.equal(last.response.output[0].status, status)
  })

test('a refusal in words is a whole answer', () => {
  const { frames } = encode([start, { type: 'block', block: 'refusal' }, delta('No.'), finish('refusal')])
  const last = parse(frames).at(-1)
  assert.equal(last.type, 'response.completed')
  assert.deepEqual(last.response.output[0].content, [{ type: 'refusal', refusal: 'No.' }])
})

test('reasoning of chat is sealed, so that clients that store nothing send it back', () => {
  const { response } = parse(
    encode([start, { type: 'block', block: 'reasoning', origin: 'chat' }, delta('Hm.'), finish('stop')]).frames,
  ).at(-1)
  assert.match(response.output[0].encrypted_content, /^fluxgate\.chat\./)
})

test("reasoning of this protocol keeps its provider's own text", () => {
  const { response } = parse(
    encode([
      start,
      { type: 'block', block: 'reasoning', origin: 'responses' },
      { type: 'signature', id: 'rs_1', encrypted: 'gAAA' },
      finish('stop'),
    ]).frames,
  ).at(-1)
  assert.deepEqual(response.output[0].summary, [])
  assert.equal(response.output[0].encrypted_content, 'gAAA')
})

test("OpenAI's client reads the stream and ends with the same response", async () => {
  const { frames } = encode(whole)
  const { seen, snapshot, final } = await throughSdk(frames)
  const events = parse(frames)
  assert.equal(seen.length, events.length)
  assert.equal(snapshot, 'Hello, 世界')
  assert.equal(final.output_text, 'Hello, 世界')
  assert.deepEqual(
    final.output.map(({ type }) => type),
    ['reasoning', 'message', 'function_call'],
  )
  assert.deepEqual(final.usage, events.at(-1).response.usage)
  assert.equal(final.status, 'completed')
})

test('an error ends in a failed response, which the client can read', async () => {
  const { encoder, frames } = encode(whole.slice(0, 7))
  const all = frames + encoder.error(words)
  const { response, sequence_number, type } = parse(all).at(-1)
  assert.equal(type, 'response.failed')
  assert.equal(sequence_number, parse(all).length - 1)
  assert.deepEqual(response.error, { code: 'upstream_failed', message: 'It broke.' })
  assert.equal(response.id, 'resp_123')
  const { final } = await throughSdk(all)
  assert.equal(final.status, 'failed')
  assert.equal(final.error?.message, 'It broke.')
})

test('an error before any content announces the response first', async () => {
  for (const before of [[], [start, text], [start, text, delta('')]]) {
    const { encoder } = encode(before)
    const frames = encoder.error(words)
    assert.deepEqual(
      parse(frames).map(({ type, sequence_number }) => [type, sequence_number]),
      [
        ['response.created', 0],
        ['response.failed', 1],
      ],
    )
    assert.equal((await throughSdk(frames)).final.status, 'failed')
  }
})

test('a cut closes the text and ends as if the limit had been reached', async () => {
  const { encoder, frames } = encode(whole.slice(0, 7))
  const tail = encoder.cut(end)
  assert.deepEqual(
    parse(tail).map(({ type }) => type),
    ['response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.incomplete'],
  )
  const { final } = await throughSdk(frames + tail)
  assert.equal(final.status, 'incomplete')
  assert.deepEqual(final.incomplete_details, { reason: 'max_output_tokens' })
  assert.deepEqual(final.metadata, { fluxgate: 'insufficient_credits' })
  assert.equal(final.output_text, 'Hello')
  assert.equal(final.usage?.output_tokens, 7)
})

test('a call that is cut is not told to be over', () => {
  const { encoder } = encode([start, call, delta('{"a"')])
  const [incomplete, ...others] = parse(encoder.cut(end))
  assert.deepEqual(others, [])
  assert.deepEqual(
    incomplete.response.output.map(({ status, arguments: args }: { status: string; arguments: string }) => [
      status,
      args,
    ]),
    [['incomplete', '{"a"']],
  )
})

function record<T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
}

const part: fc.Arbitrary<Part> = fc.oneof(
  record({ type: fc.constant('text' as const), text: fc.string({ minLength: 1, unit: 'binary' }) }),
  record({ type: fc.constant('refusal' as const), text: fc.string({ minLength: 1 }) }),
  record({
    type: fc.constant('reasoning' as const),
    text: fc.string({ minLength: 1 }),
    origin: fc.constant('messages' as const),
    signature: fc.string({ minLength: 1 }),
  }),
  record({
    type: fc.constant('reasoning' as const),
    text: fc.constant(''),
    origin: fc.constant('messages' as const),
    encrypted: fc.string({ minLength: 1 }),
  }),
  record({
    type: fc.constant('tool_call' as const),
    id: fc.string({ minLength: 1 }),
    name: fc.string({ minLength: 1 }),
    arguments: fc.json({ maxDepth: 1 }),
  }),
)

const answer: fc.Arbitrary<NeutralAnswer> = record({
  id: fc.constant('resp_1'),
  model: fc.string({ minLength: 1 }),
  parts: fc.array(part, { maxLength: 6 }),
  finish: fc.constantFrom('stop' as const, 'length' as const, 'content_filter' as const),
  usage: fc.constant(usage),
}).map((value) => {
  if (value.finish !== 'stop') return value
  const has = (type: Part['type']) => value.parts.some((each) => each.type === type)
  return { ...value, finish: has('tool_call') ? 'tool_calls' : has('refusal') ? 'refusal' : 'stop' }
})

/** Streamed answers: each text in two deltas. */
function eventsOf({ id, model, parts, finish: why }: NeutralAnswer): AnswerEvent[] {
  const halves = (said: string) => [delta(said.slice(0, said.length / 2)), delta(said.slice(said.length / 2))]
  return [
    { type: 'start', id, model },
    ...parts.flatMap((each): AnswerEvent[] => {
      if (each.type === 'text' || each.type === 'refusal')
        return [{ type: 'block', block: each.type }, ...halves(each.text)]
      if (each.type === 'tool_call')
        return [{ type: 'block', block: 'tool_call', id: each.id, name: each.name }, ...halves(each.arguments)]
      if (each.type !== 'reasoning') return []
      const { type: _, text: said, origin, ...proof } = each
      return [{ type: 'block', block: 'reasoning', origin }, ...halves(said), { type: 'signature', ...proof }]
    }),
    finish(why),
  ]
}

test('a whole answer survives the way through', () => {
  fc.assert(
    fc.property(answer, (value) => {
      assert.deepEqual(decodeResponsesAnswer(encodeResponsesAnswer(value, options)), value)
    }),
    { seed: 20261122, numRuns: 300 },
  )
})

test('a streamed answer says the same as the whole one, and is decoded to what it was', () => {
  fc.assert(
    fc.property(answer, (value) => {
      const { frames } = encode(eventsOf(value))
      const { response } = parse(frames).at(-1)
      assert.deepEqual(response, JSON.parse(JSON.stringify(encodeResponsesAnswer(value, options))))
      const decoder = createResponsesEventDecoder()
      const decoded = frames.split('\n\n').flatMap((frame) => {
        const data = frameData(frame)
        return data === undefined ? [] : decoder.decode(data)
      })
      const texts = (events: readonly AnswerEvent[]) =>
        events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
      assert.equal(texts(decoded), texts(eventsOf(value)))
      assert.deepEqual(decoded.at(-1), finish(value.finish))
    }),
    { seed: 20261122, numRuns: 300 },
  )
})

test("any stream is one that OpenAI's client reads to the same end", async () => {
  await fc.assert(
    fc.asyncProperty(answer, async (value) => {
      const { frames } = encode(eventsOf(value))
      const { final } = await throughSdk(frames)
      const { output } = parse(frames).at(-1).response
      assert.deepEqual(
        JSON.parse(
          JSON.stringify(final.output, (key, each) =>
            key === 'parsed' || key === 'parsed_arguments' ? undefined : each,
          ),
        ),
        output,
      )
    }),
    { seed: 20261122, numRuns: 50 },
  )
})

test('an answer of blocks or of text without end is no answer', () => {
  const blocks = createResponsesEventEncoder(options)
  blocks.encode({ type: 'start', id: 'a', model: 'm' })
  for (let n = 0; n < 10_000; n += 1) blocks.encode({ type: 'block', block: 'text' })
  assert.throws(() => blocks.encode({ type: 'block', block: 'text' }), WireError)
  const long = createResponsesEventEncoder(options)
  long.encode({ type: 'start', id: 'a', model: 'm' })
  long.encode({ type: 'block', block: 'text' })
  for (let n = 0; n < 32; n += 1) long.encode({ type: 'delta', text: 'x'.repeat(1024 * 1024) })
  assert.throws(() => long.encode({ type: 'delta', text: 'x' }), WireError)
})
