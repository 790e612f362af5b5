import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeMessagesRequest } from './anthropic-decode-request.ts'
import { type ChatEncodeTarget, encodeChatRequest } from './chat-encode-request.ts'
import type { JsonObject } from './json-values.ts'
import { sealReasoning } from './reasoning-seal.ts'

const plainTarget: ChatEncodeTarget = { maxTokensMember: 'max_completion_tokens', streamOptions: true }

function translate(body: JsonObject, target: Partial<ChatEncodeTarget> = {}) {
  const decoded = decodeMessagesRequest({ model: 'x', max_tokens: 100, ...body })
  const encoded = encodeChatRequest(decoded.request, { ...plainTarget, ...target })
  return { body: encoded.body, losses: [...decoded.losses, ...encoded.losses] }
}

const user = { role: 'user', content: 'Hello' }
const use = (id: string) => ({ type: 'tool_use', id, name: 'weather', input: { city: 'Paris' } })
const weather = { name: 'weather', description: 'Looks.', input_schema: { type: 'object' } }
const ephemeral = { cache_control: { type: 'ephemeral' } }

interface Row {
  name: string
  body: JsonObject
  target?: Partial<ChatEncodeTarget>
  /** Of the translated body: these members, and none where undefined. */
  want: JsonObject
  /** Paths of what is lost, essential ones marked. */
  lost?: string[]
}

const rows: Row[] = [
  {
    name: 'plain text',
    body: { messages: [user] },
    want: {
      messages: [{ role: 'user', content: 'Hello' }],
      max_completion_tokens: 100,
      max_tokens: undefined,
      stream: undefined,
    },
  },
  {
    name: 'the older name of the limit',
    body: { messages: [user] },
    target: { maxTokensMember: 'max_tokens' },
    want: { max_tokens: 100 },
  },
  {
    name: 'a stream with its usage',
    body: { messages: [user], stream: true },
    want: { stream: true, stream_options: { include_usage: true } },
  },
  {
    name: 'a stream where usage may not be asked for',
    body: { messages: [user], stream: true },
    target: { streamOptions: false },
    want: { stream: true, stream_options: undefined },
  },
  {
    name: 'system text, in one message',
    body: {
      system: [
        { type: 'text', text: 'A', ...ephemeral },
        { type: 'text', text: 'B' },
      ],
      messages: [user],
    },
    want: {
      messages: [
        { role: 'system', content: 'A\n\nB' },
        { role: 'user', content: 'Hello' },
      ],
    },
    lost: ['system'],
  },
  {
    name: 'marks for the cache, where they are known',
    body: { system: [{ type: 'text', text: 'A', ...ephemeral }], messages: [user] },
    target: { cacheControl: true },
    want: {
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'A', ...ephemeral }] },
        { role: 'user', content: 'Hello' },
      ],
    },
  },
  {
    name: 'a system message inside the conversation',
    body: { messages: [user, { role: 'system', content: 'B' }, user] },
    want: {
      messages: [
        { role: 'system', content: 'B' },
        { role: 'user', content: 'Hello' },
        { role: 'user', content: 'Hello' },
      ],
    },
    lost: ['messages[1]'],
  },
  {
    name: 'tools, their results, and what is said beside them',
    body: {
      messages: [
        user,
        { role: 'assistant', content: [{ type: 'text', text: 'Let me look.' }, use('toolu_a'), use('weird.id')] },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'toolu_a',
              content: [
                { type: 'text', text: 'sun' },
                { type: 'text', text: 'ny' },
              ],
            },
            { type: 'tool_result', tool_use_id: 'weird.id', is_error: true },
            { type: 'text', text: 'And?' },
          ],
        },
      ],
      tools: [weather],
    },
    want: {
      messages: [
        { role: 'user', content: 'Hello' },
        {
          role: 'assistant',
          content: 'Let me look.',
          tool_calls: [
            { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } },
            {
              id: 'call_fgx_d2VpcmQuaWQ',
              type: 'function',
              function: { name: 'weather', arguments: '{"city":"Paris"}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_a', content: 'sunny' },
        { role: 'tool', tool_call_id: 'call_fgx_d2VpcmQuaWQ', content: '' },
        { role: 'user', content: 'And?' },
      ],
      tools: [
        { type: 'function', function: { name: 'weather', description: 'Looks.', parameters: { type: 'object' } } },
      ],
    },
    lost: ['messages[2]'],
  },
  {
    name: 'a picture as the result of a tool',
    body: {
      messages: [
        { role: 'assistant', content: [use('toolu_a')] },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'toolu_a',
              content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBO' } }],
            },
          ],
        },
      ],
    },
    want: {
      messages: [
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'call_a', content: '' },
        { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,iVBO' } }] },
      ],
    },
    lost: ['messages[1]'],
  },
  {
    name: 'a call without a result',
    body: { messages: [user, { role: 'assistant', content: [use('toolu_a')] }, user] },
    want: {},
    lost: ['messages[1]!'],
  },
  ...(
    [
      [{ type: 'auto' }, 'auto', undefined],
      [{ type: 'any', disable_parallel_tool_use: true }, 'required', false],
      [{ type: 'none' }, 'none', undefined],
      [
        { type: 'tool', name: 'weather', disable_parallel_tool_use: false },
        { type: 'function', function: { name: 'weather' } },
        true,
      ],
      [undefined, undefined, undefined],
    ] as const
  ).map(([tool_choice, want, parallel_tool_calls]) => ({
    name: `the choice of tools ${JSON.stringify(tool_choice)}`,
    body: { messages: [user], tools: [weather], tool_choice },
    want: { tool_choice: want, parallel_tool_calls },
  })),
  {
    name: 'a choice nobody knows',
    body: { messages: [user], tools: [weather], tool_choice: { type: 'constructor' } },
    want: { tool_choice: undefined },
    lost: ['tool_choice!'],
  },
  {
    name: 'tools that only Claude knows, and strict ones',
    body: {
      messages: [user],
      tools: [
        { type: 'bash_20250124', name: 'bash' },
        { ...weather, type: 'custom', strict: true, input_examples: [{}] },
      ],
    },
    want: {
      tools: [
        {
          type: 'function',
          function: { name: 'weather', description: 'Looks.', parameters: { type: 'object' }, strict: true },
        },
      ],
    },
    lost: ['tools[0]!', 'tools[1].input_examples'],
  },
  {
    name: 'thinking that Claude signed',
    body: {
      messages: [
        user,
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Hm.', signature: 'EqQB' },
            { type: 'redacted_thinking', data: 'x' },
            { type: 'text', text: 'Hi.' },
          ],
        },
        user,
      ],
    },
    want: {
      messages: [
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: 'Hi.' },
        { role: 'user', content: 'Hello' },
      ],
    },
    lost: ['messages[1]'],
  },
  {
    name: 'thinking that came from a chat',
    body: {
      messages: [
        user,
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Hm.', signature: sealReasoning({ origin: 'chat' }) },
            use('toolu_a'),
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_a', content: 'x' }] },
      ],
    },
    want: {
      messages: [
        { role: 'user', content: 'Hello' },
        {
          role: 'assistant',
          content: null,
          reasoning_content: 'Hm.',
          tool_calls: [
            { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'call_a', content: 'x' },
      ],
    },
  },
  {
    name: 'pictures and documents',
    body: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
            {
              type: 'document',
              source: { type: 'base64', media_type: 'application/pdf', data: 'JVBE' },
              title: 'b.pdf',
              context: 'Read it.',
            },
            {
              type: 'document',
              source: { type: 'text', media_type: 'text/plain', data: 'words' },
              citations: { enabled: true },
            },
            { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'inside' }] } },
            { type: 'search_result', title: 'T', source: 'https://s', content: [{ type: 'text', text: 'found' }] },
          ],
        },
      ],
    },
    want: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
            { type: 'text', text: 'Read it.' },
            { type: 'file', file: { filename: 'b.pdf', file_data: 'data:application/pdf;base64,JVBE' } },
            { type: 'text', text: 'words' },
            { type: 'text', text: 'inside' },
            { type: 'text', text: 'T\nhttps://s\n' },
            { type: 'text', text: 'found' },
          ],
        },
      ],
    },
    lost: ['messages[0].content[2].citations'],
  },
  {
    name: 'what lies elsewhere, and what the provider did itself',
    body: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } },
            { type: 'image', source: { type: 'file', file_id: 'f' } },
            { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} },
            { type: 'text', text: 'x' },
          ],
        },
      ],
    },
    want: { messages: [{ role: 'user', content: 'x' }] },
    lost: ['messages[0].content[1]!', 'messages[0].content[2]!', 'messages[0]!'],
  },
  ...(
    [
      [{ thinking: { type: 'enabled', budget_tokens: 1_024 } }, 'low', ['thinking.budget_tokens']],
      [{ thinking: { type: 'enabled', budget_tokens: 8_192 } }, 'medium', ['thinking.budget_tokens']],
      [{ thinking: { type: 'enabled', budget_tokens: 30_000 } }, 'high', ['thinking.budget_tokens']],
      [{ thinking: { type: 'adaptive' }, output_config: { effort: 'max' } }, 'max', []],
      [{ thinking: { type: 'adaptive' } }, undefined, []],
      [{ output_config: { effort: 'low' } }, 'low', []],
      [{ thinking: { type: 'disabled' } }, undefined, ['reasoning_effort']],
    ] as const
  ).map(([members, reasoning_effort, lost]) => ({
    name: `effort for ${JSON.stringify(members)}`,
    body: { messages: [user], ...members },
    want: { reasoning_effort },
    lost: [...lost],
  })),
  {
    name: 'an effort that nobody knows, and what else is asked of the output',
    body: { messages: [user], output_config: { effort: 'utmost', task_budget: { type: 'tokens', total: 64_000 } } },
    want: { reasoning_effort: undefined },
    lost: ['output_config.effort', 'output_config.task_budget'],
  },
  {
    name: 'marks and members of tools',
    body: {
      messages: [user],
      tools: [{ ...weather, cache_control: { type: 'ephemeral' }, defer_loading: true, allowed_callers: ['direct'] }],
    },
    want: {},
    lost: ['tools[0].defer_loading', 'tools[0].allowed_callers', 'tools'],
  },
  {
    name: 'no effort, where that is known',
    body: { messages: [user], thinking: { type: 'disabled' } },
    target: { efforts: ['none', 'low'] },
    want: { reasoning_effort: 'none' },
  },
  {
    name: 'no effort of a model that does not reason',
    body: { messages: [user], thinking: { type: 'disabled' } },
    target: { efforts: [] },
    want: { reasoning_effort: undefined },
  },
  {
    name: 'effort of a model that does not reason',
    body: { messages: [user], output_config: { effort: 'high' } },
    target: { efforts: [] },
    want: { reasoning_effort: undefined },
    lost: ['reasoning_effort'],
  },
  {
    name: 'a schema for the answer',
    body: { messages: [user], output_config: { format: { type: 'json_schema', schema: { type: 'object' } } } },
    want: {
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: { type: 'object' }, strict: true },
      },
    },
  },
  {
    name: 'a schema under its older name',
    body: { messages: [user], output_format: { type: 'json_schema', schema: { type: 'object' } } },
    want: {
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: { type: 'object' }, strict: true },
      },
    },
  },
  {
    name: 'numbers, stops and users',
    body: {
      messages: [user],
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      stop_sequences: ['a', 'b', 'c', 'd', 'e'],
      metadata: { user_id: 'user_d3b07384d113edec49eaa6238ad5ff00' },
    },
    want: {
      temperature: 0.5,
      top_p: 0.9,
      top_k: undefined,
      stop: ['a', 'b', 'c', 'd'],
      user: 'user_d3b07384d113edec49eaa6238ad5ff00',
    },
    lost: ['top_k', 'stop'],
  },
  {
    name: 'the long user of Claude Code becomes its hash',
    body: { messages: [user], metadata: { user_id: `user_${'0'.repeat(64)}_account__session_${'1'.repeat(36)}` } },
    want: { user: '5516ee8959e7fbd9139087a5711b8dd172e0373083c2cb36a012b204b54f5584' },
  },
  {
    name: 'what has no counterpart, and what asks for nothing',
    body: {
      messages: [user],
      context_management: { edits: [] },
      container: 'c',
      mcp_servers: [],
      service_tier: 'standard_only',
      speed: 'standard',
      cache_control: { type: 'ephemeral' },
      inference_geo: 'global',
      stop_sequences: null,
    },
    want: { container: undefined },
    lost: ['context_management', 'container!', 'cache_control'],
  },
  {
    name: 'warming a cache is not carried: elsewhere a limit of zero may be none',
    body: { messages: [user], max_tokens: 0 },
    want: {},
    lost: ['max_tokens!'],
  },
]

for (const { name, body, target, want, lost = [] } of rows) {
  test(`messages to chat: ${name}`, () => {
    const { body: got, losses } = translate(body, target)
    for (const [member, value] of Object.entries(want)) assert.deepEqual(got[member], value, member)
    assert.deepEqual(
      losses.map(({ path, essential }) => `${path}${essential ? '!' : ''}`),
      lost,
    )
  })
}
