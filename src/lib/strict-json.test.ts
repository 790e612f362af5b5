import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseStrictJson } from './strict-json.ts'

for (const { name, text } of [
  { name: 'white space and any order of keys', text: ' { "b" : [ 1 , -2 , 0 ] ,\n\t"a" : { } }\r\n' },
  { name: 'null, true and false', text: '[null,true,false]' },
  { name: 'the same key in different objects', text: '{"a":{"a":1},"b":[{"a":1},{"a":2}]}' },
  { name: 'braces and colons inside strings', text: '{"a{":"\\"}:","b":"[,"}' },
  { name: 'a value equal to a key', text: '{"a":"a","b":["a","b"]}' },
  { name: 'escaped surrogate pairs', text: '"\\ud83d\\ude00"' },
  { name: 'a bare string', text: '"x"' },
]) {
  test(`parseStrictJson reads ${name}`, () => assert.deepEqual(parseStrictJson(text), JSON.parse(text)))
}

for (const { name, text, code } of [
  { name: 'a repeated key', text: '{"a":1,"a":1}', code: 'json_duplicate_key' },
  { name: 'a repeated key in another spelling', text: '{"a":1,"\\u0061" :2}', code: 'json_duplicate_key' },
  { name: 'a repeated key after a nested object', text: '{"a":{"b":1},"c":[],"a":2}', code: 'json_duplicate_key' },
  { name: 'a repeated key with an empty name', text: '{"":1,"":2}', code: 'json_duplicate_key' },
  { name: 'a repeated __proto__', text: '{"__proto__":1,"__proto__":2}', code: 'json_duplicate_key' },
  { name: '1.0', text: '[1.0]', code: 'json_number_refused' },
  { name: '1e3', text: '[1e3]', code: 'json_number_refused' },
  { name: '1E+3', text: '[1E+3]', code: 'json_number_refused' },
  { name: '-0', text: '[-0]', code: 'json_number_refused' },
  { name: '2^53', text: '[9007199254740992]', code: 'json_number_refused' },
  { name: 'a fraction', text: '{"a":812.5}', code: 'json_number_refused' },
  { name: 'a leading zero', text: '[01]', code: 'json_number_refused' },
  { name: 'a lone surrogate', text: '["\ud800"]', code: 'json_text_refused' },
  { name: 'an escaped lone surrogate in a key', text: '{"\\udc00":1}', code: 'json_text_refused' },
  { name: 'a bad escape', text: '["\\x41"]', code: 'json_syntax' },
  { name: 'a string without an end', text: '["a', code: 'json_syntax' },
  { name: 'a string that ends in a backslash', text: '"\\', code: 'json_syntax' },
  { name: 'a key outside an object', text: '"a":1', code: 'json_syntax' },
  { name: 'a trailing comma', text: '[1,]', code: 'json_syntax' },
  { name: 'two values', text: '{}{}', code: 'json_syntax' },
  { name: 'more closed than opened', text: ']]]]', code: 'json_syntax' },
  { name: 'nothing', text: '', code: 'json_syntax' },
  { name: 'deep nesting', text: '['.repeat(100_000), code: 'json_too_deep' },
]) {
  test(`parseStrictJson refuses ${name}`, () => {
    assert.throws(() => parseStrictJson(text), { name: 'CanonicalJsonError', code })
  })
}

test('parseStrictJson refuses a text beyond its limit before it looks at it', () => {
  assert.throws(() => parseStrictJson('[[[[', 3), { code: 'json_too_large' })
})

test('whatever it accepts, JSON.parse reads the same', () => {
  const character = fc.constantFrom(...'{}[]:,"\\ 01-.eEabu\n')
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: character }), fc.json()), (text) => {
      let value: unknown
      try {
        value = parseStrictJson(text)
      } catch {
        return
      }
      assert.deepEqual(value, JSON.parse(text))
    }),
    { seed: 7493, numRuns: 2000 },
  )
})
