import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AnswerEvent } from './neutral.ts'
import { WireError } from './protocol.ts'
import { decodeResponsesAnswer } from './responses-decode-answer.ts'
import { createResponsesEventDecoder } from './responses-event-decoder.ts'
import { frameData } from './sse-frames.ts'

function decode(events: readonly (string | object)[]): AnswerEvent[] {
  const decoder = createResponsesEventDecoder()
  const decoded = events.flatMap((each) => decoder.decode(typeof each === 'string' ? each : JSON.stringify(each)))
  return [...decoded, ...decoder.end()]
}

function fixture(name: string): AnswerEvent[] {
  const text = readFileSync(new URL(`./fixtures/${name}.sse`, import.meta.url), 'utf8')
  return decode(text.split('\n\n').flatMap((frame) => frameData(frame) ?? []))
}

/** The events with neighbouring deltas joined. */
function joined(events: AnswerEvent[]): AnswerEvent[] {
  const result: AnswerEvent[] = []
  for (const event of events) {
    const last = result.at(-1)
    if (event.type === 'delta' && last?.type === 'delta')
      result[result.length - 1] = { type: 'delta', text: last.text + event.text }
    else result.push(event)
  }
  return result
}

const start = (digit: number): AnswerEvent => ({
  type: 'start',
  id: `resp_68d92f4a0c1c8190b1f3e5f0a7d2c94e0${digit}`,
  model: 'gpt-5-mini-2025-08-07',
})
const usage = (input: number, output: number, cacheRead = 0, reasoning = 0) => ({
  input,
  cacheRead,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  output,
  reasoning,
})
const text: AnswerEvent = { type: 'block', block: 'text' }
const reasoning: AnswerEvent = { type: 'block', block: 'reasoning', origin: 'responses' }
const call = (id: string, name: string): AnswerEvent => ({ type: 'block', block: 'tool_call', id, name })
const delta = (said: string): AnswerEvent => ({ type: 'delta', text: said })

const recorded: Record<string, AnswerEvent[]> = {
  'responses-text': [
    start(1),
    text,
    delta('Grüße, "Welt"!\n日本 🚀 \\done'),
    { type: 'finish', finish: 'stop', usage: usage(36, 11) },
  ],
  'responses-tools': [
    start(2),
    reasoning,
    delta('**Looking up**\n\nTwo cities.'),
    { type: 'signature', id: 'rs_68d92f4b2a', encrypted: 'gAAAAABo2S9MZmluZ2Vy' },
    call('call_Vy1', 'get_weather'),
    delta('{"city":"Köln"}'),
    call('call_Vy2', 'get_time'),
    delta('{}'),
    { type: 'finish', finish: 'tool_calls', usage: usage(402, 119, 256, 64) },
  ],
  'responses-refusal': [
    start(3),
    { type: 'block', block: 'refusal' },
    delta('I cannot help with that.'),
    { type: 'finish', finish: 'refusal', usage: usage(20, 9) },
  ],
  'responses-length': [start(4), text, delta('Once upon'), { type: 'finish', finish: 'length', usage: usage(12, 16) }],
  'responses-sorted': [start(5), text, delta('Hello there'), { type: 'finish', finish: 'stop', usage: usage(8, 2) }],
}

for (const [name, want] of Object.entries(recorded))
  test(`${name}, streamed`, () => assert.deepEqual(joined(fixture(name)), want))

test('a stream of deltas is passed on as it comes', () => {
  assert.equal(fixture('responses-text').filter(({ type }) => type === 'delta').length, 5)
})

for (const name of ['responses-text', 'responses-tools'])
  test(`${name}, whole, says what its stream says`, () => {
    const body = JSON.parse(readFileSync(new URL(`./fixtures/${name}.json`, import.meta.url), 'utf8'))
    const answer = decodeResponsesAnswer(body)
    const events = recorded[name] ?? []
    const finish = events.at(-1)
    assert(finish?.type === 'finish')
    assert.deepEqual({ finish: answer.finish, usage: answer.usage }, { finish: finish.finish, usage: finish.usage })
    const said = answer.parts.map((part) => ('text' in part ? part.text : 'arguments' in part ? part.arguments : ''))
    assert.deepEqual(
      said,
      events.flatMap((event) => (event.type === 'delta' ? event.text : [])),
    )
  })

const created = { type: 'response.created', response: { id: 'resp_1', model: 'm' } }
const completed = { type: 'response.completed', response: { output: [] } }
const added = (output_index: number, item: object) => ({ type: 'response.output_item.added', output_index, item })
const done = (output_index: number, item: object) => ({ type: 'response.output_item.done', output_index, item })
const args = (output_index: number, said: string) => ({
  type: 'response.function_call_arguments.delta',
  output_index,
  delta: said,
})
const fn = (call_id: string, said = '') => ({ type: 'function_call', call_id, name: 'f', arguments: said })
const message = (said: string) => ({ type: 'message', content: [{ type: 'output_text', text: said }] })
const first: AnswerEvent = { type: 'start', id: 'resp_1', model: 'm' }

for (const [name, events, want] of [
  [
    'calls that grow side by side come one after another',
    [
      created,
      ...[added(0, fn('a')), added(1, fn('b')), args(1, '{"b"'), args(0, '{"a"'), args(1, ':1}'), args(0, ':1}')],
      ...[done(1, fn('b', '{"b":1}')), done(0, fn('a', '{"a":1}')), completed],
    ],
    [
      first,
      ...[call('a', 'f'), delta('{"a":1}'), call('b', 'f'), delta('{"b":1}')],
      { type: 'finish', finish: 'tool_calls' },
    ],
  ],
  [
    'items without deltas are told whole, once',
    [
      created,
      done(0, message('all')),
      done(1, fn('a', '{}')),
      { ...completed, response: { output: [message('all'), fn('a', '{}')] } },
    ],
    [first, text, delta('all'), call('a', 'f'), delta('{}'), { type: 'finish', finish: 'tool_calls' }],
  ],
  [
    'so is an output that only stands in the end',
    [created, { ...completed, response: { output: [message('all')] } }],
    [first, text, delta('all'), { type: 'finish', finish: 'stop' }],
  ],
  [
    'what the deltas left out is added',
    [
      created,
      { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'al' },
      done(0, message('all')),
      completed,
    ],
    [first, text, delta('all'), { type: 'finish', finish: 'stop' }],
  ],
  [
    'an announcement that says nothing is completed by the whole item',
    [created, added(0, { type: 'function_call' }), args(0, '{'), done(0, fn('a', '{}')), completed],
    [first, call('a', 'f'), delta('{}'), { type: 'finish', finish: 'tool_calls' }],
  ],
  [
    'reasoning that is only encrypted',
    [created, done(0, { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gA' }), completed],
    [first, reasoning, { type: 'signature', id: 'rs_1', encrypted: 'gA' }, { type: 'finish', finish: 'stop' }],
  ],
  [
    'thoughts and their summary are told once',
    [
      created,
      { type: 'response.reasoning_text.delta', output_index: 0, content_index: 0, delta: 'hm' },
      { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: 0, delta: 'thinks' },
      done(0, {
        type: 'reasoning',
        summary: [{ type: 'summary_text', text: 'thinks' }],
        content: [{ type: 'reasoning_text', text: 'hmm' }],
      }),
      completed,
    ],
    [first, reasoning, delta('hmm'), { type: 'finish', finish: 'stop' }],
  ],
  [
    'an item that is never said to be over ends with the next',
    [
      created,
      { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'one' },
      added(1, fn('a')),
      args(1, '{}'),
      completed,
    ],
    [first, text, delta('one'), call('a', 'f'), delta('{}'), { type: 'finish', finish: 'tool_calls' }],
  ],
  [
    'a filter',
    [created, { type: 'response.incomplete', response: { incomplete_details: { reason: 'content_filter' } } }],
    [first, { type: 'finish', finish: 'content_filter' }],
  ],
  [
    'a stream that does not announce itself, with events that nobody knows',
    [{ type: 'response.new_thing' }, completed, '[DONE]', completed],
    [
      { type: 'start', id: '', model: '' },
      { type: 'finish', finish: 'stop' },
    ],
  ],
] as [string, (object | string)[], AnswerEvent[]][])
  test(name, () => assert.deepEqual(joined(decode(events)), want))

for (const [name, event] of [
  ['no JSON', '{'],
  ['a list', []],
  ['an error', { type: 'error', message: 'no' }],
  ['an error of no type', { error: { message: 'no' } }],
  ['a failed response', { type: 'response.failed', response: {} }],
  ['an end without a response', { type: 'response.completed' }],
  ['a call of a custom tool', done(0, { type: 'custom_tool_call', call_id: 'a', name: 'c', input: '' })],
  ['a call without its id', done(0, { type: 'function_call', name: 'f', arguments: '{}' })],
] as [string, object | string][])
  test(`${name} throws`, () => {
    assert.throws(() => decode([created, event]), WireError)
  })

test('a call does not wait for a text that is never said to be over', () => {
  const said = { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'one' }
  const want: AnswerEvent[] = [first, text, delta('one'), call('a', 'f'), delta('{')]
  assert.deepEqual(decode([created, said, added(1, fn('a')), args(1, '{')]), want)
})

test('what waits for an earlier call is bounded', () => {
  const long = args(1, 'x'.repeat(1_000_000))
  assert.throws(() => decode([added(0, fn('a')), added(1, fn('b')), long, long, long, long, long]), WireError)
})

for (const body of [undefined, [], {}, { output: {} }, { output: [], error: {} }, { output: [], status: 'failed' }])
  test(`${JSON.stringify(body)} is no answer`, () => {
    assert.throws(() => decodeResponsesAnswer(body), WireError)
  })

test('any JSON is decoded to events in order, or refused', () => {
  const type = fc.constantFrom(
    'response.created',
    'response.output_item.added',
    'response.output_item.done',
    'response.output_text.delta',
    'response.refusal.delta',
    'response.reasoning_summary_text.delta',
    'response.function_call_arguments.delta',
    'response.completed',
  )
  const item = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(
      fn('a', '{}'),
      fn('b'),
      message('x'),
      { type: 'reasoning', encrypted_content: 'g' },
      { type: 'mcp' },
    ),
  )
  const event = fc.record(
    {
      type,
      item,
      output_index: fc.nat(2),
      content_index: fc.nat(1),
      summary_index: fc.nat(1),
      delta: fc.oneof(fc.string(), fc.jsonValue({ maxDepth: 1 })),
      response: fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.record({ output: fc.array(item, { maxLength: 3 }) })),
    },
    { requiredKeys: ['type'], noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      let decoded: AnswerEvent[]
      try {
        decoded = decode(events)
      } catch (error) {
        assert(error instanceof WireError)
        return
      }
      let open: string | undefined
      for (const [index, each] of decoded.entries()) {
        assert.equal(each.type === 'start', index === 0)
        if (each.type === 'block') open = each.block
        if (each.type === 'delta') assert(open !== undefined)
        if (each.type === 'signature') assert.equal(open, 'reasoning')
        if (each.type === 'finish') assert.equal(index, decoded.length - 1)
      }
    }),
    { seed: 20261122, numRuns: 1000 },
  )
})

test('calls without end are no answer', () => {
  const decoder = createResponsesEventDecoder()
  const added = (n: number) => {
    const item = { type: 'function_call', id: `f${n}`, call_id: `c${n}`, name: 'f', arguments: '' }
    return JSON.stringify({ type: 'response.output_item.added', output_index: n, item })
  }
  for (let n = 0; n < 256; n += 1) decoder.decode(added(n))
  assert.throws(() => decoder.decode(added(256)), WireError)
})
