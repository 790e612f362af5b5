import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TtsContext } from '#adapters/tts/adapter.ts'
import { AZURE_KEY, startFakeAzure } from '#test/support/fakes/fake-azure.ts'
import { DASHSCOPE_KEY, startFakeDashscope } from '#test/support/fakes/fake-dashscope.ts'
import { ELEVENLABS_KEY, startFakeElevenlabs } from '#test/support/fakes/fake-elevenlabs.ts'
import { OPENAI_KEY, startFakeOpenaiAudio } from '#test/support/fakes/fake-openai-audio.ts'
import { STEPFUN_KEY, startFakeStepfun } from '#test/support/fakes/fake-stepfun.ts'
import { type FakeVendor, fakeAudio } from '#test/support/fakes/fake-vendor.ts'
import { startFakeVolcengine, VOLCENGINE_APPID, VOLCENGINE_TOKEN } from '#test/support/fakes/fake-volcengine.ts'
import { createTtsBench, faultOf, hear, ttsContext } from '#test/support/fakes/tts-bench.ts'

interface Vendor {
  id: string
  fake: FakeVendor
  /** Where audio is fetched from, when it is not the same place. */
  audioHost?: FakeVendor
  context: Partial<TtsContext> & { baseUrl: string; key: string }
  model: string
  voice: string
  /** The vendor's own name of its mp3, for the oracle. */
  mp3: string
  fakeName: string
  streams: boolean
  requestId: string | undefined
  /** What the vendor reports for `TEXT`, if it reports. */
  usage: object | undefined
}

const TEXT = `Fish & chips: "5 < 6", it's 你好!`
const CHARACTERS = [...TEXT].length

const azure = await startFakeAzure()
const dashscope = await startFakeDashscope()
const volcengine = await startFakeVolcengine()
const stepfun = await startFakeStepfun()
const elevenlabs = await startFakeElevenlabs()
const openai = await startFakeOpenaiAudio()
const bench = createTtsBench([dashscope.store.host])

const vendors: Vendor[] = [
  {
    id: 'azure',
    fake: azure,
    context: { baseUrl: azure.url, key: AZURE_KEY },
    model: '',
    voice: 'zh-CN-YunxiNeural',
    mp3: 'audio-24khz-48kbitrate-mono-mp3',
    fakeName: 'azure',
    streams: true,
    requestId: 'azure-request-1',
    usage: undefined,
  },
  {
    id: 'dashscope-cosyvoice',
    fake: dashscope,
    audioHost: dashscope.store,
    context: { baseUrl: dashscope.url, key: DASHSCOPE_KEY },
    model: 'cosyvoice-v2',
    voice: 'longxiaochun_v2',
    mp3: 'mp3',
    fakeName: 'dashscope',
    streams: true,
    requestId: undefined,
    usage: { characters: CHARACTERS + 2 },
  },
  {
    id: 'volcengine',
    fake: volcengine,
    context: { baseUrl: `${volcengine.url}/api/v1/tts`, key: VOLCENGINE_TOKEN, params: { appid: VOLCENGINE_APPID } },
    model: '',
    voice: 'BV002_streaming',
    mp3: 'mp3',
    fakeName: 'volcengine',
    streams: false,
    requestId: 'volc-log-1',
    usage: undefined,
  },
  {
    id: 'stepfun',
    fake: stepfun,
    context: { baseUrl: `${stepfun.url}/v1`, key: STEPFUN_KEY },
    model: 'step-tts-2',
    voice: 'linjiajiejie',
    mp3: 'mp3',
    fakeName: 'stepfun',
    streams: true,
    requestId: 'stepfun-trace-1',
    usage: undefined,
  },
  {
    id: 'elevenlabs',
    fake: elevenlabs,
    context: { baseUrl: elevenlabs.url, key: ELEVENLABS_KEY },
    model: 'eleven_flash_v2_5',
    voice: 'JBFqnCBsd6RMkjVDRZzb',
    mp3: 'mp3_44100_128',
    fakeName: 'elevenlabs',
    streams: true,
    requestId: 'eleven-request-1',
    usage: { characters: Math.ceil(CHARACTERS / 2) },
  },
  {
    id: 'openai',
    fake: openai,
    context: { baseUrl: `${openai.url}/v1`, key: OPENAI_KEY },
    model: 'tts-1',
    voice: 'nova',
    mp3: 'mp3',
    fakeName: 'openai',
    streams: true,
    requestId: 'req_fake',
    usage: undefined,
  },
]

after(async () => {
  await bench.close()
  await Promise.all([azure, dashscope, volcengine, stepfun, elevenlabs, openai].map((fake) => fake.close()))
})

for (const vendor of vendors) {
  const { id, fake, model, voice } = vendor
  const audioHost = vendor.audioHost ?? fake
  const adapter = bench.adapter(id)
  const said = { text: TEXT, model, voice, format: 'mp3' }
  const speak = (more: Partial<TtsContext> = {}, input: object = {}) =>
    adapter.speak({ ...said, ...input }, ttsContext({ ...vendor.context, ...more }))

  test(`${id}: says what it is told, and bills what we have counted`, async () => {
    const answer = await speak()
    const { audio, pieces } = await hear(answer)
    assert.deepEqual(audio, fakeAudio(vendor.fakeName, { text: TEXT, voice, format: vendor.mp3 }))
    assert.equal(answer.contentType, 'audio/mpeg')
    assert.equal(answer.upstreamRequestId, vendor.requestId)
    assert.deepEqual(answer.dropped, [])
    assert(vendor.streams ? pieces > 1 : pieces === 1, `${pieces} pieces`)
    assert.deepEqual(answer.usage(), vendor.usage)
    const counted = adapter.count(said, vendor.context.params ?? {})
    assert.equal(counted.exact, true)
    assert.equal(counted.usage.characters, fake.delivered.at(-1)?.characters)
    if (vendor.usage !== undefined) assert.deepEqual(counted.usage, vendor.usage)
  })

  test(`${id}: text that is no text is refused, and nobody is asked`, async () => {
    const asked = fake.requests.length
    for (const text of ['', ' \n\t', '\u0000\u0007']) {
      const fault = await faultOf(speak({}, { text }))
      assert.equal(fault.class, 'caller')
      assert.equal(fault.error?.param, 'input')
      assert.equal(adapter.check({ ...said, text }, vendor.context.params ?? {}, vendor.context.baseUrl)?.path, 'input')
    }
    assert.equal(adapter.check(said, vendor.context.params ?? {}, vendor.context.baseUrl), undefined)
    assert.equal(fake.requests.length, asked)
  })

  test(`${id}: a format it has not, or that would be a header of its own, is refused`, async () => {
    const asked = fake.requests.length
    for (const format of ['mp5', 'constructor', 'audio-24khz\r\nx-injected: 1', '__proto__']) {
      const fault = await faultOf(speak({}, { format }))
      assert.equal(fault.class, 'caller')
      assert.equal(fault.error?.param, 'response_format')
    }
    assert.equal(fake.requests.length, asked)
  })

  test(`${id}: a key that is wrong is the credential's fault, and stands in no message`, async () => {
    const fault = await faultOf(speak({ key: 'wrong-key-0000000000000001' }))
    assert.equal(fault.class, 'credential')
    assert.doesNotMatch(JSON.stringify(fault), /wrong-key/)
  })

  test(`${id}: a limit is the target's fault, with the time to wait`, async () => {
    fake.failNext({ kind: 'status', status: 429, headers: { 'retry-after': '7' }, body: '{}' })
    const fault = await faultOf(speak())
    assert.deepEqual(
      { class: fault.class, status: fault.status, retryAfterMs: fault.retryAfterMs },
      { class: 'target', status: 429, retryAfterMs: 7_000 },
    )
  })

  test(`${id}: 500, 503 and a redirect are the provider's`, async () => {
    for (const status of [500, 503, 302]) {
      fake.failNext({ kind: 'status', status, headers: { location: 'http://127.0.0.1:1/' } })
      const fault = await faultOf(speak())
      assert.deepEqual({ class: fault.class, status: fault.status }, { class: 'provider', status })
    }
  })

  test(`${id}: a 200 without audio is a fault before anything is promised`, async () => {
    audioHost.failNext({ kind: 'empty' })
    const fault = await faultOf(speak())
    assert.equal(fault.class, 'provider')
    assert(['empty', 'malformed'].includes(fault.code), fault.code)
  })

  test(`${id}: a 200 that holds an error or a page is a fault`, async () => {
    fake.failNext({
      kind: 'answer',
      headers: { 'content-type': 'application/json' },
      body: '{"code":"InternalError","message":"out of order"}',
    })
    assert.equal((await faultOf(speak())).class, 'provider')
    fake.failNext({ kind: 'answer', headers: { 'content-type': 'text/html' }, body: '<html>maintenance</html>' })
    assert.equal((await faultOf(speak())).class, 'provider')
  })

  test(`${id}: silence is a timeout and stays one`, async () => {
    fake.failNext({ kind: 'silent' })
    const fault = await faultOf(speak({ limits: { audioBytesMax: 1_000_000, firstByteMs: 50, idleMs: 5_000 } }))
    assert.deepEqual(
      { class: fault.class, code: fault.code, timedOut: fault.timedOut },
      { class: 'provider', code: 'timeout_first_byte', timedOut: true },
    )
  })

  test(`${id}: nobody listening is a fault of connecting`, async () => {
    const fault = await faultOf(speak({ baseUrl: 'http://127.0.0.1:1/v1' }))
    assert.deepEqual({ class: fault.class, code: fault.code }, { class: 'provider', code: 'connect' })
  })

  test(`${id}: a caller that gives up is no fault, and the vendor sees it`, async () => {
    const controller = new AbortController()
    fake.failNext({ kind: 'silent' })
    const broken = fake.brokenOff()
    const asked = fake.requests.length
    const spoken = speak({ signal: controller.signal })
    while (fake.requests.length === asked) await new Promise(setImmediate)
    controller.abort(new Error('the client left'))
    await assert.rejects(spoken, /the client left/)
    while (fake.brokenOff() === broken) await new Promise(setImmediate)
    await assert.rejects(speak({ signal: controller.signal }), /the client left/)
    assert.equal(fake.requests.length, asked + 1)
  })

  test(`${id}: more audio than allowed ends the call`, async () => {
    const limits = { audioBytesMax: 500, firstByteMs: 5_000, idleMs: 5_000 }
    const fault = await faultOf(speak({ limits }).then(hear))
    assert.equal(fault.code, 'answer_too_large')
  })

  if (vendor.streams) {
    test(`${id}: an answer that breaks off or stalls says so behind the audio that came`, async () => {
      audioHost.failNext({ kind: 'cut' })
      const cut = await speak()
      const fault = await faultOf(hear(cut))
      assert.deepEqual({ class: fault.class, code: fault.code }, { class: 'provider', code: 'reset' })

      audioHost.failNext({ kind: 'stall' })
      const stalled = await speak({ limits: { audioBytesMax: 1_000_000, firstByteMs: 5_000, idleMs: 50 } })
      const silence = await faultOf(hear(stalled))
      assert.deepEqual({ code: silence.code, timedOut: silence.timedOut }, { code: 'timeout_idle', timedOut: true })
    })

    test(`${id}: leaving in the middle, or not reading at all, closes the connection`, async () => {
      for (const leave of ['break', 'discard', 'abort'] as const) {
        const controller = new AbortController()
        audioHost.failNext({ kind: 'stall' })
        const broken = audioHost.brokenOff()
        const answer = await speak({ signal: controller.signal })
        if (leave === 'discard') answer.discard()
        else if (leave === 'abort') {
          const rest = hear(answer)
          controller.abort(new Error('the client left'))
          await assert.rejects(rest, /the client left/)
        } else for await (const _ of answer.body) break
        while (audioHost.brokenOff() === broken) await new Promise(setImmediate)
      }
    })
  }
}

test('a slow first byte within its time is waited for', async () => {
  azure.failNext({ kind: 'slow', ms: 60 })
  const answer = await bench
    .adapter('azure')
    .speak({ text: 'hi', model: '' }, ttsContext({ baseUrl: azure.url, key: AZURE_KEY }))
  assert.equal((await hear(answer)).audio.length, 200)
})
