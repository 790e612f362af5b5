import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { completionTokens, promptTokens, TOKENS_PER_REQUEST_MAX, type Usage, validateUsage } from '#billing/usage.ts'
import { decodeOpenaiUsage } from './openai-usage.ts'

const fixtures = new URL('./fixtures/', import.meta.url)

// One row per provider and behaviour: fixtures/usage-<name>.json.
const providers: Record<string, Usage> = {
  'openai-cached': { input: 86, cache_read: 1920, output: 300 },
  'openai-reasoning': { input: 1000, output: 180, reasoning: 120 },
  'openai-cache-write': { input: 3, cache_read: 3423, cache_write_5m: 12, output: 24, reasoning: 17 },
  'openai-audio': { input: 17, audio_input: 100, output: 46, audio_output: 168 },
  'openai-prediction': { input: 500, output: 260 },
  'openai-embeddings': { input: 8, output: 0 },
  'deepseek-cached': { input: 104, cache_read: 1216, output: 85 },
  'deepseek-hit-only': { input: 128, cache_read: 512, output: 100, reasoning: 800 },
  'xai-reasoning-outside': { input: 20, cache_read: 151, output: 50, reasoning: 202 },
  'gemini-thoughts-outside': { input: 20, output: 198, reasoning: 405 },
  'gemini-thoughts-only': { input: 21, output: 0, reasoning: 60 },
  'gemini-thoughts-named': { input: 21, output: 0, reasoning: 60 },
  'openrouter-cache-write': { input: 94, cache_write_5m: 100, output: 2 },
  'litellm-anthropic': { input: 15, cache_write_5m: 10_017, output: 150 },
  'qwen-cache-creation': { input: 219, cache_write_5m: 1605, output: 77 },
  'anthropic-split-outside': { input: 12, cache_read: 2000, cache_write_5m: 300, cache_write_1h: 500, output: 40 },
  groq: { input: 72, output: 107, reasoning: 211 },
  mistral: { input: 5, cache_read: 1008, output: 30 },
  'moonshot-cached': { input: 132, cache_read: 768, output: 12 },
  ollama: { input: 26, output: 298 },
  'vllm-null-details': { input: 21, output: 128 },
}

for (const [name, want] of Object.entries(providers)) {
  test(`decodeOpenaiUsage: ${name}`, () => {
    const { usage } = JSON.parse(readFileSync(new URL(`usage-${name}.json`, fixtures), 'utf8'))
    assert.deepEqual(decodeOpenaiUsage(usage), { outcome: 'usage', usage: want })
    const sum = usage.prompt_tokens + (usage.completion_tokens ?? 0)
    assert.equal(promptTokens(want) + completionTokens(want), Math.max(sum, usage.total_tokens))
  })
}

test('every recorded usage has a row', () => {
  const recorded = readdirSync(fixtures).filter((file) => file.startsWith('usage-'))
  assert.deepEqual(
    recorded.sort(),
    Object.keys(providers)
      .map((name) => `usage-${name}.json`)
      .sort(),
  )
})

for (const { name, value, want } of [
  {
    name: 'explicit zeros are usage',
    value: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
    want: { input: 0, output: 0 },
  },
  { name: 'no total', value: { prompt_tokens: 5, completion_tokens: 7 }, want: { input: 5, output: 7 } },
  {
    name: 'a total of zero is ignored',
    value: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 0 },
    want: { input: 5, output: 7 },
  },
  {
    name: 'a total below the sum is ignored',
    value: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 9 },
    want: { input: 5, output: 7 },
  },
  { name: 'minus zero is zero', value: { prompt_tokens: -0, completion_tokens: 1 }, want: { input: 0, output: 1 } },
  {
    name: 'unknown fields are ignored',
    value: { prompt_tokens: 5, completion_tokens: 7, cost: 'free', server_tool_use: { web: -1 } },
    want: { input: 5, output: 7 },
  },
  {
    name: 'details of another type tell nothing',
    value: { prompt_tokens: 5, completion_tokens: 7, prompt_tokens_details: [3], completion_tokens_details: 'x' },
    want: { input: 5, output: 7 },
  },
  {
    name: 'cached above the prompt is cut to the prompt',
    value: { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 9 } },
    want: { input: 0, cache_read: 5, output: 1 },
  },
  {
    name: 'cached, written and audio overlap: the cheaper kind first',
    value: {
      prompt_tokens: 10,
      completion_tokens: 1,
      prompt_tokens_details: { cached_tokens: 6, cache_write_tokens: 3, audio_tokens: 8 },
    },
    want: { input: 0, cache_read: 6, cache_write_5m: 3, audio_input: 1, output: 1 },
  },
  {
    name: 'reasoning above the completion is cut without a total that proves more',
    value: { prompt_tokens: 5, completion_tokens: 10, completion_tokens_details: { reasoning_tokens: 30 } },
    want: { input: 5, output: 0, reasoning: 10 },
  },
  {
    name: 'the same with a total that denies more',
    value: {
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 15,
      completion_tokens_details: { reasoning_tokens: 30 },
    },
    want: { input: 5, output: 0, reasoning: 10 },
  },
  {
    name: 'and with a total that proves it',
    value: {
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 45,
      completion_tokens_details: { reasoning_tokens: 30 },
    },
    want: { input: 5, output: 10, reasoning: 30 },
  },
  {
    name: 'a rest above the named reasoning is reasoning too',
    value: {
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 55,
      completion_tokens_details: { reasoning_tokens: 30 },
    },
    want: { input: 5, output: 10, reasoning: 40 },
  },
  {
    name: 'a rest below it: part of it lies inside',
    value: {
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 40,
      completion_tokens_details: { reasoning_tokens: 30 },
    },
    want: { input: 5, output: 5, reasoning: 30 },
  },
  {
    name: 'a rest that is exactly the cache lies beside the prompt',
    value: {
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 115,
      prompt_tokens_details: { cached_tokens: 100 },
    },
    want: { input: 5, cache_read: 100, output: 10 },
  },
  {
    name: 'cache and reasoning both outside',
    value: {
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 145,
      prompt_tokens_details: { cached_tokens: 100 },
      completion_tokens_details: { reasoning_tokens: 30 },
    },
    want: { input: 5, cache_read: 100, output: 10, reasoning: 30 },
  },
  {
    name: 'the largest of two names for one count',
    value: {
      prompt_tokens: 50,
      completion_tokens: 1,
      cache_creation_input_tokens: 40,
      prompt_tokens_details: { cache_write_tokens: 0 },
    },
    want: { input: 10, cache_write_5m: 40, output: 1 },
  },
] satisfies { name: string; value: unknown; want: Usage }[]) {
  test(`decodeOpenaiUsage: ${name}`, () => {
    assert.deepEqual(decodeOpenaiUsage(value), { outcome: 'usage', usage: want })
  })
}

for (const [name, value] of Object.entries({
  undefined: undefined,
  null: null,
  'an empty object': {},
  'only nulls': { prompt_tokens: null, completion_tokens: null },
  'only times': { total_time: 0.5 },
})) {
  test(`decodeOpenaiUsage: ${name} is absent, not zero`, () => {
    assert.deepEqual(decodeOpenaiUsage(value), { outcome: 'absent' })
  })
}

for (const { name, value, reason } of [
  { name: 'a number', value: 12, reason: /not an object/ },
  { name: 'an array', value: [], reason: /not an object/ },
  { name: 'a string', value: '12', reason: /not an object/ },
  {
    name: 'a negative count',
    value: { prompt_tokens: -1_000_000, completion_tokens: 1 },
    reason: /^prompt_tokens is not a count: -1000000$/,
  },
  { name: 'a fraction', value: { prompt_tokens: 1.5, completion_tokens: 1 }, reason: /^prompt_tokens/ },
  { name: 'NaN', value: { prompt_tokens: Number.NaN, completion_tokens: 1 }, reason: /NaN/ },
  { name: 'infinity', value: JSON.parse('{"prompt_tokens":1e999,"completion_tokens":1}'), reason: /Infinity/ },
  {
    name: 'a numeric string',
    value: { prompt_tokens: '12', completion_tokens: 1 },
    reason: /^prompt_tokens is not a count: string$/,
  },
  { name: 'a boolean', value: { prompt_tokens: 1, completion_tokens: true }, reason: /^completion_tokens/ },
  { name: 'beyond 2^53', value: { prompt_tokens: 2 ** 53, completion_tokens: 1 }, reason: /^prompt_tokens/ },
  {
    name: 'an absurd count',
    value: { prompt_tokens: TOKENS_PER_REQUEST_MAX + 1, completion_tokens: 1 },
    reason: /^input is more than/,
  },
  {
    name: 'an absurd total',
    value: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 ** 52 },
    reason: /^reasoning is more than/,
  },
  {
    name: 'two safe counts with an unsafe sum',
    value: { prompt_tokens: 2 ** 53 - 1, completion_tokens: 2 ** 53 - 1 },
    reason: /more than/,
  },
  {
    name: 'a negative sub-count',
    value: { prompt_tokens: 9, completion_tokens: 1, prompt_tokens_details: { cached_tokens: -4 } },
    reason: /^cached_tokens/,
  },
  {
    name: 'a fractional reasoning count',
    value: { prompt_tokens: 9, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 0.5 } },
    reason: /^reasoning_tokens/,
  },
  {
    name: 'a negative total',
    value: { prompt_tokens: 9, completion_tokens: 1, total_tokens: -10 },
    reason: /^total_tokens/,
  },
  {
    name: 'a completion without a prompt',
    value: { completion_tokens: 1, total_tokens: 10 },
    reason: /^prompt_tokens is missing/,
  },
  {
    name: 'a prompt without completion and total',
    value: { prompt_tokens: 9 },
    reason: /^completion_tokens is missing/,
  },
]) {
  test(`decodeOpenaiUsage: ${name} is impossible`, () => {
    const decoded = decodeOpenaiUsage(value)
    assert.ok(decoded.outcome === 'impossible')
    assert.match(decoded.reason, reason)
  })
}

test('the kinds are disjoint and add up to the totals, whatever the sub-counts say', () => {
  const count = fc.option(fc.oneof(fc.nat(5_000), fc.constantFrom(0, 1, 100)), { nil: undefined })
  const details = (keys: string[]) => fc.record(Object.fromEntries(keys.map((key) => [key, count])))
  const usage = fc.record({
    prompt_tokens: fc.nat(5_000),
    completion_tokens: fc.nat(5_000),
    total_tokens: count,
    cache_read_input_tokens: count,
    prompt_tokens_details: details(['cached_tokens', 'cache_write_tokens', 'audio_tokens']),
    completion_tokens_details: details(['reasoning_tokens', 'audio_tokens']),
    cache_creation: details(['ephemeral_5m_input_tokens', 'ephemeral_1h_input_tokens']),
  })
  fc.assert(
    fc.property(usage, (value) => {
      const decoded = decodeOpenaiUsage(value)
      assert.ok(decoded.outcome === 'usage')
      assert.deepEqual(validateUsage(decoded.usage), { ok: true })
      const sum = value.prompt_tokens + value.completion_tokens
      const total = Math.max(sum, value.total_tokens ?? 0)
      assert.equal(promptTokens(decoded.usage) + completionTokens(decoded.usage), total)
      assert.ok(promptTokens(decoded.usage) >= value.prompt_tokens)
      assert.ok(completionTokens(decoded.usage) >= value.completion_tokens)
    }),
    { seed: 20_261_122, numRuns: 1_000 },
  )
})

test('no value makes the decoder throw', () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withNullPrototype: true }), (value) => {
      decodeOpenaiUsage(value)
      decodeOpenaiUsage({
        prompt_tokens: value,
        completion_tokens: 1,
        prompt_tokens_details: value,
        cache_creation: value,
      })
    }),
    { seed: 20_261_122, numRuns: 500 },
  )
})
