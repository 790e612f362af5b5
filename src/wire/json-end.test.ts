import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createObjectEnd } from './json-end.ts'

test('an object is whole at its last character and not before, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
      fc.integer({ min: 1, max: 9 }),
      (value, size) => {
        const text = JSON.stringify(value)
        const end = createObjectEnd()
        for (let at = 0; at < text.length; at += size) {
          assert.equal(end.isWhole(), false)
          end.feed(text.slice(at, at + size))
        }
        assert.equal(end.isWhole(), true)
      },
    ),
    { numRuns: 300, seed: 3 },
  )
})

for (const text of ['', ' ', '"{}"', '[]', 'null', '{"a":"}', '{"a":"\\"}']) {
  test(`not a whole object: ${JSON.stringify(text)}`, () => {
    const end = createObjectEnd()
    end.feed(text)
    assert.equal(end.isWhole(), false)
  })
}
