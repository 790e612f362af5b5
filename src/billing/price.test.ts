import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvariantError } from '#lib/assert.ts'
import {
  assertRequestNanos,
  chargeNanos,
  completePrice,
  completionTokensCovered,
  encodeLines,
  type Price,
  type PriceLines,
  PriceLinesError,
  parseLines,
  priceLines,
  REQUEST_NANOS_MAX,
  UnpricedUsageError,
  unpricedKinds,
  upperBoundNanos,
} from './price.ts'
import { TOKENS_PER_REQUEST_MAX, type Usage, usageKinds } from './usage.ts'

const SEED = 20_261_122
const tokens = fc.integer({ min: 0, max: TOKENS_PER_REQUEST_MAX })
const line = fc.bigInt({ min: 0n, max: 1_000_000_000n })
const fullLines: fc.Arbitrary<PriceLines> = fc.record(Object.fromEntries(usageKinds.map((kind) => [kind, line])), {
  noNullPrototype: true,
})
const anyUsage: fc.Arbitrary<Usage> = fc.record(Object.fromEntries(usageKinds.map((kind) => [kind, tokens])), {
  requiredKeys: [],
  noNullPrototype: true,
})
const anyPrice: fc.Arbitrary<Price> = fc
  .record({ lines: fullLines, aboveTokens: fc.integer({ min: 1, max: 300_000 }), long: fc.option(fullLines) })
  .map(({ lines, aboveTokens, long }) =>
    long === null ? { lines } : { lines, longContext: { aboveTokens, lines: long } },
  )
const textBound = fc.record({
  promptTokensMax: fc.integer({ min: 0, max: 1_000_000 }),
  completionTokensMax: fc.integer({ min: 0, max: 1_000_000 }),
})

function check<T>(property: fc.IProperty<T>): void {
  fc.assert(property, { seed: SEED, numRuns: 300 }) // A failure prints the seed and the path.
}

const MAX_SAFE = Number.MAX_SAFE_INTEGER
const sonnet: PriceLines = {
  input: 3_000_000n,
  cache_read: 300_000n,
  cache_write_5m: 3_750_000n,
  cache_write_1h: 6_000_000n,
  output: 15_000_000n,
}

for (const { name, usage, lines, want } of [
  { name: 'nothing used', usage: {}, lines: sonnet, want: 0n },
  { name: 'explicit zero', usage: { input: 0, output: 0 }, lines: sonnet, want: 0n },
  { name: 'minus zero', usage: { input: -0 }, lines: sonnet, want: 0n },
  { name: 'one token', usage: { input: 1 }, lines: sonnet, want: 3_000n },
  { name: 'a fraction of a nano rounds up', usage: { input: 1 }, lines: { input: 1n }, want: 1n },
  { name: 'exactly one nano', usage: { input: 1_000 }, lines: { input: 1n }, want: 1n },
  { name: 'just above one nano', usage: { input: 1_001 }, lines: { input: 1n }, want: 2n },
  {
    name: 'two halves are one rounding',
    usage: { input: 1, output: 1 },
    lines: { input: 500n, output: 500n },
    want: 1n,
  },
  {
    name: 'three thirds are one rounding',
    usage: { input: 1, output: 1, calls: 1 },
    lines: { input: 333n, output: 333n, calls: 335n },
    want: 2n,
  },
  { name: '2^31 - 1 tokens', usage: { input: 2_147_483_647 }, lines: { input: 2_800n }, want: 6_012_954_212n },
  { name: '2^53 - 1 tokens of 1 pico', usage: { input: MAX_SAFE }, lines: { input: 1n }, want: 9_007_199_254_741n },
  {
    name: '2^53 - 1 tokens stay exact',
    usage: { input: MAX_SAFE, output: MAX_SAFE },
    lines: { input: 10n ** 15n, output: 1n },
    want: 9_007_199_254_740_991n * 10n ** 12n + 9_007_199_254_741n,
  },
  {
    name: 'sonnet with every cache kind',
    usage: { input: 3_000, cache_read: 1_200, cache_write_5m: 800, cache_write_1h: 600, output: 1_000 },
    lines: sonnet,
    want: 30_960_000n,
  },
  { name: 'a free line costs nothing', usage: { input: 5, output: 7 }, lines: { input: 0n, output: 0n }, want: 0n },
] satisfies { name: string; usage: Usage; lines: PriceLines; want: bigint }[]) {
  test(`chargeNanos: ${name}`, () => assert.equal(chargeNanos(usage, lines), want))
}

test('usage without a price line is an error that names the kinds, never free', () => {
  assert.throws(
    () => chargeNanos({ input: 1, audio_input: 2, calls: 1 }, { input: 5n }),
    (error) => error instanceof UnpricedUsageError && error.kinds.join() === 'audio_input,calls',
  )
  assert.equal(chargeNanos({ input: 1_000, audio_input: 0 }, { input: 5n }), 5n)
  assert.deepEqual(unpricedKinds({ input: 0n }, ['input', 'audio_input']), ['audio_input'])
})

for (const units of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, MAX_SAFE + 1]) {
  test(`chargeNanos refuses ${units} units`, () => {
    assert.throws(() => chargeNanos({ input: units }, sonnet), InvariantError)
  })
}

test('the charge equals the rational sum rounded up once', () => {
  check(
    fc.property(anyUsage, fullLines, (usage, lines) => {
      const nanos = chargeNanos(usage, lines)
      // The reference adds numerators over one denominator and looks for the only integer in [sum, sum + 1).
      const sum = usageKinds.reduce((pico, kind) => pico + BigInt(usage[kind] ?? 0) * (lines[kind] ?? 0n), 0n)
      assert.ok(nanos * 1_000n >= sum && (nanos - 1n) * 1_000n < sum)
    }),
  )
})

test('the charge never falls when usage grows', () => {
  check(
    fc.property(
      anyUsage,
      fullLines,
      fc.constantFrom(...usageKinds),
      fc.integer({ min: 0, max: 1_000 }),
      (usage, lines, kind, more) => {
        assert.ok(chargeNanos({ ...usage, [kind]: (usage[kind] ?? 0) + more }, lines) >= chargeNanos(usage, lines))
      },
    ),
  )
})

test('splitting a request never makes it cheaper', () => {
  check(
    fc.property(anyUsage, anyUsage, fullLines, (one, other, lines) => {
      const both: Usage = Object.fromEntries(usageKinds.map((kind) => [kind, (one[kind] ?? 0) + (other[kind] ?? 0)]))
      const apart = chargeNanos(one, lines) + chargeNanos(other, lines)
      const together = chargeNanos(both, lines)
      assert.ok(together <= apart && apart <= together + 1n)
    }),
  )
})

for (const { name, price, want } of [
  {
    name: 'cache and reasoning fall back to input and output',
    price: { lines: { input: 10n, output: 20n } },
    want: {
      lines: { input: 10n, cache_read: 10n, cache_write_5m: 10n, cache_write_1h: 10n, output: 20n, reasoning: 20n },
    },
  },
  {
    name: 'an explicit zero is kept',
    price: { lines: { input: 10n, cache_read: 0n, output: 20n, reasoning: 0n } },
    want: {
      lines: { input: 10n, cache_read: 0n, cache_write_5m: 10n, cache_write_1h: 10n, output: 20n, reasoning: 0n },
    },
  },
  {
    name: 'audio, characters, seconds and calls have no fallback',
    price: { lines: { audio_input: 1n } },
    want: { lines: { audio_input: 1n } },
  },
  {
    name: 'the long tier falls back within itself, then to the base',
    price: {
      lines: { input: 10n, cache_read: 1n, output: 20n, calls: 7n },
      longContext: { aboveTokens: 100, lines: { input: 30n } },
    },
    want: {
      lines: {
        input: 10n,
        cache_read: 1n,
        cache_write_5m: 10n,
        cache_write_1h: 10n,
        output: 20n,
        reasoning: 20n,
        calls: 7n,
      },
      longContext: {
        aboveTokens: 100,
        lines: {
          input: 30n,
          cache_read: 30n,
          cache_write_5m: 30n,
          cache_write_1h: 30n,
          output: 20n,
          reasoning: 20n,
          calls: 7n,
        },
      },
    },
  },
] satisfies { name: string; price: Price; want: Price }[]) {
  test(`completePrice: ${name}`, () => {
    assert.deepEqual(completePrice(price), want)
    assert.deepEqual(completePrice(completePrice(price)), want)
  })
}

const tiered = completePrice({
  lines: { input: 1_000n, cache_read: 100n, output: 2_000n },
  longContext: { aboveTokens: 200_000, lines: { input: 2_000n, cache_read: 200n, output: 3_000n } },
})

for (const { name, usage, want } of [
  { name: 'at the threshold the base tier applies', usage: { input: 200_000, output: 1 }, want: 200_002n },
  { name: 'above it the whole request is dearer', usage: { input: 200_001, output: 1 }, want: 400_005n },
  { name: 'cached tokens count towards the threshold', usage: { cache_read: 200_000, input: 1 }, want: 40_002n },
  { name: 'output does not count towards the threshold', usage: { input: 10, output: 900_000 }, want: 1_800_010n },
] satisfies { name: string; usage: Usage; want: bigint }[]) {
  test(`priceLines: ${name}`, () => assert.equal(chargeNanos(usage, priceLines(tiered, usage)), want))
}

for (const { name, price, bound, want } of [
  { name: 'nothing bounds to nothing', price: tiered, bound: { promptTokensMax: 0, completionTokensMax: 0 }, want: 0n },
  {
    name: 'the dearest prompt kind',
    price: completePrice({ lines: sonnet }),
    bound: { promptTokensMax: 10, completionTokensMax: 0 },
    want: 60_000n,
  },
  {
    name: 'reasoning dearer than output',
    price: { lines: { input: 0n, output: 1_000n, reasoning: 4_000n } },
    bound: { promptTokensMax: 5, completionTokensMax: 10 },
    want: 40n,
  },
  {
    name: 'the long tier when the prompt may reach it',
    price: tiered,
    bound: { promptTokensMax: 200_001, completionTokensMax: 1 },
    want: 400_005n,
  },
  {
    name: 'the base tier when it cannot',
    price: tiered,
    bound: { promptTokensMax: 200_000, completionTokensMax: 1 },
    want: 200_002n,
  },
  {
    name: 'audio only when the request has some',
    price: { lines: { input: 1_000n, audio_input: 9_000n, output: 1_000n } },
    bound: { promptTokensMax: 1, completionTokensMax: 1, audioInput: true },
    want: 10n,
  },
  {
    name: 'text of an audio model',
    price: { lines: { input: 1_000n, audio_input: 9_000n, output: 1_000n } },
    bound: { promptTokensMax: 1, completionTokensMax: 1 },
    want: 2n,
  },
] satisfies { name: string; price: Price; bound: Parameters<typeof upperBoundNanos>[0]; want: bigint }[]) {
  test(`upperBoundNanos: ${name}`, () => assert.equal(upperBoundNanos(bound, price), want))
}

test('a bound over a kind without a price is an error', () => {
  const bound = { promptTokensMax: 1, completionTokensMax: 1 }
  assert.throws(() => upperBoundNanos({ ...bound, audioOutput: true }, { lines: sonnet }), UnpricedUsageError)
  assert.throws(() => upperBoundNanos(bound, { lines: { input: 1n } }), UnpricedUsageError)
  assert.equal(upperBoundNanos({ ...bound, completionTokensMax: 0 }, { lines: { input: 1n } }), 1n)
})

test('no split of the bounded tokens over kinds charges more than the bound', () => {
  const split = fc.array(fc.nat(1_000_000), { minLength: 6, maxLength: 6 })
  check(
    fc.property(anyPrice, split, (price, [input = 0, read = 0, w5 = 0, w1 = 0, output = 0, reasoning = 0]) => {
      const usage: Usage = { input, cache_read: read, cache_write_5m: w5, cache_write_1h: w1, output, reasoning }
      const bound = { promptTokensMax: input + read + w5 + w1, completionTokensMax: output + reasoning }
      assert.ok(chargeNanos(usage, priceLines(price, usage)) <= upperBoundNanos(bound, price))
    }),
  )
})

test('completionTokensCovered is the inverse of upperBoundNanos to the token', () => {
  check(
    fc.property(anyPrice, textBound, fc.bigInt({ min: 0n, max: REQUEST_NANOS_MAX }), (price, bound, nanos) => {
      const covered = completionTokensCovered(nanos, bound, price)
      if (covered > 0) assert.ok(upperBoundNanos({ ...bound, completionTokensMax: covered }, price) <= nanos)
      if (covered < TOKENS_PER_REQUEST_MAX) {
        assert.ok(upperBoundNanos({ ...bound, completionTokensMax: covered + 1 }, price) > nanos)
      }
      const back = completionTokensCovered(upperBoundNanos(bound, price), bound, price)
      assert.ok(back >= bound.completionTokensMax)
    }),
  )
})

for (const { name, nanos, promptTokensMax, want } of [
  { name: 'too little for the prompt', nanos: 9n, promptTokensMax: 10, want: 0 },
  { name: 'the prompt and nothing else', nanos: 10n, promptTokensMax: 10, want: 0 },
  { name: 'one token short', nanos: 11n, promptTokensMax: 10, want: 0 },
  { name: 'one token', nanos: 12n, promptTokensMax: 10, want: 1 },
  { name: 'the long tier halves the rest', nanos: 400_002n + 30n, promptTokensMax: 200_001, want: 10 },
]) {
  test(`completionTokensCovered: ${name}`, () => {
    assert.equal(completionTokensCovered(nanos, { promptTokensMax }, tiered), want)
  })
}

test('a free model covers as many tokens as a request can have', () => {
  const free = completePrice({ lines: { input: 0n, output: 0n } })
  assert.equal(completionTokensCovered(0n, { promptTokensMax: 1_000 }, free), TOKENS_PER_REQUEST_MAX)
  assert.equal(upperBoundNanos({ promptTokensMax: 1_000, completionTokensMax: 1_000 }, free), 0n)
})

test('an amount outside 0 to $1,000 does not reach the ledger', () => {
  assert.equal(assertRequestNanos(0n), 0n)
  assert.equal(assertRequestNanos(REQUEST_NANOS_MAX), REQUEST_NANOS_MAX)
  assert.throws(() => assertRequestNanos(-1n), InvariantError)
  assert.throws(() => assertRequestNanos(REQUEST_NANOS_MAX + 1n), InvariantError)
})

test('lines survive JSON', () => {
  check(
    fc.property(fullLines, (lines) =>
      assert.deepEqual(parseLines(JSON.parse(JSON.stringify(encodeLines(lines)))), lines),
    ),
  )
  assert.deepEqual(encodeLines({ output: 2n, input: 0n }), { input: '0', output: '2' })
  assert.equal(JSON.stringify(encodeLines({ output: 2n, input: 0n })), '{"input":"0","output":"2"}')
})

for (const [name, value] of Object.entries({
  'a number': { input: 3 },
  'a sign': { input: '+3' },
  'a negative': { input: '-3' },
  'a leading zero': { input: '03' },
  'a fraction': { input: '3.5' },
  'an exponent': { input: '3e6' },
  'hexadecimal digits': { input: '0x3' },
  'white space': { input: ' 3' },
  'an empty string': { input: '' },
  'other digits': { input: '٣' },
  'more than $1,000 a unit': { input: '1000000000000001' },
  'an unknown kind': { tokens: '3' },
  'a prototype name': { constructor: '3' },
  'a null line': { input: null },
  'an array': [],
  null: null,
  'a string': '3',
})) {
  test(`parseLines refuses ${name}`, () => assert.throws(() => parseLines(value), PriceLinesError))
}

test('parseLines reports every problem at once', () => {
  assert.throws(
    () => parseLines({ input: '1.5', tokens: '3', output: '4' }),
    (error) => error instanceof PriceLinesError && error.problems.length === 2,
  )
})
