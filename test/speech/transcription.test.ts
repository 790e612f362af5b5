import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { after, test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { type FormFile, formOf, wavFile } from '#test/support/audio-files.ts'
import { ONE_USD, type Reply, until } from '#test/support/gateway.ts'
import { createSpeechBench, SECOND_PICO } from '#test/support/speech-bench.ts'

const bench = await createSpeechBench({ env: { UPLOAD_BYTES_MAX: String(40 * 1024 * 1024) } })
after(() => bench.close())
const { openai } = bench.fakes
const nanos = (seconds: number) => String((BigInt(seconds) * SECOND_PICO) / 1000n)

type Parts = Parameters<typeof formOf>[0]

function hear(
  parts: Parts,
  call: { key: string | null; path?: string; headers?: Record<string, string> },
): Promise<Reply> {
  const { body, type } = formOf(parts)
  const { path = '/v1/audio/transcriptions', headers } = call
  return bench.chat(body, { key: call.key, path, headers: { 'content-type': type, ...headers } })
}

const three: FormFile = { name: 'three.wav', bytes: wavFile(3) }
/** What the fake makes of three seconds and a header. */
const HEARD = 4

const answers = [
  ['json', /"text":"Heard 4 seconds of three.wav."/, 'application/json'],
  ['text', /^Heard 4 seconds of three.wav.\n$/, 'text/plain; charset=utf-8'],
  ['srt', /^1\n00:00:00,000 --> 00:00:04,000\n/, 'text/plain; charset=utf-8'],
  ['vtt', /^WEBVTT\n/, 'text/vtt; charset=utf-8'],
  ['verbose_json', /"words":\[/, 'application/json'],
] as const

for (const [format, expected, type] of answers) {
  test(`${format} passes on as it is, and is charged by the second`, async () => {
    const project = await bench.openProject(ONE_USD)
    const reply = await hear(
      [
        ['model', 'hear/whisper'],
        ['response_format', format],
        ...(format === 'verbose_json'
          ? ([
              ['timestamp_granularities[]', 'word'],
              ['timestamp_granularities[]', 'segment'],
            ] as const)
          : []),
        ['file', three],
      ],
      { key: project.secret },
    )
    assert.equal(reply.status, 200, reply.text)
    assert.match(reply.text, expected)
    assert.equal(reply.headers['content-type'], type)
    const [receipt] = await project.settled(1)
    const counted = format === 'text'
    assert.deepEqual(receipt?.usage, { seconds: counted ? 3 : HEARD })
    assert.equal(receipt?.usage_source, counted ? 'counted' : 'provider')
    assert.equal(receipt?.charged_nanousd, nanos(counted ? 3 : HEARD))
    assert.equal(reply.headers['x-fluxgate-charged-nanousd'], receipt?.charged_nanousd)
    assert.equal(reply.headers['x-fluxgate-receipt'], receipt?.receipt_id)
  })
}

test('translations have an address of their own', async () => {
  const project = await bench.openProject(ONE_USD)
  const reply = await hear(
    [
      ['model', 'hear/whisper'],
      ['file', three],
    ],
    { key: project.secret, path: '/v1/audio/translations' },
  )
  assert.match(reply.json.text, /^Translated/)
  await project.settled(1)
})

test('the model may stand behind the file, or nowhere', async () => {
  const project = await bench.openProject(ONE_USD)
  for (const parts of [
    [
      ['file', three],
      ['model', 'hear/whisper'],
    ],
    [['file', three]],
  ] satisfies Parts[]) {
    const reply = await hear(parts, { key: project.secret })
    assert.equal(reply.status, 200, reply.text)
    assert.equal(reply.headers['x-fluxgate-model'], 'hear/whisper')
  }
  await project.settled(2)
})

test('fields and file arrive at the provider as they were sent', async () => {
  const project = await bench.openProject(ONE_USD)
  const bytes = wavFile(1)
  await hear(
    [
      ['language', 'de'],
      ['model', 'openai/whisper-1'],
      ['file', { name: 'Grüße 1.wav', type: 'audio/x-wav', bytes }],
      ['prompt', 'Straße\r\nund so weiter'],
      ['temperature', '0'],
    ],
    { key: project.secret },
  )
  const seen = openai.requests.at(-1)
  assert(seen)
  const type = seen.headers['content-type'] ?? ''
  const form = await new Response(new Uint8Array(seen.body), { headers: { 'content-type': type } }).formData()
  assert.equal(form.get('model'), 'whisper-1')
  assert.equal(form.get('language'), 'de')
  assert.equal(form.get('prompt'), 'Straße\r\nund so weiter')
  assert.equal(form.get('temperature'), '0')
  const file = form.get('file') as File
  assert.equal(file.name, 'Grüße 1.wav')
  assert.equal(file.type, 'audio/x-wav')
  assert.deepEqual(Buffer.from(await file.arrayBuffer()), bytes)
  await project.settled(1)
})

test('a long file is passed on while it comes, and charged by what the provider heard', async () => {
  const project = await bench.openProject(10n * ONE_USD)
  const { body, type } = formOf([
    ['model', 'hear/whisper'],
    ['file', { name: 'long.wav', bytes: wavFile(600) }],
  ])
  const asked = openai.requests.length
  const request = httpRequest(new URL('/v1/audio/transcriptions', bench.url), {
    method: 'POST',
    agent: false,
    headers: { 'content-type': type, 'content-length': body.length, authorization: `Bearer ${project.secret}` },
  })
  request.write(body.subarray(0, 4_000_000))
  await until('the call is admitted before all has come', async () => (await project.wallet()).heldNanos > 0n)
  assert.equal(openai.requests.length, asked)
  request.end(body.subarray(4_000_000))
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  response.resume()
  assert.equal(response.statusCode, 200)
  const [receipt] = await project.settled(1)
  assert.deepEqual(receipt?.usage, { seconds: 601 })
})

test('tokens are charged as the provider tells them, whole and streamed', async () => {
  const project = await bench.openProject(ONE_USD)
  const whole = await hear(
    [
      ['model', 'hear/tokens'],
      ['file', three],
    ],
    { key: project.secret },
  )
  assert.equal(whole.status, 200, whole.text)
  const streamed = await hear(
    [
      ['model', 'hear/tokens'],
      ['stream', 'true'],
      ['file', three],
    ],
    { key: project.secret },
  )
  assert.equal(streamed.headers['content-type'], 'text/event-stream; charset=utf-8')
  assert.match(streamed.text, /transcript\.text\.delta[\s\S]*transcript\.text\.done/)
  for (const receipt of await project.settled(2)) {
    assert.deepEqual(receipt.usage, { input: 2, audio_input: 40, output: 5 })
    assert.equal(receipt.usage_source, 'provider')
    assert.equal(receipt.charged_nanousd, String((2n * 2_500_000n + 40n * 6_000_000n + 5n * 10_000_000n) / 1000n))
  }
})

test('a fault moves on to the next upstream, with the file once more', async () => {
  const project = await bench.openProject(ONE_USD)
  openai.failNext({ kind: 'status', status: 503 })
  const reply = await hear(
    [
      ['model', 'hear/whisper'],
      ['file', three],
    ],
    { key: project.secret },
  )
  assert.equal(reply.status, 200, reply.text)
  assert.equal(reply.headers['x-fluxgate-attempts'], '2')
  assert.equal(openai.requests.at(-1)?.headers['x-second'], 'yes')
  const [receipt] = await project.settled(1)
  assert.deepEqual(
    receipt?.attempt_list?.map(({ result }) => result),
    ['status_503', 'ok'],
  )
})

test('the caller’s own fault goes back to him', async () => {
  const project = await bench.openProject(ONE_USD)
  const reply = await hear(
    [
      ['model', 'openai/whisper-1'],
      ['file', { ...three, name: 'three.txt' }],
    ],
    { key: project.secret },
  )
  assert.equal(reply.status, 400)
  assert.match(reply.json.error.message, /Unrecognized file format/)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'void')
})

test('a stream that breaks off says so, and the audio is paid', async () => {
  const project = await bench.openProject(ONE_USD)
  openai.failNext({ kind: 'cut' })
  const reply = await hear(
    [
      ['model', 'hear/tokens'],
      ['stream', 'true'],
      ['file', three],
    ],
    { key: project.secret },
  )
  assert.equal(reply.status, 200)
  assert.match(reply.text, /event: error\ndata: \{"type":"error","error":\{.*"upstream_failed"/)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'upstream_error')
  assert.equal(receipt?.usage.audio_input, 30)
})

test('a client that leaves while it is heard has paid for the seconds', async () => {
  const project = await bench.openProject(ONE_USD)
  openai.failNext({ kind: 'silent' })
  const { body, type } = formOf([
    ['model', 'openai/whisper-1'],
    ['file', three],
  ])
  const asked = openai.requests.length
  const leaving = new AbortController()
  const reply = bench.open(body, {
    key: project.secret,
    path: '/v1/audio/transcriptions',
    headers: { 'content-type': type },
    signal: leaving.signal,
  })
  await until('the provider is asked', () => openai.requests.length > asked)
  leaving.abort()
  await assert.rejects(reply)
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'client_abort')
  assert.equal(receipt?.charged_nanousd, nanos(3))
})

test('a client that leaves in the middle of its file pays nothing', async () => {
  const project = await bench.openProject(10n * ONE_USD)
  const { body, type } = formOf([
    ['model', 'hear/whisper'],
    ['file', { name: 'long.wav', bytes: wavFile(120) }],
  ])
  const request = httpRequest(new URL('/v1/audio/transcriptions', bench.url), {
    method: 'POST',
    agent: false,
    headers: { 'content-type': type, 'content-length': body.length, authorization: `Bearer ${project.secret}` },
  })
  request.on('error', () => undefined)
  request.write(body.subarray(0, 2_000_000))
  await until('the call is admitted', async () => (await project.wallet()).heldNanos > 0n)
  request.destroy()
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'void')
  assert.equal(receipt?.reason, 'client_abort')
})

test('a wallet that does not cover the audio: 402, and nobody hears it', async () => {
  const project = await bench.openProject(BigInt(nanos(2)))
  const asked = openai.requests.length
  const reply = await hear(
    [
      ['model', 'hear/whisper'],
      ['file', three],
    ],
    { key: project.secret },
  )
  assert.equal(reply.status, 402)
  assert.equal(openai.requests.length, asked)
})

test('the same key and form is heard and charged once', async () => {
  const project = await bench.openProject(ONE_USD)
  const call = { key: project.secret, headers: { 'idempotency-key': 'hear-once' } }
  const parts: Parts = [
    ['model', 'hear/whisper'],
    ['file', three],
  ]
  const first = await hear(parts, call)
  const asked = openai.requests.length
  const again = await hear(parts, call)
  assert.equal(again.headers['x-fluxgate-replayed'], 'true')
  assert.equal(again.text, first.text)
  assert.equal(openai.requests.length, asked)
  const other = await hear(
    [
      ['model', 'hear/whisper'],
      ['file', { ...three, bytes: wavFile(2) }],
    ],
    call,
  )
  assert.equal(other.status, 409)
  await project.settled(1)
})

test('forms that are none, or too much, are refused before anything is held', async () => {
  const project = await bench.openProject(ONE_USD)
  const many = Array.from({ length: 80 }, (_, index) => [`field-${index}`, 'x'] as const)
  for (const [parts, status, param] of [
    [[['model', 'hear/whisper']], 400, 'file'],
    [
      [
        ['model', 'hear/whisper'],
        ['prompt', 'x'.repeat(70_000)],
        ['file', three],
      ],
      400,
      'prompt',
    ],
    [
      [
        ['model', 'hear/whisper'],
        ['other', three],
      ],
      400,
      'other',
    ],
    [[...many, ['model', 'hear/whisper'], ['file', three]], 400, null],
    [
      [
        ['model', 'a'],
        ['model', 'b'],
        ['file', three],
      ],
      400,
      'model',
    ],
    [
      [
        ['model', 'hear/whisper'],
        ['response_format', 'docx'],
        ['file', three],
      ],
      400,
      'response_format',
    ],
    [
      [
        ['model', 'hear/nobody'],
        ['file', three],
      ],
      404,
      'model',
    ],
    [
      [
        ['model', 'hear/whisper'],
        ['file', { name: 'huge.wav', bytes: Buffer.alloc(46 * 1024 * 1024) }],
      ],
      413,
      null,
    ],
    [
      [
        ['file', { name: 'huge.wav', bytes: Buffer.alloc(30 * 1024 * 1024) }],
        ['model', 'hear/whisper'],
      ],
      413,
      null,
    ],
  ] as [Parts, number, string | null][]) {
    const reply = await hear(parts, { key: project.secret })
    assert.equal(reply.status, status, reply.text)
    assert.equal(reply.json.error.param, param)
  }
  const json = await bench.chat({ model: 'hear/whisper' }, { key: project.secret, path: '/v1/audio/transcriptions' })
  assert.equal(json.status, 415)
  const stranger = await hear([['file', three]], { key: 'sk-nobody' })
  assert.equal(stranger.status, 401)
  assert.deepEqual(
    (await project.receipts()).filter(({ outcome }) => outcome !== 'void'),
    [],
  )
})

test('the official client transcribes in every format', async () => {
  const project = await bench.openProject(ONE_USD)
  const client = new OpenAI({ apiKey: project.secret, baseURL: `${bench.url}/v1`, maxRetries: 0 })
  const file = () => toFile(three.bytes, 'three.wav')
  const json = await client.audio.transcriptions.create({ file: await file(), model: 'hear/whisper' })
  assert.equal(json.text, 'Heard 4 seconds of three.wav.')
  for (const format of ['text', 'srt', 'vtt'] as const) {
    const text = await client.audio.transcriptions.create({
      file: await file(),
      model: 'hear/whisper',
      response_format: format,
    })
    assert.match(String(text), /Heard 4 seconds/)
  }
  const verbose = await client.audio.transcriptions.create({
    file: await file(),
    model: 'hear/whisper',
    response_format: 'verbose_json',
    timestamp_granularities: ['word'],
  })
  assert.equal(verbose.words?.length, 5)
  let heard = ''
  for await (const event of await client.audio.transcriptions.create({
    file: await file(),
    model: 'hear/tokens',
    stream: true,
  }))
    if (event.type === 'transcript.text.delta') heard += event.delta
  assert.equal(heard, 'Heard 4 seconds of three.wav.')
  const speech = await client.audio.speech.create({ model: 'say/openai', voice: 'nova', input: 'Hello' })
  assert.equal((await speech.arrayBuffer()).byteLength, 500)
  await project.settled(7)
})
