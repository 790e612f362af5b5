import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FluxPriceError, fluxSpeechPrice, fluxTokenPrice } from './flux-price.ts'
import { upperBoundOf, usageNanos, worthNanos } from './price.ts'
import { type Usage, usageKinds } from './usage.ts'

const FLUX = 1_000_000n

for (const { name, per1kTokens, usage, want } of [
  { name: 'a thousand tokens are the rate', per1kTokens: '1', usage: { input: 600, output: 400 }, want: FLUX },
  { name: 'all kinds cost the same', per1kTokens: '2', usage: { cache_read: 1_000, reasoning: 500 }, want: 3n * FLUX },
  {
    name: 'audio tokens are tokens',
    per1kTokens: '1',
    usage: { audio_input: 1_500, audio_output: 500 },
    want: 2n * FLUX,
  },
  { name: 'a fraction of a Flux is charged as it is', per1kTokens: '1', usage: { input: 1_234 }, want: 1_234_000n },
  { name: 'a fraction of a rate', per1kTokens: '0.1', usage: { input: 12_345 }, want: 1_234_500n },
  { name: 'a rate that no double holds', per1kTokens: '0.000003', usage: { input: 1_000_000_001 }, want: 3_000_001n },
  { name: 'one token costs one Flux', per1kTokens: '1', usage: { output: 1 }, want: FLUX },
  { name: 'just under the minimum', per1kTokens: '1', usage: { output: 999 }, want: FLUX },
  { name: 'just above the minimum', per1kTokens: '1', usage: { output: 1_001 }, want: FLUX + 1_000n },
  { name: 'a free rate costs the minimum', per1kTokens: '0', usage: { output: 5_000 }, want: FLUX },
  { name: 'nothing used is nothing charged', per1kTokens: '1', usage: {}, want: 0n },
] satisfies { name: string; per1kTokens: string; usage: Usage; want: bigint }[]) {
  test(`fluxTokenPrice: ${name}`, () => {
    assert.equal(usageNanos(usage, fluxTokenPrice({ per1kTokens, fluxNanousd: FLUX })), want)
  })
}

test('fluxTokenPrice prices every kind of token and nothing else', () => {
  const { lines } = fluxTokenPrice({ per1kTokens: '1', fluxNanousd: FLUX })
  const rest = usageKinds.filter((kind) => lines[kind] === undefined)
  assert.deepEqual(rest, ['characters', 'seconds', 'calls'])
})

for (const { name, per1kCharacters, characters, want } of [
  { name: 'a thousand characters are the rate', per1kCharacters: '300', characters: 1_000, want: 300n * FLUX },
  { name: 'a short sentence costs its characters', per1kCharacters: '3', characters: 7, want: 21_000n },
  { name: 'a rate above 1,000 is charged in full', per1kCharacters: '2500', characters: 10, want: 25n * FLUX },
  { name: 'there are no steps', per1kCharacters: '300', characters: 333, want: 99_900_000n },
  { name: 'a free rate is free', per1kCharacters: '0', characters: 333, want: 0n },
]) {
  test(`fluxSpeechPrice: ${name}`, () => {
    const price = fluxSpeechPrice({ per1kCharacters, fluxNanousd: FLUX })
    assert.equal(usageNanos({ characters }, price), want)
    assert.equal(upperBoundOf({ characters }, price), want)
  })
}

test('the flat price is Flux too, and may be a fraction of one', () => {
  const end = { outcome: 'complete', usage: {}, usageSource: 'none' } as const
  for (const [perRequest, want] of [
    ['5', 5n * FLUX],
    ['0.25', 250_000n],
    ['0', 0n],
  ] as const) {
    assert.equal(worthNanos(end, fluxTokenPrice({ per1kTokens: '1', perRequest, fluxNanousd: FLUX })), want)
    assert.equal(worthNanos(end, fluxSpeechPrice({ per1kCharacters: '1', perRequest, fluxNanousd: FLUX })), want)
  }
})

for (const [name, rule] of Object.entries({
  'an exponent': { per1kTokens: '1e3' },
  'a sign': { per1kTokens: '-1' },
  'white space': { per1kTokens: ' 1' },
  'an empty text': { per1kTokens: '' },
  'a word': { per1kTokens: 'NaN' },
  'a rate below a pico-dollar': { per1kTokens: '0.0000001' },
  'more than $1,000 a token': { per1kTokens: '1000000001' },
  'a flat price below a nano-dollar': { per1kTokens: '1', perRequest: '0.0000001' },
  'a flat price above $1,000': { per1kTokens: '1', perRequest: '1000001' },
})) {
  test(`fluxTokenPrice refuses ${name}`, () => {
    assert.throws(() => fluxTokenPrice({ ...rule, fluxNanousd: FLUX }), FluxPriceError)
  })
}

test('the Flux rule, in whole numbers: the larger of one Flux and the tokens at their rate, rounded up once', () => {
  const rate = fc.record({ whole: fc.nat(5_000), sixth: fc.nat(999_999) })
  fc.assert(
    fc.property(rate, fc.integer({ min: 1, max: 10_000_000 }), ({ whole, sixth }, tokens) => {
      const per1kTokens = `${whole}.${sixth.toString().padStart(6, '0')}`
      const nanos = usageNanos({ output: tokens }, fluxTokenPrice({ per1kTokens, fluxNanousd: FLUX }))
      // In millionths of a Flux per thousand tokens, which are pico-dollars per token.
      const exact = (BigInt(whole) * 1_000_000n + BigInt(sixth)) * BigInt(tokens)
      if (exact <= FLUX * 1_000n) assert.equal(nanos, FLUX)
      else assert.ok(nanos * 1_000n >= exact && (nanos - 1n) * 1_000n < exact)
    }),
    { seed: 20_261_122, numRuns: 300 },
  )
})
