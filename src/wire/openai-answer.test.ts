import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeUsage, parseWholeAnswer } from './openai-answer.ts'
import { decodeOpenaiUsage } from './openai-usage.ts'

const message = { role: 'assistant', content: 'hi' }
const answer = { id: 'chatcmpl-1', model: 'm-1', choices: [{ index: 0, message }], usage: { prompt_tokens: 1 } }

test('a whole answer gives its names, its usage and all that was generated', () => {
  const called = { tool_calls: [{ function: { name: 'f', arguments: '{"a":1}' } }], refusal: 'no', content: null }
  const body = { ...answer, choices: [{ message }, { message: called }, 'not a choice'] }
  assert.deepEqual(parseWholeAnswer(JSON.stringify(body)), {
    identity: { id: 'chatcmpl-1', model: 'm-1' },
    usage: { prompt_tokens: 1 },
    text: 'hinof{"a":1}',
  })
})

test('a byte order mark does not make an answer unreadable', () => {
  const read = parseWholeAnswer(`\ufeff${JSON.stringify(answer)}`)
  assert('text' in read)
  assert.equal(read.text, 'hi')
})

const faults: [name: string, body: string, fault: string][] = [
  ['nothing', '', 'malformed'],
  ['half of an answer', JSON.stringify(answer).slice(0, 40), 'malformed'],
  ['a page', '<html></html>', 'malformed'],
  ['a list', '[]', 'malformed'],
  ['no choices', '{"id":"a"}', 'malformed'],
  ['an error', '{"error":{"message":"no"}}', 'error_in_200'],
  ['an error beside choices', JSON.stringify({ ...answer, error: 'no' }), 'error_in_200'],
  ['choices that end in an error', '{"choices":[{"finish_reason":"error","message":{}}]}', 'error_in_200'],
  ['an empty list of choices', JSON.stringify({ ...answer, choices: [] }), 'empty'],
]
for (const [name, body, fault] of faults)
  test(`a 200 with ${name} is a fault`, () => {
    assert.deepEqual(parseWholeAnswer(body), { fault })
  })

test('usage that we write is read back as the same', () => {
  for (const usage of [
    { input: 0, output: 0 },
    { input: 7, output: 3 },
    { input: 7, cache_read: 4, output: 3, reasoning: 2 },
    { input: 7, output: 3, audio_input: 2, audio_output: 1 },
  ])
    assert.deepEqual(decodeOpenaiUsage(encodeUsage(usage)), { outcome: 'usage', usage })
})
