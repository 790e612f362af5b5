import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsOf, mayUse } from './allowed-models.ts'

for (const [project, key, model, allowed] of [
  [null, null, 'openai/gpt-4o', true],
  [['openai/gpt-4o'], null, 'openai/gpt-4o', true],
  [['openai/gpt-4o'], null, 'openai/gpt-4o-mini', false],
  [['openai/*'], null, 'openai/gpt-4o-mini', true],
  [['openai/*'], null, 'openai', false],
  [['openai/*'], ['openai/gpt-4o'], 'openai/gpt-4o-mini', false],
  [['openai/*'], ['anthropic/*'], 'anthropic/x', false],
  [null, ['*'], 'anything', true],
  [null, ['a.c'], 'abc', false],
] as const)
  test(`project ${project ?? 'all'}, key ${key ?? 'all'}: ${model} is ${allowed ? 'allowed' : 'not'}`, () => {
    assert.equal(mayUse(limitsOf(project, key), model), allowed)
  })
