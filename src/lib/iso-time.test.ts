import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atOffset, isoformat, parseIsoTime } from './iso-time.ts'

const asPython: [string, string | undefined][] = [
  ['2025-10-03T12:00:00Z', '2025-10-03T12:00:00+00:00'],
  ['2025-10-03T12:00:00+00:00', '2025-10-03T12:00:00+00:00'],
  ['2025-10-03t12:00:00z', '2025-10-03T12:00:00+00:00'],
  ['2025-10-03 12:00', '2025-10-03T12:00:00'],
  ['2025-10-03T12:00:00.123456Z', '2025-10-03T12:00:00.123456+00:00'],
  ['2025-10-03T12:00:00.120Z', '2025-10-03T12:00:00.120000+00:00'],
  ['2025-10-03T12:00:00.000Z', '2025-10-03T12:00:00+00:00'],
  ['2025-10-03T12:00:00.123456789Z', '2025-10-03T12:00:00.123456+00:00'],
  ['2025-10-03T14:00:00+0200', '2025-10-03T14:00:00+02:00'],
  ['2025-10-03T06:30:00-05:30', '2025-10-03T06:30:00-05:30'],
  ['2025-10-03T06:30:00-05', '2025-10-03T06:30:00-05:00'],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00+00:00'],
  ['2025-02-29T12:00:00Z', undefined],
  ['2025-10-03T24:00:00Z', undefined],
  ['2025-10-03T12:00:60Z', undefined],
  ['2025-10-03T12:00:00+24:00', undefined],
  ['2025-10-03', undefined],
  ['1759492800', undefined],
  ['', undefined],
]

for (const [text, expected] of asPython) {
  test(`${text} as Python prints it: ${expected}`, () => {
    const time = parseIsoTime(text)
    assert.equal(time && isoformat(time), expected)
  })
}

test('the same instant elsewhere', () => {
  const time = parseIsoTime('2025-10-03T23:30:00.5-01:00')
  assert(time !== undefined)
  assert.equal(isoformat(atOffset(time, 0)), '2025-10-04T00:30:00.500000+00:00')
  assert.equal(isoformat(atOffset(time, 345)), '2025-10-04T06:15:00.500000+05:45')
  const first = parseIsoTime('0001-01-01T00:00:00Z')
  assert(first !== undefined)
  assert.equal(isoformat(atOffset(first, -60)), undefined)
})
