import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WindowResult } from './measure-window.ts'
import { quantile, summarise } from './summary.ts'

for (const { values, share, want } of [
  { values: [], share: 0.5, want: Number.NaN },
  { values: [7], share: 0.25, want: 7 },
  { values: [3, 1, 2], share: 0.5, want: 2 },
  { values: [4, 1, 3, 2], share: 0.5, want: 2.5 },
  { values: [5, 1, 4, 2, 3], share: 0.25, want: 2 },
  { values: [Number.NaN, 9, 1], share: 0.5, want: 5 },
]) {
  test(`the ${share} quantile of [${values.join(', ')}] is ${want}`, () => {
    assert.equal(quantile(values, share), want)
  })
}

function window(variant: string, round: number, gatewayUs: number, p50Ms: number): WindowResult {
  const delivered = { calls: 1, promptTokens: 1, completionTokens: 1, broken: 0 }
  const rest = { perSecond: 1, postgresUs: 1, simulatorUs: 1, loadUs: 1, p99Ms: 1, firstByteP50Ms: 1 }
  return { workload: 'json64', variant, round, calls: 1, gatewayUs, p50Ms, trouble: '', delivered, ...rest }
}

test('ratios and added latency are taken within a round, so that a slow minute does not count', () => {
  const rows = summarise([
    window('direct', 0, 0, 1),
    window('floor', 0, 100, 2),
    window('full', 0, 150, 3),
    // Everything is three times as slow for a while.
    window('full', 1, 450, 9),
    window('floor', 1, 300, 6),
    window('direct', 1, 0, 3),
  ])
  const full = rows.find(({ variant }) => variant === 'full')
  assert.deepEqual([full?.ratio, full?.addedP50Ms, full?.rounds], [1.5, 4, 2])
  assert.deepEqual(full?.gatewayUs, { q1: 225, median: 300 })
})

test('without a floor in the run there is no ratio', () => {
  assert.equal(summarise([window('full', 0, 150, 3)])[0]?.ratio, Number.NaN)
})
