import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openEnvelope } from '#lib/envelope.ts'
import { createTestApi, envelopeKeys, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

const PLANTED = 'sk-planted-5d2e1c8f'
const LINE = 'POST /api/admin/config/router'

let api: TestApi
before(async () => {
  api = await createTestApi()
  await api.call('PUT /api/admin/settings', {
    body: { values: { FLUX_PER_1K_TOKENS: 1, FLUX_PER_1K_CHARS_TTS: 1 }, reason: 'prices' },
  })
})
after(() => api.close())

const openrouter = {
  kind: 'openrouter',
  modelName: 'chat-default',
  overrideModel: 'openai/gpt-4o-mini',
  plaintextKey: PLANTED,
}
const azure = { kind: 'azure', modelName: 'microsoft/v1', region: 'eastasia', plaintextKey: PLANTED }
const dashscope = {
  kind: 'dashscope-cosyvoice',
  modelName: 'alibaba/cosyvoice-v2',
  region: 'intl',
  upstreamModel: 'cosyvoice-v2',
  plaintextKey: PLANTED,
}
const streaming = { kind: 'streaming-tts', upstreamURL: 'wss://unspeech.test/speech', plaintextKey: PLANTED }

const send = (body: unknown, headers: Record<string, string> = {}) => api.call(LINE, { body, headers })
const sent = async (body: unknown) => {
  const answer = await send(body)
  assert.equal(answer.status, 200, answer.text)
  assert(!answer.text.includes(PLANTED) && !answer.text.includes('"v1.'), 'no key, no envelope')
  return answer.body
}
const current = async () => (await api.call('GET /api/admin/router')).body
const etag = async () => (await current()).etag as string
const stored = async () => {
  const { rows } = await api.database.db.query<{ config: string }>(
    'select config from router_config order by version desc limit 1',
  )
  return JSON.parse(rows[0]?.config ?? '{}')
}
const opened = (modelName: string, { id, ciphertext }: { id: string; ciphertext: string }) =>
  openEnvelope(envelopeKeys, { modelName, keyEntryId: id }, ciphertext).plaintext.toString()

test(`${LINE} 200: one slice of each kind, as AIRI's own`, async () => {
  const body = await sent({
    mode: 'reset',
    slices: [openrouter, azure, dashscope, streaming],
    defaults: { chatModel: 'chat-default', ttsModel: 'microsoft/v1' },
  })
  const row = (kind: string, surface: string, modelName: string, id: string) => ({
    kind,
    target: 'llm-router',
    surface,
    modelName,
    keyEntryId: id,
    keyEntryIds: [id],
  })
  assert.deepEqual(body.applied, [
    row('openrouter', 'llm', 'chat-default', 'openrouter-prod-1'),
    row('azure', 'tts', 'microsoft/v1', 'azure-tts-prod-1'),
    row('dashscope-cosyvoice', 'tts', 'alibaba/cosyvoice-v2', 'dashscope-tts-prod-1'),
    {
      kind: 'streaming-tts',
      target: 'streaming-tts',
      keyEntryId: 'volcengine-prod-1',
      keyEntryIds: ['volcengine-prod-1'],
    },
  ])
  assert.deepEqual(body.invalidatedKeys, [
    'LLM_ROUTER_CONFIG',
    'STREAMING_TTS_UPSTREAM',
    'DEFAULT_CHAT_MODEL',
    'DEFAULT_TTS_MODEL',
  ])
  const { llm, tts } = await stored()
  const [chat] = llm.models['chat-default'].upstreams
  assert.deepEqual([chat.baseURL, chat.overrideModel], ['https://openrouter.ai/api/v1', 'openai/gpt-4o-mini'])
  assert.equal(opened('chat-default', chat.keys[0]), PLANTED)
  const [voice] = tts.models['microsoft/v1'].upstreams
  assert.equal(voice.baseURL, 'https://eastasia.tts.speech.microsoft.com/cognitiveservices/v1')
  assert.equal(opened('microsoft/v1', voice.keys[0]), PLANTED)
  const [cosy] = tts.models['alibaba/cosyvoice-v2'].upstreams
  assert.deepEqual(
    [cosy.baseURL, cosy.adapterParams.model],
    ['https://dashscope-intl.aliyuncs.com/api/v1/services/audio/tts/SpeechSynthesizer', 'cosyvoice-v2'],
  )
  const { rows } = await api.database.db.query<{ value: string }>(
    `select value from setting where key = 'STREAMING_TTS_UPSTREAM' order by version desc limit 1`,
  )
  const value = JSON.parse(rows[0]?.value ?? '')
  assert.equal(value.baseURL, 'wss://unspeech.test/speech')
  assert.equal(opened('streaming-tts', value.keys[0]), PLANTED)
  const chars = chat.keys[0].ciphertext.length
  assert.equal(
    body.preview.LLM_ROUTER_CONFIG.llm.models['chat-default'].upstreams[0].keys[0].ciphertext,
    `<ciphertext: ${chars} chars>`,
  )
  assert.match(body.preview.STREAMING_TTS_UPSTREAM.keys[0].ciphertext, /^<ciphertext: \d+ chars>$/)
})

test('GET /api/admin/config/router 200: what the slices have made, redacted', async () => {
  await sent({ slices: [openrouter, streaming], defaults: { chatModel: 'chat-default' } })
  const answer = await api.call('GET /api/admin/config/router')
  assert.equal(answer.headers.etag, answer.body.router.etag)
  assert.deepEqual(
    answer.body.settings.map(({ key }: { key: string }) => key),
    ['DEFAULT_CHAT_MODEL', 'DEFAULT_TTS_MODEL', 'STREAMING_TTS_UPSTREAM'],
  )
  assert.equal(answer.body.settings[0].value, 'chat-default')
  assert.match(answer.text, /<ciphertext: \d+ chars>/)
  assert(!answer.text.includes(PLANTED) && !answer.text.includes('"v1.'))
})

test(`${LINE} 200: merge keeps what is there, reset does not`, async () => {
  await sent({ mode: 'reset', slices: [openrouter] })
  const merged = await sent({ slices: [azure] })
  assert.deepEqual(merged.invalidatedKeys, ['LLM_ROUTER_CONFIG'])
  assert.deepEqual(Object.keys(await stored()).sort(), ['llm', 'tts'])
  await sent({ mode: 'reset', slices: [azure] })
  assert.deepEqual(Object.keys(await stored()), ['tts'])
})

test(`${LINE} 200: a dry run shows what would be and writes nothing`, async () => {
  await sent({ mode: 'reset', slices: [openrouter] })
  const before = await etag()
  const body = await sent({ dryRun: true, slices: [azure, streaming] })
  assert.deepEqual(body.invalidatedKeys, [])
  assert.deepEqual(Object.keys(body.preview.LLM_ROUTER_CONFIG).sort(), ['llm', 'tts'])
  assert.equal(await etag(), before)
})

test(`${LINE} 200: any number of upstreams and keys`, async () => {
  const body = await sent({
    mode: 'reset',
    slices: [
      {
        kind: 'openrouter',
        modelName: 'chat-default',
        upstreams: [
          {
            overrideModel: 'openai/gpt-4o-mini',
            timeoutMs: 5_000,
            keys: [{ plaintextKey: `${PLANTED}-1` }, { plaintextKey: `${PLANTED}-2`, weight: 3 }],
          },
          { kind: 'openai', overrideModel: 'gpt-4o-mini', plaintextKey: `${PLANTED}-3`, keyEntryId: 'direct' },
          { id: 'spare', plaintextKey: `${PLANTED}-4`, keyEntryId: 'spare-1', maxConcurrency: 2 },
        ],
      },
      { ...azure, plaintextKey: undefined, keys: [{ id: 'east', plaintextKey: PLANTED }] },
    ],
  })
  assert.deepEqual(body.applied[0].keyEntryIds, ['openrouter-prod-1', 'openrouter-prod-2', 'direct', 'spare-1'])
  const { upstreams } = (await stored()).llm.models['chat-default']
  assert.deepEqual(
    upstreams.map((upstream: { id: string }) => upstream.id),
    ['openrouter', 'openai', 'spare'],
  )
  assert.deepEqual(
    upstreams.flatMap(({ keys }: { keys: { id: string; ciphertext: string }[] }) =>
      keys.map((key) => opened('chat-default', key)),
    ),
    [1, 2, 3, 4].map((n) => `${PLANTED}-${n}`),
  )
  assert.deepEqual([upstreams[0].timeoutMs, upstreams[0].keys[1].weight, upstreams[2].maxConcurrency], [5_000, 3, 2])
  assert.equal(upstreams[1].baseURL, 'https://api.openai.com/v1')
})

test(`${LINE} 200: a slice replaces its model`, async () => {
  await sent({ mode: 'reset', slices: [{ ...openrouter, keyEntryId: 'old' }] })
  await sent({ slices: [{ ...openrouter, keyEntryId: 'new' }] })
  const [upstream] = (await stored()).llm.models['chat-default'].upstreams
  assert.deepEqual(
    upstream.keys.map(({ id }: { id: string }) => id),
    ['new'],
  )
})

test(`${LINE} 200: of eight at once none is lost`, async () => {
  await sent({ mode: 'reset', slices: [openrouter] })
  const names = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `chat-${n}`)
  await Promise.all(names.map((modelName) => sent({ slices: [{ ...openrouter, modelName }] })))
  assert.deepEqual(Object.keys((await stored()).llm.models).sort(), [...names, 'chat-default'])
})

test(`${LINE} 200: a model may have any name`, async () => {
  for (const modelName of ['constructor', '__proto__', 'toString']) {
    await sent({ mode: 'reset', slices: [{ ...openrouter, modelName }] })
    assert(Object.hasOwn((await stored()).llm.models, modelName), modelName)
  }
})

test(`${LINE} 412: with If-Match, somebody has written since`, async () => {
  await sent({ mode: 'reset', slices: [openrouter] })
  const answer = await send({ slices: [azure] }, { 'if-match': '"0"' })
  assert.deepEqual([answer.status, answer.body.error.code], [412, 'precondition_failed'])
  assert.equal((await send({ slices: [azure] }, { 'if-match': await etag() })).status, 200)
})

const bad: [name: string, body: object, path: string][] = [
  ['no slice', { slices: [] }, 'slices'],
  ['21 slices', { slices: Array.from({ length: 21 }, (_, n) => ({ ...openrouter, modelName: `m${n}` })) }, 'slices'],
  ['a kind that is none', { slices: [{ ...openrouter, kind: 'acme' }] }, 'slices[0].kind'],
  ['a mode that is none', { mode: 'replace', slices: [openrouter] }, 'mode'],
  ['a member that is not known', { slices: [{ ...openrouter, apiKey: PLANTED }] }, 'slices[0].apiKey'],
  ['no model name', { slices: [{ ...openrouter, modelName: undefined }] }, 'slices[0].modelName'],
  ['a bar in the model name', { slices: [{ ...openrouter, modelName: 'a|b' }] }, 'slices[0].modelName'],
  ['a bar in the key id', { slices: [{ ...openrouter, keyEntryId: 'a|b' }] }, 'slices[0].keyEntryId'],
  ['no key', { slices: [{ ...openrouter, plaintextKey: undefined }] }, 'slices[0].plaintextKey'],
  ['an empty key', { slices: [{ ...openrouter, plaintextKey: '' }] }, 'slices[0].plaintextKey'],
  [
    'a key of 1025 characters',
    { slices: [{ ...openrouter, plaintextKey: PLANTED.padEnd(1025, 'x') }] },
    'slices[0].plaintextKey',
  ],
  ['a key that is a number', { slices: [{ ...openrouter, plaintextKey: 5 }] }, 'slices[0].plaintextKey'],
  ['a key with a line break', { slices: [{ ...openrouter, plaintextKey: `${PLANTED}\nx` }] }, 'slices[0].plaintextKey'],
  ['a key and keys', { slices: [{ ...openrouter, keys: [{ plaintextKey: PLANTED }] }] }, 'slices[0].plaintextKey'],
  ['no region', { slices: [{ ...azure, region: undefined }] }, 'slices[0].region'],
  ['a region that is a host', { slices: [{ ...azure, region: 'evil.test/x?' }] }, 'slices[0].region'],
  ['a region of another kind', { slices: [{ ...openrouter, region: 'eastasia' }] }, 'slices[0].region'],
  ['a dashscope region that is none', { slices: [{ ...dashscope, region: 'eu' }] }, 'slices[0].region'],
  ['an inherited dashscope region', { slices: [{ ...dashscope, region: 'constructor' }] }, 'slices[0].region'],
  ['no upstream model', { slices: [{ ...dashscope, upstreamModel: undefined }] }, 'slices[0].upstreamModel'],
  ['two slices for speech over WebSocket', { slices: [streaming, streaming] }, 'slices[1]'],
  ['two slices for one model', { slices: [openrouter, openrouter] }, 'slices[1]'],
  ['a model name for streaming-tts', { slices: [{ ...streaming, modelName: 'x' }] }, 'slices[0].modelName'],
  [
    'an upstream of another surface',
    { slices: [{ kind: 'openrouter', modelName: 'm', upstreams: [{ ...azure, modelName: undefined }] }] },
    'slices[0].upstreams[0].kind',
  ],
  [
    'upstreams and a key',
    { slices: [{ ...openrouter, upstreams: [{ plaintextKey: PLANTED }] }] },
    'slices[0].plaintextKey',
  ],
  ['a default that is no model', { slices: [openrouter], defaults: { chatModel: 'nobody' } }, 'defaults.chatModel'],
  [
    'a default of another surface',
    { slices: [openrouter], defaults: { ttsModel: 'chat-default' } },
    'defaults.ttsModel',
  ],
  [
    'an address that is none',
    { slices: [{ ...streaming, upstreamURL: 'https://a.test' }] },
    'STREAMING_TTS_UPSTREAM.baseURL',
  ],
  ['an empty reason', { slices: [openrouter], reason: '' }, 'reason'],
]
for (const [name, body, path] of bad)
  test(`${LINE} 400: ${name}`, async () => {
    const before = await etag()
    for (const dryRun of [true, false]) {
      const answer = await send({ ...body, dryRun })
      assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_invalid'], answer.text)
      const paths = answer.body.error.details.map((detail: { path: string }) => detail.path)
      assert(paths.includes(path), answer.text)
      assert(!answer.text.includes(PLANTED), 'a refusal repeats the key')
    }
    assert.equal(await etag(), before)
  })

testSharedRefusals(() => api, { line: 'GET /api/admin/config/router' })
testSharedRefusals(() => api, { line: LINE, body: { slices: [openrouter] } })

test('every documented status was met', () => {
  api.expectEveryStatus('GET /api/admin/config/router', LINE)
})
