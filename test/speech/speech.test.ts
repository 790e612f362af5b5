import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { fakeAudio } from '#test/support/fakes/fake-vendor.ts'
import { ONE_USD, until } from '#test/support/gateway.ts'
import { createSpeechBench, nanosOf } from '#test/support/speech-bench.ts'

const TEXT = `Fish & chips: "5 < 6", it's 你好!`
const CHARACTERS = [...TEXT].length

const bench = await createSpeechBench()
after(() => bench.close())
const { fakes } = bench

/** By each vendor's own rule. */
const vendors = [
  { name: 'azure', characters: CHARACTERS + 2, voice: 'zh-CN-YunxiNeural' },
  { name: 'dashscope', characters: CHARACTERS + 2, voice: 'longxiaochun_v2' },
  { name: 'volcengine', characters: CHARACTERS, voice: 'BV002_streaming' },
  { name: 'stepfun', characters: CHARACTERS, voice: 'linjiajiejie' },
  { name: 'elevenlabs', characters: Math.ceil(CHARACTERS / 2), voice: 'JBFqnCBsd6RMkjVDRZzb' },
  { name: 'openai', characters: CHARACTERS, voice: 'nova' },
] as const

for (const { name, characters, voice } of vendors) {
  test(`${name}: charges the characters that the vendor counts, and not one more`, async () => {
    const project = await bench.openProject(ONE_USD)
    const reply = await bench.say({ model: `say/${name}`, input: TEXT, voice }, { key: project.secret })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.headers['content-type'], 'audio/mpeg')
    assert.equal(reply.headers['x-fluxgate-model'], `say/${name}`)
    assert.equal(reply.headers['x-fluxgate-attempts'], '1')
    assert.equal(reply.headers['x-fluxgate-voice'], undefined)
    assert.equal(reply.body.length, CHARACTERS * 100)
    const [receipt] = await project.settled(1)
    assert.equal(receipt?.receipt_id, reply.headers['x-fluxgate-receipt'])
    assert.equal(receipt?.outcome, 'complete')
    assert.deepEqual(receipt?.usage, { characters })
    assert.equal(receipt?.usage_source, 'counted')
    assert.equal(receipt?.charged_nanousd, String(nanosOf(characters)))
    assert.equal(fakes[name].delivered.at(-1)?.characters, characters)
  })
}

test('the bytes are the vendor’s own, of a model of the environment too', async () => {
  const project = await bench.openProject(ONE_USD)
  const reply = await bench.say(
    { model: 'openai/tts-1', input: TEXT, voice: 'nova', response_format: 'opus' },
    { key: project.secret },
  )
  assert.equal(reply.headers['content-type'], 'audio/opus')
  assert.deepEqual(reply.body, fakeAudio('openai', { text: TEXT, voice: 'nova', format: 'opus' }))
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})

test('metrics count what was spoken', async () => {
  const { text } = await bench.chat(undefined, { method: 'GET', path: '/metrics' })
  assert.match(text, /^fluxgate_units_total\{model="say\/openai",kind="characters"\} [1-9]/m)
})

test('tokens are charged as the provider tells them', async () => {
  const project = await bench.openProject(ONE_USD)
  const reply = await bench.say({ model: 'say/tokens', input: TEXT, voice: 'nova' }, { key: project.secret })
  assert.equal(reply.headers['content-type'], 'audio/mpeg')
  assert.equal(reply.body.length, CHARACTERS * 100)
  const [receipt] = await project.settled(1)
  assert.deepEqual(receipt?.usage, { input: CHARACTERS, audio_output: CHARACTERS * 3 })
  assert.equal(receipt?.usage_source, 'provider')
  assert.equal(
    receipt?.charged_nanousd,
    String((BigInt(CHARACTERS) * 600_000n + BigInt(CHARACTERS * 3) * 12_000_000n + 999n) / 1000n),
  )
})

test('speech events pass on as they are', async () => {
  const project = await bench.openProject(ONE_USD)
  const reply = await bench.say(
    { model: 'say/tokens', input: TEXT, voice: 'nova', stream_format: 'sse' },
    { key: project.secret },
  )
  assert.equal(reply.headers['content-type'], 'text/event-stream')
  assert.match(reply.text, /speech\.audio\.delta/)
  assert.match(reply.text, /speech\.audio\.done/)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.usage_source, 'provider')
})

const failures = [
  { what: 'a fault of the provider', failure: { kind: 'status', status: 500 }, code: 'status_500' },
  { what: 'a refused credential', failure: { kind: 'status', status: 401 }, code: 'status_401' },
  { what: 'a limited rate', failure: { kind: 'status', status: 429 }, code: 'status_429' },
  { what: 'a 200 without audio', failure: { kind: 'empty' }, code: 'empty' },
  {
    what: 'a page in a 200',
    failure: { kind: 'answer', headers: { 'content-type': 'text/html' }, body: '<p>' },
    code: 'error_in_200',
  },
] as const

for (const { what, failure, code } of failures) {
  test(`${what} moves on to the next vendor, with a voice that is near`, async () => {
    const other = await createSpeechBench()
    try {
      const project = await other.openProject(ONE_USD)
      other.fakes.openai.failNext(failure)
      const reply = await other.say({ model: 'say/first', input: TEXT, voice: 'nova' }, { key: project.secret })
      assert.equal(reply.status, 200, reply.text)
      const spoken = other.fakes.azure.delivered.at(-1)
      assert(spoken)
      assert.equal(reply.headers['x-fluxgate-voice'], spoken.voice)
      assert.equal(reply.headers['x-fluxgate-attempts'], '2')
      const [receipt] = await project.settled(1)
      assert.deepEqual(receipt?.usage, { characters: CHARACTERS + 2 })
      assert.deepEqual(
        receipt?.attempt_list?.map(({ result }) => result),
        [code, 'ok'],
      )
    } finally {
      await other.close()
    }
  })
}

test('the caller’s own fault goes back to him, and nobody else is asked', async () => {
  const project = await bench.openProject(ONE_USD)
  fakes.openai.failNext({
    kind: 'status',
    status: 400,
    body: JSON.stringify({
      error: { message: 'no such voice', type: 'invalid_request_error', param: 'voice', code: null },
    }),
  })
  const asked = fakes.azure.requests.length
  const reply = await bench.say({ model: 'say/first', input: TEXT, voice: 'nova' }, { key: project.secret })
  assert.equal(reply.status, 400)
  assert.equal(reply.json.error.message, 'no such voice')
  assert.equal(fakes.azure.requests.length, asked)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'void')
})

test('audio that breaks off breaks the connection off, and says nothing in the audio', async () => {
  const project = await bench.openProject(ONE_USD)
  fakes.openai.failNext({ kind: 'cut' })
  const reply = await bench.say({ model: 'say/first', input: TEXT, voice: 'nova' }, { key: project.secret })
  assert.equal(reply.status, 200)
  assert.equal(reply.whole, false)
  const sent = fakeAudio('openai', { text: TEXT, voice: 'nova', format: 'mp3' })
  assert.deepEqual(reply.body, sent.subarray(0, reply.body.length))
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'upstream_error')
  assert.equal(receipt?.reason, 'reset')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})

test('a client that leaves after the first byte has paid for the text', async () => {
  const project = await bench.openProject(ONE_USD)
  fakes.openai.failNext({ kind: 'stall' })
  const reply = await bench.open(
    { model: 'say/openai', input: TEXT, voice: 'nova' },
    { key: project.secret, path: '/v1/audio/speech' },
  )
  await reply.until((text) => text.length > 0)
  const broken = fakes.openai.brokenOff()
  reply.hangUp()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
  await until('the vendor is let go', () => fakes.openai.brokenOff() > broken)
})

test('a client that leaves before the first byte has paid for the text that the vendor was given', async () => {
  const project = await bench.openProject(ONE_USD)
  fakes.openai.failNext({ kind: 'silent' })
  const asked = fakes.openai.requests.length
  const leaving = new AbortController()
  const reply = bench.open(
    { model: 'say/first', input: TEXT, voice: 'nova' },
    { key: project.secret, path: '/v1/audio/speech', signal: leaving.signal },
  )
  await until('the vendor is asked', () => fakes.openai.requests.length > asked)
  leaving.abort()
  await assert.rejects(reply)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.equal(receipt?.charged_nanousd, String(nanosOf(CHARACTERS)))
})

test('a client that leaves a model with tokens is charged what the provider tells at the end', async () => {
  const project = await bench.openProject(ONE_USD)
  fakes.openai.failNext({ kind: 'slow', ms: 50 })
  const asked = fakes.openai.requests.length
  const leaving = new AbortController()
  const reply = bench.open(
    { model: 'say/tokens', input: TEXT, voice: 'nova' },
    { key: project.secret, path: '/v1/audio/speech', signal: leaving.signal },
  )
  await until('the vendor is asked', () => fakes.openai.requests.length > asked)
  leaving.abort()
  await assert.rejects(reply)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.equal(receipt?.usage_source, 'provider')
  assert.equal(receipt?.usage.audio_output, CHARACTERS * 3)
})

test('a wallet that does not cover the text: 402, and no vendor is asked', async () => {
  const project = await bench.openProject(nanosOf(CHARACTERS) - 1n)
  const asked = fakes.openai.requests.length
  const reply = await bench.say({ model: 'say/openai', input: TEXT, voice: 'nova' }, { key: project.secret })
  assert.equal(reply.status, 402)
  assert.equal(reply.json.error.code, 'insufficient_quota')
  assert.equal(fakes.openai.requests.length, asked)
  await project.settled(0)
})

test('the dearest target decides what is held', async () => {
  const project = await bench.openProject(nanosOf(CHARACTERS + 1))
  const reply = await bench.say({ model: 'say/first', input: TEXT, voice: 'nova' }, { key: project.secret })
  assert.equal(reply.status, 402)
})

test('twenty at once on a balance for five: five are spoken', async () => {
  const project = await bench.openProject(nanosOf(CHARACTERS) * 5n)
  const replies = await Promise.all(
    Array.from({ length: 20 }, () =>
      bench.say({ model: 'say/openai', input: TEXT, voice: 'nova' }, { key: project.secret }),
    ),
  )
  assert.equal(replies.filter(({ status }) => status === 200).length, 5)
  assert.equal(replies.filter(({ status }) => status === 402).length, 15)
  await project.settled(5)
})

test('the same key and body is spoken and charged once', async () => {
  const project = await bench.openProject(ONE_USD)
  const call = { key: project.secret, headers: { 'idempotency-key': 'once' } }
  const body = { model: 'say/openai', input: TEXT, voice: 'nova' }
  const first = await bench.say(body, call)
  const asked = fakes.openai.requests.length
  const again = await bench.say(body, call)
  assert.equal(again.status, 200)
  assert.equal(again.headers['x-fluxgate-replayed'], 'true')
  assert.equal(again.headers['content-type'], 'audio/mpeg')
  assert.deepEqual(again.body, first.body)
  assert.equal(fakes.openai.requests.length, asked)
  const other = await bench.say({ ...body, input: 'something else' }, call)
  assert.equal(other.status, 409)
  await project.settled(1)
})

test('what nobody can say is refused before anything is held', async () => {
  const project = await bench.openProject(ONE_USD)
  for (const [body, param] of [
    [{ model: 'say/openai', input: ' \n ' }, 'input'],
    [{ model: 'say/openai', input: 'x'.repeat(4097), voice: 'nova' }, 'input'],
    [{ model: 'say/volcengine', input: 'x', response_format: 'flac' }, 'response_format'],
    [{ model: 'say/azure', input: 'x', stream_format: 'sse' }, 'stream_format'],
    [{ model: 'say/openai' }, 'input'],
  ] as const) {
    const reply = await bench.say(body, { key: project.secret })
    assert.equal(reply.status, 400, reply.text)
    assert.equal(reply.json.error.param, param)
  }
  const unknown = await bench.say({ model: 'say/nobody', input: 'x' }, { key: project.secret })
  assert.equal(unknown.status, 404)
  const stranger = await bench.say({ model: 'say/openai', input: 'x' }, { key: 'sk-nobody' })
  assert.equal(stranger.status, 401)
  await project.settled(0)
})

test('what a vendor has no place for is named, or refused to who wants it strict', async () => {
  const project = await bench.openProject(ONE_USD)
  const body = { model: 'say/azure', input: 'x', instructions: 'whisper' }
  const lax = await bench.say(body, { key: project.secret })
  assert.equal(lax.headers['x-fluxgate-dropped'], 'instructions')
  const strict = await bench.say(body, { key: project.secret, headers: { 'x-fluxgate-translation': 'strict' } })
  assert.equal(strict.json.error.code, 'unsupported_parameter')
  await project.settled(1)
})

test('a client that reads slowly slows the vendor, and hears everything', async () => {
  const project = await bench.openProject(ONE_USD)
  const input = 'word '.repeat(800).trim()
  const reply = await bench.open(
    { model: 'say/openai', input, voice: 'nova' },
    { key: project.secret, path: '/v1/audio/speech' },
  )
  reply.response.pause()
  await new Promise(setImmediate)
  reply.response.resume()
  const whole = await reply.all()
  assert.equal(whole.body.length, input.length * 100)
  await project.settled(1)
})
