import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bindAlias, unbindAlias } from './bind.ts'
import { createLockfile, findBinding, listAliases } from './lockfile.ts'

const now = new Date('2026-02-01T00:00:00.500Z')
const empty = createLockfile(new Date('2026-01-01T00:00:00Z'))

test('a list and a text with commas make the same pool, and the time is noted', () => {
  const listed = bindAlias(empty, 'fast', ['openai:a', 'anthropic:b'], { now })
  assert.deepEqual(bindAlias(empty, 'fast', ' openai:a , anthropic:b ', { now }), listed)
  assert.deepEqual(findBinding(listed, 'default', 'fast')?.models, ['openai:a', 'anthropic:b'])
  assert.equal(listed.updatedAt, '2026-02-01T00:00:00.500000+00:00')
  assert.equal(listed.createdAt, empty.createdAt)
  assert.deepEqual(listAliases(empty), [], 'the lockfile that was given stays as it was')
})

test('a binding that is replaced moves to the end, a profile stays at its place', () => {
  const first = bindAlias(bindAlias(empty, 'a', 'x:1', { now, profile: 'prod' }), 'b', 'x:2', { now, profile: 'prod' })
  const second = bindAlias(first, 'a', 'x:3', { now, profile: 'prod' })
  assert.deepEqual(listAliases(second, 'prod'), ['b', 'a'])
  assert.deepEqual(Object.keys(second.profiles), ['default', 'prod', 'staging', 'dev'])
})

test('a profile that is not there is made, whatever its name', () => {
  const lockfile = bindAlias(empty, 'a', 'x:1', { now, profile: '__proto__' })
  assert.deepEqual(Object.keys(lockfile.profiles).at(-1), '__proto__')
  assert.deepEqual(listAliases(lockfile, '__proto__'), ['a'])
})

test('an alias is taken out of one profile only', () => {
  const both = bindAlias(bindAlias(empty, 'a', 'x:1', { now }), 'a', 'x:1', { now, profile: 'prod' })
  const one = unbindAlias(both, 'a', { now, profile: 'prod' })
  assert.deepEqual([listAliases(one), listAliases(one, 'prod')], [['a'], []])
  assert.equal(unbindAlias(one, 'a', { now, profile: 'prod' }), one)
  assert.equal(unbindAlias(one, 'a', { now, profile: 'nowhere' }), one)
})

for (const [name, alias, models, profile] of [
  ['a model without provider', 'a', 'gpt-4o', 'prod'],
  ['an empty entry', 'a', 'x:1,,x:2', 'prod'],
  ['no model at all', 'a', [], 'prod'],
  ['a comma inside an entry', 'a', ['x:1,x:2'], 'prod'],
  ['more than 32 models', 'a', Array.from({ length: 33 }, (_, index) => `x:${index}`), 'prod'],
  ['an empty alias', ' ', 'x:1', 'prod'],
  ['an alias that is a model', 'openai:x', 'x:1', 'prod'],
  ['an alias with an open end', ':x', 'x:1', 'prod'],
  ['an empty profile', 'a', 'x:1', ' '],
] as const) {
  test(`bindAlias refuses ${name}`, () => {
    assert.throws(() => bindAlias(empty, alias, models, { now, profile }), { code: 'lockfile_invalid' })
  })
}
