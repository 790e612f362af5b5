import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeMessagesRequest } from './anthropic-encode-request.ts'
import { decodeChatRequest } from './chat-decode-request.ts'
import type { JsonObject } from './json-values.ts'

const MODEL = 'claude-sonnet-4-5'

function translate(body: JsonObject, model = MODEL) {
  const decoded = decodeChatRequest({ model: 'x', ...body })
  const encoded = encodeMessagesRequest(decoded.request, { maxOutputTokens: 64_000, model })
  return { body: encoded.body, losses: [...decoded.losses, ...encoded.losses] }
}

const user = { role: 'user', content: 'Hello' }
const call = (id: string, args = '{"city":"Paris"}') => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: args },
})
const result = (id: string, content: unknown = 'sunny') => ({ role: 'tool', tool_call_id: id, content })
const weather = {
  type: 'function',
  function: { name: 'weather', description: 'Looks.', parameters: { type: 'object' } },
}
const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }

interface Row {
  name: string
  body: JsonObject
  model?: string
  /** Of the translated body: these members, and none where undefined. */
  want: JsonObject
  /** Paths of what is lost, essential ones marked. */
  lost?: string[]
}

const rows: Row[] = [
  {
    name: 'plain text, with the limit that this protocol must have',
    body: { messages: [user] },
    want: {
      max_tokens: 64_000,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }],
      stream: undefined,
    },
  },
  { name: "the caller's limit", body: { messages: [user], max_completion_tokens: 50 }, want: { max_tokens: 50 } },
  { name: 'the older name of the limit', body: { messages: [user], max_tokens: 60 }, want: { max_tokens: 60 } },
  {
    name: 'a stream',
    body: { messages: [user], stream: true, stream_options: { include_usage: true } },
    want: { stream: true },
  },
  {
    name: 'one system message',
    body: { messages: [{ role: 'system', content: 'Be brief.' }, user] },
    want: { system: 'Be brief.' },
  },
  {
    name: 'system and developer messages, also inside the conversation',
    body: { messages: [{ role: 'system', content: 'A' }, user, { role: 'developer', content: 'B' }] },
    want: {
      system: [
        { type: 'text', text: 'A' },
        { type: 'text', text: 'B' },
      ],
    },
    lost: ['messages[2]'],
  },
  {
    name: 'instructions without a conversation',
    body: { messages: [{ role: 'system', content: 'Say hi.' }] },
    want: { system: undefined, messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hi.' }] }] },
    lost: ['messages'],
  },
  {
    name: 'marks for the cache',
    body: {
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'A', cache_control: { type: 'ephemeral', ttl: '1h' } }] },
        { ...user, cache_control: { type: 'ephemeral' } },
      ],
      tools: [{ ...weather, cache_control: { type: 'ephemeral' } }],
    },
    want: {
      system: [{ type: 'text', text: 'A', cache_control: { type: 'ephemeral', ttl: '1h' } }],
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }] }],
      tools: [
        {
          name: 'weather',
          description: 'Looks.',
          input_schema: { type: 'object' },
          cache_control: { type: 'ephemeral' },
        },
      ],
    },
  },
  {
    name: 'neighbours of the same role, and empty messages between others',
    body: {
      messages: [
        user,
        { role: 'user', content: 'again' },
        { role: 'assistant', content: '' },
        { role: 'user', content: ' \n' },
        user,
      ],
    },
    want: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Hello' },
            { type: 'text', text: 'again' },
            { type: 'text', text: 'Hello' },
          ],
        },
      ],
    },
  },
  {
    name: 'nothing but blanks',
    body: { messages: [{ role: 'user', content: '' }] },
    want: { messages: [] },
    lost: ['messages!'],
  },
  {
    name: 'a last message that is to be continued',
    body: { messages: [user, { role: 'assistant', content: 'Once upon \n' }] },
    want: {
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'Once upon' }] },
      ],
    },
    lost: ['messages[1]'],
  },
  {
    name: 'results of parallel tools stand first, in the one turn behind their calls',
    body: {
      messages: [
        user,
        { role: 'assistant', content: 'Let me look.', tool_calls: [call('call_a'), call('call_b', '')] },
        result('call_a'),
        result('call_b', [{ type: 'text', text: 'rainy' }]),
        { role: 'user', content: 'And?' },
      ],
      tools: [weather],
    },
    want: {
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Let me look.' },
            { type: 'tool_use', id: 'toolu_a', name: 'weather', input: { city: 'Paris' } },
            { type: 'tool_use', id: 'toolu_b', name: 'weather', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_a', content: 'sunny' },
            { type: 'tool_result', tool_use_id: 'toolu_b', content: 'rainy' },
            { type: 'text', text: 'And?' },
          ],
        },
      ],
    },
  },
  {
    name: 'a result without words',
    body: {
      messages: [user, { role: 'assistant', tool_calls: [call('call_a')] }, result('call_a', '')],
      tools: [weather],
    },
    want: {},
  },
  {
    name: 'a call without a result',
    body: { messages: [user, { role: 'assistant', tool_calls: [call('call_a'), call('call_b')] }, result('call_a')] },
    want: {},
    lost: ['messages[1]!'],
  },
  {
    name: 'a call whose result comes too late',
    body: {
      messages: [
        user,
        { role: 'assistant', tool_calls: [call('call_a')] },
        user,
        { role: 'assistant', content: 'x' },
        result('call_a'),
      ],
    },
    want: {},
    lost: ['messages[1]!', 'messages[4]!'],
  },
  {
    name: 'a result without a call',
    body: { messages: [user, { role: 'assistant', content: 'x' }, result('call_a')] },
    want: {},
    lost: ['messages[2]!'],
  },
  {
    name: 'one id for two calls',
    body: {
      messages: [
        user,
        { role: 'assistant', tool_calls: [call('call_0')] },
        result('call_0'),
        { role: 'assistant', tool_calls: [call('call_0')] },
        result('call_0'),
      ],
    },
    want: {},
    lost: ['messages[3]!'],
  },
  {
    name: 'arguments that are no JSON',
    body: { messages: [user, { role: 'assistant', tool_calls: [call('call_a', '{"a":')] }, result('call_a')] },
    want: {},
    lost: ['messages[1]!'],
  },
  {
    name: 'arguments that are no object',
    body: { messages: [user, { role: 'assistant', tool_calls: [call('call_a', '[1]')] }, result('call_a')] },
    want: {},
    lost: ['messages[1]!'],
  },
  {
    name: 'functions of old',
    body: {
      messages: [
        user,
        { role: 'assistant', content: null, function_call: { name: 'weather', arguments: '{}' } },
        { role: 'function', name: 'weather', content: 'sunny' },
      ],
      functions: [{ name: 'weather', parameters: { type: 'object' } }],
      function_call: { name: 'weather' },
    },
    want: {
      tools: [{ name: 'weather', input_schema: { type: 'object' } }],
      tool_choice: { type: 'tool', name: 'weather' },
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_function_1', name: 'weather', input: {} }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_function_1', content: 'sunny' }] },
      ],
    },
  },
  {
    name: 'tools without parameters or type',
    body: {
      messages: [user],
      tools: [
        { type: 'function', function: { name: 'f' } },
        { type: 'function', name: 'g', parameters: { anyOf: [] } },
      ],
    },
    want: {
      tools: [
        { name: 'f', input_schema: { type: 'object', properties: {} } },
        { name: 'g', input_schema: { anyOf: [], type: 'object' } },
      ],
    },
  },
  {
    name: 'tools that are no functions',
    body: { messages: [user], tools: [{ type: 'custom', custom: { name: 'f' } }] },
    want: { tools: undefined },
    lost: ['tools[0]!'],
  },
  ...(
    [
      ['auto', undefined, { type: 'auto' }],
      ['none', undefined, { type: 'none' }],
      ['required', undefined, { type: 'any' }],
      ['required', false, { type: 'any', disable_parallel_tool_use: true }],
      [{ type: 'function', function: { name: 'weather' } }, undefined, { type: 'tool', name: 'weather' }],
      [
        { type: 'function', function: { name: 'weather' } },
        true,
        { type: 'tool', name: 'weather', disable_parallel_tool_use: false },
      ],
      [undefined, false, { type: 'auto', disable_parallel_tool_use: true }],
      [undefined, true, undefined],
      [undefined, undefined, undefined],
    ] as const
  ).map(([tool_choice, parallel_tool_calls, want]) => ({
    name: `the choice of tools ${JSON.stringify(tool_choice)}, in parallel ${parallel_tool_calls}`,
    body: { messages: [user], tools: [weather], tool_choice, parallel_tool_calls },
    want: { tool_choice: want },
  })),
  {
    name: 'a choice among no tools',
    body: { messages: [user], tool_choice: 'none' },
    want: { tool_choice: undefined, tools: undefined },
  },
  {
    name: 'a choice of tools that has no counterpart',
    body: { messages: [user], tools: [weather], tool_choice: { type: 'allowed_tools', allowed_tools: {} } },
    want: { tool_choice: undefined },
    lost: ['tool_choice!'],
  },
  {
    name: 'strict tools, on a model that has them',
    body: {
      messages: [user],
      tools: [{ type: 'function', function: { name: 'f', parameters: schema, strict: true } }],
    },
    want: { tools: [{ name: 'f', input_schema: schema, strict: true }] },
  },
  {
    name: 'strict tools, on one that has not',
    body: {
      messages: [user],
      tools: [{ type: 'function', function: { name: 'f', parameters: schema, strict: true } }],
    },
    model: 'claude-3-5-haiku-latest',
    want: { tools: [{ name: 'f', input_schema: schema }] },
    lost: ['tools'],
  },
  {
    name: 'a schema for the answer, with its objects closed',
    body: {
      messages: [user],
      response_format: {
        type: 'json_schema',
        json_schema: {
          name: 'x',
          strict: true,
          schema: {
            type: 'object',
            properties: {
              list: { type: 'array', items: { anyOf: [{ type: 'object' }, { type: 'null' }] } },
              open: { type: 'object', additionalProperties: true },
            },
            $defs: { node: { type: 'object', allOf: [{ type: 'object' }] } },
          },
        },
      },
    },
    want: {
      output_config: {
        format: {
          type: 'json_schema',
          schema: {
            type: 'object',
            additionalProperties: false,
            properties: {
              list: {
                type: 'array',
                items: { anyOf: [{ type: 'object', additionalProperties: false }, { type: 'null' }] },
              },
              open: { type: 'object', additionalProperties: true },
            },
            $defs: { node: { type: 'object', allOf: [{ type: 'object' }] } },
          },
        },
      },
    },
  },
  {
    name: 'a schema for the answer of a model that cannot keep to it',
    body: { messages: [user], response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } },
    model: 'claude-3-7-sonnet-20250219',
    want: { output_config: undefined },
    lost: ['response_format!'],
  },
  {
    name: 'any JSON as the answer',
    body: { messages: [user], response_format: { type: 'json_object' } },
    want: { output_config: undefined },
    lost: ['response_format'],
  },
  {
    name: 'plain text as the answer',
    body: { messages: [user], response_format: { type: 'text' } },
    want: { output_config: undefined },
  },
  {
    name: 'what has no counterpart',
    body: {
      messages: [user],
      logprobs: true,
      logit_bias: { 5: 1 },
      seed: 1,
      presence_penalty: 0.5,
      frequency_penalty: 1,
      verbosity: 'low',
      store: true,
    },
    want: { seed: undefined, logprobs: undefined },
    lost: ['logprobs', 'logit_bias', 'seed', 'presence_penalty', 'frequency_penalty', 'verbosity', 'store'],
  },
  {
    name: 'what asks for nothing',
    body: {
      messages: [user],
      n: 1,
      logprobs: false,
      logit_bias: {},
      presence_penalty: 0,
      frequency_penalty: 0,
      modalities: ['text'],
      store: false,
      service_tier: 'auto',
      seed: null,
    },
    want: {},
  },
  {
    name: 'an effort that nobody knows',
    body: { messages: [user], reasoning_effort: 'utmost' },
    want: { thinking: undefined },
    lost: ['reasoning_effort'],
  },
  {
    name: 'what only chat knows of',
    body: { messages: [user], metadata: { a: 'b' }, prompt_cache_key: 'x', prompt_cache_retention: '24h' },
    want: { metadata: undefined },
    lost: ['prompt_cache_key', 'prompt_cache_retention', 'metadata'],
  },
  { name: 'several answers', body: { messages: [user], n: 2 }, want: {}, lost: ['n!'] },
  {
    name: 'spoken answers',
    body: { messages: [user], modalities: ['text', 'audio'], audio: {} },
    want: {},
    lost: ['modalities!'],
  },
  {
    name: 'stop sequences',
    body: { messages: [user], stop: ['a', '\n'] },
    want: { stop_sequences: ['a'] },
    lost: ['stop'],
  },
  { name: 'one stop sequence', body: { messages: [user], stop: 'END' }, want: { stop_sequences: ['END'] } },
  {
    name: 'an opaque user',
    body: { messages: [user], user: 'user-12345' },
    want: { metadata: { user_id: 'user-12345' } },
  },
  {
    name: 'a user by e-mail',
    body: { messages: [user], user: 'a@example.com' },
    want: { metadata: { user_id: '08168cd80dfd534ab0f10af10f1303fe00af2d43ab5c1432360d137f8197e17a' } },
  },
  {
    name: 'a high temperature',
    body: { messages: [user], temperature: 1.7 },
    want: { temperature: 1 },
    lost: ['temperature'],
  },
  {
    name: 'temperature and top_p',
    body: { messages: [user], temperature: 0.5, top_p: 0.9 },
    want: { temperature: 0.5, top_p: undefined },
    lost: ['top_p'],
  },
  {
    name: 'temperature and top_p on an older model',
    body: { messages: [user], temperature: 0.5, top_p: 0.9, top_k: 5 },
    model: 'claude-3-5-sonnet-20241022',
    want: { temperature: 0.5, top_p: 0.9, top_k: 5 },
  },
  {
    name: 'temperature on a newer model',
    body: { messages: [user], temperature: 0.5, top_p: 1, top_k: 5 },
    model: 'claude-opus-4-7',
    want: { temperature: undefined, top_p: undefined, top_k: undefined },
    lost: ['temperature', 'top_k'],
  },
  {
    name: 'effort as a budget',
    body: { messages: [user], reasoning_effort: 'medium', max_tokens: 20_000 },
    want: { thinking: { type: 'enabled', budget_tokens: 8_192 }, output_config: undefined },
  },
  {
    name: 'a budget below the limit of the answer',
    body: { messages: [user], reasoning_effort: 'high', max_tokens: 5_000, temperature: 0.2 },
    want: { thinking: { type: 'enabled', budget_tokens: 4_000 }, temperature: undefined },
    lost: ['reasoning', 'temperature'],
  },
  {
    name: 'an answer too short for any budget',
    body: { messages: [user], reasoning_effort: 'low', max_tokens: 1_024 },
    want: { thinking: undefined },
    lost: ['reasoning'],
  },
  {
    name: 'the least budget',
    body: { messages: [user], reasoning_effort: 'minimal', max_tokens: 1_100 },
    want: { thinking: { type: 'enabled', budget_tokens: 1_024 } },
  },
  {
    name: 'a budget in tokens',
    body: { messages: [user], reasoning: { max_tokens: 3_000 }, max_tokens: 20_000 },
    want: { thinking: { type: 'enabled', budget_tokens: 3_000 } },
  },
  {
    name: 'effort on a model that takes it',
    body: { messages: [user], reasoning_effort: 'xhigh' },
    model: 'claude-opus-4-8',
    want: { thinking: { type: 'adaptive' }, output_config: { effort: 'xhigh' } },
  },
  {
    name: 'more effort than a model knows',
    body: { messages: [user], reasoning_effort: 'xhigh' },
    model: 'claude-sonnet-4-6',
    want: { thinking: { type: 'adaptive' }, output_config: { effort: 'high' } },
    lost: ['reasoning'],
  },
  { name: 'no effort', body: { messages: [user], reasoning_effort: 'none' }, want: { thinking: { type: 'disabled' } } },
  {
    name: 'no effort on a model that always thinks',
    body: { messages: [user], reasoning_effort: 'none' },
    model: 'claude-fable-5',
    want: { thinking: undefined, output_config: { effort: 'low' } },
    lost: ['reasoning'],
  },
  {
    name: 'effort on a model that does not think',
    body: { messages: [user], reasoning_effort: 'low' },
    model: 'claude-3-5-haiku-20241022',
    want: { thinking: undefined },
    lost: ['reasoning'],
  },
  {
    name: 'effort where a tool must be called',
    body: { messages: [user], reasoning_effort: 'low', tools: [weather], tool_choice: 'required' },
    want: { thinking: undefined, tool_choice: { type: 'any' } },
    lost: ['reasoning'],
  },
  {
    name: 'effort where the last turn must not be continued by thinking',
    body: { messages: [user, { role: 'assistant', content: 'Once' }], reasoning_effort: 'low' },
    want: { thinking: undefined },
    lost: ['messages[1]', 'reasoning'],
  },
  {
    name: 'effort between tools whose reasoning has not come back',
    body: {
      messages: [user, { role: 'assistant', reasoning_content: 'Hm.', tool_calls: [call('call_a')] }, result('call_a')],
      reasoning_effort: 'low',
      tools: [weather],
    },
    want: { thinking: undefined },
    lost: ['messages[1]', 'reasoning'],
  },
  {
    name: 'reasoning that Claude has signed comes back as it was, before its call',
    body: {
      messages: [
        user,
        {
          role: 'assistant',
          content: null,
          reasoning_content: 'Hm. So.',
          reasoning_details: [
            { type: 'reasoning.text', text: 'Hm. ', format: 'anthropic-claude-v1', index: 0 },
            { type: 'reasoning.text', text: 'So.', format: 'anthropic-claude-v1', index: 0 },
            { type: 'reasoning.text', signature: 'EqQB', format: 'anthropic-claude-v1', index: 0 },
            { type: 'reasoning.encrypted', data: 'EmwK', format: 'anthropic-claude-v1', index: 1 },
          ],
          tool_calls: [call('call_a')],
        },
        result('call_a'),
      ],
      reasoning_effort: 'low',
      tools: [weather],
    },
    want: {
      thinking: { type: 'enabled', budget_tokens: 1_024 },
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Hm. So.', signature: 'EqQB' },
            { type: 'redacted_thinking', data: 'EmwK' },
            { type: 'tool_use', id: 'toolu_a', name: 'weather', input: { city: 'Paris' } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_a', content: 'sunny' }] },
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
            { type: 'text', text: 'Look:' },
            { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'high' } },
            { type: 'image_url', image_url: { url: 'data:image/jpg;base64,/9j/' } },
            { type: 'image_url', image_url: 'data:application/pdf;base64,JVBE' },
            { type: 'file', file: { filename: 'b.pdf', file_data: 'data:application/pdf;base64,JVBE' } },
            { type: 'file', file: { filename: 'c.txt', file_data: 'data:text/plain;base64,aGk=' } },
          ],
        },
      ],
    },
    want: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look:' },
            { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
            { type: 'image', source: { type: 'base64', media_type: 'image/jpeg', data: '/9j/' } },
            { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBE' } },
            {
              type: 'document',
              source: { type: 'base64', media_type: 'application/pdf', data: 'JVBE' },
              title: 'b.pdf',
            },
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'hi' }, title: 'c.txt' },
          ],
        },
      ],
    },
  },
  {
    name: 'what is neither',
    body: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'x' },
            { type: 'input_audio', input_audio: { data: 'UklG', format: 'wav' } },
            { type: 'file', file: { file_id: 'file-1' } },
            { type: 'image_url', image_url: { url: 'data:video/mp4;base64,AAAA' } },
            { type: 'video_url', video_url: { url: 'https://x' } },
          ],
        },
      ],
    },
    want: { messages: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }] },
    lost: ['messages[0].content[2]!', 'messages[0].content[4]!', 'messages[0]!', 'messages[0]!'],
  },
  {
    name: 'a refusal in the history',
    body: { messages: [user, { role: 'assistant', refusal: 'I will not.' }, user] },
    want: {
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'I will not.' }] },
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
      ],
    },
  },
]

for (const { name, body, model, want, lost = [] } of rows) {
  test(`chat to messages: ${name}`, () => {
    const { body: got, losses } = translate(body, model)
    for (const [member, value] of Object.entries(want)) assert.deepEqual(got[member], value, member)
    assert.deepEqual(
      losses.map(({ path, essential }) => `${path}${essential ? '!' : ''}`),
      lost,
    )
  })
}
