import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isUtcMicros } from './utc-micros.ts'

for (const { value, want } of [
  { value: '2026-11-22T01:41:15.123456Z', want: true },
  { value: '1970-01-01T00:00:00.000000Z', want: true },
  { value: '2026-11-22T01:41:15.123Z', want: false },
  { value: '2026-02-30T01:41:15.123456Z', want: false },
  { value: '2026-11-22T01:41:15.123 or later .123456Z', want: false },
  { value: '2026-11-22T01:41:15.123\u001b[2J\n.123456Z', want: false },
  { value: '2026-11-22T01:41:15.1234567Z', want: false },
  { value: '2026-11-22T01:41:15.123456Z\n', want: false },
  { value: undefined, want: false },
])
  test(`isUtcMicros: ${JSON.stringify(value)} is ${want ? 'a time' : 'refused'}`, () =>
    assert.equal(isUtcMicros(value), want))
