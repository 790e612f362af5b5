import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHistogram } from './histogram.ts'

function histogramOf(values: number[]) {
  const histogram = createHistogram()
  for (const value of values) histogram.record(value)
  return histogram
}

test('an empty histogram is all zeros', () => {
  const empty = createHistogram()
  assert.deepEqual([empty.count(), empty.min(), empty.max(), empty.mean(), empty.percentile(0.99)], [0, 0, 0, 0, 0])
})

test('small values are exact', () => {
  const histogram = histogramOf(Array.from({ length: 1000 }, (_, at) => at + 1))
  assert.deepEqual(
    [0, 0.001, 0.5, 0.9, 0.99, 0.999, 1].map((share) => histogram.percentile(share)),
    [1, 1, 500, 900, 990, 999, 1000],
  )
  assert.deepEqual([histogram.min(), histogram.max(), histogram.mean()], [1, 1000, 500.5])
})

test('fractions are rounded, negatives are zero, giants are the largest', () => {
  assert.equal(histogramOf([1.4]).percentile(1), 1)
  assert.equal(histogramOf([-5]).max(), 0)
  assert.equal(histogramOf([1e15]).max(), 2 ** 31 - 1)
})

test('around every power of two a percentile is at most 0.1 % too high and never too low', () => {
  for (let power = 10; power < 31; power += 1) {
    for (const value of [2 ** power - 1, 2 ** power, 2 ** power + 1, Math.floor(2 ** power * 1.5)]) {
      // A larger value behind it keeps the maximum from hiding the bucket's width.
      const found = histogramOf([value, 2 ** 31 - 1]).percentile(0.5)
      assert.ok(found >= value && found <= value * 1.001, `${value} became ${found}`)
    }
  }
})

test('percentiles agree with a sorted list', () => {
  const seed = Date.now() % 1_000_000
  let state = seed
  const values = Array.from({ length: 20_000 }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor(1.0007 ** (state % 25_000))
  })
  const histogram = histogramOf(values)
  const sorted = values.toSorted((left, right) => left - right)
  for (const share of [0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1]) {
    const want = sorted[Math.max(Math.ceil(share * sorted.length), 1) - 1] ?? 0
    const found = histogram.percentile(share)
    assert.ok(found >= want && found <= want * 1.001 + 1, `seed ${seed}: p${share} is ${want}, not ${found}`)
  }
})
