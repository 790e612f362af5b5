import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeBase64, decodeBase64Url } from './base64.ts'

test('bytes of every length and value come back', () => {
  for (let length = 0; length <= 66; length += 1) {
    const bytes = Buffer.from(Array.from({ length }, (_, index) => (index * 83 + length) & 255))
    assert.deepEqual(decodeBase64(bytes.toString('base64')), new Uint8Array(bytes))
    assert.deepEqual(decodeBase64Url(bytes.toString('base64url')), new Uint8Array(bytes))
  }
})

for (const { name, text } of [
  { name: 'missing padding', text: 'AA' },
  { name: 'too much padding', text: 'AAA==' },
  { name: 'white space', text: 'AA AA' },
  { name: 'a line feed', text: 'AAAA\n' },
  { name: 'stray bits', text: 'AB==' },
  { name: 'the other alphabet', text: '-_-_' },
  { name: 'text beyond Latin 1', text: 'AA€A' },
]) {
  test(`decodeBase64 refuses ${name}`, () => assert.equal(decodeBase64(text), undefined))
}

for (const { name, text } of [
  { name: 'padding', text: 'AA==' },
  { name: 'stray bits', text: 'AB' },
  { name: 'the other alphabet', text: '+/+/' },
  { name: 'an impossible length', text: 'AAAAA' },
  { name: 'white space', text: 'AA A' },
]) {
  test(`decodeBase64Url refuses ${name}`, () => assert.equal(decodeBase64Url(text), undefined))
}
