import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvariantError } from '#lib/assert.ts'
import {
  completePrice,
  completionTokensCovered,
  type EndedUsage,
  type Price,
  priceTerms,
  REQUEST_NANOS_MAX,
  type TokenBound,
  UnpricedUsageError,
  upperBoundNanos,
  upperBoundOf,
  usageNanos,
  worthNanos,
} from './price.ts'
import { completionTokens, promptTokens, TOKENS_PER_REQUEST_MAX, type Usage, usageKinds } from './usage.ts'

const price: Price = completePrice({ lines: { input: 1_000n, output: 2_000n }, minimum: 100n, flat: 500n })
const used = (source: EndedUsage['usageSource'], outcome: EndedUsage['outcome'], usage: Usage): EndedUsage => ({
  outcome,
  usage,
  usageSource: source,
})

for (const { name, usage, want } of [
  { name: 'nothing used has no minimum', usage: {}, want: 0n },
  { name: 'neither have zeros', usage: { input: 0, output: 0 }, want: 0n },
  { name: 'one token costs the minimum', usage: { input: 1 }, want: 100n },
  { name: 'the minimum itself', usage: { output: 50 }, want: 100n },
  { name: 'one token above it', usage: { input: 1, output: 50 }, want: 101n },
] satisfies { name: string; usage: Usage; want: bigint }[]) {
  test(`usageNanos: ${name}`, () => assert.equal(usageNanos(usage, price), want))
}

for (const { name, end, want } of [
  { name: 'the provider told', end: used('provider', 'complete', { input: 1_000 }), want: 1_000n },
  { name: 'we counted', end: used('counted', 'complete', { input: 1_000 }), want: 1_000n },
  { name: 'nobody knows', end: used('none', 'complete', {}), want: 500n },
  { name: 'only a bound is known, above', end: used('estimated', 'complete', { input: 9_000 }), want: 500n },
  { name: 'only a bound is known, below', end: used('estimated', 'complete', { input: 1 }), want: 500n },
  {
    name: 'a client that left pays for its bound',
    end: used('estimated', 'client_abort', { input: 9_000 }),
    want: 9_000n,
  },
  { name: 'so does a stream that was cut', end: used('estimated', 'cut_off', { input: 9_000 }), want: 9_000n },
  { name: 'and one that broke', end: used('estimated', 'upstream_error', { input: 9_000 }), want: 9_000n },
  { name: 'a void call has no flat price', end: used('none', 'void', {}), want: 0n },
  { name: 'a lost one neither', end: used('none', 'gateway_lost', {}), want: 0n },
]) {
  test(`worthNanos: ${name}`, () => assert.equal(worthNanos(end, price), want))
}

test('without a flat price what is estimated is charged by its lines', () => {
  const { lines } = price
  assert.equal(worthNanos(used('estimated', 'complete', { input: 9_000 }), { lines }), 9_000n)
  assert.equal(worthNanos(used('none', 'complete', {}), { lines }), 0n)
})

test('a flat price of zero is a price', () => {
  assert.equal(worthNanos(used('estimated', 'complete', { input: 9_000 }), { lines: price.lines, flat: 0n }), 0n)
})

test('the minimum and the flat price hold in both tiers, and completing keeps them', () => {
  const tiered = completePrice({ ...price, longContext: { aboveTokens: 10, lines: { input: 0n, output: 0n } } })
  assert.deepEqual([tiered.minimum, tiered.flat], [100n, 500n])
  const usage = { input: 11 }
  assert.equal(usageNanos(usage, priceTerms(tiered, usage)), 100n)
  assert.equal(worthNanos(used('none', 'complete', {}), priceTerms(tiered, usage)), 500n)
})

test('a minimum or flat price that no request may cost is refused', () => {
  for (const nanos of [-1n, REQUEST_NANOS_MAX + 1n]) {
    assert.throws(() => completePrice({ lines: {}, minimum: nanos }), InvariantError)
    assert.throws(() => completePrice({ lines: {}, flat: nanos }), InvariantError)
  }
})

for (const { name, bound, above = {}, want } of [
  {
    name: 'no units, no minimum',
    bound: { promptTokensMax: 0, completionTokensMax: 0 },
    above: { minimum: 9n },
    want: 0n,
  },
  { name: 'the minimum', bound: { promptTokensMax: 0, completionTokensMax: 1 }, above: { minimum: 9n }, want: 9n },
  {
    name: 'more than the minimum',
    bound: { promptTokensMax: 7, completionTokensMax: 2 },
    above: { minimum: 9n },
    want: 11n,
  },
  {
    name: 'the flat price, whatever is used',
    bound: { promptTokensMax: 0, completionTokensMax: 0 },
    above: { flat: 9n },
    want: 9n,
  },
  {
    name: 'more than the flat price',
    bound: { promptTokensMax: 7, completionTokensMax: 2 },
    above: { flat: 9n },
    want: 11n,
  },
  {
    name: 'units beside tokens',
    bound: { promptTokensMax: 1, completionTokensMax: 1, charactersMax: 2, secondsMax: 3, callsMax: 1 },
    want: 1n + 2n + 2n * 10n + 3n * 100n + 1_000n,
  },
] satisfies { name: string; bound: TokenBound; above?: Partial<Price>; want: bigint }[]) {
  test(`upperBoundNanos holds ${name}`, () => {
    const lines = { ...price.lines, characters: 10_000n, seconds: 100_000n, calls: 1_000_000n }
    assert.equal(upperBoundNanos(bound, { lines, ...above }), want)
  })
}

for (const { name, nanos, above, want } of [
  { name: 'less than the minimum', nanos: 99n, above: { minimum: 100n }, want: 0 },
  { name: 'the minimum', nanos: 100n, above: { minimum: 100n }, want: 45 },
  { name: 'less than the flat price', nanos: 99n, above: { flat: 100n }, want: 0 },
  { name: 'the flat price', nanos: 100n, above: { flat: 100n }, want: 45 },
]) {
  test(`completionTokensCovered by ${name}`, () => {
    assert.equal(completionTokensCovered(nanos, { promptTokensMax: 10 }, { lines: price.lines, ...above }), want)
  })
}

test('completionTokensCovered takes away what else the request uses', () => {
  const lines = { ...price.lines, seconds: 20_000n }
  assert.equal(completionTokensCovered(100n, { promptTokensMax: 10, secondsMax: 2 }, { lines }), 25)
  assert.equal(completionTokensCovered(49n, { promptTokensMax: 10, secondsMax: 2 }, { lines }), 0)
})

for (const { name, usage, lines, want } of [
  { name: 'characters', usage: { characters: 333 }, lines: { characters: 1_500n }, want: 500n },
  { name: 'seconds', usage: { seconds: 61 }, lines: { seconds: 100_000n }, want: 6_100n },
  {
    name: 'text in, sound out',
    usage: { input: 10, audio_output: 20 },
    lines: { input: 1_000n, audio_output: 9_000n },
    want: 190n,
  },
  { name: 'cached or not', usage: { cache_read: 10 }, lines: { input: 1_000n, cache_write_1h: 5_000n }, want: 50n },
  { name: 'nothing', usage: {}, lines: {}, want: 0n },
] satisfies { name: string; usage: Usage; lines: Price['lines']; want: bigint }[]) {
  test(`upperBoundOf: ${name}`, () => assert.equal(upperBoundOf(usage, { lines }), want))
}

test('upperBoundOf needs a price for each kind that is named', () => {
  for (const kind of usageKinds) assert.throws(() => upperBoundOf({ [kind]: 1 }, { lines: {} }), UnpricedUsageError)
})

const line = fc.bigInt({ min: 0n, max: 1_000_000_000n })
const nanos = fc.bigInt({ min: 0n, max: 10_000_000_000n })
const lines = fc.record(Object.fromEntries(usageKinds.map((kind) => [kind, line])), { noNullPrototype: true })
const anyPrice: fc.Arbitrary<Price> = fc
  .record({
    lines,
    minimum: fc.option(nanos),
    flat: fc.option(nanos),
    aboveTokens: fc.integer({ min: 1, max: 50_000 }),
    long: fc.option(lines),
  })
  .map(({ lines, minimum, flat, aboveTokens, long }) => ({
    lines,
    ...(minimum !== null && { minimum }),
    ...(flat !== null && { flat }),
    ...(long !== null && { longContext: { aboveTokens, lines: long } }),
  }))
const anyUsage: fc.Arbitrary<Usage> = fc.record(
  Object.fromEntries(usageKinds.map((kind) => [kind, fc.integer({ min: 0, max: 100_000 })])),
  { requiredKeys: [], noNullPrototype: true },
)
const settings = { seed: 20_261_122, numRuns: 300 }

test('however a call ends within its bound, it is worth no more than the bound', () => {
  const outcome = fc.constantFrom('complete', 'client_abort', 'cut_off', 'void', 'gateway_lost', 'upstream_error')
  const source = fc.constantFrom('provider', 'counted', 'estimated', 'none')
  fc.assert(
    fc.property(anyPrice, anyUsage, outcome, source, (anyOf, usage, ended, usageSource) => {
      const worth = worthNanos({ outcome: ended, usage, usageSource }, priceTerms(anyOf, usage))
      const { characters: charactersMax = 0, seconds: secondsMax = 0, calls: callsMax = 0 } = usage
      const tokens = { promptTokensMax: promptTokens(usage), completionTokensMax: completionTokens(usage) }
      const bound = { ...tokens, audioInput: true, audioOutput: true, charactersMax, secondsMax, callsMax }
      assert.ok(worth <= upperBoundNanos(bound, anyOf))
      assert.ok(worth <= upperBoundOf(usage, anyOf))
    }),
    settings,
  )
})

test('completionTokensCovered is the inverse of upperBoundNanos to the token, with a minimum and a flat price', () => {
  fc.assert(
    fc.property(anyPrice, fc.nat(100_000), fc.nat(100), nanos, (anyOf, promptTokensMax, secondsMax, held) => {
      const bound = { promptTokensMax, secondsMax }
      const covered = completionTokensCovered(held, bound, anyOf)
      if (covered > 0) assert.ok(upperBoundNanos({ ...bound, completionTokensMax: covered }, anyOf) <= held)
      if (covered < TOKENS_PER_REQUEST_MAX) {
        assert.ok(upperBoundNanos({ ...bound, completionTokensMax: covered + 1 }, anyOf) > held)
      }
    }),
    settings,
  )
})
