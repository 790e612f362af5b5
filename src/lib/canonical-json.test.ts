import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CanonicalJsonError, canonicalJson, JSON_DEPTH_MAX, parseCanonicalJson } from './canonical-json.ts'

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

for (const { name, value, want } of [
  {
    name: 'keys are sorted by UTF-16 code units',
    value: { '€': 1, '\r': 2, '😀': 3, '\ufb33': 4, 1: 5, ö: 6 },
    want: '{"\\r":2,"1":5,"ö":6,"€":1,"😀":3,"\ufb33":4}',
  },
  { name: 'a prefix comes first', value: { usage_source: 1, usage: 2 }, want: '{"usage":2,"usage_source":1}' },
  {
    name: 'control characters have their short or hexadecimal escape',
    value: '\b\t\n\f\r\u000f"\\/',
    want: '"\\b\\t\\n\\f\\r\\u000f\\"\\\\/"',
  },
  { name: 'everything else stands as it is', value: '\u2028\u007fé😀', want: '"\u2028\u007fé😀"' },
  {
    name: 'integers reach to 2^53 - 1 on both sides',
    value: [9007199254740991, -9007199254740991, 0],
    want: '[9007199254740991,-9007199254740991,0]',
  },
  { name: 'empty things', value: { a: {}, b: [], c: '' }, want: '{"a":{},"b":[],"c":""}' },
  {
    name: 'a key called __proto__ is a key',
    value: JSON.parse('{"__proto__":{"x":1}}'),
    want: '{"__proto__":{"x":1}}',
  },
  { name: 'the deepest nesting', value: JSON.parse(nested(JSON_DEPTH_MAX)), want: nested(JSON_DEPTH_MAX) },
]) {
  test(`canonicalJson: ${name}`, () => {
    assert.equal(canonicalJson(value), want)
    assert.deepEqual(parseCanonicalJson(want), value)
  })
}

const circle: unknown[] = []
circle.push(circle)

for (const { name, value, code } of [
  { name: 'null', value: { a: null }, code: 'json_value_refused' },
  { name: 'undefined', value: { a: undefined }, code: 'json_value_refused' },
  { name: 'a hole in an array', value: new Array(1), code: 'json_value_refused' },
  { name: 'a bigint', value: 1n, code: 'json_value_refused' },
  { name: 'a function', value: () => 1, code: 'json_value_refused' },
  { name: 'a symbol', value: Symbol('x'), code: 'json_value_refused' },
  { name: 'a date', value: new Date(0), code: 'json_value_refused' },
  { name: 'a map', value: new Map(), code: 'json_value_refused' },
  { name: 'a fraction', value: [0.5], code: 'json_number_refused' },
  { name: 'not a number', value: Number.NaN, code: 'json_number_refused' },
  { name: 'infinity', value: Number.POSITIVE_INFINITY, code: 'json_number_refused' },
  { name: 'minus zero', value: -0, code: 'json_number_refused' },
  { name: '2^53', value: 2 ** 53, code: 'json_number_refused' },
  { name: 'a lone surrogate in a value', value: ['\ud800'], code: 'json_text_refused' },
  { name: 'a lone surrogate in a key', value: { '\udc00': 1 }, code: 'json_text_refused' },
  { name: 'nesting that is too deep', value: JSON.parse(nested(JSON_DEPTH_MAX + 1)), code: 'json_too_deep' },
  { name: 'a circle', value: circle, code: 'json_too_deep' },
]) {
  test(`canonicalJson refuses ${name}`, () => {
    assert.throws(() => canonicalJson(value), { name: 'CanonicalJsonError', code })
  })
}

for (const { name, text, code } of [
  { name: 'white space', text: '{"a": 1}', code: 'json_not_canonical' },
  { name: 'a final line feed', text: '1\n', code: 'json_not_canonical' },
  { name: 'unsorted keys', text: '{"b":1,"a":2}', code: 'json_not_canonical' },
  { name: 'a repeated key', text: '{"a":1,"a":1}', code: 'json_not_canonical' },
  { name: 'an integer with a fraction', text: '1.0', code: 'json_not_canonical' },
  { name: 'an integer with an exponent', text: '1e3', code: 'json_not_canonical' },
  { name: 'an escape that is not needed', text: '"\\u0041"', code: 'json_not_canonical' },
  { name: 'a fraction', text: '1.5', code: 'json_number_refused' },
  { name: 'minus zero', text: '-0', code: 'json_number_refused' },
  { name: 'an integer that a double cannot hold', text: '9007199254740993', code: 'json_number_refused' },
  { name: 'null', text: 'null', code: 'json_value_refused' },
  { name: 'an escaped lone surrogate', text: '"\\ud800"', code: 'json_text_refused' },
  { name: 'something that is not JSON', text: '{', code: 'json_syntax' },
  { name: 'the empty text', text: '', code: 'json_syntax' },
  { name: 'a long text', text: ' '.repeat(1_048_577), code: 'json_too_large' },
  { name: 'a deep text', text: nested(100_000), code: 'json_too_deep' },
]) {
  test(`parseCanonicalJson refuses ${name}`, () => {
    assert.throws(() => parseCanonicalJson(text), { name: 'CanonicalJsonError', code })
  })
}

test('every value of the subset survives the way out and back, and has one text whatever the order of its keys', () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: 'binary' }),
      fc.boolean(),
      fc.maxSafeInteger().map((number) => number + 0),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.string({ unit: 'binary' }), tie('value'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(value, (original) => {
      const text = canonicalJson(original)
      assert.equal(canonicalJson(parseCanonicalJson(text)), text)
      assert.equal(canonicalJson(reversed(original)), text)
    }),
    { seed: 8785, numRuns: 300 },
  )
})

test('a message names the place but never repeats what a stranger wrote', () => {
  const error = catchError(() => canonicalJson({ usage: [{ 'evil \u001b[31m': null }] }))
  assert.equal(error.message, '$.usage[0].(key) is null')
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  )
}

function catchError(action: () => unknown): CanonicalJsonError {
  try {
    action()
  } catch (error) {
    if (error instanceof CanonicalJsonError) return error
  }
  throw new assert.AssertionError({ message: 'no CanonicalJsonError was thrown' })
}
