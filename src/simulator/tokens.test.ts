import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countTokens, cutTokens, pieceEnd } from './tokens.ts'

for (const { name, text, tokens } of [
  { name: 'nothing', text: '', tokens: 0 },
  { name: 'ASCII rounds up', text: 'hello', tokens: 2 },
  { name: 'ASCII of whole tokens', text: 'helloooo', tokens: 2 },
  { name: 'an emoji is one token', text: '🚀🚀', tokens: 2 },
  { name: 'a CJK character leaves room for one byte', text: '日 本,', tokens: 2 },
  { name: 'two accents fit', text: 'öööö', tokens: 2 },
  { name: 'a character is never split', text: 'abc日', tokens: 2 },
  { name: 'a lone surrogate is three bytes', text: '\ud83dab', tokens: 2 },
]) {
  test(`tokens: ${name}`, () => {
    assert.equal(countTokens(text), tokens)
    const pieces: string[] = []
    for (let at = 0; at < text.length; ) {
      const end = pieceEnd(text, at, 1)
      pieces.push(text.slice(at, end))
      at = end
    }
    assert.equal(pieces.length, tokens)
    assert.ok(pieces.every((piece) => Buffer.byteLength(piece) <= 4))
    assert.equal(cutTokens(text, tokens), text)
    assert.equal(cutTokens(text, 1), pieces[0] ?? '')
  })
}
