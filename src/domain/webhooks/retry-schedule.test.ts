import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRetryAfter, RETRY_AFTER_MS_MAX, retryDelayMs, retryDelaysMs } from './retry-schedule.ts'

test('retries: ten attempts in about three days, each delay longer than the one before', () => {
  const total = retryDelaysMs.reduce((sum: number, ms) => sum + ms, 0)
  assert(total > 72 * 3_600_000 && total < 84 * 3_600_000)
  for (const [index, ms] of retryDelaysMs.entries()) {
    assert(ms > (retryDelaysMs[index - 1] ?? 0))
    assert.equal(
      retryDelayMs(index + 1, 0, () => 0),
      ms * 0.8,
    )
    assert.equal(
      retryDelayMs(index + 1, 0, () => 1),
      ms * 1.2,
    )
  }
  assert.equal(retryDelayMs(retryDelaysMs.length + 1), undefined)
})

test('retries: Retry-After is a least, within bounds, and adds no attempt', () => {
  const half = () => 0.5
  for (const [tries, asked, expected] of [
    [1, undefined, 5_000],
    [1, 1_000, 5_000],
    [1, 90_000, 90_000],
    [1, Number.MAX_SAFE_INTEGER, RETRY_AFTER_MS_MAX],
    [4, 90_000, 7_200_000],
    [10, 90_000, undefined],
  ] as const)
    assert.equal(retryDelayMs(tries, asked, half), expected)
})

test('retries: what Retry-After may say', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  for (const [value, expected] of [
    ['0', 0],
    ['120', 120_000],
    ['Thu, 01 Jan 2026 00:02:00 GMT', 120_000],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['soon', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['99999999999', undefined],
    [undefined, undefined],
  ] as const)
    assert.equal(parseRetryAfter(value, now), expected, String(value))
})
