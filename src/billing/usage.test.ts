import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  completionTokens,
  promptTokens,
  TOKENS_PER_REQUEST_MAX,
  type Usage,
  usageLimits,
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
