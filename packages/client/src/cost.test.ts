import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { completePrice, priceTerms, usageNanos } from '../../../src/billing/price.ts'
import { loadPriceBook } from '../../../src/domain/price-book.ts'
import { costOf, formatUsd, priceOf, readPrices, type Usage, usageOf } from './index.ts'

const per = (prices: Record<string, number | string>) =>
  Object.fromEntries(Object.entries(prices).map(([name, usd]) => [`dollars_per_million_tokens_${name}`, usd]))
const long = { long_context_threshold_tokens: 200_000, supports_long_context_pricing: true }

// The rows of llmring's registry that its own figures were checked with.
const models = {
  'openai:gpt-4o-mini': per({ input: 0.15, output: 0.6, cached_input: 0.075 }),
  'openai:gpt-5': { ...per({ input: 1.25, output: 10, cached_input: 0.125 }), model_aliases: ['gpt-5-2025-08-07'] },
  'anthropic:claude-sonnet-4-5': {
    ...per({ input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6 }),
    ...per({ input_long_context: 6, output_long_context: 22.5 }),
    ...long,
  },
  'google:gemini-2.5-pro': {
    ...per({ input: 1.25, output: 10, input_long_context: 2.5, output_long_context: 15 }),
    ...long,
  },
  'test:thinks': per({ input: '1.0', output: 1.5, output_thinking: 4 }),
  'test:free': per({ input: 0, output: 0 }),
  'test:unpriced': { max_input_tokens: 1000 },
  'test:no-output': per({ input: 1 }),
}
const prices = readPrices({ models })

for (const { name, model, usage, usd } of [
  { name: 'input and output', model: 'openai:gpt-4o-mini', usage: { input: 1000, output: 200 }, usd: '0.00027' },
  {
    name: 'a cache hit',
    model: 'openai:gpt-4o-mini',
    usage: { input: 600, cache_read: 400, output: 200 },
    usd: '0.00024',
  },
  {
    name: 'most of it from the cache',
    model: 'anthropic:claude-sonnet-4-5',
    usage: { input: 1500, cache_read: 8000, output: 150 },
    usd: '0.00915',
  },
  {
    name: 'both lifetimes of the cache',
    model: 'anthropic:claude-sonnet-4-5',
    usage: { input: 3800, cache_read: 1200, cache_write_5m: 800, cache_write_1h: 600, output: 1000 },
    usd: '0.03336',
  },
  {
    name: 'reasoning as output',
    model: 'openai:gpt-5',
    usage: { input: 1000, output: 180, reasoning: 120 },
    usd: '0.00425',
  },
  { name: 'by an alias', model: 'openai:gpt-5-2025-08-07', usage: { input: 1000, output: 300 }, usd: '0.00425' },
  { name: 'by the name of the gateway', model: 'gemini/gemini-2.5-pro', usage: { input: 1000 }, usd: '0.00125' },
  {
    name: 'thinking at its own price',
    model: 'test:thinks',
    usage: { input: 1000, output: 180, reasoning: 120 },
    usd: '0.00175',
  },
  // The whole request at the higher rate, where llmring has 0.51 and 1.215.
  { name: 'long context', model: 'google:gemini-2.5-pro', usage: { input: 300_000, output: 1000 }, usd: '0.765' },
  {
    name: 'long context too',
    model: 'anthropic:claude-sonnet-4-5',
    usage: { input: 300_000, output: 1000 },
    usd: '1.8225',
  },
  {
    name: 'long by what is cached',
    model: 'google:gemini-2.5-pro',
    usage: { input: 1, cache_read: 200_000 },
    usd: '0.5000025',
  },
  { name: 'not yet long', model: 'google:gemini-2.5-pro', usage: { input: 200_000, output: 1000 }, usd: '0.26' },
  { name: 'one token', model: 'openai:gpt-4o-mini', usage: { input: 1 }, usd: '0.00000015' },
  { name: 'rounded up once', model: 'openai:gpt-4o-mini', usage: { cache_read: 1, input: 0 }, usd: '0.000000075' },
  { name: 'free, which is a price', model: 'test:free', usage: { input: 1000, output: 10 }, usd: '0' },
] as { name: string; model: string; usage: Usage; usd: string }[]) {
  test(`cost: ${name}`, () => {
    const cost = prices.costOf(model, usage)
    assert.equal(cost.status === 'priced' ? formatUsd(cost.nanousd) : cost.status, usd)
  })
}

for (const [model, usage, status] of [
  ['gpt-4o-mini', { input: 1 }, 'invalid_model_format'],
  ['openai:', { input: 1 }, 'invalid_model_format'],
  ['openai:gpt-9', { input: 1 }, 'model_not_in_registry'],
  ['openai:constructor', { input: 1 }, 'model_not_in_registry'],
  ['test:unpriced', { input: 1 }, 'no_pricing_in_registry'],
  ['test:no-output', { input: 1, output: 1 }, 'no_pricing_in_registry'],
  ['openai:gpt-4o-mini', undefined, 'no_usage'],
] as const) {
  test(`no cost: ${model} is ${status}`, () => assert.equal(prices.costOf(model, usage).status, status))
}

test('what is no usage is refused, not priced', () => {
  const price = priceOf(models['openai:gpt-4o-mini'])
  for (const usage of [{ input: -5 }, { input: 1.5 }, { output: 2 ** 53 }, { tokens: 1 } as Usage])
    assert.throws(() => costOf(usage, price), RangeError)
})

test('a price that is none is refused', () => {
  for (const input of [-1, Number.NaN, 0.0000001, 1e-20, '1e3', 'free', 2e9, {}, true])
    assert.throws(() => priceOf(per({ input: input as number, output: 1 })), TypeError, String(input))
  assert.throws(() => priceOf(null), TypeError)
  assert.throws(() => priceOf({ lines: { input: 1 } }))
  assert.throws(() => readPrices({ data: [] }), TypeError)
  assert.equal(priceOf(per({ input: 0.000001 }))?.lines.input, 1n)
})

test('a row of a gateway: the exact prices count, and units that are no tokens', () => {
  const row = {
    ...per({ input: 0.1 + 0.2 }),
    picousd_per_unit: { input: '300000', output: '600000' },
    picousd_per_unit_long_context: { input: '600000' },
    long_context_threshold_tokens: 200_000,
  }
  const price = priceOf(row)
  assert.deepEqual([price?.lines.input, price?.longContext?.lines.input], [300_000n, 600_000n])
  const speech = priceOf({ dollars_per_million_characters: 15, dollars_per_second: 0.0001, dollars_per_call: 0.01 })
  assert.deepEqual(speech?.lines, { characters: 15_000_000n, seconds: 100_000_000n, calls: 10_000_000_000n })
})

test('the price book of the gateway gives the prices that the gateway has', async () => {
  const text = await readFile(new URL('../../../prices/price-book.json', import.meta.url), 'utf8')
  const book = loadPriceBook(text)
  const ours = readPrices(JSON.parse(text))
  for (const { provider, model, aliases, price } of book.models())
    for (const name of [model, ...aliases]) assert.deepEqual(ours.find(`${provider}/${name}`), price)
  assert.deepEqual(ours.find('ollama:anything'), book.find('ollama', 'anything')?.price)
})

test('for any prices and usage, the registry row costs what the gateway would charge', () => {
  const micro = fc.integer({ min: 0, max: 100_000_000 })
  const tokens = fc.integer({ min: 0, max: 400_000 })
  fc.assert(
    fc.property(
      micro,
      micro,
      micro,
      micro,
      tokens,
      tokens,
      tokens,
      (input, read, output, more, fresh, cached, answer) => {
        const usd = (pico: number) => pico / 1e6
        const row = {
          ...per({ input: usd(input), cache_read: usd(read), output: usd(output) }),
          ...per({ input_long_context: usd(input + more), output_long_context: usd(output + more) }),
          ...long,
        }
        const price = completePrice({
          lines: { input: BigInt(input), cache_read: BigInt(read), output: BigInt(output) },
          longContext: { aboveTokens: 200_000, lines: { input: BigInt(input + more), output: BigInt(output + more) } },
        })
        const usage = { input: fresh, cache_read: cached, output: answer }
        assert.deepEqual(costOf(usage, priceOf(row)), {
          status: 'priced',
          nanousd: usageNanos(usage, priceTerms(price, usage)),
        })
      },
    ),
    { seed: 6, numRuns: 300 },
  )
})

for (const { name, answer, want } of [
  {
    name: 'chat',
    answer: { usage: { prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 4 } } },
    want: { input: 6, cache_read: 4, output: 5 },
  },
  {
    name: 'messages',
    answer: {
      usage: { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 90, cache_creation_input_tokens: 7 },
    },
    want: { input: 10, cache_read: 90, cache_write_5m: 7, output: 5 },
  },
  {
    name: 'responses',
    answer: {
      usage: {
        input_tokens: 10,
        output_tokens: 5,
        total_tokens: 15,
        input_tokens_details: { cached_tokens: 4 },
        output_tokens_details: { reasoning_tokens: 2 },
      },
    },
    want: { input: 6, cache_read: 4, output: 3, reasoning: 2 },
  },
  { name: 'the usage alone', answer: { prompt_tokens: 1, completion_tokens: 2 }, want: { input: 1, output: 2 } },
  { name: 'nothing reported', answer: { usage: null }, want: undefined },
  { name: 'no count', answer: { usage: { prompt_tokens: -1, completion_tokens: 2 } }, want: undefined },
  { name: 'no answer', answer: 'text', want: undefined },
]) {
  test(`usageOf: ${name}`, () => assert.deepEqual(usageOf(answer), want))
}
