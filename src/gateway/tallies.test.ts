import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as prom from 'prom-client'
import { createCounter, createHistogram } from './tallies.ts'

const counter = { name: 'calls_total', help: 'Calls "and" \\ more.', labelNames: ['model', 'outcome'] as const }
const histogram = { name: 'seconds', help: 'Times.', labelNames: ['lane'] as const, buckets: [0.001, 0.5, 1, 10] }
const name = fc.constantFrom('a', 'b"c', 'd\\e\nf', '200')
const count = fc.record({
  labels: fc.record({ model: name, outcome: fc.oneof(name, fc.integer({ min: 200, max: 202 })) }),
  by: fc.constantFrom(undefined, 0, 1, 2.5, 1e15),
})
const observation = fc.record({ lane: name, value: fc.constantFrom(0, 0.001, 0.0011, 0.5, 1, 7, 10, 11, 1e9, -1) })

test('what is exposed is what prom-client exposes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(count), fc.array(observation), async (counts, observations) => {
      const [ours, theirs] = [new prom.Registry(), new prom.Registry()]
      const registers = [theirs]
      const slow = {
        counter: new prom.Counter({ ...counter, registers }),
        histogram: new prom.Histogram({ ...histogram, buckets: [...histogram.buckets], registers }),
      }
      const fast = { counter: createCounter(ours, counter), histogram: createHistogram(ours, histogram) }
      for (const { counter, histogram } of [slow, fast]) {
        for (const { labels, by } of counts) counter.inc(labels, by)
        for (const { lane, value } of observations) histogram.observe({ lane }, value)
      }
      assert.equal(await ours.metrics(), await theirs.metrics())
      ours.resetMetrics()
      theirs.resetMetrics()
      assert.equal(await ours.metrics(), await theirs.metrics())
    }),
    { seed: 7, numRuns: 200 },
  )
})

test('what is no amount is refused', () => {
  const registry = new prom.Registry()
  const calls = createCounter(registry, counter)
  const seconds = createHistogram(registry, histogram)
  for (const by of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => calls.inc({ model: 'a', outcome: 'b' }, by), RangeError)
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => seconds.observe({ lane: 'a' }, value), RangeError)
  assert.throws(() => createCounter(registry, counter), /already/)
})
