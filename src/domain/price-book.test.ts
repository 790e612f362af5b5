import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { chargeNanos, priceLines, unpricedKinds } from '#billing/price.ts'
import type { Usage } from '#billing/usage.ts'
import { loadPriceBook, PriceBookError } from './price-book.ts'

const bytes = readFileSync(new URL('../../prices/price-book.json', import.meta.url))
const shipped = loadPriceBook(bytes)

function entry(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    lines: { input: '10', output: '20' },
    limits: { maxOutputTokens: 100 },
    reasoning: false,
    streaming: true,
    active: true,
    endpoint: 'chat',
    ...overrides,
  }
}

function book(entries: Record<string, unknown>, overrides: Record<string, unknown> = {}): string {
  return JSON.stringify({ version: '1', source: 'a test', entries, ...overrides })
}

test('the digest is the SHA-256 of the file', () => {
  assert.equal(shipped.digest, `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
  assert.equal(loadPriceBook(bytes.toString('utf8')).digest, shipped.digest)
  assert.notEqual(loadPriceBook(`${bytes.toString('utf8')}\n`).digest, shipped.digest)
})

test('each surface has its own units', () => {
  const charge = (model: string, usage: Usage) => {
    const [provider = '', name = ''] = model.split('/')
    const price = shipped.find(provider, name)?.price
    assert(price, model)
    return chargeNanos(usage, priceLines(price, usage))
  }
  assert.equal(charge('openai/tts-1', { characters: 1_000_000 }), 15_000_000_000n)
  assert.equal(charge('openai/tts-1-hd', { characters: 1 }), 30_000n)
  assert.equal(charge('openai/whisper-1', { seconds: 60 }), 6_000_000n)
  assert.equal(charge('openai/gpt-4o-mini-tts', { input: 1_000_000, audio_output: 1_000_000 }), 12_600_000_000n)
  assert.equal(charge('openai/gpt-4o-transcribe', { audio_input: 1_000_000, output: 100_000 }), 3_500_000_000n)
  assert.equal(charge('openai/text-embedding-3-small', { input: 1_000_000 }), 20_000_000n)
  assert.equal(charge('xai/grok-4.7', { input: 199_999, output: 1 }), 400_004_000n)
  assert.equal(charge('xai/grok-4.7', { input: 200_000, output: 1 }), 800_012_000n)
  for (const [model, usage] of [
    ['sim/embed', { input: 1 }],
    ['sim/speak', { characters: 1 }],
    ['sim/transcribe', { seconds: 1 }],
  ] as const)
    assert(charge(model, usage) > 0n, model)
})

const found = loadPriceBook(
  book({
    'one/big': entry({ aliases: ['large', 'big-latest'] }),
    'one/big-2025-01-01': entry({ lines: { input: '5', output: '5' } }),
    'two/*': entry({ lines: { input: '0', output: '0' } }),
    'two/named': entry(),
    'three/vendor/model': entry(),
  }),
)

for (const { name, provider, model, want } of [
  { name: 'by its name', provider: 'one', model: 'big', want: 'one/big' },
  { name: 'by an alias', provider: 'one', model: 'large', want: 'one/big' },
  { name: 'a snapshot is its own model', provider: 'one', model: 'big-2025-01-01', want: 'one/big-2025-01-01' },
  { name: 'a name with a slash', provider: 'three', model: 'vendor/model', want: 'three/vendor/model' },
  { name: 'the wildcard of its provider', provider: 'two', model: 'llama3.2:latest', want: 'two/*' },
  { name: 'a name before the wildcard', provider: 'two', model: 'named', want: 'two/named' },
  { name: 'not by another date', provider: 'one', model: 'big-2025-02-02', want: undefined },
  { name: 'not by another case', provider: 'one', model: 'Big', want: undefined },
  { name: 'not by a prefix', provider: 'one', model: 'bi', want: undefined },
  { name: 'not under another provider', provider: 'three', model: 'big', want: undefined },
  { name: 'not without a name', provider: 'two', model: '', want: undefined },
  { name: 'not by a property of objects', provider: 'one', model: 'constructor', want: undefined },
]) {
  test(`find: ${name}`, () => {
    const hit = found.find(provider, model)
    assert.equal(hit === undefined ? undefined : `${hit.provider}/${hit.model}`, want)
  })
}

test('models lists names in order and no wildcard', () => {
  const names = found.models().map(({ provider, model }) => `${provider}/${model}`)
  assert.deepEqual(names, ['one/big', 'one/big-2025-01-01', 'three/vendor/model', 'two/named'])
})

for (const { name, text, problem } of [
  { name: 'no JSON', text: '{', problem: /JSON|end/i },
  { name: 'a byte order mark', text: `\ufeff${book({ 'a/b': entry() })}`, problem: /JSON/ },
  {
    name: 'a repeated model',
    text: '{"version":"1","source":"s","entries":{"a/b":{},"a/b":{}}}',
    problem: /same key twice/,
  },
  { name: 'no entries', text: book({}), problem: /no entries/ },
  { name: 'no version', text: book({ 'a/b': entry() }, { version: '' }), problem: /version/ },
  {
    name: 'an unknown field of the book',
    text: book({ 'a/b': entry() }, { extra: 1 }),
    problem: /extra is not a field/,
  },
  { name: 'a key without a provider', text: book({ b: entry() }), problem: /"b" is not provider\/model/ },
  { name: 'a provider in capitals', text: book({ 'A/b': entry() }), problem: /not provider\/model/ },
  { name: 'a partial wildcard', text: book({ 'a/b*': entry() }), problem: /not provider\/model/ },
  { name: 'white space in a name', text: book({ 'a/b c': entry() }), problem: /not provider\/model/ },
  { name: 'an entry that is no object', text: book({ 'a/b': 3 }), problem: /a\/b: not an object/ },
  {
    name: 'an unknown field of an entry',
    text: book({ 'a/b': entry({ pirce: 1 }) }),
    problem: /a\/b: pirce is not a field/,
  },
  {
    name: 'a price as a number',
    text: book({ 'a/b': entry({ lines: { input: 10, output: '20' } }) }),
    problem: /a\/b: lines: input is not a decimal/,
  },
  { name: 'no lines', text: book({ 'a/b': entry({ lines: {} }) }), problem: /a\/b: lines are empty/ },
  {
    name: 'no output price',
    text: book({ 'a/b': entry({ lines: { input: '1' } }) }),
    problem: /a\/b: output has no price/,
  },
  {
    name: 'speech that can be counted in no way',
    text: book({ 'a/b': entry({ endpoint: 'speech', lines: { input: '1' } }) }),
    problem: /a\/b: characters has no price/,
  },
  {
    name: 'transcription that can be counted in no way',
    text: book({ 'a/b': entry({ endpoint: 'transcription' }) }),
    problem: /a\/b: seconds has no price/,
  },
  {
    name: 'an embedding without an input price',
    text: book({ 'a/b': entry({ endpoint: 'embedding', lines: { output: '1' } }) }),
    problem: /a\/b: input has no price/,
  },
  {
    name: 'half a long tier',
    text: book({ 'a/b': entry({ longContext: { lines: { input: '1' } } }) }),
    problem: /longContext needs/,
  },
  {
    name: 'a limit of zero',
    text: book({ 'a/b': entry({ limits: { maxOutputTokens: 0 } }) }),
    problem: /maxOutputTokens is not a count/,
  },
  {
    name: 'limits that are missing',
    text: book({ 'a/b': entry({ limits: undefined }) }),
    problem: /a\/b: limits: not an object/,
  },
  {
    name: 'a flag that is no boolean',
    text: book({ 'a/b': entry({ active: 1 }) }),
    problem: /active is not true or false/,
  },
  {
    name: 'an unknown endpoint',
    text: book({ 'a/b': entry({ endpoint: 'telegraph' }) }),
    problem: /endpoint is none of/,
  },
  {
    name: 'an alias that shadows a model',
    text: book({ 'a/b': entry({ aliases: ['c'] }), 'a/c': entry() }),
    problem: /the alias c is a model of its own/,
  },
  {
    name: 'an alias of two models',
    text: book({ 'a/b': entry({ aliases: ['x'] }), 'a/c': entry({ aliases: ['x'] }) }),
    problem: /the alias x is also one of a\/b/,
  },
  {
    name: 'an alias that is no name',
    text: book({ 'a/b': entry({ aliases: [''] }) }),
    problem: /aliases are not a list of names/,
  },
  {
    name: 'aliases of a wildcard',
    text: book({ 'a/*': entry({ aliases: ['x'] }) }),
    problem: /a wildcard has no aliases/,
  },
]) {
  test(`loadPriceBook refuses ${name}`, () => {
    assert.throws(
      () => loadPriceBook(text),
      (error) => error instanceof PriceBookError && error.problems.some((line) => problem.test(line)),
    )
  })
}

test('every problem of a book is reported at once', () => {
  const text = book({
    'a/b': entry({ active: 1, endpoint: 'x' }),
    'a/c': entry({ lines: { input: '1.5', output: '-2' } }),
  })
  assert.throws(
    () => loadPriceBook(text),
    (error) => error instanceof PriceBookError && error.problems.length === 4,
  )
})

test('bytes that are not UTF-8 are refused', () => {
  assert.throws(() => loadPriceBook(Uint8Array.of(0x7b, 0xff, 0x7d)), PriceBookError)
})

// The shipped book, by what it charges: provider, model, usage, nano-dollars.
for (const { model, usage, want } of [
  { model: 'openai/gpt-4o', usage: { input: 1_000, output: 1_000 }, want: 12_500_000n },
  { model: 'openai/gpt-4o-2024-05-13', usage: { input: 1_000, output: 1_000 }, want: 20_000_000n },
  { model: 'openai/gpt-4o-2024-11-20', usage: { input: 1_000, output: 1_000 }, want: 12_500_000n },
  { model: 'openai/gpt-4o-mini', usage: { input: 600, cache_read: 400, output: 200 }, want: 240_000n },
  { model: 'openai/gpt-5', usage: { input: 1_000, output: 180, reasoning: 120 }, want: 4_250_000n },
  { model: 'openai/gpt-5-2025-08-07', usage: { cache_read: 1_000 }, want: 125_000n },
  { model: 'openai/gpt-5.6', usage: { cache_write_5m: 1_000 }, want: 6_250_000n },
  { model: 'openai/gpt-5.4', usage: { input: 272_001, output: 1_000 }, want: 1_382_505_000n },
  { model: 'anthropic/claude-sonnet-4-5', usage: { input: 1_500, cache_read: 8_000, output: 150 }, want: 9_150_000n },
  { model: 'anthropic/claude-sonnet-4-5', usage: { input: 300_000, output: 1_000 }, want: 1_822_500_000n },
  { model: 'gemini/gemini-2.5-pro', usage: { input: 300_000, output: 1_000 }, want: 765_000_000n },
  { model: 'gemini/gemini-2.5-pro', usage: { cache_read: 300_000 }, want: 75_000_000n },
  { model: 'ollama/llama3.2', usage: { input: 1_000_000, output: 1_000_000 }, want: 0n },
  { model: 'sim/echo', usage: { input: 7, cache_read: 3, output: 11 }, want: 7_695n },
  { model: 'sim/reasoner', usage: { input: 1, output: 1, reasoning: 1 }, want: 339n },
  { model: 'sim/large', usage: { input: 200_001 }, want: 1_200_006_000n },
  { model: 'sim/free', usage: { input: 9, cache_read: 9, output: 9, reasoning: 9 }, want: 0n },
] satisfies { model: string; usage: Usage; want: bigint }[]) {
  test(`the shipped book charges ${want} n$ for ${JSON.stringify(usage)} of ${model}`, () => {
    const slash = model.indexOf('/')
    const hit = shipped.find(model.slice(0, slash), model.slice(slash + 1))
    assert.ok(hit)
    assert.equal(chargeNanos(usage, priceLines(hit.price, usage)), want)
  })
}

test('the shipped book leaves unpriced what nobody priced', () => {
  for (const provider of ['openrouter', 'groq', 'deepseek', 'mistral', 'xai', 'google']) {
    assert.equal(shipped.find(provider, 'anything'), undefined)
  }
  assert.equal(shipped.find('openai', 'GPT-4o'), undefined)
  assert.equal(shipped.find('openai', 'gpt-4o-search-preview'), undefined)
  const gpt = shipped.find('openai', 'gpt-4o')
  assert.deepEqual(gpt && unpricedKinds(gpt.price.lines, ['input', 'audio_input', 'calls']), ['audio_input', 'calls'])
})

test('every chat model that hides reasoning and has a documented limit carries it', () => {
  const bare = shipped.models().filter((one) => one.reasoning && one.limits.maxOutputTokens === undefined)
  // Nobody has written down the limits of these; a hold for them needs the client's own max_tokens.
  assert.deepEqual(
    bare.map(({ model }) => model),
    [
      'gemini-3.1-flash-lite',
      'gemini-3.1-pro-preview',
      'gemini-3.5-flash',
      'gemini-3.5-flash-lite',
      'gemini-3.6-flash',
      'gemini-3.7-flash',
      'gemini-robotics-er-2-preview',
      'computer-use-preview',
      'grok-4.7',
    ],
  )
})
