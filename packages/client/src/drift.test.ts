import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkDrift, compareVersions, parseRegistryDocument } from './drift.ts'
import { readLockfile } from './lockfile-text.ts'

const input = 'dollars_per_million_tokens_input'
const cached = 'dollars_per_million_tokens_cached_input'
const document = (version: number, models: Record<string, object>, provider = 'openai') =>
  parseRegistryDocument({ provider, version, updated_at: '2026-08-18', models })

const seven = document(7, {
  'openai:a': { model_name: 'a', [input]: 1, [cached]: null, supports_vision: true },
  'openai:b': { [input]: 2 },
})
const nine = document(9, { 'openai:a': { [input]: 1.5, [cached]: 0 }, 'openai:c': {} })

describe('compareVersions', () => {
  test('the same version has no drift', () => {
    assert.deepEqual(compareVersions({ provider: 'openai', version: 7 }, seven), {
      provider: 'openai',
      pinnedVersion: 7,
      currentVersion: 7,
      versionsBehind: 0,
      hasDrift: false,
    })
  })

  test('without the pinned document only the versions are compared', () => {
    const drift = compareVersions({ provider: 'openai', version: 7 }, nine)
    assert.deepEqual([drift.hasDrift, drift.versionsBehind, drift.changes], [true, 2, undefined])
  })

  test('a pin that is ahead is drift too', () => {
    assert.deepEqual(compareVersions({ provider: 'openai', version: 9 }, seven).versionsBehind, -2)
  })

  test('with it: models that came and went, prices that changed; a new price of zero is not no price', () => {
    assert.deepEqual(compareVersions({ provider: 'openai', version: 7 }, nine, seven).changes, {
      addedModels: ['openai:c'],
      removedModels: ['openai:b'],
      prices: [
        { model: 'openai:a', price: input, pinned: 1, current: 1.5 },
        { model: 'openai:a', price: cached, current: 0 },
      ],
    })
  })

  test('prices that changed under one version are drift', () => {
    const other = document(7, { 'openai:a': { [input]: 3 }, 'openai:b': { [input]: 2 } })
    assert.equal(compareVersions({ provider: 'openai', version: 7 }, other, seven).hasDrift, true)
  })

  for (const [name, run] of [
    ['another provider', () => compareVersions({ provider: 'google', version: 7 }, seven)],
    ['another version as the pinned one', () => compareVersions({ provider: 'openai', version: 8 }, nine, seven)],
  ] as const) {
    test(`refused: ${name}`, () => assert.throws(run, TypeError))
  }
})

test('checkDrift: every pin of the profile, and those without a document', () => {
  const text = '{"profiles":{"p":{"name":"p","registry_versions":{"openai":7,"anthropic":3}}}}'
  const lockfile = readLockfile(text, 'json')
  const { drifts, unchecked } = checkDrift(lockfile, 'p', {
    current: [nine],
    pinned: [document(3, {}, 'google'), seven],
  })
  assert.deepEqual(
    drifts.map(({ provider, changes }) => [provider, changes?.removedModels]),
    [['openai', ['openai:b']]],
  )
  assert.deepEqual(unchecked, ['anthropic'])
  assert.deepEqual(checkDrift(lockfile, 'constructor', { current: [nine] }), { drifts: [], unchecked: [] })
})

for (const [name, value] of [
  ['a list', []],
  ['no provider', { version: 1, models: {} }],
  ['a version that is a text', { provider: 'openai', version: '2025-08-20', models: {} }],
  ['version zero', { provider: 'openai', version: 0, models: {} }],
  ['models in a list', { provider: 'openai', version: 1, models: [] }],
  ['a model that is a text', { provider: 'openai', version: 1, models: { 'openai:a': 'x' } }],
  ['a price that is a text', { provider: 'openai', version: 1, models: { 'openai:a': { [input]: '1' } } }],
  [
    'too many models',
    { provider: 'openai', version: 1, models: Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [n, {}])) },
  ],
] as const) {
  test(`parseRegistryDocument refuses ${name}`, () => {
    assert.throws(() => parseRegistryDocument(value), TypeError)
  })
}
