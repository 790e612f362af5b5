import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseWholeAnswer } from '#wire/openai-answer.ts'
import { decodeRawText } from '#wire/openai-chunk.ts'
import { createChatFormat } from '#wire/openai-format.ts'
import { createResponsesFormat } from '#wire/responses-format.ts'
import { createStreamReader } from './stream-reader.ts'

const EVENT_STREAM = { 'content-type': 'text/event-stream' }
const USAGE = { prompt_tokens: 1, completion_tokens: 2 }

const frame = (value: unknown) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`
const chunk = (delta: object, finish: string | null = null, more: object = {}) =>
  frame({ id: 'c1', model: 'm1', choices: [{ index: 0, delta, finish_reason: finish }], ...more })
const ROLE = chunk({ role: 'assistant', content: '' })
const said = (content: string) => chunk({ content })
const STOP = chunk({}, 'stop')
const USED = frame({ id: 'c1', model: 'm1', choices: [], usage: USAGE })
const DONE = frame('[DONE]')

/** Feeds a stream in pieces; returns what the relay would have seen. */
function read(
  pieces: (string | Buffer)[],
  options: { choices?: number; includeUsage?: boolean; type?: string; end?: 'end' | 'fault' | 'open' } = {},
) {
  const seen = { text: '', sent: '', last: undefined as string | undefined, fault: undefined as string | undefined }
  const reads: number[] = []
  const reader = createStreamReader({
    frameBytesMax: 10_000,
    format: createChatFormat({ includeUsage: options.includeUsage ?? false }),
    faultOfWhole(body) {
      const facts = parseWholeAnswer(body)
      return 'fault' in facts ? facts.fault : undefined
    },
    choices: options.choices ?? 1,
    includeUsage: options.includeUsage ?? false,
    onText: (text) => {
      seen.text += text
    },
    onFrames: (bytes) => {
      reads.push(bytes.length)
      seen.sent += bytes.toString()
    },
    onComplete: (last) => {
      assert.equal(seen.last ?? seen.fault, undefined, 'an answer ends once')
      seen.last = last.toString()
    },
    onFault: ({ code }) => {
      assert.equal(seen.last ?? seen.fault, undefined, 'an answer ends once')
      seen.fault = code
    },
  })
  reader.onAnswer({ ...EVENT_STREAM, ...(options.type !== undefined && { 'content-type': options.type }) })
  for (const piece of pieces) reader.onBody(Buffer.from(piece))
  if (options.end === 'fault') reader.onFault({ class: 'provider', code: 'reset' })
  else if (options.end !== 'open') reader.onEnd()
  return { ...seen, text: decodeRawText(seen.text), usage: reader.usage(), identity: reader.identity(), reads }
}

test('the client sees nothing before the first content, and the end only when the answer is whole', () => {
  assert.equal(read([ROLE], { end: 'open' }).sent, '')
  const half = read([ROLE, said('a'), said('b')], { end: 'open' })
  assert.equal(half.sent, ROLE + said('a') + said('b'))
  const whole = read([ROLE, said('a'), STOP, USED, DONE])
  assert.equal(whole.sent, ROLE + said('a'))
  assert.equal(whole.last, STOP)
  assert.deepEqual(whole.usage, USAGE)
  assert.deepEqual(whole.identity, { id: 'c1', model: 'm1' })
})

test('the usage chunk is passed on only to those who asked, and only it', () => {
  const filtered = frame({ choices: [], prompt_filter_results: [{ prompt_index: 0 }] })
  const stream = [filtered, ROLE, said('a'), STOP, USED, DONE]
  assert.equal(read(stream).sent + read(stream).last, filtered + ROLE + said('a') + STOP)
  const asked = read(stream, { includeUsage: true })
  assert.equal(asked.sent, filtered + ROLE + said('a'))
  assert.equal(asked.last, STOP + USED)
})

test('any chunking of a stream gives the same bytes, the same text and the same end', () => {
  const stream = Buffer.from(
    [ROLE, ': ping\n\n', said('日本'), said('🚀"\\'), chunk({ tool_calls: [{ function: { name: 'f' } }] })]
      .concat([STOP, USED, DONE])
      .join(''),
  )
  const { reads: _, ...whole } = read([stream])
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 12 }), (places) => {
      const ends = [...places.sort((a, b) => a - b), stream.length]
      const pieces = ends.map((end, index) => stream.subarray(ends[index - 1] ?? 0, end))
      const { reads: __, ...cut } = read(pieces.filter((piece) => piece.length > 0))
      assert.equal(cut.sent + cut.last, whole.sent + whole.last)
      assert.deepEqual({ ...cut, sent: '', last: '' }, { ...whole, sent: '', last: '' })
    }),
  )
})

test('frames of one read leave in one write', () => {
  assert.equal(read([ROLE + said('a') + said('b') + said('c'), STOP + DONE]).reads.length, 1)
})

test('text that was counted was delivered, whatever follows it in the same read', () => {
  for (const end of [frame({ error: { message: 'no' } }), frame('{"half'), `data: ${'x'.repeat(20_000)}`]) {
    const { text, sent, fault } = read([ROLE + said('a'), said('b') + said('c') + end])
    assert.notEqual(fault, undefined)
    assert.equal(text, 'abc')
    assert.equal(sent, ROLE + said('a') + said('b') + said('c'))
  }
})

test('content that comes in one read with a fault is not sent, so that another target may serve', () => {
  const { sent, fault } = read([ROLE + said('a') + frame({ error: { message: 'no' } })])
  assert.equal(sent, '')
  assert.equal(fault, 'error_in_stream')
})

const faults: [name: string, pieces: string[], options: Parameters<typeof read>[1], fault: string][] = [
  ['an empty body', [], {}, 'empty_stream'],
  ['only a comment', [': ping\n\n'], {}, 'empty_stream'],
  ['only a role', [ROLE], {}, 'empty_stream'],
  ['[DONE] and nothing else', [DONE], {}, 'empty_stream'],
  ['an error as its first frame', [frame({ error: { message: 'x' } })], {}, 'error_in_stream'],
  ['a malformed first frame', ['data: nonsense\n\n'], {}, 'malformed_frame'],
  ['an error after content', [ROLE, said('a'), frame({ error: 'x' })], {}, 'error_in_stream'],
  ['an end without finish reason', [ROLE, said('a')], {}, 'cut'],
  ['a break without finish reason', [ROLE, said('a')], { end: 'fault' }, 'reset'],
  ['one of two choices finished', [ROLE, said('a'), STOP], { choices: 2 }, 'cut'],
  ['one of two choices finished, and usage', [ROLE, said('a'), STOP, USED], { choices: 2 }, 'cut'],
  ['a page', ['<html>'], { type: 'text/html; charset=utf-8' }, 'html_answer'],
  ['a whole answer', [JSON.stringify({ choices: [{}] })], { type: 'application/json' }, 'not_a_stream'],
  ['an error as a whole body', ['{"error":{"message":"x"}}'], { type: 'application/json' }, 'error_in_200'],
  ['a body that is too long for JSON', ['x'.repeat(1_100_000)], { type: 'application/json' }, 'not_a_stream'],
]
for (const [name, pieces, options, fault] of faults)
  test(`a 200 with ${name} is the fault ${fault}`, () => {
    const result = read(pieces, options)
    assert.equal(result.fault, fault)
    assert.equal(result.last, undefined)
  })

const completes: [name: string, pieces: string[], options: Parameters<typeof read>[1]][] = [
  ['[DONE] is missing', [ROLE, said('a'), STOP, USED], {}],
  ['one of two finish reasons is missing', [ROLE, said('a'), STOP, USED, DONE], { choices: 2 }],
  ['[DONE] and usage are missing', [ROLE, said('a'), STOP], {}],
  ['the last blank line is missing', [ROLE, said('a'), STOP, USED, 'data: [DONE]'], {}],
  ['the connection breaks after the finish', [ROLE, said('a'), STOP], { end: 'fault' }],
  ['an error follows the finish', [ROLE, said('a'), STOP, frame({ error: 'x' })], {}],
  ['nonsense follows the finish', [ROLE, said('a'), STOP, 'data: nonsense\n\n'], {}],
  ['it says nothing', [ROLE, STOP, DONE], {}],
  ['nobody gives a finish reason', [ROLE, said('a'), DONE], {}],
  ['frames follow [DONE]', [ROLE, said('a'), STOP, DONE, said('b'), frame({ error: 'x' })], {}],
]
for (const [name, pieces, options] of completes)
  test(`an answer is whole although ${name}`, () => {
    const result = read(pieces, options)
    assert.equal(result.fault, undefined)
    assert.equal(typeof result.last, 'string')
  })

test('an empty finish reason in every chunk does not end the answer', () => {
  const { sent, last } = read([chunk({ content: 'a' }, ''), chunk({ content: 'b' }, ''), STOP, DONE])
  assert.equal(sent, chunk({ content: 'a' }, '') + chunk({ content: 'b' }, ''))
  assert.equal(last, STOP)
})

test('with several choices the end is the end of the last one', () => {
  const stop = (index: number) => frame({ choices: [{ index, delta: {}, finish_reason: 'stop' }] })
  const other = frame({ choices: [{ index: 1, delta: { content: 'b' } }] })
  const { sent, last } = read([ROLE, said('a'), stop(0), stop(0), other, stop(1), USED, DONE], { choices: 2 })
  assert.equal(sent, ROLE + said('a') + stop(0) + stop(0) + other)
  assert.equal(last, stop(1))
})

test('usage before the end is a placeholder, usage with the end is the truth', () => {
  const early = frame({ choices: [{ index: 0, delta: { role: 'assistant' } }], usage: { completion_tokens: 1 } })
  assert.equal(read([early, said('a'), STOP, DONE]).usage, undefined)
  assert.deepEqual(read([early, said('a'), chunk({}, 'stop', { usage: USAGE }), DONE]).usage, USAGE)
  assert.deepEqual(read([early, said('a'), STOP, USED, DONE]).usage, USAGE)
})

test('what is kept back is bounded', () => {
  const silent = chunk({ role: 'assistant' })
  const many = read(Array(300).fill(silent), { end: 'open' })
  assert.equal(many.sent, silent.repeat(300), 'so much without content counts as content')
  const padded = chunk({ content: 'x' }, null, { padding: 'x'.repeat(9_000) })
  const endless = read([ROLE, said('a'), STOP, ...Array(1_000).fill(padded)], { end: 'open' })
  assert.equal(typeof endless.last, 'string', 'an upstream that goes on after its end has ended')
})

test('a protocol that allows nothing after its last frame is not waited for', () => {
  const events = [
    { type: 'response.created', response: { id: 'resp_1', model: 'm' } },
    { type: 'response.output_text.delta', delta: 'hi', output_index: 0, content_index: 0 },
    { type: 'response.completed', response: { id: 'resp_1', status: 'completed', usage: USAGE, output: [] } },
  ]
  let last: string | undefined
  const reader = createStreamReader({
    frameBytesMax: 10_000,
    format: createResponsesFormat(),
    faultOfWhole: () => undefined,
    choices: 1,
    includeUsage: true,
    onText: () => undefined,
    onFrames: () => undefined,
    onComplete(bytes) {
      last = bytes.toString()
    },
    onFault: ({ code }) => assert.fail(code),
  })
  reader.onAnswer(EVENT_STREAM)
  for (const [index, event] of events.entries())
    reader.onBody(Buffer.from(`event: ${event.type}\n${frame({ ...event, sequence_number: index })}`))
  assert.match(last ?? '', /^event: response\.completed\n/)
})
