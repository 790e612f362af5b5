import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import type { OracleCall } from '#simulator/oracle.ts'
import { eventsOf, startSimulatorHere } from '#test/support/simulator-run.ts'

const simulator = await startSimulatorHere()
after(() => simulator.close())
const { port, ended, oracle } = simulator

interface Way {
  path: string
  body: Record<string, unknown>
  /** What a whole stream holds last, where it is one. */
  mark?: string
  /** The error that stands in this event, or is the whole of it. */
  failure?: RegExp
  /** What is counted while it is delivered. */
  counts?: 'completionTokens' | 'spokenCharacters'
}

const messages = [{ role: 'user', content: 'Say hi' }]
const form = { file: 'x'.repeat(64_000) }

/** Every address, streamed where it streams; a form is told by its file. */
const ways: Record<string, Way> = {
  chat: { path: 'chat/completions', body: { model: 'echo', messages } },
  'chat, streamed': {
    path: 'chat/completions',
    body: { model: 'echo', messages, stream: true },
    mark: 'data: [DONE]',
    failure: /^data: \{"error":/m,
    counts: 'completionTokens',
  },
  messages: { path: 'messages', body: { model: 'echo', max_tokens: 500, messages } },
  'messages, streamed': {
    path: 'messages',
    body: { model: 'echo', max_tokens: 500, messages, stream: true },
    mark: 'event: message_stop',
    failure: /^event: error\ndata: \{"type":"error","error":\{"type":/m,
    counts: 'completionTokens',
  },
  count_tokens: { path: 'messages/count_tokens', body: { model: 'echo', messages } },
  responses: { path: 'responses', body: { model: 'echo', input: 'Say hi', store: false } },
  'responses, streamed': {
    path: 'responses',
    body: { model: 'echo', input: 'Say hi', store: false, stream: true },
    mark: 'event: response.completed',
    failure: /^event: response\.failed\n/m,
    counts: 'completionTokens',
  },
  completions: { path: 'completions', body: { model: 'echo', prompt: 'Say hi', max_tokens: 500 } },
  'completions, streamed': {
    path: 'completions',
    body: { model: 'echo', prompt: 'Say hi', max_tokens: 500, stream: true },
    mark: 'data: [DONE]',
    failure: /^data: \{"error":/m,
    counts: 'completionTokens',
  },
  embeddings: { path: 'embeddings', body: { model: 'embed', input: 'Say hi' } },
  speech: {
    path: 'audio/speech',
    body: { model: 'speak', input: 'Say hi, and say it slowly, for there is time.' },
    counts: 'spokenCharacters',
  },
  'speech in events': {
    path: 'audio/speech',
    body: { model: 'gpt-sim-tts', input: 'Say hi, and say it slowly, for there is time.', stream_format: 'sse' },
    mark: 'speech.audio.done',
    failure: /^data: \{"error":/m,
    counts: 'spokenCharacters',
  },
  transcription: { path: 'audio/transcriptions', body: { model: 'transcribe', ...form } },
  'transcription, streamed': {
    path: 'audio/transcriptions',
    body: { model: 'gpt-sim-transcribe', stream: 'true', ...form },
    mark: 'transcript.text.done',
    failure: /^data: \{"error":/m,
    counts: 'completionTokens',
  },
  translation: { path: 'audio/translations', body: { model: 'transcribe', response_format: 'text', ...form } },
}

interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  bytes: Buffer
  text: string
  /** The connection broke before the end. */
  broken: boolean
}

function formOf(body: Record<string, unknown>): { type: string; bytes: Buffer } {
  const parts = Object.entries(body).map(([name, value]) => {
    const fileName = name === 'file' ? '; filename="x.mp3"' : ''
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return `--b\r\ncontent-disposition: form-data; name="${name}"${fileName}\r\n\r\n${text}\r\n`
  })
  return { type: 'multipart/form-data; boundary=b', bytes: Buffer.from(`${parts.join('')}--b--\r\n`) }
}

/** Asks on a connection of its own and takes whatever comes. */
function ask({ path, body }: Way, sim: Record<string, unknown>, signal?: AbortSignal): Promise<Reply> {
  const told = { ...body, sim }
  const isForm = path.startsWith('audio/t')
  const sent = isForm ? formOf(told) : { type: 'application/json', bytes: Buffer.from(JSON.stringify(told)) }
  const { promise, resolve } = Promise.withResolvers<Reply>()
  const asked = request({
    port,
    path: `/v1/${path}`,
    method: 'POST',
    agent: false,
    headers: { 'content-type': sent.type },
    ...(signal && { signal }),
  })
  const chunks: Buffer[] = []
  let status = 0
  let headers = {}
  const end = (broken: boolean) => {
    const bytes = Buffer.concat(chunks)
    resolve({ status, headers, bytes, text: bytes.toString(), broken })
  }
  asked.on('error', () => end(true))
  asked.on('response', (response) => {
    status = response.statusCode ?? 0
    headers = response.headers
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', () => end(true))
    response.on('end', () => end(false))
  })
  asked.end(sent.bytes)
  return promise
}

/** Asks, and leaves as soon as the oracle sees what is waited for. */
async function abandon(way: Way, sim: Record<string, unknown>, passes: (call: OracleCall) => boolean): Promise<Reply> {
  const leaving = new AbortController()
  const last = oracle.calls().at(-1)?.sequence ?? 0
  const asked = ask(way, sim, leaving.signal)
  while (!oracle.calls({ after: last }).some(passes)) await new Promise(setImmediate)
  leaving.abort()
  return asked
}

for (const [name, way] of Object.entries(ways)) {
  const { mark, failure, counts } = way

  test(`${name}: refusals`, async () => {
    const limited = await ask(way, { status: 429, retry_after: '2', retry_after_ms: 1500 })
    assert.deepEqual(
      [limited.status, limited.headers['retry-after'], limited.headers['retry-after-ms']],
      [429, '2', '1500'],
    )
    assert.equal(typeof JSON.parse(limited.text).error.message, 'string')
    assert.equal((await ended()).state, 'failed')
    for (const sim of [{ context_length: true }, { content_filter: 'prompt' }, { bogus: true }]) {
      assert.equal((await ask(way, sim)).status, 400, JSON.stringify(sim))
    }
    const told = await ask(way, { status: 418, error: { type: 'teapot', message: 'short' } })
    assert.deepEqual(JSON.parse(told.text).error, { type: 'teapot', message: 'short' })
    const page = await ask(way, { html_error: true })
    assert.deepEqual([page.status, page.headers['content-type']], [502, 'text/html'])
  })

  test(`${name}: an upstream that fails at first`, async () => {
    const sim = { key: name, fail_first: 2, status: 503 }
    const statuses = []
    for (let call = 0; call < 3; call += 1) statuses.push((await ask(way, sim)).status)
    assert.deepEqual(statuses, [503, 503, 200])
  })

  test(`${name}: no answer at all`, async () => {
    assert.deepEqual([(await ask(way, { reset: true })).status, (await ended()).state], [0, 'cut'])
    assert.equal((await abandon(way, { no_response: true }, () => true)).status, 0)
    assert.equal((await ended()).state, 'aborted')
    assert.equal((await ask(way, { first_byte_ms: 1 })).status, 200)
  })

  test(`${name}: an error in spite of a 200`, async () => {
    const { status, text } = await ask(way, { error_in_200: true, status: 429 })
    assert.equal(status, 200)
    assert.match(text, /"error"/)
    const call = await ended()
    assert.deepEqual([call.state, call.completionTokens, call.spokenCharacters], ['failed', 0, 0])
  })

  test(`${name}: in odd pieces`, async () => {
    const sim = { crlf: true, comments: true, bom: true }
    const plain = await ask(way, { tokens: 4 })
    const odd = await ask(way, { tokens: 4, ...sim })
    assert.equal(odd.status, 200)
    if (mark !== undefined) {
      assert.ok(odd.text.startsWith('\ufeff') && odd.text.includes(': ping\r\n\r\n') && odd.text.includes(mark))
      assert.ok(!/[^\r]\n/.test(odd.text))
    }
    for (const pieces of [{ one_byte: true }, { merge: true, chunk_ms: 1 }, { chunk_ms: 1 }]) {
      const reply = await ask(way, { tokens: 4, ...pieces })
      assert.equal(reply.bytes.length, plain.bytes.length, JSON.stringify(pieces))
    }
    const zipped = await ask(way, { tokens: 4, gzip: true })
    assert.equal(zipped.headers['content-encoding'], 'gzip')
    assert.equal(gunzipSync(zipped.bytes).length, plain.bytes.length)
    const torn = await ask(way, { tokens: 12, split_utf8: true })
    if (!name.startsWith('speech')) assert.ok(!torn.text.includes('\ufffd'))
    assert.equal((await ended()).state, 'finished')
  })

  if (counts === undefined) {
    test(`${name}: half a body`, async () => {
      for (const sim of [{ malformed_after: 1 }, { end_after: 1 }, { cut_after: 1 }]) {
        const whole = await ask(way, {})
        const half = await ask(way, sim)
        assert.ok(half.bytes.length < whole.bytes.length && half.bytes.length > 0, JSON.stringify(sim))
        assert.equal(half.broken, 'cut_after' in sim)
        const call = await ended()
        assert.deepEqual([call.state, call.completionTokens], ['cut', 0])
      }
      const failed = await ask(way, { error_after: 1 })
      assert.match(failed.text, /"error"/)
      const stalled = await ask(way, { stall_after: 1, stall_ms: 1 })
      assert.equal(stalled.broken, false)
      assert.equal((await ended()).state, 'finished')
    })
    continue
  }

  // Chunks of one token, or of four characters.
  const perChunk = counts === 'spokenCharacters' ? 4 : 1

  test(`${name}: faults after three chunks`, async () => {
    for (const [sim, broken, state] of [
      [{ cut_after: 3 }, true, 'cut'],
      [{ end_after: 3 }, false, 'cut'],
      [{ error_after: 3 }, failure === undefined, 'cut'],
    ] as const) {
      const reply = await ask(way, { tokens: 9, ...sim })
      const call = await ended()
      assert.deepEqual([call.state, call[counts], reply.broken], [state, 3 * perChunk, broken], JSON.stringify(sim))
      if (mark !== undefined) assert.ok(!reply.text.includes(mark))
      if ('error_after' in sim && failure !== undefined) assert.match(reply.text, failure)
    }
    await abandon(way, { tokens: 9, stall_after: 3 }, (call) => call[counts] === 3 * perChunk)
    const call = await ended()
    assert.deepEqual([call.state, call[counts]], ['aborted', 3 * perChunk])
  })

  test(`${name}: a stream that goes on after a broken event`, async () => {
    const { text } = await ask(way, { tokens: 9, malformed_after: 3 })
    assert.equal((await ended()).state, 'finished')
    if (mark === undefined) return
    assert.ok(text.includes(mark))
    assert.throws(() => eventsOf(text), SyntaxError)
  })

  if (mark === undefined) continue

  test(`${name}: no mark, and no usage`, async () => {
    const { text } = await ask(way, { tokens: 4, no_done: true })
    assert.ok(!text.includes(mark))
    assert.equal((await ended()).state, 'finished')
    const silent = await ask(way, { tokens: 4, usage: 'none' })
    assert.ok(silent.text.includes(mark) && !/"usage":\{/.test(silent.text))
  })

  test(`${name}: a long line, and data of several lines`, async () => {
    const { text } = await ask(way, { tokens: 4, long_line_bytes: 100_000 })
    const long = eventsOf(text).filter(({ data }) => JSON.stringify(data).length === 100_000)
    assert.equal(long.length, 1)
    const split = await ask(way, { tokens: 4, multiline_data: true })
    const frame = split.text.split('\n\n').find((one) => one.includes('data: {')) ?? ''
    const lines = frame.split('\n').filter((line) => line.startsWith('data: '))
    assert.equal(lines.length, 2)
    assert.equal(typeof JSON.parse(lines.map((line) => line.slice('data: '.length)).join('\n')), 'object')
  })
}
