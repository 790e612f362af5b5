import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { createMessagesFormat, parseWholeMessage } from './anthropic-format.ts'
import { decodeRawText } from './openai-chunk.ts'
import type { FrameFacts, StreamFormat } from './protocol.ts'
import { createFrameSplitter, frameData } from './sse-frames.ts'

function framesOf(name: string): string[] {
  const text = readFileSync(new URL(`./fixtures/anthropic-stream-${name}.sse`, import.meta.url), 'utf8')
  return text.split(/(?<=\n\n)/)
}

function inspect(format: StreamFormat, frame: string, parse = false): FrameFacts {
  const buffer = Buffer.from(frame)
  return format.inspect(buffer, 0, buffer.length, parse)
}

/** What a whole stream is found to say, with the frames after the first content not parsed where they need not be. */
function readAll(format: StreamFormat, frames: string[], parseAll: boolean) {
  let contentSeen = false
  let usage: unknown
  let text = ''
  const kinds: string[] = []
  const finished: number[] = []
  let identity: object | undefined
  for (const frame of frames) {
    const facts = inspect(format, frame, parseAll || !contentSeen)
    kinds.push(facts.kind)
    if (facts.kind !== 'chunk') continue
    contentSeen ||= facts.content
    text += facts.text
    finished.push(...facts.finished)
    usage = facts.usage ?? usage
    identity ??= facts.identity
  }
  return { kinds, text: decodeRawText(text), finished, usage, identity }
}

for (const { name, text, usage, id, last } of [
  {
    name: 'text',
    text: 'Hello "wörld"\n\\ 🚀!',
    usage: {
      input_tokens: 25,
      cache_creation_input_tokens: 148,
      cache_read_input_tokens: 1800,
      cache_creation: { ephemeral_5m_input_tokens: 48, ephemeral_1h_input_tokens: 100 },
      output_tokens: 15,
      service_tier: 'standard',
    },
    id: 'msg_01XFDUDYJgAACzvnptvVoYEL',
    last: 'done',
  },
  {
    name: 'tools',
    text: 'Let me check.get_weather{"location": "Paris"}get_time',
    usage: { input_tokens: 472, output_tokens: 89 },
    id: 'msg_014p7gG3wDgGV9EUtLvnow3U',
    last: 'done',
  },
  {
    name: 'thinking',
    text: '27 * 453: 12,23127 * 453 = 12,231',
    usage: { input_tokens: 61, output_tokens: 214, output_tokens_details: { thinking_tokens: 186 } },
    id: 'msg_01Think',
    last: 'done',
  },
  { name: 'refusal', text: 'I can', usage: { input_tokens: 564, output_tokens: 3 }, id: 'msg_01Ref', last: 'done' },
]) {
  test(`a stream of ${name} is understood, parsed or not`, () => {
    for (const parseAll of [true, false]) {
      const read = readAll(createMessagesFormat(), framesOf(name), parseAll)
      assert.equal(read.text, text)
      assert.deepEqual(read.usage, usage)
      assert.deepEqual(read.finished, [0])
      assert.equal((read.identity as { id: string }).id, id)
      assert.equal(read.kinds.at(-1), last)
      assert.equal(read.kinds.includes('malformed'), false)
    }
  })
}

test('an error in the stream is one', () => {
  const read = readAll(createMessagesFormat(), framesOf('error'), false)
  assert.equal(read.kinds.at(-1), 'error')
  assert.deepEqual(read.finished, [])
})

const start = (block: object) =>
  `data: ${JSON.stringify({ type: 'content_block_start', index: 0, content_block: block })}\n\n`
const delta = (value: object) => `data: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: value })}\n\n`

for (const { name, frame, want } of [
  { name: 'a comment', frame: ': hello\n\n', want: { kind: 'silent' } },
  { name: 'a ping', frame: 'event: ping\ndata: {"type":"ping"}\n\n', want: { kind: 'silent' } },
  {
    name: 'the end',
    frame: 'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    want: { kind: 'done', frame: true },
  },
  { name: "another protocol's end", frame: 'data: [DONE]\n\n', want: { kind: 'done', frame: false } },
  { name: 'no JSON', frame: 'event: x\ndata: oops\n\n', want: { kind: 'malformed' } },
  { name: 'a list', frame: 'data: []\n\n', want: { kind: 'malformed' } },
  { name: 'no type', frame: 'data: {"index":0}\n\n', want: { kind: 'malformed' } },
  { name: 'an error without a type', frame: 'data: {"error":"no"}\n\n', want: { kind: 'error', error: 'no' } },
  { name: 'an event of tomorrow', frame: 'data: {"type":"aurora"}\n\n', want: { content: false, text: '' } },
  { name: 'a text block', frame: start({ type: 'text', text: '' }), want: { content: false, text: '' } },
  { name: 'a text block with text', frame: start({ type: 'text', text: 'a"' }), want: { content: true, text: 'a\\"' } },
  {
    name: 'a thinking block',
    frame: start({ type: 'thinking', thinking: '', signature: '' }),
    want: { content: false },
  },
  {
    name: 'a tool',
    frame: start({ type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }),
    want: { content: true, text: 'f' },
  },
  {
    name: 'redacted thinking',
    frame: start({ type: 'redacted_thinking', data: 'x' }),
    want: { content: true, text: '' },
  },
  { name: 'empty text', frame: delta({ type: 'text_delta', text: '' }), want: { content: false, text: '' } },
  { name: 'text', frame: delta({ type: 'text_delta', text: 'é' }), want: { content: true, text: '\xc3\xa9' } },
  { name: 'a signature', frame: delta({ type: 'signature_delta', signature: 'x' }), want: { content: true, text: '' } },
  { name: 'a citation', frame: delta({ type: 'citations_delta', citation: {} }), want: { content: true, text: '' } },
  {
    name: 'a pause that has not ended',
    frame: 'data: {"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":3}}\n\n',
    want: { finished: [], usage: { output_tokens: 3 } },
  },
] as { name: string; frame: string; want: object }[]) {
  test(`a frame: ${name}`, () => assert.partialDeepStrictEqual(inspect(createMessagesFormat(), frame, true), want))
}

const nasty = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '"',
        '\\',
        '\\"',
        '"}',
        '}}',
        ' }',
        '\n',
        '\n\n',
        'data: ',
        '"text":"',
        '日',
        '🚀',
        '\u0000',
        '\ud83d',
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 5 },
  )
  .map((parts) => parts.join(''))
const anyDelta = fc.oneof(
  nasty.map((text) => ({ type: 'text_delta', text })),
  nasty.map((thinking) => ({ type: 'thinking_delta', thinking })),
  nasty.map((partial_json) => ({ type: 'input_json_delta', partial_json })),
  nasty.map((text) => ({ text, type: 'text_delta' })),
  nasty.map((text) => ({ type: 'text_delta', text, x: 1 })),
  nasty.map((signature) => ({ type: 'signature_delta', signature })),
  nasty.map((text) => ({ type: 'unknown_delta', text })),
)
const anyFrame = fc
  .tuple(
    fc.oneof(
      fc.tuple(fc.nat(1), anyDelta).map(([index, value]) => ({ type: 'content_block_delta', index, delta: value })),
      anyDelta.map((value) => ({ type: 'content_block_delta', delta: value, index: 0 })),
      fc.tuple(nasty, anyDelta).map(([type, value]) => ({ type, index: 0, delta: value })),
    ),
    fc.constantFrom('event: content_block_delta\ndata: ', 'data: ', 'data:', 'event: ping\ndata: '),
    fc.constantFrom('', '   ', ' \t'),
    fc.constantFrom('\n\n', '\r\n\r\n', '\ndata: \n\n'),
  )
  .map(([event, head, pad, end]) => head + JSON.stringify(event).replace(/\}$/, `${pad}}`) + end)

test('frames are understood alike with and without parsing, whatever came before', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 6 }), (frames) => {
      const parsing = createMessagesFormat()
      const skipping = createMessagesFormat()
      for (const frame of frames) {
        const [a, b] = [inspect(parsing, frame, true), inspect(skipping, frame, false)]
        const readable = (facts: FrameFacts) =>
          facts.kind === 'chunk' ? { ...facts, text: decodeRawText(facts.text).toWellFormed() } : facts
        assert.deepEqual(readable(b), readable(a))
      }
    }),
    { numRuns: 3_000, seed: 11 },
  )
})

test('a delta that is like the last one in all but its text is not parsed', () => {
  for (const name of ['text', 'thinking', 'tools']) {
    const format = createMessagesFormat()
    const frame = framesOf(name).find((each) => each.includes('_delta","') && !each.includes('partial_json":""')) ?? ''
    inspect(format, frame, true)
    // Only a parser would mind the escape.
    const broken = frame.replace(/(":")[^"]*("[ }]*\n\n)$/, '$1\\q$2')
    assert.notEqual(broken, frame)
    assert.deepEqual(inspect(format, broken, true), { kind: 'malformed' })
    assert.partialDeepStrictEqual(inspect(format, broken, false), { kind: 'chunk', text: '\\q', content: true })
  }
})

test('any bytes are understood or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(anyFrame, fc.string({ unit: 'binary' })), { maxLength: 5 }), (frames) => {
      const format = createMessagesFormat()
      for (const frame of frames) inspect(format, frame)
    }),
    { numRuns: 500, seed: 11 },
  )
})

/** What a client makes of the frames we add. */
function eventsOf(frames: string): { event: string | undefined; data: Record<string, unknown> }[] {
  const found: { event: string | undefined; data: Record<string, unknown> }[] = []
  const splitter = createFrameSplitter(1_000_000, (buffer, from, to) => {
    const frame = buffer.toString('utf8', from, to)
    found.push({ event: /^event: (.*)$/m.exec(frame)?.[1], data: JSON.parse(frameData(frame) ?? '') })
  })
  splitter.push(Buffer.from(frames))
  for (const { event, data } of found) assert.equal(event, data.type)
  return found
}

const cutEnd = {
  reason: 'insufficient_credits',
  fallback: { id: 'msg_fallback', model: 'm' },
  created: 1,
  choices: 1,
  usage: { input: 10, output: 4, cache_read: 3 },
}

test('a cut closes the open block, says max_tokens with the usage, and ends the message', () => {
  const format = createMessagesFormat()
  for (const frame of framesOf('tools').slice(0, 7)) inspect(format, frame)
  const events = eventsOf(format.cut(cutEnd))
  assert.deepEqual(
    events.map(({ event }) => event),
    ['content_block_stop', 'message_delta', 'message_stop'],
  )
  assert.equal(events[0]?.data.index, 1)
  assert.partialDeepStrictEqual(events[1]?.data, {
    delta: { stop_reason: 'max_tokens', stop_sequence: null },
    usage: { input_tokens: 10, cache_read_input_tokens: 3, output_tokens: 4 },
    fluxgate: { reason: 'insufficient_credits' },
  })
})

test('a cut between blocks closes none, and one before the start begins the message', () => {
  const between = createMessagesFormat()
  for (const frame of framesOf('tools').slice(0, 4)) inspect(between, frame)
  assert.deepEqual(
    eventsOf(between.cut({ ...cutEnd, usage: undefined })).map(({ event }) => event),
    ['message_delta', 'message_stop'],
  )
  const [first] = eventsOf(createMessagesFormat().cut(cutEnd))
  assert.partialDeepStrictEqual(first?.data, { type: 'message_start', message: { id: 'msg_fallback', model: 'm' } })
})

test('an error is an event of its own', () => {
  const format = createMessagesFormat()
  const words = { message: 'Broken.', type: 'server_error', code: 'upstream_failed', param: null, status: 502 }
  assert.deepEqual(eventsOf(format.error(words)), [
    {
      event: 'error',
      data: {
        type: 'error',
        error: { type: 'api_error', message: 'Broken.', details: { error_code: 'upstream_failed' } },
      },
    },
  ])
})

test('the mark that ends a message is added where the upstream has left it out, and only there', () => {
  const format = createMessagesFormat()
  for (const frame of framesOf('tools').slice(0, -1)) inspect(format, frame)
  assert.equal(format.done(), 'event: message_stop\ndata: {"type":"message_stop"}\n\n')
  for (const frame of framesOf('tools').slice(-1)) inspect(format, frame)
  assert.equal(format.done(), '')
  const cut = createMessagesFormat()
  cut.cut(cutEnd)
  assert.equal(cut.done(), '')
})

const whole = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-x',
  content: [
    { type: 'thinking', thinking: 'Hm. ', signature: 's' },
    { type: 'text', text: 'Yes.' },
    { type: 'tool_use', id: 'toolu_1', name: 'f', input: { a: 1 } },
  ],
  stop_reason: 'tool_use',
  usage: { input_tokens: 1, output_tokens: 2 },
}

for (const { name, body, want } of [
  {
    name: 'a message',
    body: JSON.stringify(whole),
    want: { identity: { id: 'msg_1', model: 'claude-x' }, usage: whole.usage, text: 'Hm. Yes.f{"a":1}' },
  },
  {
    name: 'a message behind a byte order mark',
    body: `\ufeff${JSON.stringify(whole)}`,
    want: { identity: { id: 'msg_1', model: 'claude-x' } },
  },
  {
    name: 'an answer with nothing to say',
    body: JSON.stringify({ ...whole, content: [], stop_reason: 'end_turn' }),
    want: { text: '' },
  },
  {
    name: 'nothing at all',
    body: JSON.stringify({ ...whole, content: [], stop_reason: null }),
    want: { fault: 'empty' },
  },
  { name: 'an error', body: '{"type":"error","error":{"type":"api_error"}}', want: { fault: 'error_in_200' } },
  { name: 'an error of a proxy', body: '{"error":"x","content":[]}', want: { fault: 'error_in_200' } },
  { name: 'a chat answer', body: '{"choices":[]}', want: { fault: 'malformed' } },
  { name: 'a page', body: '<html>', want: { fault: 'malformed' } },
  { name: 'a list', body: '[]', want: { fault: 'malformed' } },
] as { name: string; body: string; want: object }[]) {
  test(`a whole answer: ${name}`, () => assert.partialDeepStrictEqual(parseWholeMessage(body), want))
}
