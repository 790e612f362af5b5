import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startFakeUnspeech, UNSPEECH_KEY } from '#test/support/fakes/fake-unspeech.ts'
import { ONE_USD, until } from '#test/support/gateway.ts'
import { createSpeechBench, nanosOf, perCharacter } from '#test/support/speech-bench.ts'

const unspeech = await startFakeUnspeech()
const unpriced = {
  provider: 'stepfun',
  upstreams: [{ id: 's', baseURL: 'http://127.0.0.1:1/v1', keys: [{ id: 's', plaintextKey: 'a-key-of-nobody' }] }],
}
const bench = await createSpeechBench({ config: { tts: { models: { 'say/unpriced': unpriced } } } })
after(async () => {
  await bench.close()
  await unspeech.close()
})
const { fakes } = bench
const PATH = '/api/v1/audio/speech'
const get = (path: string, key: string | null) => bench.chat(undefined, { method: 'GET', path, key })

test('the default model speaks for auto, for no model and for an empty one', async () => {
  const project = await bench.openProject(ONE_USD)
  for (const model of [undefined, '', 'auto']) {
    const reply = await bench.chat({ model, input: 'Hello', voice: 'nova' }, { key: project.secret, path: PATH })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.headers['content-type'], 'audio/mpeg')
    assert.equal(reply.headers['x-fluxgate-model'], 'say/openai')
  }
  for (const receipt of await project.settled(3)) assert.equal(receipt.charged_nanousd, String(nanosOf(5)))
})

const refusals = [
  ['input that is empty', { input: ' ' }, 400, 'BAD_REQUEST', /something to say/],
  ['input that is no text', { input: 7 }, 400, 'BAD_REQUEST', /something to say/],
  ['a model that nobody has', { model: 'nobody', input: 'x' }, 400, 'BAD_REQUEST', /^unknown_model$/],
  ['a voice that could be markup', { model: 'say/azure', input: 'x', voice: "a'/><b" }, 400, 'BAD_REQUEST', /voice/],
  [
    'a model without a price',
    { model: 'say/unpriced', input: 'x' },
    503,
    'CONFIG_NOT_SET',
    /^TTS service is not available yet$/,
  ],
] as const

for (const [what, body, status, error, message] of refusals) {
  test(`${what}: ${status} ${error}, and nothing is held`, async () => {
    const project = await bench.openProject(ONE_USD)
    const reply = await bench.chat(body, { key: project.secret, path: PATH })
    assert.equal(reply.status, status)
    assert.equal(reply.json.error, error)
    assert.match(reply.json.message, message)
    await project.settled(0)
  })
}

test('an empty wallet: 402, but 204 for speech that nobody asked for', async () => {
  const project = await bench.openProject(0n)
  const asked = fakes.openai.requests.length
  const call = { key: project.secret, path: PATH }
  const manual = await bench.chat({ input: 'Hello', voice: 'nova' }, call)
  assert.equal(manual.status, 402)
  assert.deepEqual(manual.json, { error: 'PAYMENT_REQUIRED', message: 'Insufficient flux' })
  const auto = await bench.chat(
    { input: 'Hello', voice: 'nova', extra_body: { airi_analytics: { trigger: 'auto' } } },
    call,
  )
  assert.equal(auto.status, 204)
  assert.equal(auto.body.length, 0)
  assert.equal(fakes.openai.requests.length, asked)
})

const exhausted = [
  [{ kind: 'status', status: 429 }, 503, 'SERVICE_UNAVAILABLE', 'Upstream rate-limited'],
  [{ kind: 'status', status: 500 }, 502, 'BAD_GATEWAY', 'Upstream unavailable'],
  [{ kind: 'status', status: 401 }, 502, 'BAD_GATEWAY', 'Upstream unavailable'],
] as const

for (const [failure, status, error, message] of exhausted) {
  test(`a vendor that answers ${failure.status}, and no other: ${status}`, async () => {
    const other = await createSpeechBench()
    try {
      const project = await other.openProject(ONE_USD)
      other.fakes.openai.failNext(failure)
      const reply = await other.chat({ input: 'Hello', voice: 'nova' }, { key: project.secret, path: PATH })
      assert.equal(reply.status, status)
      assert.equal(reply.json.error, error)
      assert.equal(reply.json.message, message)
      assert.equal(reply.json.details.lastStatusCode, failure.status)
      const [receipt] = await project.settled(1)
      assert.equal(receipt?.outcome, 'void')
    } finally {
      await other.close()
    }
  })
}

test('a Flux for a thousand characters is exact to the character', async () => {
  const other = await createSpeechBench({
    config: {
      tts: {
        models: {
          'say/flux': {
            provider: 'openai',
            upstreams: [
              {
                id: 'f',
                baseURL: `${fakes.openai.url}/v1`,
                overrideModel: 'acme/speak',
                keys: [{ id: 'f', plaintextKey: 'sk-openai0000000000000000000001' }],
              },
            ],
          },
        },
      },
    },
  })
  try {
    const project = await other.openProject(ONE_USD)
    const call = { key: project.secret, path: PATH }
    const before = await other.chat({ model: 'say/flux', input: 'Hi', voice: 'nova' }, call)
    assert.equal(before.json.error, 'CONFIG_NOT_SET')
    await other.set({ FLUX_PER_1K_CHARS_TTS: 3 })
    await until('the setting serves', async () => {
      const reply = await other.chat({ model: 'say/flux', input: 'Hi', voice: 'nova' }, call)
      return reply.status === 200
    })
    const [receipt] = await project.settled(1)
    // One Flux is 1,000,000 nano-dollars: two characters are 6 thousandths of one.
    assert.equal(receipt?.charged_nanousd, '6000')
  } finally {
    await other.close()
  }
})

test('where AIRI’s routes were once is nothing', async () => {
  const project = await bench.openProject(ONE_USD)
  const old = await bench.chat({ input: 'x' }, { key: project.secret, path: '/api/v1/openai/audio/speech' })
  assert.equal(old.status, 404)
  assert.equal((await get('/api/v1/openai/audio/voices', project.secret)).status, 404)
})

test('voices are listed live where the vendor lists them, once for many who ask', async () => {
  const project = await bench.openProject(ONE_USD)
  const missing = await get('/api/v1/audio/voices', project.secret)
  assert.equal(missing.status, 400)
  assert.equal(missing.json.error, 'MISSING_MODEL')
  const lists = () => fakes.azure.requests.filter(({ path }) => path.endsWith('/voices/list')).length
  const before = lists()
  const replies = await Promise.all(
    Array.from({ length: 5 }, () => get('/api/v1/audio/voices?model=say/azure', project.secret)),
  )
  for (const { json } of replies) assert(json.voices.some(({ id }: { id: string }) => id === 'ga-IE-OrlaNeural'))
  assert.equal(lists(), before + 1)
  const [voice] = replies[0]?.json.voices ?? []
  assert.deepEqual(Object.keys(voice), ['id', 'name', 'languages', 'formats', 'labels', 'tags', 'compatible_models'])
  const shipped = await get('/v1/audio/voices?model=say/volcengine', project.secret)
  assert(shipped.json.voices.length > 0)
  assert.deepEqual(shipped.json.recommended, {})
  const unknown = await get('/v1/audio/voices?model=nobody', project.secret)
  assert.equal(unknown.status, 404)
  assert.equal((await get('/v1/audio/voices', null)).status, 401)
})

test('the voices that an operator recommends stand beside them', async () => {
  const project = await bench.openProject(ONE_USD)
  await bench.set({ DEFAULT_TTS_VOICES: { 'say/azure': { 'en-US': 'en-US-AvaMultilingualNeural' } } })
  await until('the setting serves', async () => {
    const { json } = await get('/api/v1/audio/voices?model=say/azure', project.secret)
    return json.recommended['en-US'] === 'en-US-AvaMultilingualNeural'
  })
})

test('models are listed for both families of clients', async () => {
  const project = await bench.openProject(ONE_USD)
  const airi = await get('/api/v1/audio/models', project.secret)
  assert.deepEqual(airi.json.models[0], { id: 'auto', name: 'Auto' })
  assert.equal(airi.json.default, 'say/openai')
  const openai = await get('/v1/audio/models', project.secret)
  for (const id of ['say/azure', 'openai/tts-1', 'sim/speak'])
    assert(
      openai.json.models.some((model: { id: string }) => model.id === id),
      id,
    )
})

test('streaming has lists of its own', async () => {
  const project = await bench.openProject(ONE_USD)
  const none = await get('/api/v1/audio/voices/streaming', project.secret)
  assert.equal(none.status, 503)
  assert.equal(none.json.error, 'STREAMING_TTS_NOT_CONFIGURED')
  assert.deepEqual((await get('/api/v1/audio/models/streaming', project.secret)).json, {
    available: false,
    models: [],
    default: null,
  })
  await bench.set({
    STREAMING_TTS_UPSTREAM: {
      baseURL: unspeech.url,
      keys: [{ id: 'one', plaintextKey: UNSPEECH_KEY }],
      price: perCharacter,
      models: [{ id: 'volcengine/tts', description: 'fast' }],
      defaultModel: 'volcengine/tts',
    },
  })
  await until('the setting serves', async () => {
    const { json } = await get('/api/v1/audio/models/streaming', project.secret)
    return json.available
  })
  assert.deepEqual((await get('/api/v1/audio/models/streaming', project.secret)).json, {
    available: true,
    models: [{ name: 'volcengine/tts', id: 'volcengine/tts', description: 'fast' }],
    default: 'volcengine/tts',
  })
  const voices = await get('/api/v1/audio/voices/streaming', project.secret)
  assert.deepEqual(voices.json.voices, [{ id: 'zh_female', name: 'Female', model: 'volcengine/tts' }])
})

test('without a default model: CONFIG_NOT_SET', async () => {
  const other = await createSpeechBench({ config: { defaults: { speechModel: undefined } } })
  try {
    const project = await other.openProject(ONE_USD)
    const reply = await other.chat({ input: 'Hello' }, { key: project.secret, path: PATH })
    assert.equal(reply.status, 503)
    assert.equal(reply.json.error, 'CONFIG_NOT_SET')
    const all = await other.chat(undefined, { method: 'GET', path: '/v1/audio/voices', key: project.secret })
    assert(all.json.voices.length > 10)
    const sim = await other.say({ model: 'sim/speak', input: 'Hello' }, { key: project.secret })
    assert.equal(sim.status, 200, sim.text)
    assert(sim.body.length > 0)
    const [receipt] = await project.settled(1)
    assert.equal(receipt?.usage.characters, 5)
  } finally {
    await other.close()
  }
})
