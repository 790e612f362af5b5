import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from './json-values.ts'
import type { NeutralRequest } from './neutral.ts'
import { sealReasoning } from './reasoning-seal.ts'
import { decodeResponsesRequest, looksLikeResponses } from './responses-decode-request.ts'

const empty: NeutralRequest = { stream: false, system: [], messages: [], tools: [] }
const user = { role: 'user', content: 'hi' }
const hi = { role: 'user' as const, parts: [{ type: 'text' as const, text: 'hi' }] }
const call = (id: string) => ({ type: 'function_call', id: `fc_${id}`, call_id: id, name: 'f', arguments: '{}' })
const output = (id: string) => ({ type: 'function_call_output', call_id: id, output: 'fine' })
const called = (id: string) => ({ type: 'tool_call' as const, id, name: 'f', arguments: '{}' })
const result = (id: string) => ({
  type: 'tool_result' as const,
  id,
  content: [{ type: 'text' as const, text: 'fine' }],
  isError: false,
})

const carried: [name: string, body: JsonObject, want: Partial<NeutralRequest>][] = [
  ['a text', { input: 'hi' }, { messages: [hi] }],
  [
    'a stream',
    { input: 'hi', stream: true, stream_options: { include_obfuscation: false } },
    { stream: true, messages: [hi] },
  ],
  [
    'instructions, and those in front of the conversation',
    {
      instructions: 'One.',
      input: [
        { role: 'developer', content: 'Two.' },
        { type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Three.' }] },
        user,
      ],
    },
    { system: ['One.', 'Two.', 'Three.'].map((text) => ({ type: 'text', text })), messages: [hi] },
  ],
  [
    'a turn of the model: reasoning, text and calls are one message, and so are their results',
    {
      input: [
        user,
        {
          type: 'reasoning',
          id: 'rs_1',
          summary: [
            { type: 'summary_text', text: 'a' },
            { type: 'summary_text', text: 'b' },
          ],
          encrypted_content: 'gA',
        },
        {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'ok', annotations: [] }],
        },
        ...[call('call_1'), call('call_2'), output('call_1'), output('call_2')],
        user,
      ],
    },
    {
      messages: [
        hi,
        {
          role: 'assistant',
          parts: [
            { type: 'reasoning', text: 'a\n\nb', id: 'rs_1', encrypted: 'gA', origin: 'responses' },
            { type: 'text', text: 'ok' },
            called('call_1'),
            called('call_2'),
          ],
        },
        { role: 'user', parts: [result('call_1'), result('call_2')] },
        hi,
      ],
    },
  ],
  [
    'reasoning that another protocol has signed',
    {
      input: [
        {
          type: 'reasoning',
          summary: [{ type: 'summary_text', text: 'hm' }],
          encrypted_content: sealReasoning({ origin: 'messages', signature: 's' }),
        },
      ],
    },
    {
      messages: [{ role: 'assistant', parts: [{ type: 'reasoning', text: 'hm', origin: 'messages', signature: 's' }] }],
    },
  ],
  [
    'reasoning that is shown as it is',
    { input: [{ type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }] }] },
    { messages: [{ role: 'assistant', parts: [{ type: 'reasoning', text: 'hm', origin: 'responses' }] }] },
  ],
  [
    'pictures, files, sound and refusals',
    {
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_image', image_url: 'https://a/b.png', detail: 'low' },
            { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,QUJD' },
            { type: 'input_file', file_url: 'https://a/b.pdf' },
            { type: 'input_audio', input_audio: { data: 'QUJD', format: 'wav' } },
          ],
        },
        { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] },
        { ...output('call_1'), output: [{ type: 'input_image', image_url: 'data:image/png;base64,QUJD' }] },
      ],
    },
    {
      messages: [
        {
          role: 'user',
          parts: [
            { type: 'image', url: 'https://a/b.png', detail: 'low' },
            { type: 'file', data: 'QUJD', mediaType: 'application/pdf', name: 'a.pdf' },
            { type: 'file', url: 'https://a/b.pdf' },
            { type: 'audio', data: 'QUJD', format: 'wav' },
          ],
        },
        { role: 'assistant', parts: [{ type: 'refusal', text: 'no' }] },
        {
          role: 'user',
          parts: [{ ...result('call_1'), content: [{ type: 'image', url: 'data:image/png;base64,QUJD' }] }],
        },
      ],
    },
  ],
  [
    'tools and the choice of one',
    {
      input: 'hi',
      tools: [
        { type: 'function', name: 'f', description: 'F.', parameters: { type: 'object' }, strict: true },
        { type: 'function', name: 'g', parameters: null, strict: null, description: null },
      ],
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
    },
    {
      messages: [hi],
      tools: [
        { name: 'f', description: 'F.', parameters: { type: 'object' }, strict: true },
        { name: 'g', parameters: { type: 'object', properties: {} } },
      ],
      toolChoice: { type: 'tool', name: 'f' },
      parallelToolCalls: false,
    },
  ],
  [
    'settings',
    {
      ...{ input: 'hi', max_output_tokens: 5, temperature: 0.5, top_p: 0.9, tool_choice: 'required', user: 'u' },
      ...{ reasoning: { effort: 'high', summary: 'auto' }, metadata: { a: 'b' }, store: false, truncation: 'disabled' },
      include: ['reasoning.encrypted_content'],
    },
    {
      ...{ messages: [hi], maxTokens: 5, temperature: 0.5, topP: 0.9, toolChoice: { type: 'required' }, user: 'u' },
      ...{ reasoning: { effort: 'high', summary: true }, metadata: { a: 'b' } },
    },
  ],
  ['plain text', { input: 'hi', text: { format: { type: 'text' } } }, { messages: [hi] }],
  [
    'JSON',
    { input: 'hi', text: { format: { type: 'json_object' } } },
    { messages: [hi], format: { type: 'json_object' } },
  ],
  [
    'a schema',
    { input: 'hi', text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true } } },
    { messages: [hi], format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true } },
  ],
  [
    'what is absent or null',
    {
      input: 'hi',
      temperature: null,
      tools: null,
      tool_choice: null,
      reasoning: null,
      text: null,
      metadata: {},
      include: null,
    },
    { messages: [hi] },
  ],
]

for (const [name, body, want] of carried)
  test(`carries ${name}`, () => {
    assert.deepEqual(decodeResponsesRequest({ model: 'm', ...body }), { request: { ...empty, ...want }, losses: [] })
  })

const lost: [body: JsonObject, path: string, essential: boolean][] = [
  [{ input: 'hi', tools: [{ type: 'custom', name: 'c' }] }, 'tools[0]', true],
  [{ input: 'hi', tools: [{ type: 'namespace', name: 'n', tools: [] }] }, 'tools[0]', true],
  [{ input: [{ type: 'custom_tool_call', call_id: 'c', name: 'n', input: '' }] }, 'input[0]', true],
  [{ input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input[0]', true],
  [{ input: [{ type: 'compaction', encrypted_content: 'x' }] }, 'input[0]', true],
  [{ input: [{ ...call('c'), namespace: 'n' }] }, 'input[0].namespace', true],
  [{ input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] }, 'input[0].content[0]', true],
  [{ input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] }, 'input[0].content[0]', true],
  [{ input: [user, { role: 'developer', content: 'Now rhyme.' }] }, 'input[1]', false],
  [{ input: [{ ...user, role: 'assistant', phase: 'commentary' }] }, 'input[0].phase', false],
  [{ input: 'hi', tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [] } }, 'tool_choice', true],
  [{ input: 'hi', text: { format: { type: 'grammar' } } }, 'text.format', true],
  [{ input: 'hi', text: { verbosity: 'low' } }, 'text.verbosity', false],
  [{ input: 'hi', reasoning: { effort: 'ultra' } }, 'reasoning.effort', false],
  [{ input: 'hi', reasoning: { context: 'all_turns' } }, 'reasoning.context', false],
  [{ input: 'hi', truncation: 'auto' }, 'truncation', false],
  [{ input: 'hi', prompt_cache_key: 'k' }, 'prompt_cache_key', false],
  [{ input: 'hi', top_logprobs: 3 }, 'top_logprobs', false],
  [{ input: 'hi', include: ['message.output_text.logprobs'] }, 'include', false],
  [{ input: 'hi', brand_new: 1 }, 'brand_new', false],
  ...['constructor', '__proto__', 'toString', 'hasOwnProperty'].map((name): (typeof lost)[number] => [
    JSON.parse(`{"input":"hi","${name}":{"a":1}}`),
    name,
    false,
  ]),
  [{ input: 'hi', ['n'.repeat(100_000)]: 1 }, 'n'.repeat(64), false],
  [{ input: 'hi', 'n\r\n': 1 }, 'n??', false],
  [{ input: 'hi', text: { ['n'.repeat(100_000)]: 1 } }, `text.${'n'.repeat(64)}`, false],
]

for (const [body, path, essential] of lost)
  test(`names ${path} of ${JSON.stringify(body).slice(0, 80)} as lost`, () => {
    const { losses } = decodeResponsesRequest(body)
    assert.deepEqual(
      losses.map((loss) => [loss.path, loss.essential]),
      [[path, essential]],
    )
  })

test('bodies of this protocol are told from those of chat', () => {
  assert.equal(looksLikeResponses({ input: 'hi' }), true)
  assert.equal(looksLikeResponses({ input: [user], tools: [] }), true)
  assert.equal(looksLikeResponses({ messages: [user] }), false)
  assert.equal(looksLikeResponses({ messages: [user], input: 'hi' }), false)
  assert.equal(looksLikeResponses({ input: 7 }), false)
  assert.equal(looksLikeResponses({}), false)
})

test('any JSON is decoded', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.constantFrom('input', 'tools', 'reasoning', 'text', 'instructions', 'tool_choice', 'metadata', 'include'),
        fc.jsonValue({ maxDepth: 4 }),
      ),
      (body) => {
        const { request, losses } = decodeResponsesRequest(body)
        assert(Array.isArray(request.messages) && Array.isArray(losses))
      },
    ),
    { seed: 20261122, numRuns: 500 },
  )
})
