import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { OPENAI_KEY, startFakeOpenaiAudio } from '#test/support/fakes/fake-openai-audio.ts'
import { readXml, xmlText } from '#test/support/fakes/well-formed-xml.ts'

const fake = await startFakeOpenaiAudio()
const client = new OpenAI({ apiKey: OPENAI_KEY, baseURL: `${fake.url}/v1`, maxRetries: 0 })
after(() => fake.close())

/** Two seconds, as the fake hears. */
const file = () => toFile(Buffer.alloc(64_000, 7), 'talk.wav')
const TEXT = 'Heard 2 seconds of talk.wav.'

test('the fake speaks to the real client', async () => {
  const speech = await client.audio.speech.create({ model: 'tts-1', voice: 'nova', input: 'Hello' })
  assert.equal((await speech.arrayBuffer()).byteLength, 500)
  assert.equal(speech.headers.get('content-type'), 'audio/mpeg')
  await assert.rejects(client.audio.speech.create({ model: 'tts-9', voice: 'nova', input: 'Hello' }), { status: 404 })
})

test('the fake transcribes into every format', async () => {
  const hear = async (format: 'json' | 'text' | 'srt' | 'vtt' | 'verbose_json') =>
    (await client.audio.transcriptions.create({
      file: await file(),
      model: 'whisper-1',
      response_format: format,
      ...(format === 'verbose_json' && { timestamp_granularities: ['word'] }),
    })) as unknown
  assert.deepEqual(await hear('json'), { text: TEXT, usage: { type: 'duration', seconds: 2 } })
  assert.equal(await hear('text'), `${TEXT}\n`)
  assert.equal(await hear('srt'), `1\n00:00:00,000 --> 00:00:02,000\n${TEXT}\n\n`)
  assert.equal(await hear('vtt'), `WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n${TEXT}\n\n`)
  const verbose = (await hear('verbose_json')) as { duration: number; words: unknown[]; segments: unknown[] }
  assert.deepEqual([verbose.duration, verbose.words.length, verbose.segments.length], [2, 5, 1])
})

test('the fake streams a transcript, translates, and refuses what OpenAI refuses', async () => {
  const stream = await client.audio.transcriptions.create({
    file: await file(),
    model: 'gpt-4o-transcribe',
    stream: true,
  })
  let text = ''
  let usage: unknown
  for await (const event of stream) {
    if (event.type === 'transcript.text.delta') text += event.delta
    if (event.type === 'transcript.text.done') usage = event.usage
  }
  assert.equal(text, TEXT)
  assert.deepEqual(usage, {
    type: 'tokens',
    input_tokens: 22,
    input_token_details: { text_tokens: 2, audio_tokens: 20 },
    output_tokens: 5,
    total_tokens: 27,
  })
  const translated = await client.audio.translations.create({ file: await file(), model: 'whisper-1' })
  assert.equal(translated.text, 'Translated 2 seconds of talk.wav.')
  const wrong = await toFile(Buffer.alloc(10), 'talk.exe')
  await assert.rejects(client.audio.transcriptions.create({ file: wrong, model: 'whisper-1' }), { status: 400 })
  await assert.rejects(
    client.audio.transcriptions.create({ file: await file(), model: 'gpt-4o-transcribe', response_format: 'srt' }),
    { status: 400 },
  )
})

test('the fake reads XML as strictly as a service', () => {
  assert.equal(xmlText(readXml(`<a x='1'>b &amp; c<d y="2"/>e</a>`)), 'b & ce')
  for (const text of [
    '',
    '<a>',
    '<a></b>',
    '<a>&x;</a>',
    '<a>& </a>',
    '<a x=1/>',
    `<a x='<'/>`,
    '<a/>b',
    '<a>\u0000</a>',
  ])
    assert.throws(() => readXml(text), Error, text)
})

test('all vendors can be started by hand', async () => {
  const child = spawn(process.execPath, ['tools/fake-vendors.ts'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const adapters: string[] = []
  for (let count = 0; count < 6; count += 1) {
    const row = JSON.parse((await lines.next()).value ?? '{}')
    adapters.push(row.adapter)
    const answer = await fetch(row.baseUrl)
    assert(answer.status >= 400, `${row.adapter} answers a stranger with ${answer.status}`)
  }
  assert.deepEqual(adapters, ['azure', 'dashscope-cosyvoice', 'volcengine', 'stepfun', 'elevenlabs', 'openai'])
  child.kill('SIGTERM')
  assert.deepEqual(Object.keys(JSON.parse((await lines.next()).value ?? '{}').delivered), adapters)
  assert.deepEqual(await exited, [0, null])
})
