import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvariantError } from '#lib/assert.ts'
import { countPrompt, countTokens, loadTokenizer, measureAttachments, promptTokensUpperBound } from './count-tokens.ts'

const SEED = 20_261_122
const PROSE = 'The quick brown fox jumps over the lazy dog, and then it does so again. '

// First on purpose: everything below needs what it loads.
test('counting before loading is our bug, not a zero', async () => {
  assert.throws(() => countTokens('x'), InvariantError)
  await loadTokenizer()
  assert.equal(countTokens('x'), 1)
})

for (const { name, text, want } of [
  { name: 'nothing', text: '', want: 0 },
  { name: 'two words', text: 'hello world', want: 2 },
  { name: 'German', text: 'Donaudampfschifffahrtsgesellschaft', want: 10 },
  { name: 'Japanese', text: 'こんにちは世界', want: 2 },
  { name: 'digits in threes', text: '1234567', want: 3 },
  { name: 'an emoji', text: '😀', want: 1 },
  { name: 'a special token is text', text: '<|endoftext|>', want: 7 },
  { name: 'chat marks are text', text: '<|im_start|>system<|im_end|>', want: 13 },
]) {
  test(`countTokens: ${name}`, () => assert.equal(countTokens(text), want))
}

test('a long text counts as its parts do', () => {
  const once = countTokens(PROSE.trimEnd())
  assert.equal(countTokens(PROSE.repeat(5_000).trimEnd()), once * 5_000)
})

test('no text makes the counter throw or count more tokens than bytes', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.array(fc.nat(0xffff), { maxLength: 400 }).map((codes) => String.fromCharCode(...codes)), // Lone surrogates.
    fc.string({ unit: fc.constantFrom('<|', 'endoftext', '|>', ' ', '\n', 'é', '漢'), maxLength: 200 }),
    fc
      .tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }), fc.nat(6_000))
      .map(([unit, n]) => unit.repeat(n)),
  )
  fc.assert(
    fc.property(text, (value) => {
      const tokens = countTokens(value)
      assert.ok(Number.isSafeInteger(tokens) && tokens >= 0)
      assert.ok(tokens <= Buffer.byteLength(value))
      assert.equal(tokens > 0, value !== '')
    }),
    { seed: SEED, numRuns: 200 },
  )
})

// Noise must differ from run to run of letters, or the tokenizer's cache answers.
function noise(chars: number, from: number, span: number): string {
  let state = SEED
  const codes = Uint16Array.from({ length: chars }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return from + (state % span)
  })
  return Buffer.from(codes.buffer).toString('utf16le')
}

for (const { name, text } of [
  { name: 'one letter', text: 'a'.repeat(1_000_000) },
  { name: 'spaces', text: ' '.repeat(1_000_000) },
  { name: 'exclamation marks', text: '!'.repeat(1_000_000) },
  { name: 'combining marks', text: 'a\u0301'.repeat(500_000) },
  { name: 'lone surrogates', text: '\ud800'.repeat(1_000_000) },
  { name: 'random letters', text: noise(1_000_000, 0x61, 26) },
  { name: 'random ideographs', text: noise(10_000_000, 0x4e00, 20_000) },
]) {
  test(`${text.length / 1e6} million characters of ${name} are counted in bounded time`, () => {
    const started = performance.now()
    const tokens = countTokens(text)
    // Measured: 0.25 s at most. Without the bounds the first row takes ten minutes.
    assert.ok(performance.now() - started < 5_000)
    assert.ok(tokens > 0 && tokens <= 3 * text.length)
  })
}

test('what was too much work is estimated from a spread sample, and says so', () => {
  const plain = PROSE.repeat(20_000)
  const halves = countPrompt({ messages: [{ role: 'user', content: plain + noise(1_440_000, 0x61, 26) }] })
  const whole = countTokens(PROSE) * 20_000 + 1_440_000 * 0.52
  assert.equal(halves.exact, false)
  assert.ok(Math.abs(halves.tokens - whole) / whole < 0.1, `${halves.tokens} is not near ${whole}`)
  assert.equal(countPrompt({ messages: [{ role: 'user', content: PROSE }] }).exact, true)
})

const image = (detail?: string) => ({
  type: 'image_url',
  image_url: { url: `data:image/png;base64,${'A'.repeat(400)}`, ...(detail ? { detail } : {}) },
})
const audio = { type: 'input_audio', input_audio: { data: 'B'.repeat(10_660), format: 'mp3' } }
const tool = {
  type: 'function',
  function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
}
const user = (content: unknown) => [{ role: 'user', content }]

for (const { name, request, want } of [
  { name: 'no messages: the opened answer', request: { messages: [] }, want: { tokens: 3, exact: true } },
  {
    name: 'role and content',
    request: { messages: user('hello world') },
    want: { tokens: 3 + 3 + 1 + 2, exact: true },
  },
  {
    name: 'the same as parts',
    request: { messages: user([{ type: 'text', text: 'hello world' }]) },
    want: { tokens: 9, exact: true },
  },
  {
    name: 'a name',
    request: { messages: [{ role: 'user', name: 'bob', content: 'hello world' }] },
    want: { tokens: 10, exact: true },
  },
  {
    name: 'null content with a tool call',
    request: {
      messages: [
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
      ],
    },
    want: { tokens: 30, exact: true },
  },
  {
    name: 'a tool call whose arguments look like a payload',
    request: { messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: 'A'.repeat(400) } }] }] },
    want: { tokens: 65, exact: true },
  },
  {
    name: 'members that only some providers read, at any depth',
    request: {
      messages: [
        {
          role: 'user',
          content: '',
          reasoning_content: 'hello world',
          vendor: { deep: ['hello world', { a: 'hello world', b: 7, c: null }] },
        },
      ],
    },
    want: { tokens: 7 + 3 * 2, exact: true },
  },
  {
    name: 'reasoning is text, also when it looks like a payload',
    request: { messages: [{ role: 'user', reasoning_content: 'A'.repeat(400) }] },
    want: { tokens: 7 + 50, exact: true },
  },
  {
    name: 'text beside the text, the picture or the sound of a part',
    request: {
      messages: user([
        { type: 'text', text: 'hello world', note: 'hello world', cache_control: { type: 'ephemeral' } },
        { ...image(), text: 'hello world' },
        { ...audio, note: 'hello world' },
      ]),
    },
    want: { tokens: 7 + 4 * 2 + 765 + 10, exact: true },
  },
  {
    name: 'payloads in members that are not known are a guess',
    request: {
      messages: [
        { role: 'user', signature: 'C'.repeat(3_300) },
        { role: 'user', content: [{ type: 'text', text: '', data: `data:a/b;base64,${'C'.repeat(3_284)}` }] },
      ],
    },
    want: { tokens: 3 + 4 + 4 + 200, exact: false },
  },
  {
    name: 'tools as JSON',
    request: { messages: user('hello world'), tools: [tool] },
    want: { tokens: 37, exact: true },
  },
  { name: 'a picture', request: { messages: user([image()]) }, want: { tokens: 7 + 765, exact: true } },
  { name: 'a small picture', request: { messages: user([image('low')]) }, want: { tokens: 7 + 85, exact: true } },
  { name: 'sound by its length', request: { messages: user([audio]) }, want: { tokens: 7 + 10, exact: true } },
  {
    name: 'a document is a guess',
    request: { messages: user([{ type: 'file', file: { file_data: 'C'.repeat(3_300) } }]) },
    want: { tokens: 7 + 102, exact: false },
  },
  {
    name: 'a document or video that lies elsewhere costs more than its name',
    request: {
      messages: user([
        { type: 'file', file: { file_id: 'file-1' } },
        { type: 'video_url', video_url: { url: 'https://example.com/a.mp4' } },
        { type: 'image_url', image_url: { url: 'gs://b/a.pdf' } },
      ]),
    },
    want: { tokens: 7 + 3 * 3_000, exact: false },
  },
  {
    name: 'a document that is given as a picture is a guess too',
    request: {
      messages: user([{ type: 'image_url', image_url: { url: `data:application/pdf;base64,${'C'.repeat(3_300)}` } }]),
    },
    want: { tokens: 7 + 103, exact: false },
  },
  {
    name: 'what is no message counts nothing',
    request: { messages: [null, 3, 'x'] },
    want: { tokens: 3, exact: true },
  },
]) {
  test(`countPrompt: ${name}`, () => assert.deepEqual(countPrompt(request), want))
}

for (const { name, messages, want } of [
  { name: 'text has none', messages: user('hello'), want: { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 0 } },
  {
    name: 'inline pictures',
    messages: user([image(), image('low'), { type: 'text', text: 'x' }]),
    want: { dataUrlBytes: 800, images: 2, audioBytes: 0, unbounded: 0 },
  },
  {
    name: 'a picture elsewhere',
    messages: user([{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }]),
    want: { dataUrlBytes: 0, images: 1, audioBytes: 0, unbounded: 0 },
  },
  {
    name: 'data URLs and stored files that are no pictures, however they are spelt',
    messages: user(
      [
        'data:application/pdf;base64,AAAA',
        ' DATA:text/plain,hello',
        'data:;base64,AAAA',
        'data:imagery/x,A',
        'gs://b/a.pdf',
      ].map((url) => ({ type: 'image_url', image_url: { url } })),
    ),
    want: { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 5 },
  },
  {
    name: 'a picture in capitals',
    messages: user([{ type: 'image_url', image_url: { url: 'Data:Image/PNG;base64,AAAA' } }]),
    want: { dataUrlBytes: 0, images: 1, audioBytes: 0, unbounded: 0 },
  },
  {
    name: 'sound',
    messages: user([audio]),
    want: { dataUrlBytes: 10_660, images: 0, audioBytes: 10_660, unbounded: 0 },
  },
  {
    name: 'documents, videos and unknown parts',
    messages: user([{ type: 'file' }, { type: 'video_url' }, {}]),
    want: { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 3 },
  },
  {
    name: 'several messages',
    messages: [...user([image()]), ...user([image()]), null],
    want: { dataUrlBytes: 800, images: 2, audioBytes: 0, unbounded: 0 },
  },
]) {
  test(`measureAttachments: ${name}`, () => assert.deepEqual(measureAttachments(messages), want))
}

for (const { name, body, want } of [
  {
    name: 'text: a token per byte',
    body: { bodyBytes: 500, dataUrlBytes: 0, images: 0, audioBytes: 0 },
    want: 500 + 1_024,
  },
  {
    name: 'a picture: a constant for its bytes',
    body: { bodyBytes: 400_500, dataUrlBytes: 400_000, images: 1, audioBytes: 0 },
    want: 500 + 1_024 + 50_000,
  },
  {
    name: 'sound: a rate',
    body: { bodyBytes: 41_500, dataUrlBytes: 41_000, images: 0, audioBytes: 41_000 },
    want: 500 + 1_024 + 1_000,
  },
  {
    name: 'never below the constants',
    body: { bodyBytes: 10, dataUrlBytes: 99, images: 0, audioBytes: 0 },
    want: 1_024,
  },
]) {
  test(`promptTokensUpperBound: ${name}`, () => assert.equal(promptTokensUpperBound(body), want))
}

test('no prompt counts more tokens than its bound', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 })
  const part = fc.oneof(
    text.map((value) => ({ type: 'text', text: value })),
    fc.nat(3_000).map((n) => ({ type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(n)}` } })),
    fc.nat(3_000).map((n) => ({ type: 'input_audio', input_audio: { data: 'B'.repeat(n), format: 'wav' } })),
  )
  const message = fc.record(
    {
      role: fc.constantFrom('system', 'user', 'tool'),
      content: fc.oneof(text, fc.array(part, { maxLength: 4 })),
      vendor: fc.jsonValue({ maxDepth: 2 }),
      signature: fc.nat(3_000).map((n) => 'C'.repeat(n)),
    },
    { noNullPrototype: true },
  )
  const request = fc.record({
    messages: fc.array(message, { maxLength: 20 }),
    tools: fc.array(fc.constant(tool), { maxLength: 3 }),
  })
  fc.assert(
    fc.property(request, (body) => {
      const bodyBytes = Buffer.byteLength(JSON.stringify(body))
      const bound = promptTokensUpperBound({ bodyBytes, ...measureAttachments(body.messages) })
      assert.ok(countPrompt(body).tokens <= bound)
    }),
    { seed: SEED, numRuns: 300 },
  )
})
