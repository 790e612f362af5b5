import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  completionTokens,
  promptTokens,
  TOKENS_PER_REQUEST_MAX,
  USAGE_TOLERANCE,
  type Usage,
  usageLimits,
  usageWithin,
  validateUsage,
} from './usage.ts'

for (const { name, usage } of [
  { name: 'nothing', usage: {} },
  { name: 'explicit zeros', usage: { input: 0, output: 0 } },
  {
    name: 'every kind',
    usage: {
      input: 1,
      cache_read: 2,
      cache_write_5m: 3,
      cache_write_1h: 4,
      output: 5,
      reasoning: 6,
      audio_input: 7,
      audio_output: 8,
      characters: 9,
      seconds: 10,
      calls: 11,
    },
  },
  { name: 'the most tokens', usage: { input: TOKENS_PER_REQUEST_MAX } },
  {
    name: 'the most of the rest',
    usage: { characters: usageLimits.characters, seconds: usageLimits.seconds, calls: usageLimits.calls },
  },
] satisfies { name: string; usage: Usage }[]) {
  test(`validateUsage accepts ${name}`, () => assert.deepEqual(validateUsage(usage), { ok: true }))
}

for (const { name, usage, reason } of [
  { name: 'a negative', usage: { input: -1 }, reason: /^input is not a whole number/ },
  { name: 'a fraction', usage: { output: 1.5 }, reason: /^output is not a whole number/ },
  { name: 'NaN', usage: { input: Number.NaN }, reason: /NaN/ },
  { name: 'infinity', usage: { input: Number.POSITIVE_INFINITY }, reason: /Infinity/ },
  { name: 'beyond 2^53', usage: { input: 2 ** 53 }, reason: /^input is not a whole number/ },
  { name: 'a string', usage: { input: '12' as unknown as number }, reason: /^input is not a whole number/ },
  { name: 'one token too many', usage: { input: TOKENS_PER_REQUEST_MAX + 1 }, reason: /^input is more than/ },
  {
    name: 'kinds that are too many together',
    usage: { input: 60_000_000, output: 60_000_000 },
    reason: /^tokens are more than/,
  },
  { name: 'a month of audio', usage: { seconds: 30 * 86_400 }, reason: /^seconds is more than/ },
  { name: 'an unknown kind', usage: { tokens: 1 } as Usage, reason: /^tokens is not a usage kind/ },
]) {
  test(`validateUsage refuses ${name}`, () => {
    const check = validateUsage(usage)
    assert.ok(!check.ok)
    assert.match(check.reason, reason)
  })
}

test('a caller may set tighter limits', () => {
  assert.equal(validateUsage({ input: 600, output: 500 }, { ...usageLimits, tokens: 1_000 }).ok, false)
  assert.equal(validateUsage({ input: 500, output: 500 }, { ...usageLimits, tokens: 1_000 }).ok, true)
})

test('every token kind belongs to the prompt or to the completion', () => {
  const usage: Usage = {
    input: 1,
    cache_read: 2,
    cache_write_5m: 4,
    cache_write_1h: 8,
    audio_input: 16,
    output: 32,
    reasoning: 64,
    audio_output: 128,
    characters: 256,
    seconds: 512,
    calls: 1024,
  }
  assert.equal(promptTokens(usage), 31)
  assert.equal(completionTokens(usage), 224)
})

const bound = { promptTokensMax: 1_000, completionTokensMax: 500 }

for (const { name, usage } of [
  { name: 'nothing', usage: {} },
  { name: 'the bound itself', usage: { input: 600, cache_read: 400, output: 500 } },
  { name: 'twice the bound', usage: { input: 2_000, output: 1_000 } },
  { name: 'a short prompt with what a provider adds', usage: { input: 2_256 } },
  { name: 'reasoning beyond the limit of the answer', usage: { output: 500, reasoning: 60_000 } },
  { name: 'kinds that have no bound', usage: { characters: 5_000_000, seconds: 86_400, calls: 9 } },
] satisfies { name: string; usage: Usage }[]) {
  test(`usageWithin accepts ${name}`, () => assert.deepEqual(usageWithin(usage, bound), { ok: true }))
}

for (const { name, usage, reason } of [
  { name: 'one prompt token too many', usage: { input: 2_257 }, reason: /^2257 prompt tokens/ },
  { name: 'cached tokens beyond the prompt', usage: { input: 300, cache_read: 2_000 }, reason: /^2300 prompt tokens/ },
  { name: 'sound beyond the prompt', usage: { audio_input: 3_000 }, reason: /^3000 prompt tokens/ },
  { name: 'one completion token too many', usage: { output: 1_257 }, reason: /^1257 completion tokens/ },
  { name: 'spoken tokens too', usage: { output: 1_000, audio_output: 257 }, reason: /^1257 completion tokens/ },
  { name: 'reasoning without end', usage: { reasoning: 66_537 }, reason: /^66537 reasoning tokens/ },
] satisfies { name: string; usage: Usage; reason: RegExp }[]) {
  test(`usageWithin refuses ${name}`, () => {
    const check = usageWithin(usage, bound)
    assert.ok(!check.ok)
    assert.match(check.reason, reason)
  })
}

test('characters and seconds are judged where they have a bound', () => {
  const spoken = { promptTokensMax: 0, completionTokensMax: 0, charactersMax: 100, secondsMax: 10 }
  const most = { characters: USAGE_TOLERANCE * 100, seconds: USAGE_TOLERANCE * 10 + 60 }
  assert.equal(usageWithin(most, spoken).ok, true)
  assert.equal(usageWithin({ ...most, characters: most.characters + 1 }, spoken).ok, false)
  assert.equal(usageWithin({ ...most, seconds: most.seconds + 1 }, spoken).ok, false)
})
