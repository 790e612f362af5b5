import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isUtcMillis, utcMillis } from './utc-millis.ts'

for (const { value, want } of [
  { value: '2026-11-22T01:41:15.123Z', want: true },
  { value: '1970-01-01T00:00:00.000Z', want: true },
  { value: '2028-02-29T23:59:59.999Z', want: true },
  { value: '9999-12-31T23:59:59.999Z', want: true },
  { value: '2026-02-29T00:00:00.000Z', want: false },
  { value: '2026-11-22T24:00:00.000Z', want: false },
  { value: '2026-11-22T01:41:60.000Z', want: false },
  { value: '2026-11-22T01:41:15Z', want: false },
  { value: '2026-11-22T01:41:15.123456Z', want: false },
  { value: '2026-11-22T01:41:15.123+00:00', want: false },
  { value: '2026-11-22t01:41:15.123z', want: false },
  { value: '1969-12-31T23:59:59.999Z', want: false },
  { value: ' 2026-11-22T01:41:15.123Z', want: false },
  { value: 1795311675123, want: false },
  { value: undefined, want: false },
]) {
  test(`isUtcMillis: ${value} is ${want ? 'a time' : 'refused'}`, () => assert.equal(isUtcMillis(value), want))
}

test('utcMillis writes what a Date writes, also when the clock is set', () => {
  const ms = fc.integer({ min: 0, max: 4_102_444_800_000 })
  const soon = fc.integer({ min: -3_000, max: 3_000 })
  fc.assert(
    fc.property(ms, fc.array(soon, { maxLength: 20 }), (start, steps) => {
      for (const step of [0, ...steps]) {
        const at = Math.max(0, start + step)
        assert.equal(utcMillis(at), new Date(at).toISOString())
      }
    }),
    { seed: 3339 },
  )
})
