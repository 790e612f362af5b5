import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDecimal, formatFixed, formatRatio, parseDecimal } from './decimal.ts'

for (const [text, scale, want] of [
  ['5', 9, 5_000_000_000n],
  ['0.000000001', 9, 1n],
  ['12.50', 9, 12_500_000_000n],
  ['0', 9, 0n],
  ['9223372036854775807', 0, 9_223_372_036_854_775_807n],
  ['0.0000000001', 9, undefined],
  ['0.0000000000', 9, undefined],
  ['.5', 9, undefined],
  ['5.', 9, undefined],
  ['05', 9, undefined],
  ['-5', 9, undefined],
  ['+5', 9, undefined],
  ['1e3', 9, undefined],
  ['1,000', 9, undefined],
  [' 5', 9, undefined],
  ['', 9, undefined],
  ['٣', 9, undefined],
  ['99999999999999999999', 9, undefined],
] as const) {
  test(`parseDecimal: ${JSON.stringify(text)} at scale ${scale}`, () => assert.equal(parseDecimal(text, scale), want))
}

for (const [value, scale, want] of [
  [5_000_000_000n, 9, '5'],
  [1n, 9, '0.000000001'],
  [12_500_000_000n, 9, '12.5'],
  [0n, 9, '0'],
  [-1_500_000_000n, 9, '-1.5'],
  [7n, 0, '7'],
  [1_000n, 0, '1000'],
  [100_000_000_000n, 9, '100'],
] as const) {
  test(`formatDecimal: ${value} at scale ${scale}`, () => assert.equal(formatDecimal(value, scale), want))
}

for (const [value, scale, want] of [
  [270_000n, 9, '0.000270000'],
  [0n, 9, '0.000000000'],
  [12_500_000_000n, 9, '12.500000000'],
  [-1n, 9, '-0.000000001'],
] as const) {
  test(`formatFixed: ${value} at scale ${scale}`, () => assert.equal(formatFixed(value, scale), want))
}

for (const [numerator, denominator, want] of [
  [5_000_000_000n, 1_000_000n, '5000'],
  [1n, 1_000_000n, '0.000001'],
  [2n, 3n, '0.666666666666666666'],
  [-2n, 3n, '-0.666666666666666666'],
  [9_223_372_036_854_775_807n, 1n, '9223372036854775807'],
  [1n, 9_223_372_036_854_775_807n, '0'],
] as const) {
  test(`formatRatio: ${numerator} / ${denominator}`, () => assert.equal(formatRatio(numerator, denominator), want))
}
