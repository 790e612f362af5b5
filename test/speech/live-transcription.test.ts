import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { after, test } from 'node:test'
import { NLS_ACCOUNT, startFakeNls } from '#test/support/fakes/fake-nls.ts'
import { ONE_USD, openReply, until } from '#test/support/gateway.ts'
import { createSpeechBench, SECOND_PICO } from '#test/support/speech-bench.ts'

const nls = await startFakeNls()
const upstream = (id: string) => ({
  id,
  baseURL: nls.url,
  keys: [{ id, plaintextKey: JSON.stringify(NLS_ACCOUNT) }],
  adapterParams: { tokenURL: nls.tokenUrl, options: { max_sentence_silence: 500 } },
})
const bench = await createSpeechBench({
  config: {
    asr: {
      models: {
        'hear/live': {
          provider: 'aliyun-nls',
          upstreams: [upstream('one'), { ...upstream('two'), overrideModel: 'second' }],
          price: { lines: { seconds: String(SECOND_PICO) } },
        },
      },
    },
    defaults: { transcriptionModel: 'hear/live' },
  },
})
after(async () => {
  await bench.close()
  await nls.close()
})

const SECOND = Buffer.alloc(32_000, 3)
const nanos = (seconds: number) => (BigInt(seconds) * SECOND_PICO) / 1000n

/** A client that speaks as long as it likes. */
function speak(key: string, path = '/api/v1/audio/transcriptions/stream') {
  const request = httpRequest(new URL(path, bench.url), {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'audio/pcm', 'transfer-encoding': 'chunked' },
  })
  request.on('error', () => undefined)
  request.flushHeaders()
  const answered = once(request, 'response').then(([response]) => openReply(response as IncomingMessage))
  return { request, answered }
}

const events = (text: string) =>
  text
    .split('\n\n')
    .flatMap((frame) => /^data: (.*)$/m.exec(frame)?.[1] ?? [])
    .map((data) => JSON.parse(data) as Record<string, unknown>)

test('what is said is told while it comes, and charged by the second', async () => {
  const project = await bench.openProject(ONE_USD)
  const { request, answered } = speak(project.secret)
  request.write(SECOND)
  const reply = await answered
  await reply.until((text) => text.includes('Second 1.'))
  request.write(SECOND)
  await reply.until((text) => text.includes('Second 2.'))
  request.end(Buffer.alloc(100))
  const { text, status, headers } = await reply.all()
  assert.equal(status, 200)
  assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8')
  assert.deepEqual(events(text), [
    { type: 'transcript.text.delta', delta: 'Second 1. ' },
    { type: 'transcript.text.delta', delta: 'Second 2. ' },
    { type: 'transcript.text.done', text: 'Second 1. Second 2. ', usage: { type: 'duration', seconds: 3 } },
  ])
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'complete')
  assert.deepEqual(receipt?.usage, { seconds: 3 })
  assert.equal(receipt?.charged_nanousd, String(nanos(3)))
  const session = nls.sessions.at(-1)
  assert(session)
  const { start, bytes } = session
  assert.deepEqual([start.format, start.sample_rate, start.max_sentence_silence], ['pcm', 16_000, 500])
  assert.equal(bytes, 64_100)
})

test('a token is fetched once for many sessions', async () => {
  const project = await bench.openProject(ONE_USD)
  const before = nls.tokens()
  for (let call = 0; call < 3; call += 1) {
    const { request, answered } = speak(project.secret)
    request.end(SECOND)
    await (await answered).all()
  }
  await project.settled(3)
  assert.equal(nls.tokens(), before)
})

test('a wallet that runs dry: what was paid is heard, not a second more', async () => {
  const project = await bench.openProject(nanos(33))
  const { request, answered } = speak(project.secret)
  for (let second = 0; second < 50; second += 1) request.write(SECOND)
  request.end()
  const { text } = await (await answered).all()
  const error = events(text).at(-1) as { error: { code: string } }
  assert.equal(error.error.code, 'insufficient_quota')
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'cut_off')
  assert.equal(receipt?.reason, 'insufficient_credits')
  const heard = nls.sessions.at(-1)?.bytes ?? 0
  assert(heard <= 33 * 32_000)
  assert.equal(receipt?.charged_nanousd, String(nanos(Math.ceil(heard / 32_000))))
})

test('an empty wallet: 402, and nobody is dialled', async () => {
  const project = await bench.openProject(0n)
  const dialled = nls.sessions.length
  const { request, answered } = speak(project.secret)
  const reply = await answered
  assert.equal(reply.status, 402)
  assert.equal((await reply.all()).json.error, 'PAYMENT_REQUIRED')
  request.destroy()
  assert.equal(nls.sessions.length, dialled)
})

test('a client that leaves has paid for what was heard', async () => {
  const project = await bench.openProject(ONE_USD)
  const { request, answered } = speak(project.secret)
  request.write(SECOND)
  await (await answered).until((text) => text.includes('Second 1.'))
  request.destroy()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.equal(receipt?.charged_nanousd, String(nanos(1)))
  await until('the vendor is let go', () => nls.sessions.at(-1)?.closed === true)
})

test('a vendor that breaks off says so, and what it heard is paid', async () => {
  const project = await bench.openProject(ONE_USD)
  nls.planNext({ failAfterBytes: 32_000 })
  const { request, answered } = speak(project.secret)
  request.write(SECOND)
  const { text } = await (await answered).all()
  request.destroy()
  assert.equal((events(text).at(-1) as { error: { code: string } }).error.code, 'upstream_failed')
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'upstream_error')
  assert.equal(receipt?.reason, 'vendor_50000000')
  assert.equal(receipt?.charged_nanousd, String(nanos(1)))
})

test('one that refuses a session moves on to the next', async () => {
  const other = await createSpeechBench({
    config: {
      asr: {
        models: {
          'hear/live': {
            provider: 'aliyun-nls',
            upstreams: [upstream('one'), { ...upstream('two'), overrideModel: 'second' }],
            price: { lines: { seconds: String(SECOND_PICO) } },
          },
        },
      },
    },
  })
  try {
    const project = await other.openProject(ONE_USD)
    nls.planNext({ refuse: 40_000_005 })
    const reply = await other.chat(SECOND, {
      key: project.secret,
      path: '/api/v1/audio/transcriptions/stream?model=hear/live',
      headers: { 'content-type': 'application/octet-stream' },
    })
    assert.match(reply.text, /transcript\.text\.done/)
    const [receipt] = await project.settled(1)
    assert.deepEqual(
      receipt?.attempt_list?.map(({ result }) => result),
      ['vendor_40000005', 'ok'],
    )
  } finally {
    await other.close()
  }
})

test('what is no audio, and a model that hears forms alone, are refused', async () => {
  const project = await bench.openProject(ONE_USD)
  const path = '/api/v1/audio/transcriptions/stream'
  const json = await bench.chat({}, { key: project.secret, path })
  assert.equal(json.status, 415)
  const headers = { 'content-type': 'audio/pcm' }
  const forms = await bench.chat(SECOND, { key: project.secret, path: `${path}?model=hear/whisper`, headers })
  assert.equal(forms.status, 400)
  await project.settled(0)
})
