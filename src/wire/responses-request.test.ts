import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadTokenizer } from './count-tokens.ts'
import { sealReasoning } from './reasoning-seal.ts'
import { parseResponsesRequest } from './responses-request.ts'
import { isProblem } from './text-request.ts'

const plain = { model: 'sim/echo', input: 'hello' }
const user = { role: 'user', content: 'hello' }
const call = { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' }
const output = { type: 'function_call_output', call_id: 'call_1', output: 'fine' }
const fn = { type: 'function', name: 'f', parameters: {}, strict: false }

function parse(body: unknown) {
  return parseResponsesRequest(typeof body === 'string' ? body : JSON.stringify(body))
}

function accepted(body: unknown) {
  const request = parse(body)
  assert(!isProblem(request), JSON.stringify(request))
  return request
}

const refused: [name: string, body: unknown, path: string, message: RegExp][] = [
  ['a list', [], '', /JSON object/],
  ['no model', { input: 'x' }, 'model', /non-empty string/],
  ['the model twice', '{"model":"a","input":"x","model":"b"}', 'model', /twice/],
  ['a body too deep', `{"model":"a","input":"x","x":${'['.repeat(128)}${']'.repeat(128)}}`, '', /128 levels/],
  ['no input', { model: 'm' }, 'input', /string or an array/],
  ['no items', { model: 'm', input: [] }, 'input', /at least one/],
  ['too many items', { model: 'm', input: Array(10_001).fill(user) }, 'input', /at most 10000/],
  ['an item that is text', { model: 'm', input: ['x'] }, 'input[0]', /object/],
  ['an unknown role', { model: 'm', input: [user, { role: 'tool', content: 'x' }] }, 'input[1].role', /one of/],
  ['a message without content', { model: 'm', input: [{ role: 'user' }] }, 'input[0].content', /string or an array/],
  [
    'a part without a type',
    { model: 'm', input: [{ role: 'user', content: [{ text: 'x' }] }] },
    'input[0].content[0]',
    /type/,
  ],
  [
    'a text part without text',
    { model: 'm', input: [{ role: 'user', content: [{ type: 'input_text' }] }] },
    'input[0].content[0].text',
    /string/,
  ],
  [
    'a picture without its address',
    { model: 'm', input: [{ role: 'user', content: [{ type: 'input_image' }] }] },
    'input[0].content[0].image_url',
    /string/,
  ],
  ['a call without its id', { model: 'm', input: [{ ...call, call_id: undefined }] }, 'input[0].call_id', /string/],
  ['a result without its id', { model: 'm', input: [{ ...output, call_id: 7 }] }, 'input[0].call_id', /string/],
  ['a result that is a number', { model: 'm', input: [{ ...output, output: 7 }] }, 'input[0].output', /string/],
  ['a stream that is text', { ...plain, stream: 'yes' }, 'stream', /boolean/],
  ['stream options without a stream', { ...plain, stream_options: {} }, 'stream_options', /only allowed/],
  ['a limit of zero', { ...plain, max_output_tokens: 0 }, 'max_output_tokens', /at least 1/],
  ['a limit that is text', { ...plain, max_output_tokens: '9' }, 'max_output_tokens', /integer/],
  ['instructions that are items', { ...plain, instructions: [user] }, 'instructions', /string/],
  ['a temperature that is text', { ...plain, temperature: 'hot' }, 'temperature', /number/],
  ['reasoning that is text', { ...plain, reasoning: 'high' }, 'reasoning', /object/],
  // What needs state that lives elsewhere.
  ['an earlier response', { ...plain, previous_response_id: 'resp_1' }, 'previous_response_id', /nothing is stored/],
  ['a conversation', { ...plain, conversation: 'conv_1' }, 'conversation', /nothing is stored/],
  ['a conversation object', { ...plain, conversation: { id: 'conv_1' } }, 'conversation', /nothing is stored/],
  ['a stored prompt', { ...plain, prompt: { id: 'pmpt_1' } }, 'prompt', /stored prompt/],
  ['work in the background', { ...plain, background: true }, 'background', /must be false/],
  ['a response to keep', { ...plain, store: true }, 'store', /must be false/],
  ['a reference', { model: 'm', input: [user, { type: 'item_reference', id: 'msg_1' }] }, 'input[1]', /item itself/],
  ['a reference of no type', { model: 'm', input: [{ id: 'msg_1' }] }, 'input[0]', /item itself/],
  // What costs more than tokens.
  ['another tier', { ...plain, service_tier: 'priority' }, 'service_tier', /other prices/],
  ['another model', { ...plain, models: ['dear'] }, 'models', /another price/],
  ['plugins', { ...plain, plugins: [] }, 'plugins', /billed apart/],
  ...[
    'web_search',
    'web_search_preview',
    'web_search_2025_08_26',
    'file_search',
    'code_interpreter',
    'image_generation',
    'mcp',
    'computer',
    'computer_use_preview',
    'programmatic_tool_calling',
    'shell',
    'invented',
  ].map((type): [string, unknown, string, RegExp] => [
    `the tool ${type}`,
    { ...plain, tools: [fn, { type }] },
    'tools[1].type',
    new RegExp(`${type}, are billed apart`),
  ]),
  ['a tool of no type', { ...plain, tools: [{ name: 'f' }] }, 'tools[0].type', /billed apart/],
  ['a tool that is text', { ...plain, tools: ['f'] }, 'tools[0]', /object/],
  [
    'a shell in a container',
    { ...plain, tools: [{ type: 'shell', environment: { type: 'container_auto' } }] },
    'tools[0].type',
    /billed apart/,
  ],
  [
    'such a tool in a namespace',
    { ...plain, tools: [{ type: 'namespace', name: 'n', tools: [fn, { type: 'mcp' }] }] },
    'tools[0].tools[1].type',
    /billed apart/,
  ],
  [
    'such a tool among the items',
    { model: 'm', input: [{ type: 'additional_tools', role: 'developer', tools: [{ type: 'web_search' }] }] },
    'input[0].tools[0].type',
    /billed apart/,
  ],
]

for (const [name, body, path, message] of refused)
  test(`refuses ${name}`, () => {
    const result = parse(body)
    assert(isProblem(result), 'it was accepted')
    assert.equal(result.path, path)
    assert.match(result.message, message)
  })

for (const [name, more] of Object.entries({
  'store: false': { store: false },
  'nothing kept, said with null': { store: null, previous_response_id: null, conversation: null, prompt: null },
  'reasoning to take along': { include: ['reasoning.encrypted_content'] },
  functions: { tools: [fn] },
  'custom tools': { tools: [{ type: 'custom', name: 'c' }] },
  'tools of the client': {
    tools: [{ type: 'local_shell' }, { type: 'apply_patch' }, { type: 'shell', environment: { type: 'local' } }],
  },
  'tools in a namespace': { tools: [{ type: 'namespace', name: 'n', tools: [fn] }] },
  'the default tier': { service_tier: 'default' },
  'what nobody knows yet': { brand_new: { a: 1 }, input: [{ type: 'brand_new_item' }] },
}))
  test(`accepts ${name}`, () => {
    const body = { ...plain, ...more }
    assert.equal(accepted(body).text, JSON.stringify(body))
  })

test('what the gateway must know', () => {
  const request = accepted({ ...plain, stream: true, max_output_tokens: 100 })
  assert.equal(request.protocol, 'responses')
  assert.equal(request.model, 'sim/echo')
  assert.equal(request.stream, true)
  assert.equal(request.maxTokens, 100)
  assert.deepEqual(request.maxTokensMembers, ['max_output_tokens'])
  assert.equal(request.choices, 1)
  assert.equal(request.includeUsage, true)
  const { maxTokens, maxTokensMembers } = accepted({ ...plain, max_output_tokens: null })
  assert.deepEqual([maxTokens, maxTokensMembers], [undefined, []])
})

test('attachments in messages and in results of tools', () => {
  const picture = { type: 'input_image', image_url: `data:image/png;base64,${'A'.repeat(400)}` }
  const { attachments } = accepted({
    model: 'm',
    input: [
      { role: 'user', content: [picture, { type: 'input_text', text: 'x' }, { type: 'input_file', file_id: 'f' }] },
      { ...output, output: [picture, { type: 'input_image', image_url: 'https://example.com/a.png' }] },
      { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'B'.repeat(40), format: 'wav' } }] },
      { role: 'user', content: [{ type: 'input_image', file_id: 'file_1' }] },
      { type: 'computer_call_output', call_id: 'c', output: { type: 'computer_screenshot', image_url: 'https://a/b' } },
    ],
  })
  assert.deepEqual(attachments, { dataUrlBytes: 840, images: 4, audioBytes: 40, unbounded: 2 })
})

test('the prompt is counted wherever it stands', async () => {
  await loadTokenizer()
  const count = (body: object) => accepted({ model: 'm', ...body }).countPrompt()
  const least = count({ input: 'hello' }).tokens
  const more = [
    { input: 'hello', instructions: 'Answer in verse, as the poets of old did.' },
    { input: 'hello', tools: [fn] },
    { input: 'hello', text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' } } } },
    {
      input: [
        user,
        { ...call, arguments: '{"city":"Köln"}' },
        { ...output, output: [{ type: 'input_text', text: 'rain' }] },
      ],
    },
    { input: [user, { type: 'reasoning', summary: [{ type: 'summary_text', text: 'They greet me.' }] }] },
    { input: [{ role: 'assistant', content: [{ type: 'output_text', text: 'hello, and good morning to you' }] }] },
  ]
  for (const body of more) {
    const { tokens, exact } = count(body)
    assert(tokens > least, JSON.stringify(body))
    assert.equal(exact, true)
  }
  const summary = (text: string) => count({ input: [{ type: 'reasoning', summary: [{ type: 'summary_text', text }] }] })
  assert.equal(summary('one two three').tokens, summary('one').tokens + 2)
  assert.equal(count({ input: [user, { type: 'reasoning', encrypted_content: 'A'.repeat(4_000) }] }).exact, false)
})

test('reasoning signed by another protocol is kept for translation and taken out of the text', () => {
  const foreign = {
    type: 'reasoning',
    summary: [],
    encrypted_content: sealReasoning({ origin: 'messages', signature: 'sig' }),
  }
  const own = { type: 'reasoning', summary: [], encrypted_content: 'gAAAA' }
  const request = accepted({ model: 'm', input: [user, foreign, own, call, output], store: false })
  assert.deepEqual(JSON.parse(request.text), { model: 'm', input: [user, own, call, output], store: false })
  const at = request.members.get('store')
  assert.equal(request.text.slice(at?.valueStart, at?.valueEnd), 'false')
  assert.deepEqual((request.body.input as unknown[])[1], foreign)
})

test('any JSON is refused or accepted, never worse', () => {
  const item = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.record(
      {
        type: fc.constantFrom('message', 'reasoning', 'function_call', 'function_call_output', 'image_generation_call'),
        role: fc.constantFrom('user', 'assistant', 'robot'),
        content: fc.jsonValue({ maxDepth: 2 }),
        output: fc.jsonValue({ maxDepth: 2 }),
        summary: fc.jsonValue({ maxDepth: 2 }),
      },
      { requiredKeys: [], noNullPrototype: true },
    ),
  )
  fc.assert(
    fc.property(fc.array(item, { maxLength: 4 }), fc.jsonValue(), (input, tools) => {
      const request = parse({ model: 'm', input, tools })
      if (isProblem(request)) assert.equal(typeof request.path, 'string')
      else assert(request.attachments.images >= 0)
    }),
    { seed: 20261122, numRuns: 500 },
  )
})
