import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { completionTokens, promptTokens, type Usage, validateUsage } from '#billing/usage.ts'
import { reportedUsage } from './neutral-usage.ts'
import { decodeResponsesUsage, encodeResponsesUsage, usageObject } from './responses-usage.ts'

const decoded: [name: string, value: unknown, want: Usage][] = [
  ['plain', { input_tokens: 5, output_tokens: 7, total_tokens: 12 }, { input: 5, output: 7 }],
  [
    'cached and reasoned, which the totals include',
    {
      input_tokens: 402,
      input_tokens_details: { cached_tokens: 256, cache_write_tokens: 100 },
      output_tokens: 119,
      output_tokens_details: { reasoning_tokens: 64 },
      total_tokens: 521,
    },
    { input: 46, cache_read: 256, cache_write_5m: 100, output: 55, reasoning: 64 },
  ],
  ['details that are null', { input_tokens: 5, input_tokens_details: null, output_tokens: 7 }, { input: 5, output: 7 }],
  [
    'cached above the input is cut to it',
    { input_tokens: 5, input_tokens_details: { cached_tokens: 9 }, output_tokens: 1 },
    { input: 0, cache_read: 5, output: 1 },
  ],
  [
    'a total that proves reasoning beside the output',
    { input_tokens: 5, output_tokens: 10, output_tokens_details: { reasoning_tokens: 30 }, total_tokens: 45 },
    { input: 5, output: 10, reasoning: 30 },
  ],
  ['a server that uses the names of chat', { prompt_tokens: 5, completion_tokens: 7 }, { input: 5, output: 7 }],
]

for (const [name, value, usage] of decoded)
  test(name, () => assert.deepEqual(decodeResponsesUsage(value), { outcome: 'usage', usage }))

for (const value of [undefined, null, {}, { total_tokens: 3 }])
  test(`${JSON.stringify(value)} is no usage`, () => {
    assert.deepEqual(decodeResponsesUsage(value), { outcome: 'absent' })
  })

for (const [value, reason] of [
  ['7', /not an object/],
  [[], /not an object/],
  [{ input_tokens: -1, output_tokens: 1 }, /input_tokens is not a count/],
  [{ input_tokens: 1.5, output_tokens: 1 }, /input_tokens is not a count/],
  [{ input_tokens: 1 }, /output_tokens is missing/],
  [{ input_tokens: 1, output_tokens: '7' }, /output_tokens is not a count/],
  [{ input_tokens: 1e12, output_tokens: 1 }, /more than one request can consume/],
  [{ input_tokens: 1, output_tokens: 1, input_tokens_details: { cached_tokens: -1 } }, /cached_tokens/],
] as const)
  test(`${JSON.stringify(value)} is impossible`, () => {
    const result = decodeResponsesUsage(value)
    assert(result.outcome === 'impossible')
    assert.match(result.reason, reason)
  })

const count = fc.nat({ max: 1_000_000 })

test('what is encoded is decoded to the same totals', () => {
  const usage = fc.record({
    input: count,
    cache_read: count,
    cache_write_5m: count,
    cache_write_1h: count,
    output: count,
    reasoning: count,
    audio_input: count,
    audio_output: count,
  })
  fc.assert(
    fc.property(usage, (before) => {
      const result = decodeResponsesUsage(encodeResponsesUsage(before))
      assert(result.outcome === 'usage' && validateUsage(result.usage).ok)
      assert.equal(promptTokens(result.usage), promptTokens(before))
      assert.equal(completionTokens(result.usage), completionTokens(before))
      assert.equal(result.usage.cache_read ?? 0, before.cache_read)
      assert.equal(result.usage.cache_write_5m ?? 0, before.cache_write_5m + before.cache_write_1h)
      assert.equal(result.usage.reasoning ?? 0, before.reasoning)
    }),
    { seed: 20261122, numRuns: 200 },
  )
})

test('neutral usage survives the way through', () => {
  fc.assert(
    fc.property(count, count, count, count, (fresh, cacheRead, text, reasoning) => {
      const before = {
        input: fresh + cacheRead,
        cacheRead,
        cacheWrite5m: 0,
        cacheWrite1h: 0,
        output: text + reasoning,
        reasoning,
      }
      assert.deepEqual(reportedUsage(decodeResponsesUsage(usageObject(before))), { usage: before })
    }),
    { seed: 20261122, numRuns: 200 },
  )
})
