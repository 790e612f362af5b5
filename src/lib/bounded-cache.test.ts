import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBoundedCache } from './bounded-cache.ts'

test('a full cache drops what was set first', () => {
  const cache = createBoundedCache<number>({ entriesMax: 2 })
  for (const [key, value] of [
    ['a', 1],
    ['b', 2],
    ['a', 3],
    ['c', 4],
  ] as const)
    cache.set(key, value, 60_000)
  assert.deepEqual([cache.get('a'), cache.get('b'), cache.get('c'), cache.size], [3, undefined, 4, 2])
})

test('an entry ends at its deadline and is gone from memory when it is asked for', () => {
  const cache = createBoundedCache<number>({ entriesMax: 2 })
  cache.set('a', 1, 0)
  assert.deepEqual([cache.get('a'), cache.size], [undefined, 0])
})
