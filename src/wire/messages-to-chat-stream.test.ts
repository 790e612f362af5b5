import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createMessagesEventDecoder } from './anthropic-decode-stream.ts'
import { createChatEventEncoder } from './chat-encode-stream.ts'
import type { AnswerEvent } from './neutral.ts'
import { WireError } from './protocol.ts'
import { frameData } from './sse-frames.ts'

const options = { id: '0'.repeat(32), created: 1, request: { model: 'asked-for' }, includeUsage: false }

function dataOf(name: string): string[] {
  const text = readFileSync(new URL(`./fixtures/anthropic-stream-${name}.sse`, import.meta.url), 'utf8')
  return text.split(/(?<=\n\n)/).map((frame) => frameData(frame) ?? '')
}

function decode(data: readonly (string | object)[]): AnswerEvent[] {
  const decoder = createMessagesEventDecoder()
  const text = data.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)))
  return [...text.flatMap((each) => decoder.decode(each)), ...decoder.end()]
}

const begin = {
  type: 'message_start',
  message: { id: 'msg_1', model: 'm1', usage: { input_tokens: 1, output_tokens: 1 } },
}
const blockStart = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block })
const blockDelta = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta })
const blockStop = (index: number) => ({ type: 'content_block_stop', index })
const ending = (stop_reason: string | null) => [
  { type: 'message_delta', delta: { stop_reason }, usage: { output_tokens: 2 } },
  { type: 'message_stop' },
]
const start: AnswerEvent = { type: 'start', id: 'msg_1', model: 'm1' }
const text: AnswerEvent = { type: 'block', block: 'text' }
const delta = (words: string): AnswerEvent => ({ type: 'delta', text: words })
const call = (id: string, name: string): AnswerEvent => ({ type: 'block', block: 'tool_call', id, name })
const reasoning: AnswerEvent = { type: 'block', block: 'reasoning', origin: 'messages' }
const none = { cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, reasoning: 0 }

for (const { name, data, want } of [
  {
    name: 'text',
    data: dataOf('text'),
    want: [
      { type: 'start', id: 'msg_01XFDUDYJgAACzvnptvVoYEL', model: 'claude-sonnet-4-5-20250929' },
      text,
      delta('Hello'),
      delta(' "wörld"\n'),
      delta('\\ 🚀!'),
      {
        type: 'finish',
        finish: 'stop',
        usage: { input: 1_973, cacheRead: 1_800, cacheWrite5m: 48, cacheWrite1h: 100, output: 15, reasoning: 0 },
      },
    ],
  },
  {
    name: 'tools',
    data: dataOf('tools'),
    want: [
      { type: 'start', id: 'msg_014p7gG3wDgGV9EUtLvnow3U', model: 'claude-opus-4-5-20251101' },
      text,
      delta('Let me check.'),
      call('call_01T1x1fJ34qAmk2tNTrN7Up6', 'get_weather'),
      delta('{"location":'),
      delta(' "Paris"}'),
      call('call_02', 'get_time'),
      { type: 'finish', finish: 'tool_calls', usage: { ...none, input: 472, output: 89 } },
    ],
  },
  {
    name: 'thinking',
    data: dataOf('thinking'),
    want: [
      { type: 'start', id: 'msg_01Think', model: 'claude-sonnet-4-5-20250929' },
      reasoning,
      delta('27 * 453: '),
      delta('12,231'),
      { type: 'signature', signature: 'EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds' },
      reasoning,
      { type: 'signature', encrypted: 'EmwKAhgBEgy3va3pzix/LafPsn4a' },
      text,
      delta('27 * 453 = 12,231'),
      { type: 'finish', finish: 'length', usage: { ...none, input: 61, output: 214, reasoning: 186 } },
    ],
  },
  {
    name: 'a refusal',
    data: dataOf('refusal'),
    want: [
      { type: 'start', id: 'msg_01Ref', model: 'claude-opus-4-5' },
      text,
      delta('I can'),
      { type: 'finish', finish: 'refusal', usage: { ...none, input: 564, output: 3 } },
    ],
  },
  {
    name: 'a pause',
    data: [begin, ...ending('pause_turn'), '[DONE]'],
    want: [start, { type: 'finish', finish: 'pause', usage: { ...none, input: 1, output: 2 } }],
  },
  {
    name: 'arguments at once, and a citation',
    data: [
      begin,
      blockStart(0, { type: 'tool_use', id: 'toolu_1', name: 'f', input: { a: 1 } }),
      blockStop(0),
      blockStart(1, { type: 'text', text: 'x' }),
      blockDelta(1, { type: 'citations_delta', citation: {} }),
      blockStop(1),
      ...ending('tool_use'),
    ],
    want: [
      start,
      call('call_1', 'f'),
      delta('{"a":1}'),
      text,
      delta('x'),
      { type: 'finish', finish: 'tool_calls', usage: { ...none, input: 1, output: 2 } },
    ],
  },
  {
    name: 'what the provider did itself, and events of tomorrow',
    data: [
      { type: 'ping' },
      begin,
      blockStart(0, { type: 'server_tool_use', id: 's', name: 'web_search', input: {} }),
      blockDelta(0, { type: 'input_json_delta', partial_json: '{}' }),
      blockStop(0),
      { type: 'aurora' },
      ...ending('end_turn'),
    ],
    want: [start, { type: 'finish', finish: 'stop', usage: { ...none, input: 1, output: 2 } }],
  },
  {
    name: 'an end that only the connection tells',
    data: [begin],
    want: [start, { type: 'finish', finish: 'stop', usage: { ...none, input: 1, output: 1 } }],
  },
  { name: 'nothing', data: [], want: [] },
] as { name: string; data: (string | object)[]; want: AnswerEvent[] }[]) {
  test(`a messages stream: ${name}`, () => assert.deepEqual(decode(data), want))
}

for (const [name, data] of [
  ['no JSON', ['oops']],
  ['a list', ['[]']],
  ['an error', dataOf('error')],
  ['no beginning', [blockStart(0, { type: 'text', text: '' })]],
  ['two beginnings', [begin, begin]],
  ['a block in a block', [begin, blockStart(0, { type: 'text', text: '' }), blockStart(1, { type: 'text', text: '' })]],
  ['a delta without a block', [begin, blockDelta(0, { type: 'text_delta', text: 'x' })]],
  [
    'a delta of another block',
    [begin, blockStart(0, { type: 'text', text: '' }), blockDelta(1, { type: 'text_delta' })],
  ],
  ['an end without a block', [begin, blockStop(0)]],
  ['a call without a name', [begin, blockStart(0, { type: 'tool_use', id: 'toolu_1' })]],
  ['an event without a type', [begin, {}]],
] as const) {
  test(`not a messages stream: ${name}`, () => assert.throws(() => decode(data), WireError))
}

function encode(events: AnswerEvent[], includeUsage: boolean): Record<string, unknown>[] {
  const encoder = createChatEventEncoder({ ...options, includeUsage })
  return chunksOf(events.map((event) => encoder.encode(event)).join(''))
}

function chunksOf(frames: string): Record<string, unknown>[] {
  return frames.split(/(?<=\n\n)/).map((frame) => JSON.parse(frameData(frame) ?? ''))
}

const usage = { input: 10, cacheRead: 3, cacheWrite5m: 0, cacheWrite1h: 0, output: 5, reasoning: 4 }
const events: AnswerEvent[] = [
  start,
  reasoning,
  delta('Hm. '),
  delta('So.'),
  { type: 'signature', signature: 'EqQB' },
  text,
  delta('a'),
  call('call_1', 'f'),
  delta('{"a"'),
  delta(':1}'),
  call('call_2', 'g'),
  { type: 'finish', finish: 'tool_calls', usage },
]

test('a whole chat stream: the role first, ids and names once, reasons last, no usage unasked', () => {
  const chunks = encode(events, false)
  for (const chunk of chunks) {
    assert.equal('usage' in chunk, false)
    assert.partialDeepStrictEqual(chunk, { id: 'msg_1', object: 'chat.completion.chunk', created: 1, model: 'm1' })
  }
  assert.deepEqual(
    chunks.map(({ choices }) => choices),
    [
      { role: 'assistant', content: '' },
      { reasoning_content: 'Hm. ' },
      { reasoning_content: 'So.' },
      {
        reasoning_details: [
          { type: 'reasoning.text', text: 'Hm. So.', signature: 'EqQB', format: 'anthropic-claude-v1', index: 0 },
        ],
      },
      { content: 'a' },
      { tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"a"' } }] },
      { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] },
      { tool_calls: [{ index: 1, id: 'call_2', type: 'function', function: { name: 'g', arguments: '' } }] },
      { tool_calls: [{ index: 1, function: { arguments: '{}' } }] },
      {},
    ].map((value, index, all) => [
      { index: 0, delta: value, finish_reason: index === all.length - 1 ? 'tool_calls' : null },
    ]),
  )
})

test('usage that is asked for comes in a chunk of its own, and is null before', () => {
  const chunks = encode(events, true)
  assert.deepEqual(chunks.at(-1)?.choices, [])
  assert.deepEqual(chunks.at(-1)?.usage, {
    prompt_tokens: 10,
    completion_tokens: 5,
    total_tokens: 15,
    prompt_tokens_details: { cached_tokens: 3 },
    completion_tokens_details: { reasoning_tokens: 4 },
  })
  for (const chunk of chunks.slice(0, -1)) assert.equal(chunk.usage, null)
  const unknown = encode([start, { type: 'finish', finish: 'stop' }], true)
  assert.deepEqual(
    unknown.map(({ usage: told }) => told),
    [null, null],
  )
})

for (const { finish, refusal, reason, extra } of [
  { finish: 'stop', reason: 'stop' },
  { finish: 'length', reason: 'length' },
  { finish: 'content_filter', reason: 'content_filter' },
  { finish: 'refusal', reason: 'content_filter' },
  { finish: 'refusal', refusal: true, reason: 'stop' },
  { finish: 'pause', reason: 'stop', extra: { reason: 'pause_turn' } },
] as const) {
  test(`the end ${finish}${refusal ? ' in words' : ''} is ${reason}`, () => {
    const said: AnswerEvent[] = refusal ? [{ type: 'block', block: 'refusal' }, delta('No.')] : [text, delta('x')]
    const chunks = encode([start, ...said, { type: 'finish', finish }], false)
    assert.deepEqual(chunks.at(-1)?.choices, [{ index: 0, delta: {}, finish_reason: reason }])
    assert.deepEqual(chunks.at(-1)?.fluxgate, extra)
    if (refusal) assert.deepEqual(chunks[1]?.choices, [{ index: 0, delta: { refusal: 'No.' }, finish_reason: null }])
  })
}

test('our own words are those of a chat', () => {
  const encoder = createChatEventEncoder({ ...options, includeUsage: true })
  encoder.encode({ type: 'start', id: '', model: '' })
  const end = { reason: 'insufficient_credits', fallback: { id: 'x', model: 'y' }, created: 2, choices: 1 }
  const [cut, told] = chunksOf(encoder.cut({ ...end, usage: { input: 7, output: 2 } }))
  assert.partialDeepStrictEqual(cut, {
    id: `chatcmpl-${options.id}`,
    model: 'asked-for',
    created: 1,
    choices: [{ index: 0, delta: {}, finish_reason: 'length' }],
    fluxgate: { reason: 'insufficient_credits' },
  })
  assert.partialDeepStrictEqual(told, { choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } })
  const words = { message: 'No.', type: 'server_error', code: 'x', param: null, status: 502 }
  assert.deepEqual(chunksOf(encoder.error(words)), [
    { error: { message: 'No.', type: 'server_error', code: 'x', param: null } },
  ])
  assert.equal(encoder.done(), 'data: [DONE]\n\n')
})
