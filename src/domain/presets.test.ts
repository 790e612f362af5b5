import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderTemplateError } from '#lib/header-template.ts'
import { authHeaders, PresetError, presetNames, requestLine, resolvePreset } from './presets.ts'

const lines: [
  name: string,
  preset: string,
  input: Partial<Parameters<typeof requestLine>[1]>,
  origin: string,
  path: string,
][] = [
  ['a company, chat', 'openai', {}, 'https://api.openai.com', '/v1/chat/completions'],
  ['a company, speech', 'openai', { protocol: 'speech' }, 'https://api.openai.com', '/v1/audio/speech'],
  [
    'an address of the operator',
    'groq',
    { baseUrl: 'http://127.0.0.1:81/x/' },
    'http://127.0.0.1:81',
    '/x/chat/completions',
  ],
  ['no version segment', 'perplexity', {}, 'https://api.perplexity.ai', '/chat/completions'],
  ['messages beside chat', 'deepseek', { protocol: 'messages' }, 'https://api.deepseek.com', '/anthropic/v1/messages'],
  [
    'messages beside chat, moved',
    'deepseek',
    { protocol: 'messages', baseUrl: 'https://proxy.example/deepseek/v1' },
    'https://proxy.example',
    '/deepseek/anthropic/v1/messages',
  ],
  ['count tokens', 'anthropic', { protocol: 'count_tokens' }, 'https://api.anthropic.com', '/v1/messages/count_tokens'],
  [
    'an Anthropic address without version',
    'anthropic-compatible',
    { protocol: 'messages', baseUrl: 'https://a.example/claude' },
    'https://a.example',
    '/claude/v1/messages',
  ],
  [
    'an Anthropic address with version',
    'anthropic-compatible',
    { protocol: 'messages', baseUrl: 'https://a.example/v1/' },
    'https://a.example',
    '/v1/messages',
  ],
  [
    'Azure',
    'azure-openai',
    { baseUrl: 'https://r.openai.azure.com' },
    'https://r.openai.azure.com',
    '/openai/v1/chat/completions',
  ],
  [
    'Azure, copied with its version',
    'azure-openai',
    { baseUrl: 'https://r.openai.azure.com/openai/v1/', protocol: 'responses' },
    'https://r.openai.azure.com',
    '/openai/v1/responses',
  ],
  [
    'Azure with a date: the model is a folder',
    'azure-openai-dated',
    {
      baseUrl: 'https://r.openai.azure.com/',
      model: 'my-gpt/4o',
      params: { apiVersion: '2024-10-21' },
    },
    'https://r.openai.azure.com',
    '/openai/deployments/my-gpt%2F4o/chat/completions?api-version=2024-10-21',
  ],
  [
    'Vertex, global',
    'vertex',
    { params: { project: 'my-project' } },
    'https://aiplatform.googleapis.com',
    '/v1/projects/my-project/locations/global/endpoints/openapi/chat/completions',
  ],
  [
    'Vertex, regional',
    'vertex',
    { params: { project: 'my-project', location: 'europe-west4' } },
    'https://europe-west4-aiplatform.googleapis.com',
    '/v1/projects/my-project/locations/europe-west4/endpoints/openapi/chat/completions',
  ],
  [
    'Bedrock',
    'bedrock',
    { params: { region: 'us-gov-west-1' } },
    'https://bedrock-runtime.us-gov-west-1.amazonaws.com',
    '/openai/v1/chat/completions',
  ],
  [
    'Bedrock, messages',
    'bedrock',
    { protocol: 'messages', params: { region: 'us-west-2' } },
    'https://bedrock-runtime.us-west-2.amazonaws.com',
    '/anthropic/v1/messages',
  ],
]

for (const [name, preset, input, origin, path] of lines)
  test(`request line: ${name}`, () => {
    const line = requestLine(resolvePreset(preset), { baseUrl: undefined, protocol: 'chat', model: 'm', ...input })
    assert.deepEqual(line, { origin, path })
  })

const refused: [name: string, preset: string, input: Partial<Parameters<typeof requestLine>[1]>][] = [
  ['a protocol that is not spoken', 'cerebras', { protocol: 'speech' }],
  ['no address', 'vllm', {}],
  ['an address that is none', 'openai', { baseUrl: 'api.openai.com' }],
  ['an address of a file', 'openai', { baseUrl: 'file:///etc/passwd' }],
  ['an address with a password', 'openai', { baseUrl: 'https://a:b@example.com' }],
  ['an address with a query', 'openai', { baseUrl: 'https://example.com/?a=b' }],
  ['a parameter is missing', 'bedrock', {}],
  ['a parameter that is another host', 'bedrock', { params: { region: 'us-west-2.evil.example/' } }],
  ['a parameter with a line break', 'bedrock', { params: { region: 'us-west-2\n' } }],
  ['a parameter that climbs', 'vertex', { params: { project: '../../x' } }],
  ['a parameter that is no text', 'bedrock', { params: { region: ['us-west-2'] } }],
  [
    'a model that climbs',
    'azure-openai-dated',
    { baseUrl: 'https://r.openai.azure.com', model: '..', params: { apiVersion: '2024-10-21' } },
  ],
]

for (const [name, preset, input] of refused)
  test(`request line: ${name}: refused`, () => {
    const line = () =>
      requestLine(resolvePreset(preset), { baseUrl: undefined, protocol: 'chat', model: 'm', ...input })
    assert.throws(line, PresetError)
  })

test('every preset is whole: its addresses fill, its paths stay on its origin', () => {
  const params = { region: 'us-east-1', project: 'my-project', apiVersion: '2024-10-21' }
  for (const name of presetNames) {
    const preset = resolvePreset(name)
    const baseUrl = preset.baseUrl === undefined ? 'https://own.example/v1' : undefined
    for (const protocol of Object.keys(preset.paths) as (keyof typeof preset.paths)[]) {
      const { origin, path } = requestLine(preset, { baseUrl, protocol, model: 'm', params })
      assert.match(origin, name === 'sim' || baseUrl ? /^https:\/\/own\.example$/ : /^https:\/\/[a-z0-9.-]+$/)
      assert.doesNotMatch(path, /[{}]|\.\.|\/\//, `${name} ${protocol}`)
    }
  }
  assert.throws(() => resolvePreset('nobody'), PresetError)
  assert.throws(() => resolvePreset('constructor'), PresetError)
})

test('headers: a key is put in literally, once', () => {
  assert.deepEqual(authHeaders(resolvePreset('openai'), 'sk-$&$1$$'), { authorization: 'Bearer sk-$&$1$$' })
  assert.deepEqual(authHeaders('Bearer {KEY}', '{KEY}{KEY}'), { authorization: 'Bearer {KEY}{KEY}' })
  assert.deepEqual(authHeaders('api-key: {KEY}', 'k'), { 'api-key': 'k' })
  assert.deepEqual(authHeaders('{KEY}', 'k'), { authorization: 'k' })
  assert.deepEqual(authHeaders(resolvePreset('anthropic'), 'k', 'messages'), { 'x-api-key': 'k' })
  assert.deepEqual(authHeaders(resolvePreset('anthropic'), 'k', 'chat'), { authorization: 'Bearer k' })
  assert.deepEqual(authHeaders(resolvePreset('vllm'), undefined), {})
  assert.deepEqual(authHeaders(resolvePreset('sim'), undefined), {})
})

test('headers: no key can write a header of its own, and none is repeated in an error', () => {
  for (const key of ['a\r\nx-evil: 1', 'a\nb', 'a\0b', 'clé', 'a\u2028b', '', 'x'.repeat(20_000)])
    assert.throws(
      () => authHeaders(resolvePreset('openai'), key),
      (error: Error) => {
        assert(error instanceof HeaderTemplateError)
        return key === '' || !error.message.includes(key)
      },
    )
  assert.throws(() => authHeaders(resolvePreset('openai'), undefined), HeaderTemplateError)
  assert.throws(() => authHeaders('x-a: 1\r\nx-b: {KEY}', 'k'), HeaderTemplateError)
  assert.throws(() => authHeaders(resolvePreset('bedrock'), 'k'), PresetError)
})
