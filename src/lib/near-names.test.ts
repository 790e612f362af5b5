import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nearNames } from './near-names.ts'

const models = [
  'openai/gpt-4o',
  'openai/gpt-4o-mini',
  'openai/gpt-4o-2024-08-06',
  'openai/gpt-5',
  'openai/o3',
  'anthropic/claude-sonnet-4-5',
  'sim/echo',
  'sim/free',
]

for (const { name, want } of [
  { name: 'openai/gpt-4o', want: ['openai/gpt-4o', 'openai/gpt-5', 'openai/gpt-4o-mini'] },
  { name: 'gpt-4o', want: ['openai/gpt-4o', 'openai/gpt-4o-mini', 'openai/gpt-4o-2024-08-06'] },
  { name: 'OpenAI/GPT-4o-mini', want: ['openai/gpt-4o-mini', 'openai/gpt-4o'] },
  { name: 'gpt4o', want: ['openai/gpt-4o'] },
  { name: 'claude-sonet-4-5', want: ['anthropic/claude-sonnet-4-5'] },
  { name: 'sim/ecoh', want: ['sim/echo'] },
  { name: 'claude', want: ['anthropic/claude-sonnet-4-5'] },
  { name: 'o3', want: ['openai/o3'] },
  { name: 'cla', want: ['anthropic/claude-sonnet-4-5'] },
  { name: 'llama', want: [] },
  { name: '', want: [] },
]) {
  test(`nearNames: ${JSON.stringify(name)}`, () => {
    const near = nearNames(name, models)
    assert.deepEqual(near.slice(0, want.length || near.length), want)
  })
}

test('no more names than asked for, nearest first', () => {
  assert.deepEqual(nearNames('aaaa', ['aaab', 'aaaa', 'aabb', 'aaac'], 2), ['aaaa', 'aaab'])
  assert.deepEqual(nearNames('aaaa', ['aaaa'], 0), [])
})

test('the banded distance agrees with the textbook one', () => {
  const full = (one: string, other: string): number => {
    let above = Array.from({ length: other.length + 1 }, (_, column) => column)
    for (let row = 1; row <= one.length; row += 1) {
      const current = [row]
      for (let column = 1; column <= other.length; column += 1) {
        const replaced = (above[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1)
        current.push(Math.min(replaced, (above[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
      }
      above = current
    }
    return above[other.length] ?? 0
  }
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 3, maxLength: 12 })
  fc.assert(
    fc.property(word, word, (one, other) => {
      const near = full(one, other) <= Math.min(one.length, other.length) / 3
      const prefix = one.startsWith(other) || other.startsWith(one)
      assert.equal(nearNames(one, [other]).length === 1, near || prefix)
    }),
    { seed: 20_261_122, numRuns: 2_000 },
  )
})

test('long names and long lists are bounded work', () => {
  const many = Array.from({ length: 100_000 }, (_, i) => `${'x'.repeat(60)}${i}`)
  const started = performance.now()
  nearNames('x'.repeat(1_000_000), many)
  assert.ok(performance.now() - started < 1_000)
})
