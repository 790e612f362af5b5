import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openEnvelope } from '#lib/envelope.ts'
import { createTestApi, envelopeKeys, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

const PLANTED = 'sk-planted-9a7b6c5d'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const set = (key: string, value: unknown) =>
  api.call(`PUT /api/admin/settings/${key}`, { body: { value, reason: 'a test' } })
const get = async (key: string) => (await api.call(`GET /api/admin/settings/${key}`)).body
const stored = async (key: string) => {
  const { rows } = await api.database.db.query<{ value: string }>(
    'select value from setting where key = $1 order by version desc limit 1',
    [key],
  )
  return JSON.parse(rows[0]?.value ?? 'null')
}

test('GET /api/admin/settings 200: every setting with its default', async () => {
  const { data } = (await api.call('GET /api/admin/settings')).body
  const byKey = new Map(data.map((setting: { key: string }) => [setting.key, setting]))
  assert.deepEqual(byKey.get('FLUX_PER_REQUEST'), {
    object: 'setting',
    key: 'FLUX_PER_REQUEST',
    value: 5,
    set: false,
    author: null,
    reason: null,
    updated_at: null,
  })
  assert.equal((byKey.get('FLUX_PER_1K_CHARS_TTS') as { value: unknown }).value, null)
})

test('PUT /api/admin/settings/{key} 200: written, kept with author and reason, removed again', async () => {
  assert.deepEqual((await set('FLUX_PER_REQUEST', 7)).body, {
    object: 'settings_change',
    keys: ['FLUX_PER_REQUEST'],
    warnings: [],
  })
  const shown = await get('FLUX_PER_REQUEST')
  assert.deepEqual([shown.value, shown.set, shown.author, shown.reason], [7, true, 'admin', 'a test'])
  assert.deepEqual((await set('FLUX_PER_REQUEST', 7)).body.keys, [], 'the same value is not written again')
  assert.deepEqual((await set('FLUX_PER_REQUEST', null)).body.keys, ['FLUX_PER_REQUEST'])
  const removed = await get('FLUX_PER_REQUEST')
  assert.deepEqual([removed.value, removed.set], [5, false])
})

test('PUT /api/admin/settings 200 and 400: all or none', async () => {
  const put = (values: object) => api.call('PUT /api/admin/settings', { body: { values, reason: 'a test' } })
  const done = await put({ FLUX_PER_1K_TOKENS: 2.5, DEFAULT_TTS_VOICES: { 'microsoft/v1': { 'en-US': 'ava' } } })
  assert.deepEqual(done.body.keys, ['DEFAULT_TTS_VOICES', 'FLUX_PER_1K_TOKENS'])
  const refused = await put({ FLUX_PER_1K_TOKENS: 3, INITIAL_USER_FLUX: -1, NO_SUCH: 1 })
  assert.deepEqual([refused.status, refused.body.error.code], [400, 'body_invalid'])
  assert.deepEqual(refused.body.error.details.map(({ path }: { path: string }) => path).sort(), [
    'INITIAL_USER_FLUX',
    'NO_SUCH',
  ])
  assert.equal((await get('FLUX_PER_1K_TOKENS')).value, 2.5)
})

test('PUT /api/admin/settings/{key} 200: keys are sealed, shown as placeholders, and kept by them', async () => {
  const upstream = (keys: object[]) => ({ baseURL: 'wss://a.test/x', keys })
  const answer = await set('STREAMING_TTS_UPSTREAM', upstream([{ id: 'k1', plaintextKey: PLANTED }]))
  assert.equal(answer.status, 200, answer.text)
  const before = (await stored('STREAMING_TTS_UPSTREAM')).keys[0]
  const binding = { modelName: 'streaming-tts', keyEntryId: 'k1' }
  assert.equal(openEnvelope(envelopeKeys, binding, before.ciphertext).plaintext.toString(), PLANTED)
  const shown = await api.call('GET /api/admin/settings/STREAMING_TTS_UPSTREAM')
  const list = await api.call('GET /api/admin/settings')
  for (const { text } of [answer, shown, list]) assert(!text.includes(PLANTED) && !text.includes('"v1.'))
  const edited = { ...shown.body.value, keys: [...shown.body.value.keys, { id: 'k2', plaintextKey: `${PLANTED}-2` }] }
  assert.equal((await set('STREAMING_TTS_UPSTREAM', edited)).status, 200)
  assert.deepEqual((await stored('STREAMING_TTS_UPSTREAM')).keys[0], before)
  const unspeech = { restBaseURL: 'https://a.test', streaming: upstream([{ id: 'k3', plaintextKey: PLANTED }]) }
  assert.equal((await set('UNSPEECH_UPSTREAM', unspeech)).status, 200)
  assert.match((await stored('UNSPEECH_UPSTREAM')).streaming.keys[0].ciphertext, /^v1\./)
})

for (const [key, value, path] of [
  ['FLUX_PER_REQUEST', -1, 'FLUX_PER_REQUEST'],
  ['FLUX_PER_REQUEST', PLANTED, 'FLUX_PER_REQUEST'],
  ['FLUX_PER_1K_TOKENS', 0, 'FLUX_PER_1K_TOKENS'],
  ['AUTH_RATE_LIMIT_MAX', 1.5, 'AUTH_RATE_LIMIT_MAX'],
  ['DEFAULT_CHAT_MODEL', 'a|b', 'DEFAULT_CHAT_MODEL'],
  ['STREAMING_TTS_UPSTREAM', { baseURL: 'https://a.test', keys: [] }, 'STREAMING_TTS_UPSTREAM.baseURL'],
  [
    'STREAMING_TTS_UPSTREAM',
    { baseURL: 'wss://a.test', keys: [{ id: 'a|b', plaintextKey: PLANTED }] },
    'STREAMING_TTS_UPSTREAM.keys[0].id',
  ],
  [
    'STREAMING_TTS_UPSTREAM',
    { baseURL: 'wss://a.test', plaintextKey: PLANTED, keys: [{ id: 'k9', plaintextKey: PLANTED }] },
    'STREAMING_TTS_UPSTREAM.plaintextKey',
  ],
  [
    'UNSPEECH_UPSTREAM',
    { restBaseURL: 'https://a.test', streaming: { baseURL: 'wss://a.test', keys: [{ id: 'k', plaintextKey: 1 }] } },
    'UNSPEECH_UPSTREAM.streaming.keys[0].plaintextKey',
  ],
] as const)
  test(`PUT /api/admin/settings/{key} 400: ${path} of ${typeof value}`, async () => {
    const before = await get(key)
    const answer = await set(key, value)
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_invalid'])
    assert(
      answer.body.error.details.some((detail: { path: string }) => detail.path === path),
      answer.text,
    )
    assert(!answer.text.includes(PLANTED))
    assert.deepEqual(await get(key), before)
  })

for (const key of ['NO_SUCH', 'constructor', 'flux_per_request'])
  test(`settings/{key} 404: ${key}`, async () => {
    assert.equal((await api.call(`GET /api/admin/settings/${key}`)).status, 404)
    assert.equal((await set(key, 1)).status, 404)
  })

test('PUT 400: no reason, no value, nothing', async () => {
  for (const [line, body] of [
    ['PUT /api/admin/settings/FLUX_PER_REQUEST', { value: 1 }],
    ['PUT /api/admin/settings/FLUX_PER_REQUEST', { reason: 'r' }],
    ['PUT /api/admin/settings', { values: {}, reason: 'r' }],
    ['PUT /api/admin/settings', { values: [], reason: 'r' }],
  ] as const)
    assert.equal((await api.call(line, { body })).status, 400, JSON.stringify(body))
})

testSharedRefusals(() => api, { line: 'GET /api/admin/settings' })
testSharedRefusals(() => api, { line: 'GET /api/admin/settings/FLUX_PER_REQUEST' })
testSharedRefusals(() => api, {
  line: 'PUT /api/admin/settings',
  body: { values: { FLUX_PER_REQUEST: 1 }, reason: 'r' },
})
testSharedRefusals(() => api, {
  line: 'PUT /api/admin/settings/FLUX_PER_REQUEST',
  body: { value: 1, reason: 'r' },
})

test('every documented status was met', () => {
  api.expectEveryStatus(
    'GET /api/admin/settings',
    'PUT /api/admin/settings',
    'GET /api/admin/settings/{key}',
    'PUT /api/admin/settings/{key}',
  )
})
