import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createBytePile } from './byte-pile.ts'

test('what was added comes out, in order, however it came in', () => {
  for (const count of [0, 1, 2, 255, 256, 257, 600]) {
    const pile = createBytePile()
    const pieces = Array.from({ length: count }, (_, index) => Buffer.from(`${index},`))
    for (const piece of pieces) pile.add(piece)
    assert.equal(pile.joined().toString(), pieces.join(''))
    assert.equal(pile.joined().toString(), pieces.join(''))
    pile.clear()
    assert.equal(pile.joined().length, 0)
  }
})

test('one piece is not copied', () => {
  const pile = createBytePile()
  const piece = Buffer.from('abc')
  pile.add(piece)
  assert.equal(pile.joined(), piece)
})

test('small pieces are not kept each by itself', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const pile = createBytePile()
  collect()
  const before = process.memoryUsage().heapUsed
  for (let n = 0; n < 300_000; n += 1) pile.add(Buffer.from('x'))
  collect()
  const grown = process.memoryUsage().heapUsed - before
  assert.equal(pile.joined().length, 300_000)
  assert(grown < 8_000_000, `${grown} bytes are kept for 300,000`)
})
