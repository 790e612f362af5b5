import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import OpenAI from 'openai'
import { createCompletionsFormat, parseWholeCompletion } from './completions-format.ts'
import { decodeRawText } from './openai-chunk.ts'
import type { CutEnd, FrameFacts, StreamFormat } from './protocol.ts'

const base = { id: 'cmpl-1', object: 'text_completion', created: 1_763_900_000, model: 'gpt-3.5-turbo-instruct' }
const choice = (text: string, finish_reason: string | null = null, index = 0) => ({
  text,
  index,
  logprobs: null,
  finish_reason,
})
const frameOf = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
const chunk = (...choices: object[]) => frameOf({ ...base, choices })
const usage = { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 }
const end: CutEnd = {
  reason: 'insufficient_credits',
  fallback: { id: 'ours', model: 'm' },
  created: 1,
  choices: 2,
  usage: { input: 10, output: 7 },
}

function inspect(format: StreamFormat, frame: string, parse = false): FrameFacts {
  const buffer = Buffer.from(frame)
  return format.inspect(buffer, 0, buffer.length, parse)
}

test('a stream: text, ends of choices, usage, mark', () => {
  const format = createCompletionsFormat({ includeUsage: true })
  const frames = [
    chunk(choice('Es war')),
    chunk(choice(' einmal "')),
    chunk(choice('ü🚀', null, 1)),
    chunk(choice('', 'stop', 1)),
    chunk(choice('.', 'length')),
    frameOf({ ...base, choices: [], usage }),
    'data: [DONE]\n\n',
  ]
  const facts = frames.map((frame, index) => inspect(format, frame, index === 0))
  const text = facts.map((each) => (each.kind === 'chunk' ? each.text : '')).join('')
  assert.equal(decodeRawText(text), 'Es war einmal "ü🚀.')
  assert.deepEqual(
    facts.map((each) => (each.kind === 'chunk' ? each.finished : each.kind)),
    [[], [], [], [1], [0], [], 'done'],
  )
  const bare = facts[5]
  assert(bare?.kind === 'chunk' && bare.bare)
  assert.deepEqual(bare.usage, usage)
  assert.deepEqual(bare.identity, { id: 'cmpl-1', model: 'gpt-3.5-turbo-instruct' })
  assert.equal(format.done(), 'data: [DONE]\n\n')
})

for (const [name, frame, kind] of [
  ['a comment', ': hello\n\n', 'silent'],
  ['an error', frameOf({ error: { message: 'no' } }), 'error'],
  ['HTML', 'data: <html>\n\n', 'malformed'],
  ['a list', 'data: []\n\n', 'malformed'],
  ['an object of another kind', frameOf({ type: 'response.created' }), 'malformed'],
] as const)
  test(`${name} is ${kind}`, () => {
    assert.equal(inspect(createCompletionsFormat({ includeUsage: true }), frame).kind, kind)
  })

test('unparsed and parsed chunks say the same', () => {
  const nasty = fc
    .array(
      fc.oneof(
        fc.constantFrom('"text":"', '"finish_reason":"stop"', '\\', '"', '日本', '\n', '}'),
        fc.string({ maxLength: 4 }),
      ),
      {
        maxLength: 4,
      },
    )
    .map((parts) => parts.join(''))
  const one = fc.record({
    text: nasty,
    index: fc.nat(1),
    finish_reason: fc.constantFrom(null, null, null, 'stop'),
    logprobs: fc.constantFrom(null, null, { tokens: ['a'], text_offset: [0] }),
  })
  const value = fc.record(
    {
      id: fc.constant('cmpl-1'),
      choices: fc.array(one, { minLength: 1, maxLength: 2 }),
      usage: fc.constantFrom(null, null, usage),
      error: fc.constantFrom(null, null, null, 'x'),
    },
    { requiredKeys: ['choices'] },
  )
  const comparable = (facts: FrameFacts) =>
    facts.kind === 'chunk' ? { ...facts, text: decodeRawText(facts.text), identity: undefined } : facts
  fc.assert(
    fc.property(fc.array(value, { maxLength: 10 }), (values) => {
      const quick = createCompletionsFormat({ includeUsage: true })
      const slow = createCompletionsFormat({ includeUsage: true })
      for (const each of values)
        assert.deepEqual(comparable(inspect(quick, frameOf(each))), comparable(inspect(slow, frameOf(each), true)))
    }),
    { seed: 20261122, numRuns: 500 },
  )
})

test("OpenAI's client reads a cut, and is told of an error", async () => {
  const read = async (frames: string) => {
    const client = new OpenAI({
      apiKey: 'none',
      baseURL: 'http://localhost:1/v1',
      maxRetries: 0,
      fetch: async () => new Response(frames, { headers: { 'content-type': 'text/event-stream' } }),
    })
    const seen = []
    for await (const each of await client.completions.create({ model: 'm', prompt: 'x', stream: true })) seen.push(each)
    return seen
  }
  const format = createCompletionsFormat({ includeUsage: true })
  const frame = chunk(choice('Es war'))
  inspect(format, frame, true)
  const seen = await read(frame + format.cut(end) + format.done())
  assert.deepEqual(
    seen.map(({ id, choices }) => [id, choices.map(({ finish_reason }) => finish_reason)]),
    [
      ['cmpl-1', [null]],
      ['cmpl-1', ['length', 'length']],
      ['cmpl-1', []],
    ],
  )
  assert.equal(seen[2]?.usage?.total_tokens, 17)
  const words = { message: 'It broke.', type: 'server_error', code: 'upstream_failed', param: null, status: 502 }
  await assert.rejects(read(frame + format.error(words)), /It broke/)
  assert.equal(createCompletionsFormat({ includeUsage: false }).cut(end).split('\n\n').length, 2)
})

for (const [name, body, want] of [
  [
    'an answer',
    JSON.stringify({ ...base, choices: [choice('a', 'stop'), choice('b', 'stop', 1)], usage }),
    { identity: { id: 'cmpl-1', model: base.model }, usage, text: 'ab' },
  ],
  ['no JSON', '<html>', { fault: 'malformed' }],
  ['no choices', '{}', { fault: 'malformed' }],
  ['an empty list of choices', '{"choices":[]}', { fault: 'empty' }],
  ['an error', '{"error":{"message":"no"}}', { fault: 'error_in_200' }],
] as const)
  test(`whole: ${name}`, () => assert.deepEqual(parseWholeCompletion(body), want))
