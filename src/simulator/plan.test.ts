import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chat } from './chat.ts'
import { parseChatRequest } from './chat-request.ts'
import { type Plan, planCall } from './plan.ts'
import type { Refusal } from './refusal.ts'
import type { TextAnswer } from './text-request.ts'

const base = { model: 'echo', messages: [{ role: 'user', content: 'Say hi' }] }

function plan(body: Record<string, unknown>, phase: 'steady' | 'failing' | 'well' = 'steady'): Plan<TextAnswer> {
  const request = parseChatRequest({ ...base, ...body })
  assert.ok(!('status' in request), JSON.stringify(request))
  return planCall(request, phase, chat)
}

function errorOf(refusal: Refusal): unknown[] {
  const { status, error } = refusal
  return [status, error.type, error.param, error.code]
}

for (const { name, body, want } of [
  { name: 'no object', body: [], want: [400, 'invalid_request_error', null, null] },
  { name: 'no model', body: { ...base, model: undefined }, want: [400, 'invalid_request_error', 'model', null] },
  {
    name: 'an unknown model',
    body: { ...base, model: 'gpt-4o' },
    want: [404, 'invalid_request_error', 'model', 'model_not_found'],
  },
  { name: 'no messages', body: { model: 'echo' }, want: [400, 'invalid_request_error', 'messages', null] },
  { name: 'an empty list', body: { ...base, messages: [] }, want: [400, 'invalid_request_error', 'messages', null] },
  {
    name: 'a text message',
    body: { ...base, messages: ['x'] },
    want: [400, 'invalid_request_error', 'messages', null],
  },
  { name: 'max_tokens 0', body: { ...base, max_tokens: 0 }, want: [400, 'invalid_request_error', 'max_tokens', null] },
  { name: 'too many choices', body: { ...base, n: 9 }, want: [400, 'invalid_request_error', 'n', null] },
  {
    name: 'a tool without a name',
    body: { ...base, tools: [{ type: 'function', function: {} }] },
    want: [400, 'invalid_request_error', 'tools[0].function.name', null],
  },
  {
    name: 'a choice of no tool',
    body: { ...base, tool_choice: { type: 'function', function: { name: 'x' } } },
    want: [400, 'invalid_request_error', 'tool_choice', null],
  },
  {
    name: 'an unknown switch',
    body: { ...base, sim: { bogus: true } },
    want: [400, 'invalid_request_error', 'sim.bogus', null],
  },
]) {
  test(`parseChatRequest: ${name} is refused`, () => {
    const refusal = parseChatRequest(body)
    assert.ok('status' in refusal)
    assert.deepEqual(errorOf(refusal), want)
  })
}

for (const { name, body, want } of [
  { name: 'a status', body: { sim: { status: 503 } }, want: [503, 'server_error', null, null] },
  { name: 'a rate limit', body: { sim: { status: 429 } }, want: [429, 'requests', null, 'rate_limit_exceeded'] },
  {
    name: 'a custom error',
    body: { sim: { status: 418, error: { type: 'teapot', param: 'pot', code: 'short' } } },
    want: [418, 'teapot', 'pot', 'short'],
  },
  {
    name: 'a context that is too long',
    body: { sim: { context_length: true } },
    want: [400, 'invalid_request_error', 'messages', 'context_length_exceeded'],
  },
  {
    name: 'a filtered prompt',
    body: { sim: { content_filter: 'prompt' } },
    want: [400, 'invalid_request_error', 'prompt', 'content_filter'],
  },
  {
    name: 'stream_options',
    body: { stream: true, stream_options: {}, sim: { reject_stream_options: true } },
    want: [400, 'invalid_request_error', 'stream_options', null],
  },
  {
    name: 'a prefill',
    body: { messages: [...base.messages, { role: 'assistant', content: '{' }], sim: { reject_prefill: true } },
    want: [400, 'invalid_request_error', 'messages', null],
  },
]) {
  test(`planCall refuses: ${name}`, () => {
    const planned = plan(body)
    assert.ok(planned.kind === 'refusal')
    assert.deepEqual(errorOf(planned.refusal), want)
  })
}

test('a refusal carries the hints when to come back', () => {
  const planned = plan({ sim: { status: 429, retry_after: '2', retry_after_ms: 1500 } })
  assert.ok(planned.kind === 'refusal')
  assert.deepEqual(planned.refusal.headers, ['retry-after', '2', 'retry-after-ms', '1500'])
})

test('a role that is no text is no role', () => {
  assert.equal(plan({ messages: [{ role: { toString: 1 }, content: 'x' }] }).kind, 'answer')
})

for (const [sim, kind] of [
  [{ no_response: true }, 'silence'],
  [{ reset: true }, 'reset'],
  [{ reset: false }, 'answer'],
  [{ reject_stream_options: true }, 'answer'],
  [{ reject_prefill: true }, 'answer'],
  [{ error_in_200: true, status: 500 }, 'answer'],
] as const) {
  test(`planCall: ${JSON.stringify(sim)} is ${kind}`, () => assert.equal(plan({ sim }).kind, kind))
}

for (const { name, body, want } of [
  { name: 'of texts', body: {}, want: [2, 0, 6, 0] },
  {
    name: 'of parts, pictures and earlier calls',
    body: {
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'abcde' }, { type: 'image_url' }] },
        { role: 'assistant', content: null, tool_calls: [{}] },
      ],
    },
    want: [2 + 85 + 1, 0, 6, 0],
  },
  { name: 'of an empty message', body: { messages: [{ role: 'user', content: '' }] }, want: [1, 0, 6, 0] },
  { name: 'as told', body: { sim: { prompt_tokens: 100, cached_tokens: 90 } }, want: [100, 90, 6, 0] },
  { name: 'never cached beyond the prompt', body: { sim: { cached_tokens: 90 } }, want: [2, 2, 6, 0] },
  { name: 'of several choices', body: { n: 3, sim: { reasoning_tokens: 4 } }, want: [2, 0, 30, 12] },
]) {
  test(`usage: ${name}`, () => {
    const planned = plan({ ...body, sim: { tokens: 6, ...('sim' in body ? body.sim : {}) } })
    assert.ok(planned.kind === 'answer')
    const { prompt, cached, completion, reasoning } = planned.usage
    assert.deepEqual([prompt, cached, completion, reasoning], want)
  })
}

test('a failing call without a fault of its own is a 500, and a well one has none', () => {
  const failing = plan({ sim: { key: 'k', fail_first: 1 } }, 'failing')
  assert.ok(failing.kind === 'refusal')
  assert.equal(failing.refusal.status, 500)
  assert.equal(plan({ sim: { key: 'k', fail_first: 1, reset: true } }, 'failing').kind, 'reset')
  const well = plan({ sim: { key: 'k', fail_first: 1, cut_after: 1, tokens: 6 } }, 'well')
  assert.ok(well.kind === 'answer')
  assert.deepEqual(well.sim, { key: 'k', fail_first: 1, tokens: 6 })
})
