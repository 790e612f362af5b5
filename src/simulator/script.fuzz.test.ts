import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chat } from './chat.ts'
import { parseChatRequest } from './chat-request.ts'
import { planCall } from './plan.ts'
import { scriptCall } from './script.ts'
import { countTokens } from './tokens.ts'

const identity = { id: 'chatcmpl-sim-1', serial: 'sim-1', requestId: 'req-sim-1', created: 1 }
const text = fc.string({ unit: 'binary', maxLength: 60 })

const tool = fc.record({
  type: fc.constant('function'),
  function: fc.record({
    name: fc.string({ minLength: 1, maxLength: 20 }),
    parameters: fc.jsonValue({ maxDepth: 4 }),
  }),
})

/** Requests of every shape that is not refused, with switches that do not end an answer early. */
const request = fc.record(
  {
    model: fc.constantFrom('echo', 'large', 'reasoner', 'sim/free'),
    messages: fc.array(fc.record({ role: fc.constantFrom('user', 'tool', 'assistant'), content: text }), {
      minLength: 1,
      maxLength: 3,
    }),
    max_tokens: fc.integer({ min: 1, max: 80 }),
    n: fc.integer({ min: 1, max: 3 }),
    stop: fc.array(fc.string({ maxLength: 2 }), { maxLength: 2 }),
    tools: fc.array(tool, { maxLength: 2 }),
    response_format: fc.record({
      type: fc.constantFrom('text', 'json_object', 'json_schema'),
      json_schema: fc.record({ schema: fc.jsonValue({ maxDepth: 4 }) }),
    }),
    sim: fc.record(
      {
        tokens: fc.integer({ min: 0, max: 60 }),
        chunk_tokens: fc.integer({ min: 1, max: 5 }),
        reasoning_tokens: fc.integer({ min: 0, max: 20 }),
        show_reasoning: fc.boolean(),
        tool_calls: fc.integer({ min: 0, max: 3 }),
        unicode: fc.boolean(),
        content_filter: fc.constant('answer'),
        usage: fc.constantFrom('none', 'every_chunk', 'with_choices', 'placeholder'),
        malformed_after: fc.integer({ min: 0, max: 5 }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ['model', 'messages'] },
)

function script(body: object) {
  const parsed = parseChatRequest(body)
  assert.ok(!('status' in parsed), JSON.stringify(parsed))
  const plan = planCall(parsed, 'steady', chat)
  assert.ok(plan.kind === 'answer')
  const sends = [...scriptCall(plan, chat, identity)].filter((step) => step.do === 'send')
  return { plan, sends }
}

test('a stream delivers exactly the tokens that the usage reports, within the limit', () => {
  fc.assert(
    fc.property(request, (body) => {
      const { plan, sends } = script({ ...body, stream: true })
      const sum = (field: 'tokens' | 'reasoning') => sends.reduce((total, step) => total + step[field], 0)
      assert.deepEqual([sum('tokens'), sum('reasoning')], [plan.usage.completion, plan.usage.reasoning])
      for (const choice of plan.choices) assert.ok(choice.tokens <= (body.max_tokens ?? choice.tokens))
    }),
    { numRuns: 500 },
  )
})

test('the pieces of a stream join to the text of the whole answer, whose tokens can be counted again', () => {
  fc.assert(
    fc.property(request, (body) => {
      const well = { ...body, sim: { ...body.sim, malformed_after: 99_999 } }
      const { plan, sends } = script({ ...well, stream: true })
      const texts = plan.choices.map(() => '')
      for (const { text: frame } of sends) {
        if (frame === 'data: [DONE]\n\n') continue
        for (const choice of JSON.parse(frame.slice('data: '.length)).choices) {
          texts[choice.index] += choice.delta.content ?? ''
          for (const call of choice.delta.tool_calls ?? []) texts[choice.index] += call.function.arguments
        }
      }
      for (const [index, choice] of plan.choices.entries()) {
        const calls = choice.calls.map((call) => call.arguments)
        assert.equal(texts[index], (choice.text + calls.join('')).toWellFormed())
        const visible = calls.reduce((total, part) => total + 1 + countTokens(part), countTokens(choice.text))
        assert.equal(choice.tokens, visible + choice.reasoningTokens)
      }
    }),
    { numRuns: 500 },
  )
})

test('no JSON breaks the parser: it is a request or a refusal', () => {
  const field = fc.constantFrom(
    'model',
    'messages',
    'n',
    'max_tokens',
    'tools',
    'tool_choice',
    'stop',
    'sim',
    'stream_options',
  )
  fc.assert(
    fc.property(request, field, fc.jsonValue(), (body, name, value) => {
      const parsed = parseChatRequest({ ...body, [name]: value })
      if (!('status' in parsed)) assert.ok(planCall(parsed, 'steady', chat))
    }),
    { numRuns: 1000 },
  )
})
