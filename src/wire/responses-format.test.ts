import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeRawText } from './openai-chunk.ts'
import type { CutEnd, ErrorWords, FrameFacts, StreamFormat } from './protocol.ts'
import { createResponsesFormat } from './responses-format.ts'
import { createFrameSplitter, frameData } from './sse-frames.ts'

function framesOf(name: string): Buffer[] {
  return split(readFileSync(new URL(`./fixtures/${name}.sse`, import.meta.url)))
}

function split(bytes: Buffer | string): Buffer[] {
  const frames: Buffer[] = []
  createFrameSplitter(1_000_000, (buffer, start, end) => frames.push(buffer.subarray(start, end))).push(
    Buffer.from(bytes),
  )
  return frames
}

function inspect(format: StreamFormat, frame: Buffer | string, parse = false): FrameFacts {
  const buffer = Buffer.from(frame)
  return format.inspect(buffer, 0, buffer.length, parse)
}

function frameOf(event: Record<string, unknown>): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

function eventsOf(frames: string) {
  return split(frames).map((frame) => JSON.parse(frameData(frame.toString()) ?? ''))
}

/** What the relay learns from a stream; parsing stops being asked for at the first content, as it does there. */
function summary(frames: Buffer[], parse?: boolean) {
  const format = createResponsesFormat()
  let contentSeen = false
  let text = ''
  const kinds: string[] = []
  let last: FrameFacts = { kind: 'silent' }
  for (const frame of frames) {
    last = inspect(format, frame, parse ?? !contentSeen)
    kinds.push(last.kind)
    if (last.kind !== 'chunk') continue
    text += last.text
    contentSeen ||= last.content
  }
  return { format, kinds, text: decodeRawText(text), last, contentSeen }
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
  fallback: { id: 'resp_ours', model: 'm' },
  created: 1_763_900_123,
  choices: 1,
  usage: { input: 10, cache_read: 5, output: 7, reasoning: 3 },
}

for (const [name, text, usage] of [
  ['responses-text', 'Grüße, "Welt"!\n日本 🚀 \\done', { input_tokens: 36, output_tokens: 11 }],
  [
    'responses-tools',
    '**Looking up**Two cities.get_weather{"city":"Köln"}get_time{}',
    { input_tokens: 402, output_tokens: 119 },
  ],
  ['responses-refusal', 'I cannot help with that.', { input_tokens: 20, output_tokens: 9 }],
  ['responses-length', 'Once upon', { input_tokens: 12, output_tokens: 16 }],
] as const) {
  for (const parse of [undefined, true]) {
    test(`${name}: text, identity, end and usage${parse === true ? ', all parsed' : ''}`, () => {
      const told = summary(framesOf(name), parse)
      assert.equal(told.text, text)
      assert(told.last.kind === 'chunk')
      assert.deepEqual(told.last.finished, [0])
      assert.equal(told.last.bare, false)
      assert.match(told.last.identity?.id ?? '', /^resp_68d92f/)
      assert.equal(told.last.identity?.model, 'gpt-5-mini-2025-08-07')
      const { input_tokens, output_tokens } = told.last.usage as Record<string, unknown>
      assert.deepEqual({ input_tokens, output_tokens }, usage)
      assert.equal(told.format.done(), '')
    })
  }
}

test('only the last frame finishes, and nothing before the first delta is content', () => {
  const format = createResponsesFormat()
  const facts = framesOf('responses-text').map((frame) => inspect(format, frame, true))
  const content = facts.findIndex((each) => each.kind === 'chunk' && each.content)
  assert.equal(content, 4)
  const finished = facts.map((each) => (each.kind === 'chunk' ? each.finished.length : -1))
  assert.deepEqual(finished, [...Array(facts.length - 1).fill(0), 1])
})

test('a provider that sorts its members and ends with a mark', () => {
  const told = summary(framesOf('responses-sorted'))
  assert.equal(told.text, 'Hello there')
  assert.deepEqual(told.last, { kind: 'done', frame: false })
})

test('a mark before the end ends nothing', () => {
  assert.deepEqual(summary([...framesOf('responses-text').slice(0, 6), Buffer.from('data: [DONE]\n\n')]).last, {
    kind: 'silent',
  })
})

test('what the provider calls a failure is one', () => {
  const { last } = summary(framesOf('responses-failed'))
  assert.equal(last.kind, 'error')
  assert.deepEqual(last.kind === 'error' && last.error, {
    code: 'server_error',
    message: 'The model failed to generate a response.',
  })
  const { last: error, contentSeen } = summary(framesOf('responses-error'))
  assert(error.kind === 'error' && (error.error as { code: string }).code === 'context_length_exceeded')
  assert.equal(contentSeen, false)
})

for (const [name, frame, want] of [
  ['a comment', ': keepalive\n\n', 'silent'],
  ['a keepalive event', frameOf({ type: 'keepalive', sequence_number: 3 }), 'silent'],
  ['an event without data', 'event: response.created\n\n', 'silent'],
  ['HTML', 'data: <html>\n\n', 'malformed'],
  ['a list', 'data: []\n\n', 'malformed'],
  ['a chunk of chat', 'data: {"object":"chat.completion.chunk","choices":[]}\n\n', 'malformed'],
  ['an end without its response', frameOf({ type: 'response.completed' }), 'malformed'],
  ['an error of no type', 'data: {"error":{"message":"no"}}\n\n', 'error'],
  ['a flat error', frameOf({ type: 'error', code: 'x', message: 'no', param: null }), 'error'],
  ['a failed end', frameOf({ type: 'response.completed', response: { status: 'failed', output: [] } }), 'error'],
  ['an end with an error', frameOf({ type: 'response.completed', response: { error: { code: 'x' } } }), 'error'],
  ['an event nobody knows', frameOf({ type: 'response.rate_limits.updated' }), 'chunk'],
] as const)
  test(`${name} is ${want}`, () => {
    for (const parse of [true, false]) assert.equal(inspect(createResponsesFormat(), frame, parse).kind, want)
  })

test('the announcement of a call is content, that of a message is not', () => {
  const added = (item: Record<string, unknown>) => {
    const facts = inspect(
      createResponsesFormat(),
      frameOf({ type: 'response.output_item.added', output_index: 0, item }),
    )
    return facts.kind === 'chunk' && facts.content
  }
  assert.equal(added({ type: 'function_call', name: 'f', arguments: '' }), true)
  assert.equal(added({ type: 'custom_tool_call', name: 'f', input: '' }), true)
  assert.equal(added({ type: 'message', content: [] }), false)
  assert.equal(added({ type: 'reasoning', summary: [], encrypted_content: 'x' }), false)
})

test('text that only stands in the whole item, or only in the end, is reported once', () => {
  const item = { type: 'message', content: [{ type: 'output_text', text: 'all at once' }] }
  const done = frameOf({ type: 'response.output_item.done', output_index: 0, item })
  const completed = frameOf({ type: 'response.completed', response: { output: [item], usage: null } })
  assert.equal(summary([Buffer.from(done), Buffer.from(completed)]).text, 'all at once')
  assert.equal(summary([Buffer.from(completed)]).text, 'all at once')
})

test('an error goes on where the events ended, under the same id', () => {
  const frames = framesOf('responses-text').slice(0, 7)
  const [failed, ...rest] = eventsOf(summary(frames).format.error(words))
  assert.deepEqual(rest, [])
  assert.equal(failed?.type, 'response.failed')
  assert.equal(failed?.sequence_number, 7)
  assert.equal(failed?.response.id, 'resp_68d92f4a0c1c8190b1f3e5f0a7d2c94e01')
  assert.equal(failed?.response.status, 'failed')
  assert.deepEqual(failed?.response.error, { code: 'upstream_failed', message: 'It broke.' })
  assert.equal(failed?.response.output[0].content[0].text, 'Grüße, "Welt"!\n')
})

test('an error before any content announces the response first', () => {
  for (const frames of [[], framesOf('responses-text').slice(0, 2)]) {
    const events = eventsOf(summary(frames).format.error(words))
    assert.deepEqual(
      events.map(({ type, sequence_number }) => [type, sequence_number]),
      [
        ['response.created', 0],
        ['response.failed', 1],
      ],
    )
    assert.equal(events[0]?.response.id, events[1]?.response.id)
  }
  const named = createResponsesFormat({ fallback: { id: 'resp_call', model: 'm', created: 5 } })
  assert.equal(eventsOf(named.error(words))[1]?.response.id, 'resp_call')
})

test('a cut closes what is open and ends as if the limit had been reached', () => {
  const events = eventsOf(summary(framesOf('responses-text').slice(0, 8)).format.cut(end))
  assert.deepEqual(
    events.map(({ type, sequence_number }) => [type, sequence_number]),
    [
      ['response.output_text.done', 8],
      ['response.content_part.done', 9],
      ['response.output_item.done', 10],
      ['response.incomplete', 11],
    ],
  )
  const said = 'Grüße, "Welt"!\n日本 🚀'
  assert.equal(events[0]?.text, said)
  assert.equal(events[2]?.item.status, 'incomplete')
  const { response } = events[3] ?? {}
  assert.equal(response.status, 'incomplete')
  assert.deepEqual(response.incomplete_details, { reason: 'max_output_tokens' })
  assert.deepEqual(response.metadata, { fluxgate: 'insufficient_credits' })
  assert.equal(response.output[0].content[0].text, said)
  assert.deepEqual(response.usage, {
    input_tokens: 15,
    input_tokens_details: { cached_tokens: 5, cache_write_tokens: 0 },
    output_tokens: 10,
    output_tokens_details: { reasoning_tokens: 3 },
    total_tokens: 25,
  })
})

test('a call that is cut is told of, but not as one that is ready to run', () => {
  const events = eventsOf(summary(framesOf('responses-tools').slice(0, 16)).format.cut(end))
  assert.deepEqual(
    events.map(({ type }) => type),
    ['response.incomplete'],
  )
  const [reasoning, call] = events[0]?.response.output ?? []
  assert.equal(reasoning.encrypted_content, 'gAAAAABo2S9MZmluZ2Vy')
  assert.deepEqual([call.status, call.arguments, call.call_id], ['incomplete', '{"city":"Köln"', 'call_Vy1'])
})

test('an item that begins between two deltas of another loses nothing', () => {
  const frames = framesOf('responses-text')
  const added = { type: 'response.output_item.added', output_index: 1, item: { type: 'message', id: 'b', content: [] } }
  const { format } = summary([...frames.slice(0, 6), Buffer.from(frameOf(added)), ...frames.slice(6, 8)])
  const output = eventsOf(format.cut(end)).at(-1).response.output
  assert.equal(output[0].content[0].text, 'Grüße, "Welt"!\n日本 🚀')
})

test('of an output that is too long nothing is told again', () => {
  const { format } = summary(framesOf('responses-text').slice(0, 5))
  const long = frameOf({
    type: 'response.output_text.delta',
    sequence_number: 5,
    output_index: 0,
    content_index: 0,
    delta: 'x'.repeat(300_000),
  })
  for (let n = 0; n < 4; n += 1) inspect(format, long)
  inspect(
    format,
    frameOf({ type: 'response.output_item.done', output_index: 1, item: { type: 'message', content: [] } }),
  )
  const events = eventsOf(format.cut(end))
  assert.equal(events.length, 1)
  assert.deepEqual(events[0]?.response.output, [])
})

// Text that looks like the marks the fast path searches for, with everything that JSON has to escape.
const nasty = fc
  .array(
    fc.oneof(
      fc.constantFrom('"delta":"', '"sequence_number":7', '"obfuscation":"', '\\', '"', '\\"', '\n', '日本', '🚀', '}'),
      fc.string({ maxLength: 5 }),
    ),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(''))

test('unparsed and parsed deltas say the same', () => {
  const delta = fc.record(
    {
      type: fc.constantFrom(
        'response.output_text.delta',
        'response.function_call_arguments.delta',
        'response.completed',
      ),
      delta: nasty,
      sequence_number: fc.nat(),
      item_id: fc.constantFrom('a', 'b'),
      output_index: fc.nat(2),
      content_index: fc.nat(1),
      logprobs: fc.constantFrom([], [{ token: 'x' }]),
      obfuscation: nasty,
      response: fc.constant({ output: [] }),
    },
    { requiredKeys: ['type'], noNullPrototype: true },
  )
  const comparable = (facts: FrameFacts) =>
    facts.kind === 'chunk' ? { ...facts, text: decodeRawText(facts.text), identity: undefined } : facts
  fc.assert(
    fc.property(fc.array(delta, { maxLength: 12 }), fc.boolean(), (events, spaced) => {
      const quick = createResponsesFormat()
      const slow = createResponsesFormat()
      for (const event of events) {
        const data = JSON.stringify(event, null, spaced ? ' ' : undefined).replaceAll(/\n\s*/g, '')
        const frame = `event: ${event.type}\ndata: ${data}\n\n`
        assert.deepEqual(comparable(inspect(quick, frame, false)), comparable(inspect(slow, frame, true)))
      }
      assert.deepEqual(eventsOf(quick.cut(end)), eventsOf(slow.cut(end)))
    }),
    { seed: 20261122, numRuns: 500 },
  )
})

test('any JSON is inspected without an exception, and the voice can still end the stream', () => {
  const type = fc.constantFrom(
    'response.created',
    'response.output_item.added',
    'response.output_item.done',
    'response.output_text.delta',
    'response.completed',
    'response.failed',
    'error',
  )
  const event = fc.oneof(
    fc.json({ maxDepth: 3 }),
    fc
      .record(
        { type, response: fc.jsonValue({ maxDepth: 2 }), item: fc.jsonValue({ maxDepth: 3 }), output_index: fc.nat(2) },
        { requiredKeys: [] },
      )
      .map((value) => JSON.stringify(value)),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 8 }), (events) => {
      const format = createResponsesFormat()
      for (const data of events) inspect(format, `data: ${data}\n\n`)
      assert.equal(eventsOf(format.cut(end)).at(-1)?.type, 'response.incomplete')
      assert.equal(eventsOf(format.error(words)).at(-1)?.type, 'response.failed')
    }),
    { seed: 20261122, numRuns: 300 },
  )
})

test('nearly all frames of a stream are read without parsing', (t) => {
  const format = createResponsesFormat()
  const frames = framesOf('responses-text')
  for (const frame of frames.slice(0, 5)) inspect(format, frame, true)
  const parse = t.mock.method(JSON, 'parse')
  for (const frame of frames.slice(5, 9)) inspect(format, frame)
  assert.equal(parse.mock.callCount(), 0)
})
