import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseChatRequest } from './openai-chat-request.ts'
import { isProblem } from './text-request.ts'

const user = { role: 'user', content: 'hello' }
const plain = { model: 'sim/echo', messages: [user] }

function parse(body: unknown) {
  return parseChatRequest(typeof body === 'string' ? body : JSON.stringify(body))
}

function accepted(body: unknown) {
  const request = parse(body)
  assert(!isProblem(request), JSON.stringify(request))
  return request
}

const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`

const refused: [name: string, body: unknown, path: string, message: RegExp][] = [
  ['a list', [], '', /JSON object/],
  ['null', 'null', '', /JSON object/],
  ['no model', { messages: [user] }, 'model', /non-empty string/],
  ['an empty model', { ...plain, model: '' }, 'model', /non-empty string/],
  ['a model that is a number', { ...plain, model: 7 }, 'model', /non-empty string/],
  ['a model of 256 characters', { ...plain, model: 'x'.repeat(256) }, 'model', /at most 255/],
  ['a model with a NUL', { ...plain, model: 'ollama/\u0000' }, 'model', /control/],
  [
    'a model with half a surrogate pair',
    '{"model":"ollama/\\ud800","messages":[{"role":"user","content":""}]}',
    'model',
    /control/,
  ],
  ['no messages', { model: 'm' }, 'messages', /array/],
  ['messages that are an object', { model: 'm', messages: {} }, 'messages', /array/],
  ['empty messages', { model: 'm', messages: [] }, 'messages', /at least one/],
  ['too many messages', { model: 'm', messages: Array(10_001).fill(user) }, 'messages', /at most 10000/],
  ['a message that is a string', { model: 'm', messages: ['hi'] }, 'messages[0]', /object/],
  ['a message without a role', { model: 'm', messages: [{ content: 'x' }] }, 'messages[0].role', /one of/],
  ['an unknown role', { model: 'm', messages: [user, { role: 'robot', content: 'x' }] }, 'messages[1].role', /one of/],
  ['a user without content', { model: 'm', messages: [{ role: 'user' }] }, 'messages[0].content', /string or an array/],
  ['content that is a number', { model: 'm', messages: [{ role: 'user', content: 1 }] }, 'messages[0].content', /./],
  [
    'a part that is a string',
    { model: 'm', messages: [{ role: 'user', content: ['x'] }] },
    'messages[0].content[0]',
    /./,
  ],
  [
    'a text part without text',
    { model: 'm', messages: [{ role: 'user', content: [{ type: 'text' }] }] },
    'messages[0].content[0].text',
    /string/,
  ],
  [
    'a picture without its address',
    { model: 'm', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: 'x' }] }] },
    'messages[0].content[0].image_url.url',
    /string/,
  ],
  [
    'sound without data',
    { model: 'm', messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] },
    'messages[0].content[0].input_audio.data',
    /string/,
  ],
  ['stream that is a string', { ...plain, stream: 'true' }, 'stream', /boolean/],
  ['stream options without a stream', { ...plain, stream_options: {} }, 'stream_options', /only allowed/],
  ['stream options that are a list', { ...plain, stream: true, stream_options: [] }, 'stream_options', /object/],
  [
    'include_usage that is a number',
    { ...plain, stream: true, stream_options: { include_usage: 1 } },
    'stream_options.include_usage',
    /boolean/,
  ],
  ['max_tokens of zero', { ...plain, max_tokens: 0 }, 'max_tokens', /at least 1/],
  ['max_tokens with a fraction', { ...plain, max_tokens: 1.5 }, 'max_tokens', /integer/],
  ['max_tokens as text', { ...plain, max_completion_tokens: '9' }, 'max_completion_tokens', /integer/],
  [
    'two limits that differ',
    { ...plain, max_completion_tokens: 5, max_tokens: 9 },
    'max_tokens',
    /equal max_completion_tokens/,
  ],
  ['n of zero', { ...plain, n: 0 }, 'n', /1 to 128/],
  ['n of 129', { ...plain, n: 129 }, 'n', /1 to 128/],
  ['a temperature that is text', { ...plain, temperature: 'hot' }, 'temperature', /number/],
  ['another service tier', { ...plain, service_tier: 'priority' }, 'service_tier', /other prices/],
  ['a web search', { ...plain, web_search_options: {} }, 'web_search_options', /billed apart/],
  ["xAI's search", { ...plain, search_parameters: { mode: 'on' } }, 'search_parameters', /billed apart/],
  ["Qwen's search", { ...plain, enable_search: true }, 'enable_search', /billed apart/],
  ['plugins', { ...plain, plugins: [{ id: 'web' }] }, 'plugins', /billed apart/],
  ['other models', { ...plain, models: ['dear/model'] }, 'models', /another price/],
  ['a route', { ...plain, route: 'fallback' }, 'route', /another price/],
  ['another provider', { ...plain, provider: { order: ['dear'] } }, 'provider', /another price/],
  ['a preset', { ...plain, preset: 'dear' }, 'preset', /another price/],
  [
    'a tool of the provider',
    { ...plain, tools: [{ type: 'function', function: {} }, { type: 'web_search_preview' }] },
    'tools[1].type',
    /billed apart/,
  ],
  ["Google's search", { ...plain, tools: [{ google_search: {} }] }, 'tools[0].google_search', /billed apart/],
  [
    "Google's search, with a type",
    { ...plain, tools: [{ type: 'function', googleSearch: {} }] },
    'tools[0].googleSearch',
    /billed apart/,
  ],
  ['a tool without a type', { ...plain, tools: [{ function: {} }] }, 'tools[0].type', /function or custom/],
  ['a tool that is text', { ...plain, tools: ['web_search'] }, 'tools[0]', /object/],
  ['tools that are an object', { ...plain, tools: {} }, 'tools', /array/],
  ['a model twice', '{"model":"a","model":"b","messages":[]}', 'model', /twice/],
  ['a member twice, spelt otherwise', '{"n":1,"\\u006e":2,"model":"a","messages":[]}', 'n', /twice/],
  ['a model beside the model, for servers that ignore case', { ...plain, Model: 'dear' }, 'Model', /as model/],
  ['choices in capitals', { ...plain, N: 128 }, 'N', /as n/],
  ['a limit with the sign of Kelvin', { ...plain, 'max_to\u212aens': 9 }, 'max_to\u212aens', /as max_tokens/],
  ['a tier with a long s', { ...plain, '\u017fervice_tier': 'priority' }, '\u017fervice_tier', /as service_tier/],
  ['nesting without end', `{"model":"a","messages":[],"x":${nested(128)}}`, '', /at most 128 levels/],
  ['nesting that would overflow a stack', `{"model":"a","messages":[],"x":${nested(200_000)}}`, '', /128 levels/],
]
for (const [name, body, path, message] of refused)
  test(`refused with its path: ${name}`, () => {
    const problem = parse(body)
    assert(isProblem(problem))
    assert.equal(problem.path, path)
    assert.match(problem.message, message)
  })

test('text that is not JSON is a SyntaxError', () => {
  for (const text of ['', '{', '{"model":}', '\ufeff{}', "{'model':1}", '{"a":01}', 'NaN'])
    assert.throws(() => parse(text), SyntaxError)
})

const allowed: [name: string, members: Record<string, unknown>][] = [
  ['members that nobody reads', { logit_bias: { 50256: -100 }, vendor: { deep: [1, { a: null }] } }],
  [
    'nulls where a member may be absent',
    { max_tokens: null, n: null, stream: null, stream_options: null, tools: null, temperature: null },
  ],
  ['nesting that schemas need', { tools: [{ type: 'function', function: { parameters: JSON.parse(nested(100)) } }] }],
  [
    'tools of the caller',
    {
      tools: [
        { type: 'function', function: { name: 'f' } },
        { type: 'custom', custom: { name: 'c' } },
      ],
    },
  ],
  ['what is absent or off', { web_search_options: null, plugins: null, enable_search: false, provider: null }],
  ['what changes no price', { transforms: ['middle-out'], reasoning: { effort: 'low' } }],
  ['other names with capitals', { safetySettings: [], generationConfig: {}, X: 1 }],
  ['the default tier', { service_tier: 'auto' }],
]
for (const [name, members] of allowed)
  test(`accepted: ${name}`, () => {
    accepted({ ...plain, ...members })
  })

test('an assistant may have called tools instead of speaking', () => {
  accepted({ model: 'm', messages: [user, { role: 'assistant', tool_calls: [] }, { role: 'tool', content: '1' }] })
  accepted({ model: 'm', messages: [user, { role: 'assistant', content: null }] })
})

test('the limit has two names, and both may stand where they agree', () => {
  const limits = (members: object) => {
    const { maxTokens, maxTokensMembers } = accepted({ ...plain, ...members })
    return [maxTokens, ...maxTokensMembers]
  }
  assert.deepEqual(limits({}), [undefined])
  assert.deepEqual(limits({ max_tokens: 5 }), [5, 'max_tokens'])
  assert.deepEqual(limits({ max_tokens: 5, max_completion_tokens: 5 }), [5, 'max_completion_tokens', 'max_tokens'])
  assert.deepEqual(limits({ max_tokens: 5, max_completion_tokens: null }), [5, 'max_tokens'])
})

test('usage is shown only when it was asked for', () => {
  const asked = (stream_options: unknown) => accepted({ ...plain, stream: true, stream_options }).includeUsage
  assert.equal(asked({ include_usage: true }), true)
  assert.equal(asked({ include_usage: false }), false)
  assert.equal(asked({}), false)
  assert.equal(asked(null), false)
})
