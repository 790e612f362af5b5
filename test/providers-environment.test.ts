import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { presetTable } from '#domain/presets/table.ts'
import { requestLine, resolvePreset } from '#domain/presets.ts'
import { parseConfig } from '#src/config.ts'

let folder = ''
let keyFile = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fluxgate-providers-'))
  keyFile = join(folder, 'key.json')
  await writeFile(keyFile, '{"type":"service_account"}')
})
after(() => rm(folder, { recursive: true }))

const azureUrl = 'https://r.openai.azure.com'
const pair = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'secretsecret' }
const entra = { AZURE_TENANT_ID: 't', AZURE_CLIENT_ID: 'c', AZURE_CLIENT_SECRET: 's' }

const cases: {
  name: string
  env: Record<string, string>
  want: [name: string, preset: string, key: string | undefined, params?: Record<string, string>, baseUrl?: string][]
}[] = [
  { name: 'nothing', env: {}, want: [] },
  { name: 'a key', env: { OPENAI_API_KEY: 'k' }, want: [['openai', 'openai', 'k']] },
  {
    name: 'a key and an address',
    env: { GROQ_API_KEY: 'k', GROQ_BASE_URL: 'http://127.0.0.1:1/v1' },
    want: [['groq', 'groq', 'k', {}, 'http://127.0.0.1:1/v1']],
  },
  { name: 'an address alone', env: { GROQ_BASE_URL: 'http://127.0.0.1:1/v1' }, want: [] },
  {
    name: 'a server of one’s own',
    env: { VLLM_BASE_URL: 'http://127.0.0.1:8000/v1' },
    want: [['vllm', 'vllm', undefined, {}, 'http://127.0.0.1:8000/v1']],
  },
  {
    name: 'a server of one’s own with a key',
    env: { OPENAI_COMPATIBLE_BASE_URL: 'https://a.example/v1', OPENAI_COMPATIBLE_API_KEY: 'k' },
    want: [['openai-compatible', 'openai-compatible', 'k', {}, 'https://a.example/v1']],
  },
  {
    name: 'Azure',
    env: { AZURE_OPENAI_API_KEY: 'k', AZURE_OPENAI_ENDPOINT: azureUrl },
    want: [['azure-openai', 'azure-openai', 'k', {}, azureUrl]],
  },
  {
    name: 'Azure by a date',
    env: { AZURE_OPENAI_API_KEY: 'k', AZURE_OPENAI_ENDPOINT: azureUrl, AZURE_OPENAI_API_VERSION: '2024-10-21' },
    want: [['azure-openai', 'azure-openai-dated', 'k', { apiVersion: '2024-10-21' }, azureUrl]],
  },
  {
    name: 'Azure by an Entra client',
    env: { AZURE_OPENAI_ENDPOINT: azureUrl, ...entra },
    want: [['azure-openai', 'azure-openai', '{"tenant_id":"t","client_id":"c","client_secret":"s"}', {}, azureUrl]],
  },
  {
    name: 'Bedrock by a key',
    env: { AWS_BEARER_TOKEN_BEDROCK: 'k', AWS_REGION: 'us-west-2', ...pair },
    want: [['bedrock', 'bedrock', 'k', { region: 'us-west-2' }]],
  },
  {
    name: 'Bedrock by an access key',
    env: { ...pair, AWS_REGION: 'us-west-2' },
    want: [['bedrock', 'bedrock', 'AKIAIOSFODNN7EXAMPLE:secretsecret', { region: 'us-west-2' }]],
  },
  {
    name: 'Bedrock by temporary credentials',
    env: { ...pair, AWS_REGION: 'us-west-2', AWS_SESSION_TOKEN: 't' },
    want: [['bedrock', 'bedrock', 'AKIAIOSFODNN7EXAMPLE:secretsecret:t', { region: 'us-west-2' }]],
  },
  { name: 'what AWS tools leave about', env: { ...pair }, want: [] },
  { name: 'what Google tools leave about', env: { GOOGLE_APPLICATION_CREDENTIALS: '/nowhere' }, want: [] },
]

for (const { name, env, want } of cases)
  test(`providers of the environment: ${name}`, () => {
    const providers = parseConfig(env).providers.map(({ apiKey, ...rest }) => ({ ...rest, apiKey: apiKey?.reveal() }))
    assert.deepEqual(
      providers,
      want.map(([provider, preset, apiKey, params = {}, baseUrl]) => ({
        name: provider,
        preset,
        baseUrl,
        params,
        apiKey,
      })),
    )
  })

test('providers of the environment: Vertex reads its key file', () => {
  const { providers } = parseConfig({ VERTEX_PROJECT: 'my-project', GOOGLE_APPLICATION_CREDENTIALS: keyFile })
  const [vertex] = providers
  assert.equal(vertex?.apiKey?.reveal(), '{"type":"service_account"}')
  assert.deepEqual(vertex?.params, { project: 'my-project', location: 'global' })
})

const problems: [name: string, env: () => Record<string, string>, problem: RegExp][] = [
  [
    'a key without its address',
    () => ({ AZURE_OPENAI_API_KEY: 'k' }),
    /AZURE_OPENAI_ENDPOINT must be set, for azure-openai/,
  ],
  [
    'an address without a key',
    () => ({ AZURE_OPENAI_ENDPOINT: azureUrl }),
    /AZURE_OPENAI_API_KEY, or AZURE_TENANT_ID and AZURE_CLIENT_ID and AZURE_CLIENT_SECRET must be set, for azure-openai/,
  ],
  ['no region', () => ({ AWS_BEARER_TOKEN_BEDROCK: 'k' }), /AWS_REGION must be set, for bedrock/],
  [
    'a region that is a host',
    () => ({ AWS_BEARER_TOKEN_BEDROCK: 'k', AWS_REGION: 'x.evil.example' }),
    /AWS_REGION must match/,
  ],
  ['no key file', () => ({ VERTEX_PROJECT: 'my-project' }), /GOOGLE_APPLICATION_CREDENTIALS must be set, for vertex/],
  [
    'a key file that is not there',
    () => ({ VERTEX_PROJECT: 'my-project', GOOGLE_APPLICATION_CREDENTIALS: `${keyFile}.not` }),
    /GOOGLE_APPLICATION_CREDENTIALS must be the path of a file/,
  ],
  [
    'a date that is none',
    () => ({ AZURE_OPENAI_API_KEY: 'k', AZURE_OPENAI_ENDPOINT: azureUrl, AZURE_OPENAI_API_VERSION: 'v1' }),
    /AZURE_OPENAI_API_VERSION must match/,
  ],
]

for (const [name, env, problem] of problems)
  test(`providers of the environment: ${name}: refused`, () => {
    assert.throws(
      () => parseConfig({ ...env(), PORT: '70000' }),
      ({ message }: Error) => {
        assert.match(message, problem)
        assert.match(message, /PORT must be/, 'with every other problem')
        assert.doesNotMatch(message, /evil/)
        return true
      },
    )
  })

test('every preset of the environment makes a provider that has an address', () => {
  for (const { environment, ...preset } of presetTable) {
    if (environment === undefined || preset.auth.kind !== 'headers') continue
    const env = Object.fromEntries(
      environment.enabledBy.map((variable) => [variable, variable.endsWith('_URL') ? 'https://own.example/v1' : 'k']),
    )
    const [provider] = parseConfig(env).providers
    assert.equal(provider?.name, preset.name)
    const protocol = preset.paths.chat === undefined ? 'messages' : 'chat'
    const line = { baseUrl: provider?.baseUrl, protocol, model: 'm', params: provider?.params } as const
    assert.match(requestLine(resolvePreset(provider?.preset ?? ''), { ...line, params: line.params ?? {} }).path, /^\//)
  }
})
