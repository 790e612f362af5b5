import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { TtsContext } from '#adapters/tts/adapter.ts'
import { AZURE_KEY, startFakeAzure } from '#test/support/fakes/fake-azure.ts'
import { DASHSCOPE_KEY, startFakeDashscope } from '#test/support/fakes/fake-dashscope.ts'
import { ELEVENLABS_KEY, startFakeElevenlabs } from '#test/support/fakes/fake-elevenlabs.ts'
import { OPENAI_KEY, startFakeOpenaiAudio } from '#test/support/fakes/fake-openai-audio.ts'
import { fakeAudio, startFakeVendor } from '#test/support/fakes/fake-vendor.ts'
import { startFakeVolcengine, VOLCENGINE_APPID, VOLCENGINE_TOKEN } from '#test/support/fakes/fake-volcengine.ts'
import { createTtsBench, faultOf, hear, ttsContext } from '#test/support/fakes/tts-bench.ts'

const azure = await startFakeAzure()
const dashscope = await startFakeDashscope()
const volcengine = await startFakeVolcengine()
const elevenlabs = await startFakeElevenlabs()
const openai = await startFakeOpenaiAudio()
const bench = createTtsBench([dashscope.store.host])
after(async () => {
  await bench.close()
  await Promise.all([azure, dashscope, volcengine, elevenlabs, openai].map((fake) => fake.close()))
})

const at = {
  azure: { baseUrl: azure.url, key: AZURE_KEY },
  dashscope: { baseUrl: dashscope.url, key: DASHSCOPE_KEY },
  volcengine: { baseUrl: `${volcengine.url}/api/v1/tts`, key: VOLCENGINE_TOKEN, params: { appid: VOLCENGINE_APPID } },
  elevenlabs: { baseUrl: elevenlabs.url, key: ELEVENLABS_KEY },
  openai: { baseUrl: `${openai.url}/v1`, key: OPENAI_KEY },
}
const speak = (id: string, context: Partial<TtsContext> & { baseUrl: string; key: string }, input: object) =>
  bench.adapter(id).speak({ text: 'Good morning', model: '', ...input }, ttsContext(context))

test('azure: SSML is well-formed, whatever is said', async () => {
  for (const text of [
    `</voice></speak><x a='1'>&amp;]]>"`,
    'bell \u0007 and \ud800 half',
    '<!-- -->',
    'x\u0085y\u2028z',
  ]) {
    const answer = await speak('azure', at.azure, { text, speed: 1.2, extra: { pitch: -10, volume: 'loud' } })
    await hear(answer)
    const heard = azure.delivered.at(-1)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: this one is taken out before it is sent.
    assert.equal(heard?.text, text.replace(/\u0007|\ud800/g, ''))
    const input = { text, model: '', speed: 1.2, extra: { pitch: -10, volume: 'loud' } }
    assert.equal(bench.adapter('azure').count(input, {}).usage.characters, heard?.characters)
  }
})

test('azure: a voice that the region has not is the caller’s fault, in the service’s words', async () => {
  const fault = await faultOf(speak('azure', at.azure, { voice: 'nobody' }))
  assert.deepEqual(
    { class: fault.class, status: fault.status, message: fault.error?.message },
    { class: 'caller', status: 400, message: 'Unsupported voice nobody.' },
  )
})

test('azure: what it names its audio is passed on only where it is a name of audio', async () => {
  azure.failNext({ kind: 'answer', headers: { 'content-type': 'audio/mpeg; a="b"' }, body: 'x' })
  assert.equal((await speak('azure', at.azure, { format: 'opus' })).contentType, 'audio/ogg')
  const answer = await speak('azure', at.azure, { format: 'opus' })
  assert.equal(answer.contentType, 'audio/ogg; codecs=opus')
  answer.discard()
})

test('cosyvoice: a link to where nobody should go is not followed', async () => {
  const trap = await startFakeVendor(() => ({ status: 200, chunks: [Buffer.from('secret')] }))
  for (const [link, code] of [
    [`${trap.url}/secret`, 'url_refused'],
    ['http://169.254.169.254/latest/meta-data/', 'address_refused'],
    ['https://evil.example/x.mp3', 'host_refused'],
    ['file:///etc/passwd', 'url_refused'],
  ] as const) {
    dashscope.linkTo(() => link)
    const fault = await faultOf(speak('dashscope-cosyvoice', at.dashscope, { model: 'cosyvoice-v2' }))
    assert.deepEqual({ class: fault.class, code: fault.code }, { class: 'provider', code })
  }
  dashscope.linkTo((path) => `${dashscope.store.url}${path}`)
  for (const status of [302, 403, 206]) {
    const headers = { location: `${trap.url}/secret`, 'content-type': 'audio/mpeg' }
    dashscope.store.failNext({ kind: 'status', status, headers, body: 'not the audio' })
    const fault = await faultOf(speak('dashscope-cosyvoice', at.dashscope, { model: 'cosyvoice-v2' }))
    assert.deepEqual({ class: fault.class, code: fault.code }, { class: 'provider', code: 'link_refused' })
  }
  assert.equal(trap.requests.length, 0)
  await trap.close()
})

test('cosyvoice: the key stays with the host it is for', async () => {
  await hear(await speak('dashscope-cosyvoice', at.dashscope, { model: 'cosyvoice-v2' }))
  assert(dashscope.store.requests.length > 0)
  for (const { headers } of dashscope.store.requests) assert.equal(headers.authorization, undefined)
})

test('cosyvoice: codes decide where statuses do not', async () => {
  for (const [status, code, kind] of [
    [400, 'InvalidParameter', 'caller'],
    [400, 'DataInspectionFailed', 'caller'],
    [400, 'Arrearage', 'credential'],
    [403, 'Model.AccessDenied', 'credential'],
    [429, 'Throttling.RateQuota', 'target'],
    [404, 'ModelNotFound', 'target'],
    [500, 'InternalError', 'provider'],
  ] as const) {
    dashscope.failNext({ kind: 'status', status, body: JSON.stringify({ code, message: 'as it is' }) })
    const fault = await faultOf(speak('dashscope-cosyvoice', at.dashscope, { model: 'cosyvoice-v2' }))
    assert.equal(fault.class, kind, code)
  }
})

test('volcengine: without an appid it is the operator’s fault, and nobody is asked', async () => {
  const asked = volcengine.requests.length
  const fault = await faultOf(speak('volcengine', { ...at.volcengine, params: {} }, {}))
  assert.deepEqual({ class: fault.class, code: fault.code }, { class: 'target', code: 'adapter_config' })
  assert.equal(volcengine.requests.length, asked)
})

test('volcengine: its codes stand inside of answers that look good', async () => {
  const answers: [body: object, kind: string, timedOut: boolean, status: number | undefined][] = [
    [{ code: 3001, message: 'unsupported operation' }, 'caller', false, 400],
    [{ code: 3001, message: 'authenticate request: load grant: requested grant not found' }, 'credential', false, 401],
    [{ code: 3001, message: 'quota exceeded for types: xxx_lifetime' }, 'credential', false, 401],
    [{ code: 3003, message: 'quota exceeded for types: concurrency' }, 'target', false, 429],
    [{ code: 3005, message: 'busy' }, 'provider', false, 502],
    [{ code: 3010, message: 'too long' }, 'caller', false, 400],
    [{ code: 3030, message: 'timeout' }, 'provider', true, 502],
    [{ code: 3050, message: 'no voice' }, 'caller', false, 400],
    [{ code: 3000, message: 'Success', data: '' }, 'provider', false, 200],
    [{ code: 3000, message: 'Success' }, 'provider', false, 200],
    [{ code: 3000, data: '%%%' }, 'provider', false, 200],
    [{}, 'provider', false, 200],
    [[], 'provider', false, 200],
  ]
  for (const [body, kind, timedOut, status] of answers) {
    volcengine.failNext({
      kind: 'answer',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const fault = await faultOf(speak('volcengine', at.volcengine, {}))
    assert.deepEqual(
      { class: fault.class, timedOut: fault.timedOut === true, status: fault.status },
      { class: kind, timedOut, status },
      JSON.stringify(body),
    )
    // The vendor's words are for the caller alone.
    if (kind === 'caller') assert.equal(fault.error?.message, (body as { message: string }).message)
  }
  const fault = await faultOf(speak('volcengine', at.volcengine, { text: '…!' }))
  assert.deepEqual(
    { class: fault.class, code: fault.code, message: fault.error?.message },
    { class: 'caller', code: 'vendor_3011', message: 'illegal input text!' },
  )
})

test('elevenlabs: whose fault it is stands in the detail', async () => {
  for (const [status, detail, kind, seen] of [
    [401, { status: 'quota_exceeded', message: 'You have 0 credits' }, 'credential', 401],
    [400, { status: 'voice_not_found', message: 'no such voice' }, 'caller', 400],
    [404, { status: 'voice_not_found', message: 'no such voice' }, 'caller', 400],
    [422, [{ loc: ['body'], msg: 'field required' }], 'caller', 422],
    [429, { status: 'too_many_concurrent_requests', message: 'slow down' }, 'target', 429],
    [400, { status: 'model_not_found', message: 'no such model' }, 'target', 400],
  ] as const) {
    elevenlabs.failNext({ kind: 'status', status, body: JSON.stringify({ detail }) })
    const fault = await faultOf(speak('elevenlabs', at.elevenlabs, { voice: 'JBFqnCBsd6RMkjVDRZzb' }))
    assert.deepEqual(
      { class: fault.class, status: fault.status },
      { class: kind, status: seen },
      JSON.stringify(detail),
    )
  }
})

test('openai: models that bill tokens are asked for events, and their usage comes with the audio', async () => {
  const speech = { text: 'Good morning', voice: 'coral', format: 'wav' }
  const answer = await speak('openai', at.openai, { ...speech, model: 'gpt-4o-mini-tts' })
  assert.equal(answer.contentType, 'audio/wav')
  assert.equal(answer.usage(), undefined)
  const { audio, pieces } = await hear(answer)
  assert.deepEqual(audio, fakeAudio('openai', speech))
  assert.equal(pieces, 4)
  assert.deepEqual(answer.usage(), { input: 12, audio_output: 36 })
})

test('openai: a client of events gets them as they came', async () => {
  const answer = await speak('openai', at.openai, { model: 'gpt-4o-mini-tts', voice: 'coral', streamFormat: 'sse' })
  assert.equal(answer.contentType, 'text/event-stream')
  const events = (await hear(answer)).audio
    .toString()
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => JSON.parse(frame.replace('data: ', '')))
  assert.deepEqual(
    events.map((event) => event.type),
    [...Array(4).fill('speech.audio.delta'), 'speech.audio.done'],
  )
  assert.deepEqual(events.at(-1).usage, { input_tokens: 12, output_tokens: 36, total_tokens: 48 })
  assert.deepEqual(answer.usage(), { input: 12, audio_output: 36 })
})

test('openai: events that fail, stop or never speak', async () => {
  const events = (...lines: object[]) => ({
    kind: 'answer' as const,
    headers: { 'content-type': 'text/event-stream' },
    body: lines.map((line) => `data: ${JSON.stringify(line)}\n\n`).join(''),
  })
  const delta = { type: 'speech.audio.delta', audio: Buffer.from('abc').toString('base64') }
  const input = { model: 'gpt-4o-mini-tts', voice: 'coral' }
  const say = () => speak('openai', at.openai, input)

  openai.failNext(events({ type: 'error', error: { message: 'out of voice' } }))
  assert.equal((await faultOf(say())).code, 'error_in_stream')
  openai.failNext(events({ type: 'speech.audio.done' }))
  assert.equal((await faultOf(say())).code, 'empty')
  openai.failNext({ ...events(), body: 'data: {oops\n\n' })
  assert.equal((await faultOf(say())).code, 'malformed_frame')
  openai.failNext(events(delta))
  assert.equal((await faultOf(say().then(hear))).code, 'cut')
  openai.failNext({ ...events(), body: `data: ${'x'.repeat(5_000_000)}` })
  assert.equal((await faultOf(say())).code, 'frame_too_long')
  // A server that knows nothing of events: the audio is good, its cost unknown.
  openai.failNext({ kind: 'answer', headers: { 'content-type': 'audio/mpeg' }, body: 'abc' })
  const answer = await say()
  assert.equal((await hear(answer)).audio.toString(), 'abc')
  assert.equal(answer.usage(), undefined)
})

test('openai: the caller’s own fault keeps its words, without the key that they quote', async () => {
  openai.failNext({
    kind: 'status',
    status: 400,
    body: JSON.stringify({ error: { message: `bad voice for ${OPENAI_KEY}`, type: 'invalid_request_error' } }),
  })
  const fault = await faultOf(speak('openai', at.openai, { model: 'tts-1', voice: 'x' }))
  assert.equal(fault.class, 'caller')
  assert.equal(fault.error?.message, 'bad voice for [redacted]')
})

test('openai: unspeech gets its extra body, and its errors are read', async () => {
  const input = { model: 'microsoft/v1', voice: 'en-US-AvaMultilingualNeural', extra: { region: 'eastasia' } }
  await hear(await speak('openai', at.openai, input))
  const sent = JSON.parse(openai.requests.at(-1)?.body.toString() ?? '{}')
  assert.deepEqual(sent.extra_body, { region: 'eastasia' })
  openai.failNext({
    kind: 'status',
    status: 400,
    body: JSON.stringify({ errors: [{ id: '1', status: '400', code: 'BAD_REQUEST', detail: 'no such backend' }] }),
  })
  assert.equal((await faultOf(speak('openai', at.openai, input))).error?.message, 'no such backend')
})

test('a server that compresses all the same is understood', async () => {
  const zipped = await startFakeVendor(() => ({
    status: 200,
    headers: { 'content-type': 'audio/mpeg', 'content-encoding': 'gzip' },
    chunks: [gzipSync(Buffer.alloc(5_000, 1))],
  }))
  const spoken = await speak('openai', { ...at.openai, baseUrl: zipped.url }, { model: 'tts-1', voice: 'nova' })
  assert.deepEqual((await hear(spoken)).audio, Buffer.alloc(5_000, 1))
  const limits = { audioBytesMax: 1_000, firstByteMs: 5_000, idleMs: 5_000 }
  const bomb = speak('openai', { ...at.openai, baseUrl: zipped.url, limits }, { model: 'tts-1', voice: 'nova' })
  assert.equal((await faultOf(bomb.then(hear))).code, 'answer_too_large')
  await zipped.close()
})

test('a key that is no header is the credential’s fault', async () => {
  const asked = openai.requests.length
  const fault = await faultOf(speak('openai', { ...at.openai, key: 'a\r\nx: y' }, { model: 'tts-1', voice: 'nova' }))
  assert.equal(fault.class, 'credential')
  assert.equal(openai.requests.length, asked)
})
