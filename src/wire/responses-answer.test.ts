import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseWholeResponse } from './responses-answer.ts'

function fixture(name: string): string {
  return readFileSync(new URL(`./fixtures/${name}.json`, import.meta.url), 'utf8')
}

test('a whole response: who answered, what it used, what it said', () => {
  const facts = parseWholeResponse(fixture('responses-text'))
  assert(!('fault' in facts))
  assert.deepEqual(facts.identity, { id: 'resp_68d92f4a0c1c8190b1f3e5f0a7d2c94e01', model: 'gpt-5-mini-2025-08-07' })
  assert.equal((facts.usage as { input_tokens: number }).input_tokens, 36)
  assert.equal(facts.text, 'Grüße, "Welt"!\n日本 🚀 \\done')
})

test('reasoning and the arguments of calls are text that was generated', () => {
  const facts = parseWholeResponse(fixture('responses-tools'))
  assert(!('fault' in facts))
  assert.equal(facts.text, '**Looking up**Two cities.{"city":"Köln"}{}')
})

for (const [name, body, fault] of [
  ['no JSON', '<html>', 'malformed'],
  ['a list', '[]', 'malformed'],
  ['an answer of chat', '{"choices":[]}', 'malformed'],
  ['an error', '{"error":{"message":"no"}}', 'error_in_200'],
  ['a failed response', '{"status":"failed","error":{"code":"server_error"},"output":[]}', 'error_in_200'],
  ['a failed response without its error', '{"status":"failed","output":[]}', 'error_in_200'],
  ['a cancelled response', '{"status":"cancelled","output":[]}', 'error_in_200'],
  ['a response that is still in the queue', '{"status":"queued","output":[]}', 'malformed'],
  ['a response without output', '{"status":"completed","output":[]}', 'empty'],
] as const)
  test(`${name} is ${fault}`, () => assert.deepEqual(parseWholeResponse(body), { fault }))

test('an answer that was cut short before it said anything is one', () => {
  const facts = parseWholeResponse('\ufeff{"status":"incomplete","output":[],"usage":{"input_tokens":1}}')
  assert.deepEqual(facts, { identity: {}, usage: { input_tokens: 1 }, text: '' })
})

test('any JSON is read without an exception', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue({ maxDepth: 3 })), (output) => {
      const facts = parseWholeResponse(JSON.stringify({ status: 'completed', output }))
      assert('fault' in facts || typeof facts.text === 'string')
    }),
    { seed: 20261122, numRuns: 300 },
  )
})
