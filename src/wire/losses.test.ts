import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLosses } from './losses.ts'

test('what is lost again and again is said once, but what is essential is said apart', () => {
  const { losses, lose } = createLosses()
  lose('messages[0]', 'not carried')
  lose('messages[1]', 'not carried')
  lose('messages[2]', 'not carried', true)
  assert.deepEqual(losses, [
    { path: 'messages[0]', message: 'not carried', essential: false },
    { path: 'messages[2]', message: 'not carried', essential: true },
  ])
})

test('losses have an end, and an essential one is among them', () => {
  const { losses, lose } = createLosses()
  for (let n = 0; n < 1_000; n += 1) lose(`member${n}`, `member${n} has no counterpart`)
  lose('n', 'other protocols give one answer', true)
  assert.equal(losses.length, 64)
  assert(losses.some(({ essential }) => essential))
})
