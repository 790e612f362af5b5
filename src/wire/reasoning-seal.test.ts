import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { openReasoning, type ReasoningState, sealReasoning } from './reasoning-seal.ts'

const state = fc.record(
  {
    origin: fc.constantFrom('chat' as const, 'responses' as const, 'messages' as const),
    id: fc.string({ unit: 'binary' }),
    signature: fc.string({ unit: 'binary' }),
    encrypted: fc.string({ unit: 'binary' }),
  },
  { requiredKeys: ['origin'], noNullPrototype: true },
)

test('what is sealed is opened as it was', () => {
  fc.assert(
    fc.property(state, (value) => assert.deepEqual(openReasoning(sealReasoning(value as ReasoningState)), value)),
    { numRuns: 200, seed: 7 },
  )
})

for (const text of [
  '',
  'EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds',
  'fluxgate.',
  'fluxgate.chat',
  'fluxgate.gemini.e30',
  'fluxgate.chat.!!',
  'fluxgate.chat.bm90IGpzb24',
  'fluxgate.chat.W10',
]) {
  test(`not a seal of ours: ${JSON.stringify(text)}`, () => assert.equal(openReasoning(text), undefined))
}
