import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { answerIdentity, decodeRawText, inspectFrame } from './openai-chunk.ts'
import type { FrameFacts } from './protocol.ts'

function inspect(data: string, parse = false, shape = { head: '', tail: '' }): FrameFacts {
  const frame = Buffer.from(`data: ${data}\n\n`)
  return inspectFrame(frame, 0, frame.length, shape, parse)
}

/** Facts with the text decoded and without the identity, which only parsed frames have. */
function comparable(facts: FrameFacts) {
  if (facts.kind !== 'chunk') return facts
  const { identity: _, content: __, ...rest } = facts
  return { ...rest, text: decodeRawText(facts.text) }
}

// Text that looks like the marks the fast path searches for, with everything that JSON has to escape.
const nastyText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '"content":"',
        '"error":',
        '"finish_reason":"',
        '"usage":{',
        '\\',
        '"',
        '\\"',
        '\n',
        '\u2028',
        '}',
        '{',
        '[DONE]',
        'data: ',
        '日本',
        '🚀',
        'é',
        '\u0000',
        '\ud83d',
      ),
      fc.string({ maxLength: 6 }),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(''))

const text = fc.oneof(nastyText, fc.constant(''), fc.constant(null))
const called = fc.record({ name: text, arguments: text }, { requiredKeys: [] })
const delta = fc.record(
  {
    role: fc.constant('assistant'),
    content: text,
    refusal: text,
    reasoning_content: text,
    reasoning: text,
    tool_calls: fc.array(fc.record({ index: fc.nat(3), function: called }, { requiredKeys: [] }), { maxLength: 2 }),
    function_call: called,
    annotations: fc.array(fc.record({ type: nastyText, title: text }), { maxLength: 1 }),
  },
  { requiredKeys: [] },
)
const choice = fc.record(
  {
    index: fc.nat(2),
    delta,
    finish_reason: fc.constantFrom(null, '', 'stop', 'length', 'tool_calls'),
    logprobs: fc.constantFrom(null, { content: [{ token: 'a"', logprob: -1 }] }),
  },
  { requiredKeys: ['index'] },
)
const chunk = fc.record(
  {
    id: nastyText,
    model: nastyText,
    choices: fc.array(choice, { maxLength: 3 }),
    usage: fc.constantFrom(null, { prompt_tokens: 1 }, {}),
    x: fc.constantFrom('finish_reason":"', { y: 'usage' }, null),
  },
  { requiredKeys: ['choices'] },
)

interface Delta extends Record<string, unknown> {
  tool_calls?: { function?: { name?: unknown; arguments?: unknown } }[]
  function_call?: { name?: unknown; arguments?: unknown }
}

function expected(value: {
  choices: { index: number; delta?: Delta; finish_reason?: string | null }[]
  usage?: object | null
}): unknown {
  const strings = (values: unknown[]) => values.filter((item) => typeof item === 'string').join('')
  const said = value.choices.map(({ delta: d = {} }) =>
    strings([
      ...[d.content, d.reasoning_content, d.reasoning, d.refusal],
      ...(d.tool_calls ?? []).flatMap((call) => [call.function?.name, call.function?.arguments]),
      ...[d.function_call?.name, d.function_call?.arguments],
    ]),
  )
  return {
    kind: 'chunk',
    text: Buffer.from(said.join('')).toString(),
    finished: value.choices.flatMap(({ index, finish_reason }) => (finish_reason ? [index] : [])),
    usage: value.usage ?? undefined,
    bare: value.choices.length === 0,
  }
}

function facts(data: string, parse: boolean, shape = { head: '', tail: '' }) {
  const read = comparable(inspect(data, parse, shape))
  return read.kind === 'chunk' ? { ...read, text: Buffer.from(read.text).toString() } : read
}

test('the fast path and the parser read the same facts from any chunk', () => {
  fc.assert(
    fc.property(chunk, (value) => {
      const data = JSON.stringify(value)
      assert.deepEqual(facts(data, true), expected(value))
      assert.deepEqual(facts(data, false), expected(value))
    }),
    { numRuns: 3_000 },
  )
})

test('a shape that is remembered changes nothing, whatever follows in whatever order', () => {
  const shape = { head: '', tail: '' }
  const ordinary = fc.tuple(nastyText, fc.constantFrom('a', 'b')).map(([content, id]) => ({
    id,
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  }))
  fc.assert(
    fc.property(fc.oneof({ weight: 4, arbitrary: ordinary }, chunk), (value) => {
      assert.deepEqual(facts(JSON.stringify(value), false, shape), expected(value))
    }),
    { numRuns: 3_000 },
  )
})

test('what only looks like the last chunk is parsed', () => {
  const shape = { head: '', tail: '' }
  const said = (content: string) => `{"choices":[{"index":0,"delta":{"content":"${content}"}}]}`
  assert.equal(inspect(said('a'), false, shape).kind, 'chunk')
  assert.equal(inspect(said('a\\'), false, shape).kind, 'malformed', 'the last quote is escaped')
  const twice = inspect(said('a","refusal":"b'), false, shape)
  assert.equal(twice.kind === 'chunk' && decodeRawText(twice.text), 'ab')
  const over = inspect(said('"}}],"error":{"message":"x"},"y":[{"z":{"a":"'), false, shape)
  assert.equal(over.kind, 'error')
})

test('raw text of pieces that were cut anywhere decodes to what was written', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 8 })), (pieces) => {
      const raw = pieces.map((content) => {
        const found = inspect(JSON.stringify({ choices: [{ index: 0, delta: { content } }] }))
        return found.kind === 'chunk' ? found.text : assert.fail()
      })
      assert.equal(decodeRawText(raw.join('')), pieces.join(''))
    }),
  )
})

const cases: [name: string, data: string, kind: FrameFacts['kind']][] = [
  ['the end mark', '[DONE]', 'done'],
  ['an error', '{"error":{"message":"no"}}', 'error'],
  ['an error beside choices', '{"choices":[],"error":{"code":502,"message":"no"}}', 'error'],
  ['an error that is a string', '{"error":"no"}', 'error'],
  ['an answer that ends in an error', '{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}', 'error'],
  ['an error that is null', '{"error":null,"choices":[{"index":0,"delta":{"content":"a"}}]}', 'chunk'],
  ['half of a chunk', '{"id":"a","choices":[{"index":0,"del', 'malformed'],
  ['words', 'upstream request timeout', 'malformed'],
  ['a page', '<html><body>502</body></html>', 'malformed'],
  ['a list', '[]', 'malformed'],
  ['null', 'null', 'malformed'],
  ['an object without choices', '{"type":"ping"}', 'malformed'],
  ['usage without choices', '{"usage":{"prompt_tokens":1}}', 'chunk'],
]
for (const [name, data, kind] of cases)
  test(`a frame with ${name} is ${kind}`, () => {
    assert.equal(inspect(data, false).kind, kind)
    assert.equal(inspect(data, true).kind, kind)
  })

test('frames without data are silent', () => {
  for (const frame of [': keepalive\n\n', '\n', 'event: ping\n\n', 'data:\n\n']) {
    const buffer = Buffer.from(frame)
    assert.equal(inspectFrame(buffer, 0, buffer.length, { head: '', tail: '' }).kind, 'silent')
  }
})

test('what is not text but generated all the same counts as content', () => {
  const content = (delta: object) => {
    const found = inspect(JSON.stringify({ choices: [{ index: 0, delta }] }), true)
    return found.kind === 'chunk' && found.content
  }
  assert.equal(content({ audio: { id: 'a', data: 'UklG' } }), true)
  assert.equal(content({ images: [{ type: 'image_url' }] }), true)
  assert.equal(content({ tool_calls: [{ index: 0, id: 'call_1', function: { name: 'f', arguments: '' } }] }), true)
  assert.equal(content({ role: 'assistant', content: '', refusal: null }), false)
  assert.equal(content({ role: 'assistant', tool_calls: [] }), false)
  assert.equal(content({}), false)
})

const names: [name: string, given: unknown, read: string | undefined][] = [
  ['an ordinary id', 'chatcmpl-1', 'chatcmpl-1'],
  ['no text', 7, undefined],
  ['nothing', '', undefined],
  ['a long one', 'x'.repeat(300), 'x'.repeat(255)],
  ['half a surrogate pair', 'a\ud83d', 'a\ufffd'],
  ['a pair that the limit would cut', `${'x'.repeat(254)}🚀`, `${'x'.repeat(254)}\ufffd`],
  ['control characters, which no record can hold', 'a\u0000b\nc', 'abc'],
  ['nothing but control characters', '\u0000', undefined],
]
for (const [name, given, read] of names)
  test(`the name a provider gives its answer: ${name}`, () => {
    assert.deepEqual(answerIdentity({ id: given }), read === undefined ? {} : { id: read })
  })

for (const [name, delta, want] of [
  ['the input of a tool that takes any text', { tool_calls: [{ custom: { name: 'f', input: 'abc' } }] }, 'fabc'],
  ['text in parts', { content: [{ type: 'text', text: 'ab' }, null, 'x'] }, 'ab'],
  ['thoughts in parts', { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'hm' }, 1] }] }, 'hm'],
] as const) {
  test(`what is generated is counted: ${name}`, () => {
    const facts = inspect(JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] }))
    assert.deepEqual(facts.kind === 'chunk' && [facts.text, facts.content], [want, true])
  })
}
