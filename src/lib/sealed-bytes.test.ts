import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBytes, sealBytes } from './sealed-bytes.ts'

const PLAIN = Buffer.from('an answer')

test('what was sealed opens with the same secret for the same purpose, and with nothing else', () => {
  const sealed = sealBytes('secret', 'answer 1', PLAIN)
  assert.deepEqual(openBytes('secret', 'answer 1', sealed), PLAIN)
  assert.equal(openBytes('secret', 'answer 2', sealed), undefined)
  assert.equal(openBytes('Secret', 'answer 1', sealed), undefined)
  assert(!sealed.includes(PLAIN))
})

test('altered bytes do not open', () => {
  const sealed = sealBytes('secret', 'answer', PLAIN)
  for (let at = 0; at < sealed.length; at += 1) {
    const altered = Buffer.from(sealed)
    altered[at] = (altered[at] ?? 0) ^ 1
    assert.equal(openBytes('secret', 'answer', altered), undefined, `byte ${at}`)
  }
  for (const length of [0, 11, 27, sealed.length - 1])
    assert.equal(openBytes('secret', 'answer', sealed.subarray(0, length)), undefined)
})

test('nothing seals alike twice, also nothing at all', () => {
  assert.notDeepEqual(sealBytes('s', 'p', PLAIN), sealBytes('s', 'p', PLAIN))
  assert.deepEqual(openBytes('s', 'p', sealBytes('s', 'p', Buffer.alloc(0))), Buffer.alloc(0))
})
