import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from './json-values.ts'
import type { NeutralRequest, Part } from './neutral.ts'
import { decodeResponsesRequest } from './responses-decode-request.ts'
import { encodeResponsesRequest } from './responses-encode-request.ts'
import { parseResponsesRequest } from './responses-request.ts'
import { isProblem } from './text-request.ts'

const empty: NeutralRequest = { stream: false, system: [], messages: [], tools: [] }
const said = (text: string): Part => ({ type: 'text', text })
const item = (...content: JsonObject[]) => ({ type: 'message', role: 'user', content })

const written: [name: string, request: Partial<NeutralRequest>, want: JsonObject][] = [
  [
    'nothing but a text',
    { messages: [{ role: 'user', parts: [said('hi')] }] },
    { input: [item({ type: 'input_text', text: 'hi' })] },
  ],
  ['a stream', { stream: true }, { stream: true, input: [] }],
  ['instructions', { system: [said('One.'), said('Two.')] }, { instructions: 'One.\n\nTwo.', input: [] }],
  [
    'a turn of the model in its order',
    {
      messages: [
        {
          role: 'assistant',
          parts: [
            { type: 'reasoning', text: 'hm', id: 'rs_1', encrypted: 'gA', origin: 'responses' },
            said('ok'),
            { type: 'tool_call', id: 'call_1', name: 'f', arguments: '' },
            { type: 'refusal', text: 'no' },
          ],
        },
        {
          role: 'user',
          parts: [{ type: 'tool_result', id: 'call_1', content: [said('fine')], isError: false }, said('and?')],
        },
      ],
    },
    {
      input: [
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }], encrypted_content: 'gA' },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'ok', annotations: [] }] },
        { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' },
        { type: 'message', role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] },
        { type: 'function_call_output', call_id: 'call_1', output: 'fine' },
        item({ type: 'input_text', text: 'and?' }),
      ],
    },
  ],
  [
    'pictures and files, also in results',
    {
      messages: [
        {
          role: 'user',
          parts: [
            { type: 'image', url: 'https://a/b.png' },
            { type: 'file', data: 'QUJD', mediaType: 'text/plain', name: 'a.txt' },
            { type: 'file', url: 'https://a/b.pdf' },
            {
              type: 'tool_result',
              id: 'c',
              content: [said('see'), { type: 'image', url: 'https://a/c.png', detail: 'low' }],
              isError: false,
            },
            { type: 'tool_result', id: 'd', content: [], isError: false },
          ],
        },
      ],
    },
    {
      input: [
        item(
          { type: 'input_image', image_url: 'https://a/b.png', detail: 'auto' },
          { type: 'input_file', filename: 'a.txt', file_data: 'data:text/plain;base64,QUJD' },
          { type: 'input_file', file_url: 'https://a/b.pdf' },
        ),
        {
          type: 'function_call_output',
          call_id: 'c',
          output: [
            { type: 'input_text', text: 'see' },
            { type: 'input_image', image_url: 'https://a/c.png', detail: 'low' },
          ],
        },
        { type: 'function_call_output', call_id: 'd', output: '' },
      ],
    },
  ],
  [
    'tools, which are not strict unless they say so',
    {
      tools: [
        { name: 'f', description: 'F.', parameters: { type: 'object' } },
        { name: 'g', parameters: {}, strict: true },
      ],
      toolChoice: { type: 'tool', name: 'f' },
      parallelToolCalls: false,
    },
    {
      input: [],
      tools: [
        { type: 'function', name: 'f', description: 'F.', parameters: { type: 'object' }, strict: false },
        { type: 'function', name: 'g', parameters: {}, strict: true },
      ],
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
    },
  ],
  ['a choice by kind', { toolChoice: { type: 'required' } }, { input: [], tool_choice: 'required' }],
  [
    'settings',
    {
      maxTokens: 5,
      temperature: 0.5,
      topP: 0.9,
      user: 'user_1',
      metadata: { a: 'b' },
      format: { type: 'json_object' },
    },
    {
      input: [],
      max_output_tokens: 5,
      temperature: 0.5,
      top_p: 0.9,
      user: 'user_1',
      metadata: { a: 'b' },
      text: { format: { type: 'json_object' } },
    },
  ],
  [
    'reasoning, so that it can be sent back',
    { reasoning: { effort: 'high', summary: true } },
    { input: [], reasoning: { effort: 'high', summary: 'auto' }, include: ['reasoning.encrypted_content'] },
  ],
  ['no reasoning', { reasoning: { effort: 'none' } }, { input: [], reasoning: { effort: 'none' } }],
]

for (const [name, request, want] of written)
  test(`writes ${name}`, () => {
    const { body, losses } = encodeResponsesRequest({ ...empty, ...request })
    assert.deepEqual(body, { store: false, ...want })
    assert.deepEqual(losses, [])
  })

const parts = (role: 'user' | 'assistant', ...list: Part[]): Partial<NeutralRequest> => ({
  messages: [{ role, parts: list }],
})

const lost: [request: Partial<NeutralRequest>, path: string, essential: boolean][] = [
  [{ stop: ['x'] }, 'stop', true],
  [{ topK: 5 }, 'top_k', false],
  [{ metadata: { a: { b: 1 } } }, 'metadata.a', false],
  [{ system: [{ type: 'image', url: 'https://a/b' }] }, 'system[0]', true],
  [{ system: [{ type: 'text', text: 'x', cacheControl: {} }] }, 'cache_control', false],
  [parts('user', { type: 'audio', data: 'QQ==', format: 'wav' }), 'messages[0].content[0]', true],
  [parts('assistant', { type: 'image', url: 'https://a/b' }), 'messages[0].content[0]', true],
  [parts('user', { type: 'refusal', text: 'no' }), 'messages[0].content[0]', true],
  [
    parts('assistant', { type: 'reasoning', text: 'hm', signature: 's', origin: 'messages' }),
    'messages[0].content[0]',
    false,
  ],
  [parts('assistant', { type: 'reasoning', text: 'hm', origin: 'responses' }), 'messages[0].content[0]', false],
  [
    parts('user', { type: 'tool_result', id: 'c', content: [said('no')], isError: true }),
    'messages[0].content[0].is_error',
    false,
  ],
  [{ reasoning: { budgetTokens: 10_000 } }, 'thinking.budget_tokens', false],
]

for (const [request, path, essential] of lost)
  test(`names ${path} of ${JSON.stringify(request).slice(0, 80)} as lost`, () => {
    const { losses } = encodeResponsesRequest({ ...empty, ...request })
    assert.deepEqual(
      losses.map((loss) => [loss.path, loss.essential]),
      [[path, essential]],
    )
  })

for (const [budgetTokens, effort] of [
  [1_024, 'low'],
  [10_000, 'medium'],
  [31_999, 'high'],
  [0, 'none'],
] as const)
  test(`a budget of ${budgetTokens} tokens is ${effort}`, () => {
    const { body } = encodeResponsesRequest({ ...empty, reasoning: { budgetTokens } })
    assert.deepEqual(body.reasoning, { effort })
  })

/** Plain objects; what they are is for the one to say who asked for them. */
function record(model: Record<string, fc.Arbitrary<unknown>>, optional: readonly string[] = []) {
  const requiredKeys = Object.keys(model).filter((key) => !optional.includes(key))
  return fc.record(model, { requiredKeys, noNullPrototype: true }) as unknown as fc.Arbitrary<never>
}

const word = fc.string({ minLength: 1, maxLength: 8 })
const userPart = fc.oneof(
  record({ type: fc.constant('text' as const), text: fc.string({ unit: 'binary' }) }),
  record({ type: fc.constant('image' as const), url: fc.webUrl(), detail: fc.constantFrom('auto', 'low', 'high') }),
  record({
    type: fc.constant('file' as const),
    data: fc.base64String(),
    mediaType: fc.constant('application/pdf'),
    name: word,
  }),
)
const assistantPart = fc.oneof(
  record({ type: fc.constant('text' as const), text: fc.string({ unit: 'binary' }) }),
  record({ type: fc.constant('refusal' as const), text: fc.string() }),
  record({
    type: fc.constant('reasoning' as const),
    text: fc.string({ minLength: 1 }),
    id: word,
    encrypted: word,
    origin: fc.constant('responses' as const),
  }),
  record({ type: fc.constant('tool_call' as const), id: word, name: word, arguments: fc.json({ maxDepth: 1 }) }),
)
const toolResult = record({
  type: fc.constant('tool_result' as const),
  id: word,
  content: fc.array(userPart, { minLength: 1, maxLength: 2 }),
  isError: fc.constant(false),
})

const turn = fc.tuple(
  fc.array(userPart, { minLength: 1, maxLength: 3 }),
  fc.array(assistantPart, { minLength: 1, maxLength: 4 }),
  fc.array(toolResult, { maxLength: 2 }),
)

const request: fc.Arbitrary<NeutralRequest> = record(
  {
    stream: fc.boolean(),
    system: fc.array(record({ type: fc.constant('text' as const), text: word }), { maxLength: 1 }) as fc.Arbitrary<
      Part[]
    >,
    messages: fc
      .array(turn, { minLength: 1, maxLength: 3 })
      .map((turns) =>
        turns.flatMap(([asked, answered, results]) => [
          { role: 'user' as const, parts: asked as Part[] },
          { role: 'assistant' as const, parts: answered as Part[] },
          ...(results.length > 0 ? [{ role: 'user' as const, parts: results as Part[] }] : []),
        ]),
      ),
    tools: fc.array(
      record({ name: word, description: word, parameters: fc.constant({ type: 'object' }), strict: fc.boolean() }),
      {
        maxLength: 2,
      },
    ),
    toolChoice: fc.oneof(
      record({ type: fc.constantFrom('auto' as const, 'none' as const, 'required' as const) }),
      record({ type: fc.constant('tool' as const), name: word }),
    ),
    parallelToolCalls: fc.boolean(),
    maxTokens: fc.integer({ min: 1, max: 1_000_000 }),
    temperature: fc.constantFrom(0, 0.5, 2),
    topP: fc.constantFrom(0, 0.5, 1),
    reasoning: record({ effort: fc.constantFrom('minimal' as const, 'high' as const), summary: fc.constant(true) }),
    format: record({
      type: fc.constant('json_schema' as const),
      name: word,
      schema: fc.constant({ type: 'object' }),
      strict: fc.boolean(),
    }),
    user: fc.constantFrom('user_1', 'customer-0042'),
    metadata: fc.dictionary(word, word, { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
  },
  ['toolChoice', 'parallelToolCalls', 'maxTokens', 'temperature', 'topP', 'reasoning', 'format', 'user', 'metadata'],
)

test('a request survives the way through, and is one that we would take ourselves', () => {
  fc.assert(
    fc.property(request, (before) => {
      const { body, losses } = encodeResponsesRequest(before)
      assert.deepEqual(losses, [])
      const parsed = parseResponsesRequest(JSON.stringify({ ...body, model: 'm' }))
      assert(!isProblem(parsed), JSON.stringify(parsed))
      const after = decodeResponsesRequest(parsed.body)
      assert.deepEqual(after.losses, [])
      assert.deepEqual(after.request, before)
    }),
    { seed: 20261122, numRuns: 300 },
  )
})
