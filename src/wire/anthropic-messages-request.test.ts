import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { lowerThinking, parseCountTokensRequest, parseMessagesRequest } from './anthropic-messages-request.ts'
import { loadTokenizer } from './count-tokens.ts'
import { sealReasoning } from './reasoning-seal.ts'
import { isProblem } from './text-request.ts'

before(loadTokenizer)

const user = { role: 'user', content: 'Hello' }
const plain = { model: 'claude-sonnet-4-5', max_tokens: 1024, messages: [user] }

function parsed(body: object) {
  const request = parseMessagesRequest(JSON.stringify(body))
  assert(!isProblem(request), isProblem(request) ? `${request.path}: ${request.message}` : '')
  return request
}

test('a plain request', () => {
  const request = parsed(plain)
  const { text, members, body, countPrompt, ...rest } = request
  assert.deepEqual(rest, {
    protocol: 'messages',
    model: 'claude-sonnet-4-5',
    stream: false,
    includeUsage: true,
    streamOptions: {},
    maxTokens: 1024,
    maxTokensMembers: ['max_tokens'],
    choices: 1,
    attachments: { dataUrlBytes: 0, images: 0, audioBytes: 0, unbounded: 0 },
    audioOutput: false,
  })
  assert.equal(text, JSON.stringify(plain))
  assert.deepEqual(body, plain)
  const at = members.get('max_tokens')
  assert(at)
  assert.equal(text.slice(at.valueStart, at.valueEnd), '1024')
  assert(countPrompt().exact)
})

const tool = { name: 'f', input_schema: { type: 'object' } }

for (const { name, body } of [
  { name: 'a stream', body: { ...plain, stream: true } },
  { name: 'a cache to be warmed', body: { ...plain, max_tokens: 0 } },
  { name: 'system text', body: { ...plain, system: 'Be brief.' } },
  {
    name: 'system blocks that are cached for an hour',
    body: { ...plain, system: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral', ttl: '1h' } }] },
  },
  { name: 'a system message inside', body: { ...plain, messages: [user, { role: 'system', content: 'x' }] } },
  {
    name: 'tools of the client',
    body: { ...plain, tools: [tool, { ...tool, type: 'custom' }, { ...tool, type: null }] },
  },
  {
    name: 'tools that Anthropic defines and the client runs',
    body: {
      ...plain,
      tools: [
        { type: 'bash_20250124', name: 'bash' },
        { type: 'text_editor_20250728', name: 'str_replace_based_edit_tool' },
        { type: 'memory_20250818', name: 'memory' },
        { type: 'computer_toolset_20260801' },
        { type: 'tool_search_tool_regex_20251119', name: 'tool_search_tool_regex' },
      ],
    },
  },
  { name: 'thinking', body: { ...plain, thinking: { type: 'enabled', budget_tokens: 2048 } } },
  {
    name: 'an ordinary tier',
    body: { ...plain, service_tier: 'standard_only', speed: 'standard', inference_geo: 'global' },
  },
  { name: 'nulls', body: { ...plain, service_tier: null, speed: null, container: null, tools: null, system: null } },
  { name: 'no servers', body: { ...plain, mcp_servers: [] } },
  {
    name: 'context that is cleared',
    body: { ...plain, context_management: { edits: [{ type: 'clear_thinking_20251015' }] } },
  },
  { name: 'what nobody knows yet', body: { ...plain, anthropic_future: { a: 1 } } },
  {
    name: 'results of tools',
    body: {
      ...plain,
      messages: [
        user,
        { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'x' }] },
            { type: 'tool_result', tool_use_id: 'toolu_2', content: 'x' },
            { type: 'tool_result', tool_use_id: 'toolu_3' },
          ],
        },
      ],
    },
  },
]) {
  test(`accepted: ${name}`, () => {
    const request = parsed(body)
    assert.equal(request.text, JSON.stringify(body))
  })
}

for (const { name, body, path, message } of [
  { name: 'a list', body: [], path: '', message: /JSON object/ },
  { name: 'no model', body: { ...plain, model: '' }, path: 'model' },
  { name: 'no limit', body: { model: 'm', messages: [user] }, path: 'max_tokens' },
  { name: 'a negative limit', body: { ...plain, max_tokens: -1 }, path: 'max_tokens' },
  { name: 'a broken limit', body: { ...plain, max_tokens: 1.5 }, path: 'max_tokens' },
  { name: 'a limit in text', body: { ...plain, max_tokens: '5' }, path: 'max_tokens' },
  { name: 'no messages', body: { model: 'm', max_tokens: 5 }, path: 'messages' },
  { name: 'not one message', body: { ...plain, messages: [] }, path: 'messages' },
  { name: 'too many messages', body: { ...plain, messages: Array(10_001).fill(user) }, path: 'messages' },
  { name: 'a number for system', body: { ...plain, system: 5 }, path: 'system' },
  { name: 'a system block without text', body: { ...plain, system: [{ type: 'text' }] }, path: 'system[0].text' },
  { name: 'a message that is text', body: { ...plain, messages: ['x'] }, path: 'messages[0]' },
  { name: "chat's role", body: { ...plain, messages: [user, { role: 'tool' }] }, path: 'messages[1].role' },
  { name: 'no content', body: { ...plain, messages: [{ role: 'user' }] }, path: 'messages[0].content' },
  {
    name: 'a block without a type',
    body: { ...plain, messages: [{ role: 'user', content: [{}] }] },
    path: 'messages[0].content[0]',
  },
  {
    name: 'a picture without a source',
    body: { ...plain, messages: [{ role: 'user', content: [{ type: 'image' }] }] },
    path: 'messages[0].content[0].source',
  },
  {
    name: 'a broken result',
    body: { ...plain, messages: [{ role: 'user', content: [{ type: 'tool_result', content: [{ type: 'text' }] }] }] },
    path: 'messages[0].content[0].content[0].text',
  },
  { name: 'a stream in words', body: { ...plain, stream: 'yes' }, path: 'stream' },
  { name: 'a temperature in words', body: { ...plain, temperature: 'hot' }, path: 'temperature' },
  { name: 'tools that are no list', body: { ...plain, tools: {} }, path: 'tools' },
  { name: 'thinking in words', body: { ...plain, thinking: 'hard' }, path: 'thinking' },
  {
    name: 'searches',
    body: { ...plain, tools: [tool, { type: 'web_search_20250305', name: 'web_search' }] },
    path: 'tools[1].type',
    message: /billed apart/,
  },
  { name: 'fetches', body: { ...plain, tools: [{ type: 'web_fetch_20250910' }] }, path: 'tools[0].type' },
  {
    name: 'code that runs there',
    body: { ...plain, tools: [{ type: 'code_execution_20260120' }] },
    path: 'tools[0].type',
  },
  { name: 'an advisor', body: { ...plain, tools: [{ type: 'advisor_20260301' }] }, path: 'tools[0].type' },
  { name: 'a tool of tomorrow', body: { ...plain, tools: [{ type: 'teleport_20990101' }] }, path: 'tools[0].type' },
  { name: 'servers', body: { ...plain, mcp_servers: [{ type: 'url' }] }, path: 'mcp_servers', message: /billed apart/ },
  { name: 'a container', body: { ...plain, container: 'c' }, path: 'container' },
  { name: 'another tier', body: { ...plain, service_tier: 'priority' }, path: 'service_tier', message: /other prices/ },
  { name: 'speed', body: { ...plain, speed: 'fast' }, path: 'speed', message: /other prices/ },
  { name: 'a region', body: { ...plain, inference_geo: 'us' }, path: 'inference_geo', message: /other prices/ },
  {
    name: 'other models',
    body: { ...plain, fallbacks: [{ model: 'x' }] },
    path: 'fallbacks',
    message: /another price/,
  },
  {
    name: 'a summary on the way',
    body: { ...plain, context_management: { edits: [{ type: 'clear_x' }, { type: 'compact_20260112' }] } },
    path: 'context_management.edits[1].type',
  },
] as { name: string; body: object; path: string; message?: RegExp }[]) {
  test(`refused: ${name}`, () => {
    const found = parseMessagesRequest(JSON.stringify(body))
    assert(isProblem(found))
    assert.equal(found.path, path)
    if (message !== undefined) assert.match(found.message, message)
  })
}

test('what is no JSON throws, twice the same member and great depth are refused', () => {
  assert.throws(() => parseMessagesRequest('{'), SyntaxError)
  const twice = parseMessagesRequest('{"model":"a","max_tokens":1,"messages":[],"model":"b"}')
  assert(isProblem(twice) && twice.path === 'model')
  const deep = parseMessagesRequest(
    JSON.stringify(plain)
      .replace('}', `,"x":${'['.repeat(200)}${']'.repeat(200)}}`)
      .replace('"Hello"}', '"Hello"'),
  )
  assert(isProblem(deep))
})

const base64 = 'A'.repeat(400)
for (const { name, content, want } of [
  {
    name: 'a picture',
    content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: base64 } }],
    want: { images: 1, dataUrlBytes: 400, unbounded: 0 },
  },
  {
    name: 'a picture elsewhere',
    content: [{ type: 'image', source: { type: 'url', url: 'https://x/y.png' } }],
    want: { images: 1, dataUrlBytes: 0, unbounded: 0 },
  },
  {
    name: 'a picture in the result of a tool',
    content: [
      { type: 'tool_result', tool_use_id: 't', content: [{ type: 'image', source: { type: 'base64', data: base64 } }] },
    ],
    want: { images: 1, dataUrlBytes: 400, unbounded: 0 },
  },
  {
    name: 'a document',
    content: [{ type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: base64 } }],
    want: { images: 0, unbounded: 1 },
  },
  {
    name: 'a document elsewhere',
    content: [{ type: 'document', source: { type: 'url', url: 'https://x/y.pdf' } }],
    want: { unbounded: 1 },
  },
  {
    name: 'a document of text',
    content: [{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'words' } }],
    want: { unbounded: 0 },
  },
  {
    name: 'a document of pictures',
    content: [{ type: 'document', source: { type: 'content', content: [{ type: 'image', source: { type: 'url' } }] } }],
    want: { images: 1, unbounded: 0 },
  },
  { name: 'a stored file', content: [{ type: 'container_upload', file_id: 'f' }], want: { unbounded: 1 } },
  { name: 'a block of tomorrow', content: [{ type: 'hologram' }], want: { unbounded: 1 } },
  {
    name: 'arguments that look like a picture',
    content: [{ type: 'tool_use', id: 't', name: 'f', input: { type: 'image' } }],
    want: { images: 0, unbounded: 0 },
  },
  {
    name: 'a page that was fetched',
    content: [
      {
        type: 'web_fetch_tool_result',
        content: { type: 'web_fetch_result', content: { type: 'document', source: { type: 'base64', data: base64 } } },
      },
    ],
    want: { unbounded: 1 },
  },
]) {
  test(`attachments: ${name}`, () => {
    const { attachments } = parsed({ ...plain, messages: [{ role: 'user', content }] })
    assert.partialDeepStrictEqual(attachments, want)
  })
}

test('thinking of other protocols is taken out of the text, and everything else stays', () => {
  const sealed = { type: 'thinking', thinking: 'Hm.', signature: sealReasoning({ origin: 'chat' }) }
  const own = { type: 'thinking', thinking: 'Hm.', signature: 'EqQB' }
  const use = { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }
  const body = {
    ...plain,
    messages: [
      user,
      { role: 'assistant', content: [sealed] },
      user,
      { role: 'assistant', content: [own, sealed, use] },
      { role: 'user', content: 'fluxgate.chat.' },
    ],
    temperature: 1,
  }
  const request = parsed(body)
  assert.deepEqual(request.body, body)
  assert.deepEqual(JSON.parse(request.text), {
    ...body,
    messages: [user, user, { role: 'assistant', content: [own, use] }, { role: 'user', content: 'fluxgate.chat.' }],
  })
  const at = request.members.get('temperature')
  assert(at)
  assert.equal(request.text.slice(at.valueStart, at.valueEnd), '1')
})

test('a request to count tokens needs no limit', () => {
  const request = parseCountTokensRequest(JSON.stringify({ model: 'm', messages: [user], tools: [tool] }))
  assert(!isProblem(request))
  assert.equal(request.model, 'm')
  assert(request.countPrompt().tokens > 346)
  const found = parseCountTokensRequest('{"model":"m","messages":7}')
  assert(isProblem(found) && found.path === 'messages')
})

for (const { name, body, tokens, exact } of [
  { name: 'a word', body: {}, tokens: 7, exact: true },
  { name: 'a system prompt', body: { system: 'Hello Hello' }, tokens: 9, exact: true },
  { name: 'system blocks', body: { system: [{ type: 'text', text: 'Hello Hello' }] }, tokens: 9, exact: true },
  {
    name: 'blocks without their marks',
    body: {
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }] }],
    },
    tokens: 7,
    exact: true,
  },
  {
    name: 'a picture',
    body: { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', data: base64 } }] }] },
    tokens: 1_606,
    exact: true,
  },
  {
    name: 'a document elsewhere',
    body: { messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'url', url: 'https://x' } }] }] },
    tokens: 3_006,
    exact: false,
  },
  {
    name: 'a document of text',
    body: { messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'text', data: 'Hello' } }] }] },
    tokens: 7,
    exact: true,
  },
  {
    name: 'thinking without its signature',
    body: { messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'Hello', signature: base64 }] }] },
    tokens: 7,
    exact: true,
  },
  {
    name: 'thinking that cannot be read',
    body: { messages: [{ role: 'assistant', content: [{ type: 'redacted_thinking', data: base64 }] }] },
    tokens: 19,
    exact: false,
  },
  {
    name: 'the result of a tool',
    body: { messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'Hello', content: 'Hello' }] }] },
    tokens: 8,
    exact: true,
  },
] as { name: string; body: object; tokens: number; exact: boolean }[]) {
  test(`counted: ${name}`, () => assert.deepEqual(parsed({ ...plain, ...body }).countPrompt(), { tokens, exact }))
}

test('any JSON is parsed or refused, never thrown at', () => {
  const names = fc.constantFrom(
    'model',
    'max_tokens',
    'messages',
    'system',
    'tools',
    'role',
    'content',
    'type',
    'text',
    'source',
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom('user', 'assistant', 'text', 'image', 'document', 'tool_result', 'm'),
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(names, tie('tree'), { maxKeys: 5 }),
    ),
  }))
  fc.assert(
    fc.property(fc.dictionary(names, tree), (body) => {
      const request = parseMessagesRequest(JSON.stringify({ max_tokens: 1, model: 'm', ...body }))
      if (!isProblem(request)) request.countPrompt()
    }),
    { numRuns: 2_000, seed: 5 },
  )
})

const lowerings: [name: string, thinking: unknown, limit: number, changed: Record<string, string>][] = [
  ['no thinking', undefined, 100, {}],
  ['a budget that fits', { type: 'enabled', budget_tokens: 2_000 }, 2_001, {}],
  [
    'one that does not',
    { type: 'enabled', budget_tokens: 4_000 },
    4_000,
    { thinking: '{"type":"enabled","budget_tokens":2000}' },
  ],
  ['no room for any', { type: 'enabled', budget_tokens: 4_000 }, 2_000, { thinking: '{"type":"disabled"}' }],
  ['thinking that adapts', { type: 'adaptive' }, 100, {}],
]
for (const [name, thinking, limit, changed] of lowerings)
  test(`thinking fits below a lowered limit: ${name}`, () =>
    assert.deepEqual(lowerThinking({ thinking }, limit), changed))
