import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pythonFloat, pythonJson } from './python-json.ts'

// What Python 3.11 prints for repr() of each.
for (const [value, want] of [
  [0, '0.0'],
  [-0, '-0.0'],
  [1, '1.0'],
  [-1.5, '-1.5'],
  [0.1, '0.1'],
  [0.0001, '0.0001'],
  [0.00012, '0.00012'],
  [0.00001, '1e-05'],
  [-0.000012, '-1.2e-05'],
  [1e-7, '1e-07'],
  [5e-324, '5e-324'],
  [123456.789, '123456.789'],
  [1e15, '1000000000000000.0'],
  [9999999999999998, '9999999999999998.0'],
  [1e16, '1e+16'],
  [123456789012345680, '1.2345678901234568e+17'],
  [1e22, '1e+22'],
  [1.7976931348623157e308, '1.7976931348623157e+308'],
] as const) {
  test(`pythonFloat prints ${want}`, () => assert.equal(pythonFloat(value), want))
}

test('every float reads back the same', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      assert.ok(Object.is(Number(pythonFloat(value)), value))
    }),
    { seed: 4, numRuns: 2_000 },
  )
})

test('sorted: by code point, without white space, everything but printable ASCII escaped', () => {
  const value = { '\u{1f3a7}': null, '\uffee': [true, false], b: 9007199254740993n, a: 'é"\\\n\u007f', B: {}, C: [] }
  assert.equal(
    pythonJson(value, 'sorted'),
    String.raw`{"B":{},"C":[],"a":"\u00e9\"\\\n\u007f","b":9007199254740993,"\uffee":[true,false],"\ud83c\udfa7":null}`,
  )
})

test('indented: two spaces, the order of the members, empty ones on one line', () => {
  assert.equal(
    pythonJson({ b: [1n, { c: 1 }], a: {} }, 'indented'),
    '{\n  "b": [\n    1,\n    {\n      "c": 1.0\n    }\n  ],\n  "a": {}\n}',
  )
})

test('a key that begins another comes first', () => {
  assert.equal(pythonJson({ ab: 1n, a: 2n, abc: 3n }, 'sorted'), '{"a":2,"ab":1,"abc":3}')
})
