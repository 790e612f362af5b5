import assert from 'node:assert/strict'
import { test } from 'node:test'
import { messagesModelTraits } from './anthropic-model-traits.ts'

for (const [model, thinking, thinkingOff, sampling, schemas] of [
  ['claude-3-5-sonnet-20241022', 'none', true, 'both', false],
  ['claude-3-7-sonnet-latest', 'budget', true, 'both', false],
  ['claude-opus-4-20250514', 'budget', true, 'both', false],
  ['claude-sonnet-4@20250514', 'budget', true, 'both', false],
  ['claude-opus-4-1-20250805', 'budget', true, 'one', true],
  ['claude-sonnet-4-5', 'budget', true, 'one', true],
  ['eu.anthropic.claude-sonnet-4-5-20250929-v1:0', 'budget', true, 'one', true],
  ['anthropic/claude-haiku-4.5', 'budget', true, 'one', true],
  ['claude-opus-4-6', 'effort', true, 'one', true],
  ['claude-opus-4-7', 'effort', false, 'none', true],
  ['claude-opus-4.8', 'effort', false, 'none', true],
  ['claude-fable-5', 'effort', false, 'none', true],
  ['claude-haiku-5-5', 'effort', false, 'none', true],
  ['claude-mythos-preview', 'effort', false, 'none', true],
  ['kimi-k2-thinking', 'budget', true, 'both', true],
  ['', 'budget', true, 'both', true],
] as const) {
  test(`what ${model || 'a model without a name'} takes`, () =>
    assert.partialDeepStrictEqual(messagesModelTraits(model), { thinking, thinkingOff, sampling, schemas }))
}
