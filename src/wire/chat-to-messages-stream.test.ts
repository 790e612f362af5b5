import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createMessagesEventEncoder } from './anthropic-encode-stream.ts'
import { createChatEventDecoder } from './chat-decode-stream.ts'
import type { AnswerEvent } from './neutral.ts'
import { WireError } from './protocol.ts'
import { sealReasoning } from './reasoning-seal.ts'
import { frameData } from './sse-frames.ts'

const options = { id: '0'.repeat(32), created: 1, request: { model: 'asked-for' } }

function dataOf(name: string): string[] {
  const text = readFileSync(new URL(`./fixtures/chat-stream-${name}.sse`, import.meta.url), 'utf8')
  return text.split(/(?<=\n\n)/).map((frame) => frameData(frame) ?? '')
}

const chunk = (delta: object, finish_reason: string | null = null, rest: object = {}) =>
  JSON.stringify({ id: 'c1', model: 'm1', choices: [{ index: 0, delta, finish_reason }], ...rest })

function decode(data: string[]): AnswerEvent[] {
  const decoder = createChatEventDecoder()
  const events = [...data.flatMap((each) => decoder.decode(each)), ...decoder.end()]
  assert.deepEqual(decoder.end(), [])
  return events
}

/** Deltas of one block joined: how a provider cuts its text is its own affair. */
function joined(events: AnswerEvent[]): AnswerEvent[] {
  const found: AnswerEvent[] = []
  for (const event of events) {
    const last = found.at(-1)
    if (event.type === 'delta' && last?.type === 'delta') last.text += event.text
    else found.push({ ...event })
  }
  return found
}

const start: AnswerEvent = { type: 'start', id: 'c1', model: 'm1' }
const text: AnswerEvent = { type: 'block', block: 'text' }
const reasoning: AnswerEvent = { type: 'block', block: 'reasoning', origin: 'chat' }
const call = (id: string, name: string): AnswerEvent => ({ type: 'block', block: 'tool_call', id, name })
const delta = (words: string): AnswerEvent => ({ type: 'delta', text: words })
const tool = (index: number | undefined, id: string | undefined, name: string | undefined, args?: unknown) => ({
  tool_calls: [{ index, id, function: { name, arguments: args } }],
})

for (const { name, data, want } of [
  {
    name: 'parallel tools, with usage behind the end',
    data: dataOf('parallel-tools'),
    want: [
      { type: 'start', id: 'chatcmpl-B9', model: 'gpt-5.1-2025-11-13' },
      text,
      delta('Checking.'),
      call('call_Ax', 'get_weather'),
      delta('{"city":"Paris"}'),
      call('call_Bx', 'get_time'),
      delta('{}'),
      {
        type: 'finish',
        finish: 'tool_calls',
        usage: { input: 82, cacheRead: 64, cacheWrite5m: 0, cacheWrite1h: 0, output: 49, reasoning: 7 },
      },
    ],
  },
  {
    name: 'reasoning before text, with usage in the last chunk',
    data: dataOf('deepseek-reasoning'),
    want: [
      { type: 'start', id: '930c60df', model: 'deepseek-reasoner' },
      reasoning,
      delta('Nine is more.'),
      text,
      delta('9.8'),
      {
        type: 'finish',
        finish: 'stop',
        usage: { input: 18, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 330, reasoning: 320 },
      },
    ],
  },
  {
    name: 'calls that grow in turns',
    data: [
      chunk(tool(0, 'call_a', 'f', '{"a":')),
      chunk(tool(1, 'call_b', 'g', '{"b"')),
      chunk(tool(0, undefined, undefined, '"}"}')),
      chunk(tool(1, undefined, undefined, ':1}')),
      chunk({}, 'tool_calls'),
    ],
    want: [
      start,
      call('call_a', 'f'),
      delta('{"a":"}"}'),
      call('call_b', 'g'),
      delta('{"b":1}'),
      { type: 'finish', finish: 'tool_calls' },
    ],
  },
  {
    name: 'a call without arguments before another, and text behind both',
    data: [
      chunk(tool(0, 'call_a', 'f', '')),
      chunk(tool(1, 'call_b', 'g', '{}')),
      chunk({ content: 'Done' }),
      chunk({ content: '.' }),
      chunk({}, 'stop'),
    ],
    want: [
      start,
      call('call_a', 'f'),
      call('call_b', 'g'),
      delta('{}'),
      text,
      delta('Done.'),
      { type: 'finish', finish: 'tool_calls' },
    ],
  },
  {
    name: 'calls without an index',
    data: [
      chunk(tool(undefined, 'call_a', 'f', '{"a":')),
      chunk(tool(undefined, undefined, undefined, '1}')),
      chunk(tool(undefined, 'call_b', 'g', '{}')),
    ],
    want: [
      start,
      call('call_a', 'f'),
      delta('{"a":1}'),
      call('call_b', 'g'),
      delta('{}'),
      { type: 'finish', finish: 'tool_calls' },
    ],
  },
  {
    name: 'calls that share an index, whole and as objects',
    data: [
      chunk({ tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: { a: 1 } } }] }),
      chunk(tool(0, 'y', 'g', '{}'), 'stop'),
    ],
    want: [
      start,
      call('x', 'f'),
      delta('{"a":1}'),
      call('y', 'g'),
      delta('{}'),
      { type: 'finish', finish: 'tool_calls' },
    ],
  },
  {
    name: 'calls whose id and name come again and again, or no id at all',
    data: [
      chunk(tool(0, 'call_a', 'f', '{')),
      chunk(tool(0, 'call_a', 'f', '}')),
      chunk(tool(1, undefined, 'g', '{}')),
    ],
    want: [
      start,
      call('call_a', 'f'),
      delta('{}'),
      call('call_c1_1', 'g'),
      delta('{}'),
      { type: 'finish', finish: 'tool_calls' },
    ],
  },
  {
    name: 'a function of old',
    data: [
      chunk({ function_call: { name: 'f', arguments: '' } }),
      chunk({ function_call: { arguments: '{}' } }, 'function_call'),
    ],
    want: [start, call('call_c1_0', 'f'), delta('{}'), { type: 'finish', finish: 'tool_calls' }],
  },
  {
    name: 'the thinking of Mistral, and another choice',
    data: [
      chunk({
        content: [
          { type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] },
          { type: 'text', text: 'Yes' },
        ],
      }),
      JSON.stringify({ choices: [{ index: 1, delta: { content: 'No' }, finish_reason: null }] }),
      chunk({}, 'length'),
    ],
    want: [start, reasoning, delta('Hm.'), text, delta('Yes'), { type: 'finish', finish: 'length' }],
  },
  {
    name: 'a refusal',
    data: [chunk({ role: 'assistant', refusal: 'I will not.' }), chunk({}, 'stop')],
    want: [start, { type: 'block', block: 'refusal' }, delta('I will not.'), { type: 'finish', finish: 'refusal' }],
  },
  {
    name: 'a filter',
    data: [chunk({}, 'content_filter')],
    want: [start, { type: 'finish', finish: 'content_filter' }],
  },
  {
    name: 'tools promised and not called',
    data: [chunk({ content: 'x' }, 'tool_calls')],
    want: [start, text, delta('x'), { type: 'finish', finish: 'stop' }],
  },
  {
    name: 'an end without a reason',
    data: [chunk({ content: 'x' }), '[DONE]', chunk({ content: 'late' })],
    want: [start, text, delta('x'), { type: 'finish', finish: 'stop' }],
  },
  { name: 'nothing', data: ['[DONE]'], want: [] },
] as { name: string; data: string[]; want: AnswerEvent[] }[]) {
  test(`a chat stream: ${name}`, () => assert.deepEqual(joined(decode(data)), want))
}

for (const [name, data] of [
  ['no JSON', ['oops']],
  ['a list', ['[]']],
  ['neither choices nor usage', ['{"id":"x"}']],
  ['an error', ['{"error":{"message":"no"}}']],
  ['an error as the reason', [chunk({}, 'error')]],
  ['a call without a name', [chunk(tool(0, 'x', undefined, '{}'))]],
  [
    'a call that goes on behind its end',
    [chunk(tool(0, 'x', 'f', '{}')), chunk({ content: 'y' }), chunk(tool(0, undefined, undefined, '1'))],
  ],
  ['too many calls', Array.from({ length: 1_025 }, (_, index) => chunk(tool(index, `c${index}`, 'f', '{}')))],
  [
    'too much that waits',
    [
      chunk(tool(0, 'a', 'f', '{')),
      ...Array.from({ length: 9 }, () => chunk(tool(1, 'b', 'f', 'x'.repeat(1024 * 1024)))),
    ],
  ],
] as const) {
  test(`not a chat stream: ${name}`, () => assert.throws(() => decode([...data]), WireError))
}

/** Event names and data of the frames that a client of messages gets. */
function encode(events: AnswerEvent[]): { type: string; [member: string]: unknown }[] {
  const encoder = createMessagesEventEncoder(options)
  return framesOf(events.map((event) => encoder.encode(event)).join(''))
}

function framesOf(text: string): { type: string; [member: string]: unknown }[] {
  return text.split(/(?<=\n\n)/).map((frame) => {
    const [, event, data] = /^event: (\w+)\ndata: (.*)\n\n$/.exec(frame) ?? []
    const value = JSON.parse(data ?? '')
    assert.equal(value.type, event)
    return value
  })
}

const blockStart = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block })
const blockDelta = (index: number, value: object) => ({ type: 'content_block_delta', index, delta: value })
const blockStop = (index: number) => ({ type: 'content_block_stop', index })
const usage = { input: 10, cacheRead: 3, cacheWrite5m: 2, cacheWrite1h: 1, output: 5, reasoning: 4 }

test('a whole stream of messages: blocks one after another, each with its index', () => {
  assert.deepEqual(
    encode([
      start,
      reasoning,
      delta('Hm.'),
      text,
      delta('a'),
      delta(''),
      delta('b'),
      call('call_1', 'f'),
      delta('{}'),
      call('odd id', 'g'),
      { type: 'finish', finish: 'tool_calls', usage },
    ]),
    [
      {
        type: 'message_start',
        message: {
          id: 'c1',
          type: 'message',
          role: 'assistant',
          model: 'm1',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: {
            input_tokens: 0,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 0,
            cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
            output_tokens: 0,
          },
        },
      },
      blockStart(0, { type: 'thinking', thinking: '', signature: '' }),
      blockDelta(0, { type: 'thinking_delta', thinking: 'Hm.' }),
      blockDelta(0, { type: 'signature_delta', signature: sealReasoning({ origin: 'chat' }) }),
      blockStop(0),
      blockStart(1, { type: 'text', text: '' }),
      blockDelta(1, { type: 'text_delta', text: 'a' }),
      blockDelta(1, { type: 'text_delta', text: 'b' }),
      blockStop(1),
      blockStart(2, { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }),
      blockDelta(2, { type: 'input_json_delta', partial_json: '{}' }),
      blockStop(2),
      blockStart(3, { type: 'tool_use', id: 'toolu_fgx_b2RkIGlk', name: 'g', input: {} }),
      blockStop(3),
      {
        type: 'message_delta',
        delta: { stop_reason: 'tool_use', stop_sequence: null },
        usage: {
          input_tokens: 4,
          cache_creation_input_tokens: 3,
          cache_read_input_tokens: 3,
          cache_creation: { ephemeral_5m_input_tokens: 2, ephemeral_1h_input_tokens: 1 },
          output_tokens: 5,
          output_tokens_details: { thinking_tokens: 4 },
        },
      },
      { type: 'message_stop' },
    ],
  )
})

test('reasoning that cannot be read carries what it must, and Claude’s own stays as it is', () => {
  const frames = encode([
    { type: 'start', id: '', model: '' },
    { type: 'block', block: 'reasoning', origin: 'responses' },
    { type: 'signature', id: 'rs_1', encrypted: 'gAAA' },
    { type: 'block', block: 'reasoning', origin: 'messages' },
    { type: 'signature', encrypted: 'EmwK' },
    { type: 'block', block: 'reasoning', origin: 'messages' },
    delta('Hm.'),
    { type: 'signature', signature: 'EqQB' },
    { type: 'finish', finish: 'stop' },
  ])
  assert.deepEqual(frames.slice(1, -2), [
    blockStart(0, { type: 'thinking', thinking: '', signature: '' }),
    blockDelta(0, {
      type: 'signature_delta',
      signature: sealReasoning({ origin: 'responses', id: 'rs_1', encrypted: 'gAAA' }),
    }),
    blockStop(0),
    blockStart(1, { type: 'redacted_thinking', data: 'EmwK' }),
    blockStop(1),
    blockStart(2, { type: 'thinking', thinking: '', signature: '' }),
    blockDelta(2, { type: 'thinking_delta', thinking: 'Hm.' }),
    blockDelta(2, { type: 'signature_delta', signature: 'EqQB' }),
    blockStop(2),
  ])
  assert.partialDeepStrictEqual(frames[0], { message: { id: `msg_${options.id}`, model: 'asked-for' } })
})

test('a cut ends the open block and the message, an error is an event', () => {
  const encoder = createMessagesEventEncoder(options)
  for (const event of [start, text, delta('a')]) encoder.encode(event)
  const end = { reason: 'insufficient_credits', fallback: { id: 'x', model: 'y' }, created: 1, choices: 1 }
  const frames = framesOf(encoder.cut({ ...end, usage: { input: 7, output: 2 } }))
  assert.deepEqual(
    frames.map(({ type }) => type),
    ['content_block_stop', 'message_delta', 'message_stop'],
  )
  assert.partialDeepStrictEqual(frames[1], {
    delta: { stop_reason: 'max_tokens' },
    usage: { input_tokens: 7, output_tokens: 2 },
    fluxgate: { reason: 'insufficient_credits' },
  })
  const early = framesOf(createMessagesEventEncoder(options).cut({ ...end, usage: undefined }))
  assert.deepEqual(
    early.map(({ type }) => type),
    ['message_start', 'message_delta', 'message_stop'],
  )
  const words = { message: 'No.', type: 'server_error', code: null, param: null, status: 504 }
  assert.deepEqual(framesOf(encoder.error(words)), [
    { type: 'error', error: { type: 'timeout_error', message: 'No.' } },
  ])
  assert.equal(encoder.done(), '')
})
