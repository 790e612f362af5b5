import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSettings, settingNames, settingProblems } from './settings.ts'

const ciphertext = `v1.${'i'.repeat(16)}.${'c'.repeat(20)}.${'t'.repeat(22)}`
const streaming = { baseURL: 'wss://a.example/ws', keys: [{ id: 'k', ciphertext }] }

const values: [name: string, accepted: unknown[], refused: unknown[]][] = [
  ['FLUX_PER_REQUEST', [0, 5, 0.25, 0.000001, 1_000_000], [-1, 0.0000001, 1_000_001, '5', null, Number.NaN, true]],
  ['INITIAL_USER_FLUX', [0, 100], [-1, 0.5, 1_000_001, '1']],
  ['FLUX_PER_1K_TOKENS', [1, 0.1], [0, -1, 1e-7, '1']],
  ['FLUX_PER_1K_CHARS_TTS', [300, 1.5], [0, -1, {}, null]],
  ['TTS_DEBT_TTL_SECONDS', [86_400], [0, 1.5]],
  ['AUTH_RATE_LIMIT_MAX', [20], [0, 1_000_001]],
  ['AUTH_RATE_LIMIT_WINDOW_SEC', [60], [0, 86_401]],
  [
    'RATE_LIMIT_KEY',
    [{}, { requestsPerMinute: 60 }, { tokensPerMinute: 5, concurrentCalls: 1 }],
    [5, [], null, { requestsPerMinute: 0 }, { perHour: 1 }],
  ],
  [
    'RATE_LIMIT_PROJECT',
    [{}, { requestsPerMinute: 60 }, { tokensPerMinute: 5, concurrentCalls: 1 }],
    [5, [], null, { requestsPerMinute: 0 }, { perHour: 1 }],
  ],
  [
    'RATE_LIMIT_USER',
    [{}, { requestsPerMinute: 60 }, { tokensPerMinute: 5, concurrentCalls: 1 }],
    [5, [], null, { requestsPerMinute: 0 }, { perHour: 1 }],
  ],
  ['PEOPLE_CREATE_PROJECTS', [true, false], ['true', 1, null]],
  ['STRIPE_FLUX_PRODUCT_ID', ['prod_123'], ['', 'a b', 7]],
  ['STRIPE_PAYMENT_METHODS', [[], ['card', 'wechat_pay']], ['card', [''], [1]]],
  ['STRIPE_PAYMENT_METHOD_OPTIONS', [{}, { wechat_pay: { client: 'web' } }], [[], 'x', { a: 'x'.repeat(20_000) }]],
  ['DEFAULT_TTS_VOICES', [{}, { 'microsoft/v1': { 'en-US': 'Ava' } }], [{ m: 'Ava' }, { m: { 'en US': 'Ava' } }, []]],
  ['DEFAULT_CHAT_MODEL', ['chat-default'], ['', 'a|b', 1]],
  ['DEFAULT_TTS_MODEL', ['microsoft/v1'], ['']],
  [
    'STREAMING_TTS_UPSTREAM',
    [
      streaming,
      { ...streaming, models: [{ id: 'a', name: 'A' }], defaultModel: 'a', price: { lines: { characters: '1' } } },
    ],
    [
      { ...streaming, baseURL: 'https://a.example' },
      { ...streaming, keys: [] },
      { baseURL: streaming.baseURL },
      { ...streaming, models: [{ id: 'a' }], defaultModel: 'b' },
      { ...streaming, models: [{ id: 'a' }, { id: 'a' }] },
      { ...streaming, price: { lines: { output: '1' } } },
      { ...streaming, keyz: 1 },
    ],
  ],
  [
    'UNSPEECH_UPSTREAM',
    [{ restBaseURL: 'http://unspeech:5933' }, { restBaseURL: 'https://a.example', streaming }],
    [
      {},
      { restBaseURL: 'ws://a.example' },
      { restBaseURL: 'http://a.example', streaming: { ...streaming, keys: 'x' } },
    ],
  ],
]

test('every setting is in the table', () =>
  assert.deepEqual(values.map(([name]) => name).sort(), settingNames.toSorted()))

for (const [name, accepted, refused] of values) {
  test(`${name} is checked`, () => {
    for (const value of accepted) assert.deepEqual(settingProblems(name, value), [], JSON.stringify(value))
    for (const value of refused) assert.notEqual(settingProblems(name, value).length, 0, JSON.stringify(value))
  })
}

test('an unknown setting is refused with a near name, also one that every object has', () => {
  assert.match(settingProblems('FLUX_PER_REQEST', 1)[0]?.message ?? '', /did you mean 'FLUX_PER_REQUEST'/)
  assert.match(settingProblems('constructor', 1)[0]?.message ?? '', /not a setting/)
})

test('a setting is its value, its default, not set, invalid, or out of reach', () => {
  const settings = createSettings(
    new Map<string, { value: unknown } | 'invalid'>([
      ['FLUX_PER_REQUEST', { value: 7 }],
      ['DEFAULT_CHAT_MODEL', 'invalid'],
    ]),
  )
  assert.equal(settings.get('FLUX_PER_REQUEST'), 7)
  assert.equal(settings.get('FLUX_PER_1K_TOKENS'), 1)
  assert.equal(settings.stored('FLUX_PER_1K_TOKENS'), undefined)
  assert.equal(settings.stored('DEFAULT_CHAT_MODEL'), undefined)
  assert.equal(settings.getOptional('STRIPE_FLUX_PRODUCT_ID'), undefined)
  assert.throws(() => settings.getOrThrow('FLUX_PER_1K_CHARS_TTS'), { code: 'config_not_set', status: 503 })
  assert.throws(() => settings.getOrThrow('DEFAULT_CHAT_MODEL'), { code: 'config_invalid', status: 503 })
  assert.throws(() => settings.getOptional('DEFAULT_CHAT_MODEL'), { code: 'config_invalid' })
  const away = createSettings(undefined)
  assert.throws(() => away.get('FLUX_PER_REQUEST'), { code: 'config_unavailable', status: 503 })
  assert.equal(away.stored('FLUX_PER_REQUEST'), undefined)
})
