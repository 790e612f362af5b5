import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chat } from './chat.ts'
import { completions } from './completions.ts'
import { embeddings } from './embeddings.ts'
import { countTokens, messages } from './messages.ts'
import { planCall } from './plan.ts'
import type { Answer, CallRequest, Identity, Protocol } from './protocol.ts'
import { responses } from './responses.ts'
import { scriptCall } from './script.ts'
import { speech } from './speech.ts'
import { transcriptions } from './transcription.ts'

const identity: Identity = { id: 'x-sim-1', serial: 'sim-1', requestId: 'req-sim-1', created: 1 }
const text = fc.string({ unit: 'binary', maxLength: 40 })

/** What a model is asked, before any protocol has put it into words. */
const asked = fc.record({
  model: fc.constantFrom('echo', 'large', 'reasoner'),
  text,
  tokensMax: fc.integer({ min: 1, max: 120 }),
  tools: fc.array(
    fc.record({ name: fc.string({ minLength: 1, maxLength: 9 }), schema: fc.jsonValue({ maxDepth: 3 }) }),
    {
      maxLength: 2,
    },
  ),
  stream: fc.boolean(),
  sim: fc.record(
    {
      tokens: fc.integer({ min: 0, max: 60 }),
      chunk_tokens: fc.integer({ min: 1, max: 5 }),
      reasoning_tokens: fc.integer({ min: 0, max: 20 }),
      show_reasoning: fc.boolean(),
      tool_calls: fc.integer({ min: 0, max: 3 }),
      unicode: fc.boolean(),
      content_filter: fc.constant('answer'),
      usage: fc.constantFrom('none', 'zero', 'every_chunk', 'with_choices', 'placeholder'),
    },
    { requiredKeys: [] },
  ),
})
type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never

/** What an answer says, however it is written down. */
interface Said {
  text: string
  reasoning: string
  arguments: string
}

// biome-ignore lint/suspicious/noExplicitAny: a wrong path into the JSON fails the test.
type Json = any

interface Wording<R extends CallRequest, A extends Answer> {
  protocol: Protocol<R, A>
  bodyOf(from: Asked): object
  readWhole(body: Json): Said
  readEvent(event: Json, said: Said): void
}

function wording<R extends CallRequest, A extends Answer>(given: Wording<R, A>): Wording<CallRequest, Answer> {
  return given as unknown as Wording<CallRequest, Answer>
}

const wordings: Record<string, Wording<CallRequest, Answer>> = {
  messages: wording({
    protocol: messages,
    bodyOf: ({ model, text: content, tokensMax, tools, stream, sim }) => ({
      model,
      max_tokens: tokensMax,
      messages: [{ role: 'user', content }],
      tools: tools.map(({ name, schema }) => ({ name, input_schema: schema })),
      stream,
      sim,
    }),
    readWhole({ content }) {
      const joined = (member: string) => content.map((block: Json) => block[member] ?? '').join('')
      return { text: joined('text'), reasoning: joined('thinking'), arguments: '' }
    },
    readEvent({ delta = {} }, said) {
      said.text += delta.text ?? ''
      said.reasoning += delta.thinking ?? ''
    },
  }),
  responses: wording({
    protocol: responses,
    bodyOf: ({ model, text: input, tokensMax, tools, stream, sim }) => ({
      model,
      input,
      store: false,
      max_output_tokens: tokensMax,
      tools: tools.map(({ name, schema }) => ({ type: 'function', name, parameters: schema })),
      stream,
      sim,
    }),
    readWhole({ output }) {
      const said = { text: '', reasoning: '', arguments: '' }
      for (const item of output) {
        for (const part of item.content ?? []) said.text += part.text
        for (const part of item.summary ?? []) said.reasoning += part.text
        said.arguments += item.arguments ?? ''
      }
      return said
    },
    readEvent({ type, delta }, said) {
      if (type === 'response.output_text.delta') said.text += delta
      if (type === 'response.reasoning_summary_text.delta') said.reasoning += delta
      if (type === 'response.function_call_arguments.delta') said.arguments += delta
    },
  }),
  completions: wording({
    protocol: completions,
    bodyOf: ({ model, text: prompt, tokensMax, stream, sim }) => ({
      model,
      prompt,
      max_tokens: tokensMax,
      stream,
      sim,
    }),
    readWhole: ({ choices }) => ({ text: choices[0].text, reasoning: '', arguments: '' }),
    readEvent({ choices }, said) {
      said.text += choices[0]?.text ?? ''
    },
  }),
}

function play({ protocol, bodyOf }: Wording<CallRequest, Answer>, from: Asked) {
  const parsed = protocol.parse(bodyOf(from))
  assert.ok(!('status' in parsed), JSON.stringify(parsed))
  const plan = planCall(parsed, 'steady', protocol)
  assert.ok(plan.kind === 'answer')
  const sends = [...scriptCall(plan, protocol, identity)].filter((step) => step.do === 'send')
  return { usage: plan.usage, sends }
}

for (const [name, words] of Object.entries(wordings)) {
  test(`${name}: exactly what is used is delivered, streamed or whole`, () => {
    fc.assert(
      fc.property(asked, (from) => {
        const { usage, sends } = play(words, from)
        const sum = (field: 'tokens' | 'reasoning') => sends.reduce((total, step) => total + step[field], 0)
        assert.deepEqual([sum('tokens'), sum('reasoning')], [usage.completion, usage.reasoning])
        assert.ok(usage.completion <= from.tokensMax)
      }),
      { numRuns: 400, seed: 1 },
    )
  })

  test(`${name}: a stream says what a whole answer says`, () => {
    fc.assert(
      fc.property(asked, (from) => {
        const whole = play(words, { ...from, stream: false })
        const said = words.readWhole(JSON.parse(whole.sends.map((step) => step.text).join('')))
        const streamed: Said = { text: '', reasoning: '', arguments: '' }
        for (const { text: frame } of play(words, { ...from, stream: true }).sends) {
          const data = frame.slice(frame.indexOf('data: ') + 'data: '.length).trimEnd()
          if (data !== '[DONE]') words.readEvent(JSON.parse(data), streamed)
        }
        assert.deepEqual(streamed, said)
      }),
      { numRuns: 400, seed: 2 },
    )
  })
}

const parsers: readonly { name: string; parse: (body: unknown) => object; members: readonly string[]; base: object }[] =
  [
    {
      ...chat,
      members: ['messages', 'tools', 'tool_choice', 'stream_options', 'response_format', 'sim'],
      base: { model: 'echo', messages: [{ role: 'user', content: 'x' }] },
    },
    {
      ...messages,
      members: [
        'messages',
        'system',
        'tools',
        'tool_choice',
        'thinking',
        'output_config',
        'stop_sequences',
        'max_tokens',
      ],
      base: { model: 'echo', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] },
    },
    {
      ...countTokens,
      members: ['messages', 'system', 'tools', 'model'],
      base: { model: 'echo', messages: [{ role: 'user', content: 'x' }] },
    },
    {
      ...responses,
      members: [
        'input',
        'instructions',
        'tools',
        'tool_choice',
        'reasoning',
        'text',
        'include',
        'store',
        'stream_options',
      ],
      base: { model: 'echo', input: 'x', store: false },
    },
    { ...completions, members: ['prompt', 'n', 'stop', 'max_tokens', 'model'], base: { model: 'echo', prompt: 'x' } },
    {
      ...embeddings,
      members: ['input', 'dimensions', 'encoding_format', 'model'],
      base: { model: 'embed', input: 'x' },
    },
    {
      ...speech,
      members: ['input', 'response_format', 'stream_format', 'instructions', 'model'],
      base: { model: 'speak', input: 'x' },
    },
  ]

for (const { name, parse, members, base } of parsers) {
  test(`${name}: no JSON breaks the parser, it is a request or a refusal`, () => {
    // Nearly right values reach deeper than any others.
    const nested = fc.jsonValue({ maxDepth: 4 })
    const object = fc.dictionary(
      fc.constantFrom('type', 'content', 'role', 'name', 'text', 'output', 'function'),
      nested,
    )
    const value = fc.oneof(nested, object, fc.array(object, { maxLength: 3 }))
    fc.assert(
      fc.property(fc.constantFrom(...members), value, (member, given) => {
        const parsed = parse({ ...base, [member]: given })
        assert.ok('status' in parsed || 'sim' in parsed)
      }),
      { numRuns: 500, seed: 3 },
    )
    for (const body of [null, [], 'x', 1, {}]) assert.ok('status' in parse(body))
  })
}

test('transcription: any fields of a form are a request or a refusal', () => {
  const fields = fc.dictionary(fc.constantFrom('model', 'prompt', 'response_format', 'stream', 'language'), text)
  const head = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fields, head, (given, bytes) => {
      const map = new Map(Object.entries({ model: 'transcribe', ...given }))
      const parsed = transcriptions.parse({ fields: map, file: { name: 'x', bytes: bytes.length, head: bytes } })
      if ('status' in parsed) return
      assert.ok(parsed.seconds >= 0)
      assert.ok(planCall(parsed, 'steady', transcriptions))
    }),
    { numRuns: 500, seed: 4 },
  )
})
