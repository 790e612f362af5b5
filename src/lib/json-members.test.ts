import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Member, topLevelMembers, withMembers } from './json-members.ts'

function members(text: string): Map<string, Member> {
  const found = topLevelMembers(text)
  assert(found instanceof Map)
  return found
}

for (const { name, text, changes, want } of [
  {
    name: 'a replaced value',
    text: '{"a":1,"model":"x/y","b":[1,{"c":"}"}]}',
    changes: { model: '"y"' },
    want: '{"a":1,"model":"y","b":[1,{"c":"}"}]}',
  },
  {
    name: 'spaces stay',
    text: ' { "model" : "x" , "n" : 1.0 } ',
    changes: { model: '"y"' },
    want: ' { "model" : "y" , "n" : 1.0 } ',
  },
  { name: 'an added member', text: '{"a":1}', changes: { b: '{}' }, want: '{"a":1,"b":{}}' },
  { name: 'the first member', text: '{ }', changes: { b: 'true' }, want: '{ "b":true}' },
  {
    name: 'escapes in names and values',
    text: '{"\\u0061":"\\\\","q":"\\"}"}',
    changes: { a: '1' },
    want: '{"\\u0061":1,"q":"\\"}"}',
  },
  { name: 'two at once', text: '{"b":2,"a":1}', changes: { a: '9', b: '8', c: '7' }, want: '{"b":8,"a":9,"c":7}' },
]) {
  test(`withMembers: ${name}`, () => assert.equal(withMembers(text, members(text), changes), want))
}

test('a member that stands twice is named', () => {
  assert.deepEqual(topLevelMembers('{"model":"a","x":1,"mod\\u0065l":"b"}'), { duplicate: 'model' })
})

test('every value of random objects is found where it stands', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 1, 3), (object, indent) => {
      const text = JSON.stringify(object, undefined, indent)
      const found = members(text)
      for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, unknown>)) {
        const at = found.get(name)
        assert(at !== undefined)
        assert.deepEqual(JSON.parse(text.slice(at.valueStart, at.valueEnd)), value)
      }
      const changed = JSON.parse(withMembers(text, found, { 'new member': '[1]' })) as Record<string, unknown>
      assert.deepEqual(changed, { ...(JSON.parse(text) as object), 'new member': [1] })
    }),
    { numRuns: 300 },
  )
})
