import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomText, uuidFromName, uuidv7Hex } from './ids.ts'

test('uuidv7Hex has the version and variant bits, sorts by time and does not repeat', () => {
  const ids = Array.from({ length: 2000 }, (_, n) => uuidv7Hex(1_700_000_000_000 + n))
  for (const id of ids) assert.match(id, /^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
  assert.deepEqual([...ids].sort(), ids)
  assert.equal(new Set(ids).size, ids.length)
})

test('uuidFromName is stable and keeps parts apart', () => {
  assert.equal(uuidFromName('a', 'b'), uuidFromName('a', 'b'))
  assert.notEqual(uuidFromName('a', 'b'), uuidFromName('ab'))
  assert.notEqual(uuidFromName('a,1:b'), uuidFromName('a', 'b'))
  assert.match(uuidFromName('x'), /^[0-9a-f]{12}8[0-9a-f]{3}8[0-9a-f]{15}$/)
})

test('randomText draws from base32', () => assert.match(randomText(40), /^[a-z2-7]{40}$/))
