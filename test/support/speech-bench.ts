import assert from 'node:assert/strict'
import { AZURE_KEY, startFakeAzure } from '#test/support/fakes/fake-azure.ts'
import { DASHSCOPE_KEY, startFakeDashscope } from '#test/support/fakes/fake-dashscope.ts'
import { ELEVENLABS_KEY, startFakeElevenlabs } from '#test/support/fakes/fake-elevenlabs.ts'
import { OPENAI_KEY, startFakeOpenaiAudio } from '#test/support/fakes/fake-openai-audio.ts'
import { STEPFUN_KEY, startFakeStepfun } from '#test/support/fakes/fake-stepfun.ts'
import { startFakeVolcengine, VOLCENGINE_APPID, VOLCENGINE_TOKEN } from '#test/support/fakes/fake-volcengine.ts'
import { ADMIN_KEY, type CallOptions, createTestGateway, type Json } from '#test/support/gateway.ts'
import { putRouterConfig } from '#test/support/router-config.ts'

/** Pico-dollars for a character, in the prices of the bench. */
const CHARACTER_PICO = 15_000_000n
export const perCharacter = { lines: { characters: String(CHARACTER_PICO) } }

/** Pico-dollars for a second. */
export const SECOND_PICO = 100_000_000n
const perSecond = { lines: { seconds: String(SECOND_PICO) } }

/** What so many characters cost, in nano-dollars. */
export const nanosOf = (characters: number): bigint => (BigInt(characters) * CHARACTER_PICO + 999n) / 1000n

/** A gateway and every speech vendor, each a model of its own and some in chains. */
export async function createSpeechBench(
  options: { env?: Record<string, string>; config?: Json; through?: (url: string) => Promise<string> } = {},
) {
  const fakes = {
    azure: await startFakeAzure(),
    dashscope: await startFakeDashscope(),
    volcengine: await startFakeVolcengine(),
    stepfun: await startFakeStepfun(),
    elevenlabs: await startFakeElevenlabs(),
    openai: await startFakeOpenaiAudio(),
  }
  const gateway = await createTestGateway({
    ...(options.through && { through: options.through }),
    env: {
      OPENAI_API_KEY: OPENAI_KEY,
      OPENAI_BASE_URL: `${fakes.openai.url}/v1`,
      SPEECH_LINK_HOSTS: fakes.dashscope.store.host,
      ...options.env,
    },
  })
  const upstreams = {
    azure: { baseURL: fakes.azure.url, keys: [{ id: 'a', plaintextKey: AZURE_KEY }] },
    dashscope: {
      baseURL: fakes.dashscope.url,
      keys: [{ id: 'd', plaintextKey: DASHSCOPE_KEY }],
      overrideModel: 'cosyvoice-v2',
    },
    volcengine: {
      baseURL: `${fakes.volcengine.url}/api/v1/tts`,
      keys: [{ id: 'v', plaintextKey: VOLCENGINE_TOKEN }],
      adapterParams: { appid: VOLCENGINE_APPID },
    },
    stepfun: {
      baseURL: `${fakes.stepfun.url}/v1`,
      keys: [{ id: 's', plaintextKey: STEPFUN_KEY }],
      overrideModel: 'step-tts-2',
    },
    elevenlabs: {
      baseURL: fakes.elevenlabs.url,
      keys: [{ id: 'e', plaintextKey: ELEVENLABS_KEY }],
      overrideModel: 'eleven_flash_v2_5',
    },
    openai: {
      baseURL: `${fakes.openai.url}/v1`,
      keys: [{ id: 'o', plaintextKey: OPENAI_KEY }],
      overrideModel: 'tts-1',
    },
  }
  const adapters: Record<keyof typeof upstreams, string> = {
    azure: 'azure',
    dashscope: 'dashscope-cosyvoice',
    volcengine: 'volcengine',
    stepfun: 'stepfun',
    elevenlabs: 'elevenlabs',
    openai: 'openai',
  }
  const single = Object.fromEntries(
    Object.entries(upstreams).map(([name, upstream]) => [
      `say/${name}`,
      {
        provider: adapters[name as keyof typeof upstreams],
        upstreams: [{ id: name, ...upstream }],
        price: perCharacter,
      },
    ]),
  )
  /** The named vendors one after another. */
  const chain = (...names: (keyof typeof upstreams)[]) => ({
    upstreams: names.map((name) => ({ id: name, provider: adapters[name], ...upstreams[name] })),
    price: perCharacter,
  })
  const config = {
    tts: {
      models: {
        ...single,
        'say/first': chain('openai', 'azure'),
        'say/tokens': {
          provider: 'openai',
          upstreams: [{ id: 'tokens', ...upstreams.openai, overrideModel: 'gpt-4o-mini-tts' }],
          price: { lines: { input: '600000', audio_output: '12000000' } },
        },
      },
    },
    asr: {
      models: {
        'hear/whisper': {
          provider: 'openai',
          upstreams: [
            { id: 'one', ...upstreams.openai, overrideModel: 'whisper-1' },
            { id: 'two', ...upstreams.openai, overrideModel: 'whisper-1', headers: { 'x-second': 'yes' } },
          ],
          price: perSecond,
        },
        'hear/tokens': {
          provider: 'openai',
          upstreams: [{ id: 'tokens', ...upstreams.openai, overrideModel: 'gpt-4o-transcribe' }],
          price: { lines: { input: '2500000', audio_input: '6000000', output: '10000000' } },
        },
      },
    },
    defaults: { speechModel: 'say/openai', transcriptionModel: 'hear/whisper' },
  }
  const extra = (options.config ?? {}) as Json
  await putRouterConfig(gateway.url, {
    ...config,
    ...extra,
    tts: { models: { ...config.tts.models, ...extra.tts?.models } },
    asr: { models: { ...config.asr.models, ...extra.asr?.models } },
    defaults: { ...config.defaults, ...extra.defaults },
  })

  return {
    ...gateway,
    fakes,
    chain,

    /** One call for speech, read to its end. */
    say: (body: unknown, call: CallOptions = {}) => gateway.chat(body, { path: '/v1/audio/speech', ...call }),

    /** Writes hot settings as an operator does. */
    async set(values: Record<string, unknown>): Promise<void> {
      const response = await fetch(`${gateway.url}/api/admin/settings`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ values, reason: 'a test' }),
      })
      assert.equal(response.status, 200, await response.text())
    },

    async close(): Promise<void> {
      try {
        await gateway.close()
      } finally {
        await Promise.all(Object.values(fakes).map((fake) => fake.close()))
      }
    },
  }
}
