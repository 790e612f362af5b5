import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toolIdForMessages, toolIdFromMessages } from './tool-ids.ts'

for (const { name, neutral, messages } of [
  { name: 'an OpenAI id', neutral: 'call_abc123XYZ', messages: 'toolu_abc123XYZ' },
  { name: 'an Anthropic id', neutral: 'call_01D7FLrfh4GYq7yT1ULFeyMV', messages: 'toolu_01D7FLrfh4GYq7yT1ULFeyMV' },
  { name: 'an id of Bedrock', neutral: 'call_bdrk_01A-b', messages: 'toolu_bdrk_01A-b' },
  { name: 'an id of Kimi', neutral: 'functions.read:0', messages: 'toolu_fgx_ZnVuY3Rpb25zLnJlYWQ6MA' },
  { name: 'an id of another shape', neutral: 'call_fgx_dG9vbHVzZV94', messages: 'tooluse_x' },
  { name: 'an Anthropic id in neutral terms', neutral: 'toolu_x', messages: 'toolu_fgx_dG9vbHVfeA' },
  { name: 'no id', neutral: '', messages: 'toolu_fgx_' },
]) {
  test(`tool ids: ${name}`, () => {
    assert.equal(toolIdForMessages(neutral), messages)
    assert.equal(toolIdFromMessages(messages), neutral)
  })
}

const piece = fc.oneof(
  fc.constantFrom('call_', 'toolu_', 'fgx_', 'dG9vbHVfeA', '_', '.', ':', '日', '\ufeff'),
  fc.string({ maxLength: 5, unit: 'binary' }),
)
const nested = (inner: string, times: number) => {
  let id = inner
  for (let n = 0; n < times; n += 1) {
    const prefix = n % 2 === 0 ? 'call_' : 'toolu_'
    id = `${prefix}fgx_${Buffer.from(id).toString('base64url')}`
  }
  return id
}
const anyId = fc.oneof(
  fc.array(piece, { maxLength: 5 }).map((parts) => parts.join('')),
  fc.tuple(fc.array(piece, { maxLength: 3 }), fc.nat(5)).map(([parts, times]) => nested(parts.join(''), times)),
)

test('swapping ids back gives the id that was swapped, both ways', () => {
  fc.assert(
    fc.property(anyId, (id) => {
      assert.equal(toolIdFromMessages(toolIdForMessages(id)), id)
      assert.equal(toolIdForMessages(toolIdFromMessages(id)), id)
    }),
    { numRuns: 2_000, seed: 7 },
  )
})

test('what no upstream of the messages protocol wrote is written as one accepts it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (id) => {
      const encoded = id.startsWith('call_fgx_') ? 'toolu_x' : toolIdForMessages(id)
      assert.match(encoded, /^[A-Za-z0-9_-]+$/)
    }),
    { numRuns: 500, seed: 7 },
  )
})
