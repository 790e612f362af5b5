import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pythonTime, pythonTimeOf } from './python-time.ts'

for (const [text, want] of [
  ['2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00'],
  ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00+00:00'],
  ['2026-01-01T00:00:00-00:00', '2026-01-01T00:00:00+00:00'],
  ['2026-01-01 08:30', '2026-01-01T08:30:00'],
  ['2026-01-01', '2026-01-01T00:00:00'],
  ['2026-08-19T00:52:11.620824+02:00', '2026-08-19T00:52:11.620824+02:00'],
  ['2026-08-19T00:52:11.5-0930', '2026-08-19T00:52:11.500000-09:30'],
  ['2026-08-19T00:52:11.000Z', '2026-08-19T00:52:11+00:00'],
  ['2026-08-19T00:52:11.123456789Z', '2026-08-19T00:52:11.123456+00:00'],
  ['2024-02-29', '2024-02-29T00:00:00'],
  ['2026-02-29', undefined],
  ['2026-13-01', undefined],
  ['2026-01-01T24:00', undefined],
  ['2026-01-01T00:60', undefined],
  ['2026-01-01T00:00:00+24:00', undefined],
  ['0000-01-01', undefined],
  ['yesterday', undefined],
  ['', undefined],
] as const) {
  test(`pythonTime: ${text || '(empty)'}`, () => assert.equal(pythonTime(text), want))
}

test('pythonTimeOf has microseconds only when there are some', () => {
  assert.equal(pythonTimeOf(new Date('2026-01-01T00:00:00.000Z')), '2026-01-01T00:00:00+00:00')
  assert.equal(pythonTimeOf(new Date('2026-01-01T00:00:00.120Z')), '2026-01-01T00:00:00.120000+00:00')
})
