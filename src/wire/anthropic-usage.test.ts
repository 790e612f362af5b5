import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { TOKENS_PER_REQUEST_MAX, type Usage, validateUsage } from '#billing/usage.ts'
import { decodeMessagesUsage, encodeMessagesUsage, mergeMessagesUsage } from './anthropic-usage.ts'

// One row per behaviour: fixtures/anthropic-usage-<name>.json, as providers write it.
const recorded: Record<string, Usage> = {
  plain: { input: 25, output: 15 },
  'cache-read': { input: 4, cache_read: 18_420, cache_write_5m: 512, output: 391 },
  'cache-split': { input: 50, cache_read: 1_800, cache_write_5m: 148, cache_write_1h: 100, output: 503 },
  'cache-without-split': { input: 12, cache_write_5m: 2_048, output: 7 },
  thinking: { input: 61, output: 214, reasoning: 1_186 },
  compaction: { input: 23_000 + 180_000, output: 1_000 + 3_500 },
  'web-fetch': { input: 25_039, output: 931 },
}

for (const [name, want] of Object.entries(recorded)) {
  test(`decodeMessagesUsage: ${name}`, () => {
    const file = new URL(`./fixtures/anthropic-usage-${name}.json`, import.meta.url)
    assert.deepEqual(decodeMessagesUsage(JSON.parse(readFileSync(file, 'utf8'))), { outcome: 'usage', usage: want })
  })
}

for (const { name, value, want } of [
  { name: 'explicit zeros', value: { input_tokens: 0, output_tokens: 0 }, want: { input: 0, output: 0 } },
  {
    name: 'nulls are absent',
    value: {
      input_tokens: 3,
      output_tokens: 1,
      cache_creation: null,
      cache_read_input_tokens: null,
      cache_creation_input_tokens: null,
      output_tokens_details: null,
      server_tool_use: null,
      iterations: null,
    },
    want: { input: 3, output: 1 },
  },
  {
    name: 'a split above its total',
    value: {
      input_tokens: 1,
      output_tokens: 1,
      cache_creation_input_tokens: 5,
      cache_creation: { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 6 },
    },
    want: { input: 1, cache_write_5m: 4, cache_write_1h: 6, output: 1 },
  },
  {
    name: 'more thinking than output',
    value: { input_tokens: 1, output_tokens: 5, output_tokens_details: { thinking_tokens: 9 } },
    want: { input: 1, output: 0, reasoning: 5 },
  },
  {
    name: 'server tools that were not used',
    value: { input_tokens: 1, output_tokens: 5, server_tool_use: { web_search_requests: 0, code: null } },
    want: { input: 1, output: 5 },
  },
]) {
  test(`decodeMessagesUsage: ${name}`, () =>
    assert.deepEqual(decodeMessagesUsage(value), { outcome: 'usage', usage: want }))
}

for (const value of [undefined, null, {}, { service_tier: 'standard' }, { input_tokens: null, output_tokens: null }]) {
  test(`nothing is reported by ${JSON.stringify(value)}`, () =>
    assert.deepEqual(decodeMessagesUsage(value), { outcome: 'absent' }))
}

for (const { name, value, reason } of [
  { name: 'text', value: 'free', reason: /not an object/ },
  { name: 'a list', value: [], reason: /not an object/ },
  { name: 'no input', value: { output_tokens: 4 }, reason: /^input_tokens is missing/ },
  { name: 'no output', value: { input_tokens: 4 }, reason: /^output_tokens is missing/ },
  { name: 'a negative', value: { input_tokens: -1, output_tokens: 0 }, reason: /^input_tokens is not a count: -1/ },
  { name: 'a fraction', value: { input_tokens: 1, output_tokens: 0.5 }, reason: /^output_tokens is not a count/ },
  { name: 'digits in text', value: { input_tokens: '7', output_tokens: 1 }, reason: /is not a count: string/ },
  {
    name: 'a broken split',
    value: { input_tokens: 1, output_tokens: 1, cache_creation: { ephemeral_1h_input_tokens: -3 } },
    reason: /^ephemeral_1h_input_tokens is not a count/,
  },
  {
    name: 'too many tokens',
    value: { input_tokens: TOKENS_PER_REQUEST_MAX, output_tokens: 1 },
    reason: /more than one request/,
  },
  {
    name: 'searches',
    value: { input_tokens: 1, output_tokens: 1, server_tool_use: { web_search_requests: 2 } },
    reason: /^web_search_requests are billed apart/,
  },
  {
    name: 'a server tool nobody has heard of',
    value: { input_tokens: 1, output_tokens: 1, server_tool_use: { teleport_requests: 1 } },
    reason: /^teleport_requests are billed apart/,
  },
  {
    name: 'an advisor',
    value: { input_tokens: 1, output_tokens: 1, iterations: [{ type: 'message' }, { type: 'advisor_message' }] },
    reason: /another model: advisor_message/,
  },
  {
    name: 'a compaction that makes no sense',
    value: { input_tokens: 1, output_tokens: 1, iterations: [{ type: 'compaction', input_tokens: -1 }] },
    reason: /^input_tokens is not a count/,
  },
]) {
  test(`impossible: ${name}`, () => {
    const decoded = decodeMessagesUsage(value)
    assert(decoded.outcome === 'impossible')
    assert.match(decoded.reason, reason)
  })
}

for (const { name, before, after, want } of [
  { name: 'no start', before: undefined, after: { output_tokens: 3 }, want: { output_tokens: 3 } },
  { name: 'no delta', before: { input_tokens: 3 }, after: undefined, want: { input_tokens: 3 } },
  {
    name: 'totals replace the placeholder, nulls do not',
    before: { input_tokens: 25, output_tokens: 1, cache_creation: { ephemeral_1h_input_tokens: 7 } },
    after: { input_tokens: null, output_tokens: 15 },
    want: { input_tokens: 25, output_tokens: 15, cache_creation: { ephemeral_1h_input_tokens: 7 } },
  },
  { name: 'nonsense stays visible', before: { input_tokens: 25 }, after: 'x', want: 'x' },
]) {
  test(`mergeMessagesUsage: ${name}`, () => assert.deepEqual(mergeMessagesUsage(before, after), want))
}

const count = fc.nat(1_000_000)
const vector = fc.record(
  {
    input: count,
    cache_read: count.map((n) => n + 1),
    cache_write_5m: count.map((n) => n + 1),
    cache_write_1h: count.map((n) => n + 1),
    output: count,
    reasoning: count.map((n) => n + 1),
  },
  { requiredKeys: ['input', 'output'] },
)

test('what is encoded is decoded as it was', () => {
  fc.assert(
    fc.property(vector, (usage) => {
      assert.deepEqual(decodeMessagesUsage(encodeMessagesUsage(usage)), { outcome: 'usage', usage: { ...usage } })
    }),
    { numRuns: 300, seed: 7 },
  )
})

test('whatever is decoded is a possible usage, and nothing throws', () => {
  const members = fc.constantFrom(
    'input_tokens',
    'output_tokens',
    'cache_creation',
    'cache_read_input_tokens',
    'ephemeral_1h_input_tokens',
    'server_tool_use',
    'iterations',
    'type',
    'x',
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ maxDepth: 3 }, fc.jsonValue({ maxDepth: 1 }), fc.array(tie('tree')), tie('object')),
    object: fc.dictionary(members, fc.oneof(fc.nat(50), tie('tree'))),
  }))
  fc.assert(
    fc.property(tree, (value) => {
      const decoded = decodeMessagesUsage(value)
      if (decoded.outcome === 'usage') assert(validateUsage(decoded.usage).ok)
    }),
    { numRuns: 1_000, seed: 7 },
  )
})
