import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import OpenAI, { BadRequestError, toFile } from 'openai'
import { eventsOf, startSimulatorHere, withSim } from '#test/support/simulator-run.ts'

const simulator = await startSimulatorHere()
after(() => simulator.close())
const { url, post, ended } = simulator

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-anything', maxRetries: 0 })
const say = { model: 'sim/speak', input: 'Hello, 🚀!', voice: 'alloy' } as const
/** Code points, of which the rocket is one. */
const CHARACTERS = 9

async function soundOf(body: object): Promise<Buffer> {
  const response = await post('audio/speech', body)
  assert.equal(response.status, 200)
  return Buffer.from(await response.arrayBuffer())
}

test('sound is as long as the text, and the oracle counts its characters', async () => {
  const response = await client.audio.speech.create(say)
  assert.equal(response.headers.get('content-type'), 'audio/mpeg')
  const sound = Buffer.from(await response.arrayBuffer())
  assert.equal(sound.length, CHARACTERS * 384)
  assert.deepEqual(await soundOf(say), sound)
  const call = await ended()
  assert.deepEqual(
    [call.protocol, call.characters, call.spokenCharacters, call.completionTokens, call.bytes],
    ['speech', CHARACTERS, CHARACTERS, 0, sound.length],
  )
})

test('a WAV file says the truth about itself', async () => {
  const sound = await soundOf({ ...say, response_format: 'wav' })
  assert.equal(sound.toString('latin1', 0, 4) + sound.toString('latin1', 8, 12), 'RIFFWAVE')
  assert.equal(sound.readUInt32LE(4), sound.length - 8)
  assert.equal(sound.readUInt32LE(40), sound.length - 44)
  const seconds = (sound.length - 44) / sound.readUInt32LE(28)
  assert.ok(Math.abs(seconds - CHARACTERS * 0.048) < 1e-9)
  const pcm = await soundOf({ ...say, response_format: 'pcm' })
  assert.deepEqual(pcm, sound.subarray(44))
})

for (const [format, type] of [
  ['opus', 'audio/opus'],
  ['aac', 'audio/aac'],
  ['flac', 'audio/flac'],
] as const) {
  test(`${format} has its type`, async () => {
    const response = await post('audio/speech', { ...say, response_format: format })
    assert.equal(response.headers.get('content-type'), type)
    assert.equal((await response.arrayBuffer()).byteLength, CHARACTERS * 384)
  })
}

test('the model that bills tokens tells them in its last event', async () => {
  const body = { ...say, model: 'sim/gpt-sim-tts', instructions: 'Gently.', stream_format: 'sse' }
  const events = eventsOf((await soundOf(body)).toString())
  const done = events.pop()?.data
  assert.deepEqual(done, {
    type: 'speech.audio.done',
    usage: { input_tokens: 6, output_tokens: CHARACTERS, total_tokens: 6 + CHARACTERS },
  })
  const sound = Buffer.concat(events.map(({ data }) => Buffer.from(String(data.audio), 'base64')))
  assert.deepEqual(sound, await soundOf(say))
  await soundOf(body)
  const call = await ended()
  assert.deepEqual([call.promptTokens, call.completionTokens, call.characters], [6, CHARACTERS, 0])
})

test('a client that leaves has been spoken to only so far', async () => {
  const leaving = new AbortController()
  const body = JSON.stringify({ ...say, input: 'x'.repeat(400), sim: { stall_after: 3 } })
  const response = await fetch(`${url}/v1/audio/speech`, { method: 'POST', body, signal: leaving.signal })
  await response.body?.getReader().read()
  leaving.abort()
  const call = await ended()
  assert.deepEqual([call.state, call.characters, call.spokenCharacters], ['aborted', 400, 12])
})

for (const [members, param] of [
  [{ input: '' }, 'input'],
  [{ input: 'x'.repeat(4097) }, 'input'],
  [{ response_format: 'ogg' }, 'response_format'],
  [{ stream_format: 'sse' }, 'stream_format'],
] as const) {
  test(`speech refuses ${JSON.stringify(members).slice(0, 40)}`, async () => {
    const response = await post('audio/speech', { ...say, ...members })
    assert.equal(response.status, 400)
    assert.equal(((await response.json()) as { error: { param: string } }).error.param, param)
  })
}

/** Two seconds of it, at what unknown formats are taken for. */
const file = () => toFile(Buffer.alloc(32_000, 1), 'speech.mp3')

test('a transcription bills started seconds', async () => {
  const answer = await client.audio.transcriptions.create({ model: 'sim/transcribe', file: await file() })
  assert.ok(answer.text.length > 10)
  assert.deepEqual(answer.usage, { type: 'duration', seconds: 2 })
  const call = await ended()
  assert.deepEqual([call.protocol, call.seconds, call.promptTokens, call.completionTokens], ['transcription', 2, 0, 6])
  const longer = await client.audio.transcriptions.create({
    model: 'transcribe',
    file: await toFile(Buffer.alloc(32_001), 'x'),
  })
  assert.deepEqual(longer.usage, { type: 'duration', seconds: 3 })
})

test('a WAV file is as long as it says', async () => {
  const sound = await soundOf({ ...say, input: 'x'.repeat(100), response_format: 'wav' })
  const answer = await client.audio.transcriptions.create({
    model: 'transcribe',
    file: await toFile(sound, 'x.wav'),
    response_format: 'verbose_json',
  })
  assert.ok(Math.abs(answer.duration - 4.8) < 1e-9)
  assert.equal(answer.usage?.seconds, 5)
  assert.equal(answer.segments?.map(({ text }) => text).join(''), answer.text)
  assert.equal(answer.segments?.at(-1)?.end, 4.8)
})

for (const [response_format, pattern] of [
  ['text', /^A ledger is[^\n]*\n$/],
  ['srt', /^1\n00:00:00,000 --> 00:00:02,000\nA ledger is[^\n]*\n\n$/],
  ['vtt', /^WEBVTT\n\n00:00:00\.000 --> 00:00:02\.000\nA ledger is[^\n]*\n\n$/],
] as const) {
  test(`a transcription may come as ${response_format}`, async () => {
    const body = { model: 'transcribe', file: await file(), response_format }
    assert.match(await client.audio.transcriptions.create(body), pattern)
    assert.match(String(await client.audio.translations.create(body)), pattern)
  })
}

test('the model that bills tokens says which were sound', async () => {
  const answer = await client.audio.transcriptions.create({
    model: 'gpt-sim-transcribe',
    file: await file(),
    prompt: 'eight ch',
  })
  assert.deepEqual(answer.usage, {
    type: 'tokens',
    input_tokens: 22,
    input_token_details: { text_tokens: 2, audio_tokens: 20 },
    output_tokens: 6,
    total_tokens: 28,
  })
  const call = await ended()
  assert.deepEqual([call.seconds, call.promptTokens, call.audioPromptTokens, call.completionTokens], [0, 22, 20, 6])
})

test('a transcription in pieces', async () => {
  const body = { model: 'gpt-sim-transcribe', file: await file() }
  const stream = await client.audio.transcriptions.create({ ...body, stream: true })
  let text = ''
  for await (const event of stream) {
    if (event.type === 'transcript.text.delta') text += event.delta
    if (event.type !== 'transcript.text.done') continue
    assert.equal(event.text, text)
    assert.equal(event.usage?.total_tokens, 26)
  }
  assert.equal(text, (await client.audio.transcriptions.create(body)).text)
})

test('switches stand in a field of the form', async () => {
  const told = new FormData()
  told.set('model', 'transcribe')
  told.set('sim', '{"seconds":90,"tokens":4}')
  told.set('file', new Blob(['sound']), 'x.mp3')
  const response = await fetch(`${url}/v1/audio/transcriptions`, { method: 'POST', body: told })
  const { usage } = (await response.json()) as { usage: unknown }
  assert.deepEqual(usage, { type: 'duration', seconds: 90 })
  assert.equal((await ended()).completionTokens, 4)
})

for (const { name, fields, want } of [
  { name: 'no file', fields: { model: 'transcribe' }, want: 'file' },
  { name: 'an empty file', fields: { model: 'transcribe', file: '' }, want: 'file' },
  { name: 'no model', fields: { file: 'x' }, want: 'model' },
  {
    name: 'a format that the model has not',
    fields: { model: 'gpt-sim-transcribe', file: 'x', response_format: 'srt' },
    want: 'response_format',
  },
  { name: 'an unknown switch', fields: { model: 'transcribe', file: 'x', sim: '{"bogus":1}' }, want: 'sim.bogus' },
  { name: 'switches that are no JSON', fields: { model: 'transcribe', file: 'x', sim: '{' }, want: 'sim' },
]) {
  test(`a transcription refuses ${name}`, async () => {
    const form = new FormData()
    for (const [key, value] of Object.entries(fields)) {
      if (key === 'file') form.set(key, new Blob([value]), 'x.mp3')
      else form.set(key, value)
    }
    const response = await fetch(`${url}/v1/audio/transcriptions`, { method: 'POST', body: form })
    assert.equal(response.status, 400)
    assert.equal(((await response.json()) as { error: { param: string } }).error.param, want)
  })
}

test('a transcription refuses what is no form', async () => {
  assert.equal((await post('audio/transcriptions', { model: 'transcribe' })).status, 400)
})

test('the SDK sees the errors of sound as errors', async () => {
  await assert.rejects(client.audio.speech.create(withSim(say, { context_length: true })), BadRequestError)
  const inside = await post('audio/speech', { ...say, sim: { error_in_200: true } })
  assert.equal(inside.headers.get('content-type'), 'application/json')
  assert.equal(((await inside.json()) as { error: { type: string } }).error.type, 'server_error')
})
