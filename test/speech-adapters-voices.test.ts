import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createVoiceCatalogue } from '#adapters/tts/voice-catalogue.ts'
import { AZURE_KEY, startFakeAzure } from '#test/support/fakes/fake-azure.ts'
import { ELEVENLABS_KEY, startFakeElevenlabs } from '#test/support/fakes/fake-elevenlabs.ts'
import { STEPFUN_KEY, startFakeStepfun } from '#test/support/fakes/fake-stepfun.ts'
import { createTtsBench, faultOf, ttsContext } from '#test/support/fakes/tts-bench.ts'

const azure = await startFakeAzure()
const elevenlabs = await startFakeElevenlabs()
const stepfun = await startFakeStepfun()
const bench = createTtsBench()
after(async () => {
  await bench.close()
  await Promise.all([azure, elevenlabs, stepfun].map((fake) => fake.close()))
})

const HOUR_MS = 3_600_000

test('azure lists its voices', async () => {
  const context = ttsContext({ baseUrl: `${azure.url}/cognitiveservices/v1`, key: AZURE_KEY })
  const voices = await bench.adapter('azure').voices(context)
  assert.deepEqual(
    voices.map(({ id, name, description, languages, labels, tags }) => ({
      id,
      name,
      description,
      codes: languages.map(({ code }) => code),
      gender: labels.gender,
      tags,
    })),
    [
      {
        id: 'en-US-AvaMultilingualNeural',
        name: 'Ava Multilingual',
        description: undefined,
        codes: ['en-US', 'de-DE', 'zh-CN'],
        gender: 'female',
        tags: [],
      },
      {
        id: 'zh-CN-YunxiNeural',
        name: 'Yunxi',
        description: '云希',
        codes: ['zh-CN'],
        gender: 'male',
        tags: ['cheerful', 'sad'],
      },
      { id: 'ga-IE-OrlaNeural', name: 'Orla', description: undefined, codes: ['ga-IE'], gender: 'female', tags: [] },
    ],
  )
  assert.deepEqual(voices[1]?.languages, [{ code: 'zh-CN', title: 'Chinese (China)' }])
  assert.equal(voices[0]?.formats[0]?.format_code, 'audio-24khz-48kbitrate-mono-mp3')
})

test('elevenlabs lists its voices, without previews that are no links', async () => {
  const voices = await bench.adapter('elevenlabs').voices(ttsContext({ baseUrl: elevenlabs.url, key: ELEVENLABS_KEY }))
  assert.deepEqual(
    voices.map(({ id, name, labels, preview_audio_url: preview, compatible_models: models }) => ({
      id,
      name,
      gender: labels.gender,
      preview,
      models,
    })),
    [
      {
        id: 'JBFqnCBsd6RMkjVDRZzb',
        name: 'George',
        gender: 'male',
        preview: 'https://storage.example.com/george.mp3',
        models: ['eleven_multilingual_v2', 'eleven_flash_v2_5'],
      },
      { id: 'EXAVITQu4vr4xnSDxMaL', name: 'Sarah', gender: 'female', preview: undefined, models: [] },
    ],
  )
  assert.deepEqual(
    voices[0]?.languages.map(({ code }) => code),
    ['en-GB', 'en'],
  )
})

test('stepfun lists its voices', async () => {
  const voices = await bench.adapter('stepfun').voices(ttsContext({ baseUrl: `${stepfun.url}/v1`, key: STEPFUN_KEY }))
  assert.deepEqual(
    voices.map(({ id, name, labels, tags }) => [id, name, labels.gender, tags]),
    [
      ['cixingnansheng', '磁性男声', 'male', ['有声书', '情感陪伴']],
      ['linjiameimei', '邻家妹妹', 'female', ['视频配音']],
      ['dushexiaoyu', 'dushexiaoyu', 'male', ['口播(解说、新闻)']],
    ],
  )
})

test('a list that is none, a key that is wrong and a vendor without a list are faults', async () => {
  const context = ttsContext({ baseUrl: elevenlabs.url, key: ELEVENLABS_KEY })
  const adapter = bench.adapter('elevenlabs')
  for (const body of ['{"voices":5}', '[]', 'oops']) {
    elevenlabs.failNext({ kind: 'answer', headers: { 'content-type': 'application/json' }, body })
    assert.equal((await faultOf(adapter.voices(context))).code, 'malformed')
  }
  assert.equal((await faultOf(adapter.voices({ ...context, key: 'wrong' }))).class, 'credential')
  const fault = await faultOf(bench.adapter('volcengine').voices(context))
  assert.deepEqual({ class: fault.class, code: fault.code }, { class: 'target', code: 'no_voice_list' })
})

test('the catalogue asks once, keeps for hours, and serves the old where there is no new', async () => {
  let now = 1_000
  const failed: string[] = []
  const catalogue = createVoiceCatalogue({
    entriesMax: 2,
    retryAfterMs: 60_000,
    now: () => now,
    onFailure: (id) => failed.push(id),
  })
  const adapter = bench.adapter('azure')
  const context = () => ttsContext({ baseUrl: azure.url, key: AZURE_KEY })
  const asked = azure.requests.length
  const ask = async () => {
    const { voices, source } = await catalogue.voices('a', adapter, context)
    return [source, voices.length, azure.requests.length - asked]
  }
  const settled = async () => {
    for (;;) {
      const [source] = await ask()
      if (source !== 'stale') return
      await new Promise(setImmediate)
    }
  }

  assert.deepEqual(await Promise.all([ask(), ask(), ask()]), Array(3).fill(['live', 3, 1]))
  now += 5 * HOUR_MS
  assert.deepEqual(await ask(), ['live', 3, 1])
  // Six hours are over: the old list answers at once, the new one comes behind it.
  now += 2 * HOUR_MS
  assert.deepEqual((await ask()).slice(0, 2), ['stale', 3])
  await settled()
  assert.deepEqual(await ask(), ['live', 3, 2])

  now += 7 * HOUR_MS
  azure.failNext({ kind: 'status', status: 500 })
  assert.equal((await ask())[0], 'stale')
  while (failed.length === 0) await new Promise(setImmediate)
  assert.deepEqual(failed, ['azure'])
  // The vendor is left alone for a minute.
  assert.deepEqual(await ask(), ['stale', 3, 3])
  now += 61_000
  await ask()
  await settled()
  assert.deepEqual(await ask(), ['live', 3, 4])
})

test('the catalogue has what is shipped where nothing can be loaded, and stays within its bounds', async () => {
  const failed: string[] = []
  const catalogue = createVoiceCatalogue({ entriesMax: 2, retryAfterMs: 60_000, onFailure: (id) => failed.push(id) })
  const adapter = bench.adapter('elevenlabs')
  const wrong = () => ttsContext({ baseUrl: elevenlabs.url, key: 'wrong' })
  for (const key of ['a', 'b', 'c', 'd', 'd'])
    assert.deepEqual(await catalogue.voices(key, adapter, wrong), {
      voices: adapter.shippedVoices,
      source: 'shipped',
    })
  assert.equal(catalogue.size, 2)
  assert.equal(failed.length, 4)
  const volcengine = bench.adapter('volcengine')
  const listed = await catalogue.voices('e', volcengine, wrong)
  assert.deepEqual(listed, { voices: volcengine.shippedVoices, source: 'shipped' })
  assert.equal(volcengine.voicesTtlMs, undefined)
  assert.equal(adapter.voicesTtlMs, 24 * HOUR_MS)
  assert.equal(bench.adapter('azure').voicesTtlMs, 6 * HOUR_MS)
})
