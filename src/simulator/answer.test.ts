import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Choice, composeChoice } from './answer.ts'
import { parseChatRequest } from './chat-request.ts'
import { countTokens } from './tokens.ts'

const weather = {
  type: 'function',
  function: { name: 'weather', parameters: { type: 'object', properties: { city: {} } } },
}
const clock = { type: 'function', function: { name: 'clock' } }

function compose(body: Record<string, unknown>, index = 0): Choice {
  const request = parseChatRequest({ model: 'echo', messages: [{ role: 'user', content: 'Hi' }], ...body })
  assert.ok(!('status' in request), JSON.stringify(request))
  return composeChoice(request, index)
}

test('an echo repeats the last user message', () => {
  const messages = [
    { role: 'user', content: 'first' },
    { role: 'assistant', content: 'reply' },
    { role: 'user', content: [{ type: 'text', text: 'se' }, { type: 'image_url' }, { type: 'text', text: 'cond' }] },
  ]
  assert.match(compose({ messages }).text, /You said: second$/)
})

test('an echo of a long message is short', () => {
  assert.ok(compose({ messages: [{ role: 'user', content: '🚀'.repeat(100_000) }] }).text.length < 600)
})

for (const { name, body, want } of [
  { name: 'exact size', body: { sim: { tokens: 7 } }, want: [7, 'stop'] },
  { name: 'exact size of nothing', body: { sim: { tokens: 0 } }, want: [0, 'stop'] },
  { name: 'exact size beyond the prose', body: { sim: { tokens: 12_345 } }, want: [12_345, 'stop'] },
  { name: 'exact size in other scripts', body: { sim: { tokens: 33, unicode: true } }, want: [33, 'stop'] },
  { name: 'max_tokens cuts', body: { max_tokens: 5 }, want: [5, 'length'] },
  { name: 'max_completion_tokens wins', body: { max_tokens: 50, max_completion_tokens: 4 }, want: [4, 'length'] },
  { name: 'a limit above the answer', body: { max_tokens: 5, sim: { tokens: 5 } }, want: [5, 'stop'] },
  { name: 'a stop sequence ends', body: { stop: [' ', '!'] }, want: [2, 'stop'] },
  { name: 'a filter takes half', body: { sim: { tokens: 9, content_filter: 'answer' } }, want: [4, 'content_filter'] },
  { name: 'large by default', body: { model: 'large' }, want: [1000, 'stop'] },
  {
    name: 'large as the prompt asks',
    body: { model: 'large', messages: [{ role: 'user', content: 'Write 250 tokens, please' }] },
    want: [250, 'stop'],
  },
  { name: 'large cut', body: { model: 'large', max_tokens: 10 }, want: [10, 'length'] },
] as const) {
  test(`text: ${name}`, () => {
    const choice = compose(body)
    assert.deepEqual([choice.tokens, choice.finish], want)
    assert.equal(countTokens(choice.text), choice.tokens)
  })
}

test('further choices differ and have the size that was asked for', () => {
  assert.notEqual(compose({ n: 2 }, 1).text, compose({ n: 2 }, 0).text)
  assert.equal(compose({ n: 2, sim: { tokens: 6 } }, 1).tokens, 6)
})

for (const { name, body, want } of [
  { name: 'hidden by default', body: { model: 'reasoner', sim: { tokens: 3 } }, want: [67, 64, ''] },
  { name: 'of any model', body: { sim: { tokens: 3, reasoning_tokens: 2 } }, want: [5, 2, ''] },
  {
    name: 'shown on request',
    body: { sim: { tokens: 3, reasoning_tokens: 2, show_reasoning: true } },
    want: [5, 2, 'A ledger'],
  },
  { name: 'uses up the limit first', body: { model: 'reasoner', max_tokens: 10 }, want: [10, 10, ''] },
] as const) {
  test(`reasoning: ${name}`, () => {
    const choice = compose(body)
    assert.deepEqual([choice.tokens, choice.reasoningTokens, choice.reasoning], want)
  })
}

test('an answer of nothing but reasoning ends for length', () => {
  assert.deepEqual(
    [compose({ model: 'reasoner', max_tokens: 10 })].map((choice) => [choice.text, choice.finish]),
    [['', 'length']],
  )
})

for (const { name, body, want } of [
  { name: 'the first tool', body: { tools: [weather, clock] }, want: ['weather {"city":"sample"}'] },
  {
    name: 'the named tool',
    body: { tools: [weather, clock], tool_choice: { type: 'function', function: { name: 'clock' } } },
    want: ['clock {}'],
  },
  { name: 'none when forbidden', body: { tools: [weather], tool_choice: 'none' }, want: [] },
  {
    name: 'several in turn',
    body: { tools: [weather, clock], sim: { tool_calls: 3 } },
    want: ['weather {"city":"sample"}', 'clock {}', 'weather {"city":"sample"}'],
  },
  {
    name: 'one when not parallel',
    body: { tools: [clock], parallel_tool_calls: false, sim: { tool_calls: 3 } },
    want: ['clock {}'],
  },
  {
    name: 'none after a result',
    body: {
      tools: [clock],
      messages: [
        { role: 'user', content: 'x' },
        { role: 'tool', content: '1' },
      ],
    },
    want: [],
  },
  { name: 'cut by the limit', body: { tools: [weather], max_tokens: 3 }, want: ['weather {"city":'] },
  { name: 'the name alone', body: { tools: [weather], max_tokens: 1 }, want: ['weather '] },
]) {
  test(`tool calls: ${name}`, () => {
    const choice = compose(body)
    assert.deepEqual(
      choice.calls.map((call) => `${call.name} ${call.arguments}`),
      want,
    )
    const cut = 'max_tokens' in body
    assert.equal(choice.finish, want.length === 0 ? 'stop' : cut ? 'length' : 'tool_calls')
    if (want.length > 0) {
      const tokens = choice.calls.reduce((sum, call) => sum + 1 + countTokens(call.arguments), 0)
      assert.equal(choice.tokens, tokens)
    }
  })
}

const point = { type: 'object', properties: { x: { type: 'integer' }, y: { type: 'integer' } } }

for (const { name, body, want } of [
  { name: 'any object', body: { response_format: { type: 'json_object' } }, want: { simulator: true, you_said: 'Hi' } },
  {
    name: 'a schema',
    body: { response_format: { type: 'json_schema', json_schema: { name: 'p', schema: point } } },
    want: { x: 1, y: 1 },
  },
  {
    name: 'a schema filled up to a size',
    body: {
      response_format: { type: 'json_schema', json_schema: { name: 'p', schema: point } },
      sim: { tokens: 20 },
    },
    want: { x: 1, y: 1 },
  },
]) {
  test(`JSON: ${name}`, () => {
    const choice = compose(body)
    assert.deepEqual(JSON.parse(choice.text), want)
    assert.equal(choice.finish, 'stop')
    if ('sim' in body) assert.equal(choice.tokens, 20)
  })
}
