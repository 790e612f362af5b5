import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { countCodePoints, countWideHan } from './speech-count.ts'

const rows: [text: string, points: number, wide: number][] = [
  ['', 0, 0],
  ['Hello, world!', 13, 13],
  ['I’m “fine”.', 11, 11],
  // The four examples of Alibaba's documentation.
  ['你好', 2, 4],
  ['中A文123', 6, 8],
  ['中文。', 3, 5],
  ['中 文。', 4, 6],
  // Kana and hangul are one each, kanji and hanja two.
  ['ありがとう', 5, 5],
  ['漢字かな', 4, 6],
  ['안녕하세요', 5, 5],
  ['大韓民國', 4, 8],
  ['人々', 2, 4],
  // Beyond the basic plane: one code point, two UTF-16 units.
  ['😀', 1, 1],
  ['𠮷野家', 3, 6],
  // A family is four people and three joiners; an accent may be a character of its own.
  ['👨‍👩‍👧‍👦', 7, 7],
  ['e\u0301', 2, 2],
  ['a\tb\n', 4, 4],
]

for (const [text, points, wide] of rows)
  test(`characters of ${JSON.stringify(text)}`, () => {
    assert.equal(countCodePoints(text), points)
    assert.equal(countWideHan(text), wide)
  })

test('a text costs what its parts cost, so that cutting it into calls saves nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
      assert.equal(countCodePoints(a + b), countCodePoints(a) + countCodePoints(b))
      assert.equal(countWideHan(a + b), countWideHan(a) + countWideHan(b))
      assert(countWideHan(a) >= countCodePoints(a))
    }),
    { seed: 7, numRuns: 100 },
  )
})
