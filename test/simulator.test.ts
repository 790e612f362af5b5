import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import OpenAI, {
  APIConnectionError,
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from 'openai'
import { run } from '#cli/simulator.ts'
import type { Oracle, OracleCall } from '#simulator/oracle.ts'
import { createSimulator } from '#simulator/simulator.ts'

const simulator = createSimulator({ exposeOracle: true })
const { url, port } = await simulator.listen()
after(() => simulator.close())

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-anything', maxRetries: 0 })
const messages = [{ role: 'user' as const, content: 'Say hi' }]

/** What the SDK does not know by type, it passes on. */
function withSim<Body extends object>(body: Body, sim: Record<string, unknown>): Body {
  return { ...body, sim } as Body
}

function post(body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body), headers })
}

type Totals = ReturnType<Oracle['totals']>

interface ErrorBody {
  error: { message: string; param: string | null }
}

async function jsonOf<T>(response: Response): Promise<T> {
  return (await response.json()) as T
}

/** The oracle's record of the latest call, once it has ended. */
async function ended(): Promise<OracleCall> {
  for (let tries = 0; tries < 200; tries += 1) {
    const call = simulator.oracle.calls().at(-1)
    if (call !== undefined && call.state !== 'open') return call
    await delay(5)
  }
  throw new Error('the call did not end')
}

test('the SDK reads a plain answer, and the oracle agrees with its usage', async () => {
  const answer = await client.chat.completions.create({ model: 'echo', messages })
  assert.match(answer.id, /^chatcmpl-sim-/)
  assert.equal(answer.object, 'chat.completion')
  assert.match(answer.choices[0]?.message.content ?? '', /You said: Say hi$/)
  assert.equal(answer.choices[0]?.finish_reason, 'stop')
  const call = await ended()
  assert.deepEqual(
    [call.state, call.status, call.promptTokens, call.completionTokens],
    ['finished', 200, answer.usage?.prompt_tokens, answer.usage?.completion_tokens],
  )
})

test('the same request gets the same answer', async () => {
  const body = { model: 'echo', messages, seed: 1 }
  const [one, two] = await Promise.all([client.chat.completions.create(body), client.chat.completions.create(body)])
  assert.deepEqual(one.choices, two.choices)
  assert.deepEqual(one.usage, two.usage)
  assert.notEqual(one.id, two.id)
})

test('the SDK reads a stream: role first, then text, a finish reason, and usage when asked', async () => {
  const stream = await client.chat.completions.create(
    withSim({ model: 'echo', messages, stream: true, stream_options: { include_usage: true } }, { tokens: 5 }),
  )
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  assert.equal(chunks.length, 1 + 5 + 1 + 1)
  assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant')
  assert.deepEqual(
    chunks.slice(1, 6).map((chunk) => chunk.choices[0]?.delta.content?.length),
    [4, 4, 4, 4, 4],
  )
  assert.equal(chunks[6]?.choices[0]?.finish_reason, 'stop')
  assert.deepEqual(chunks[7]?.choices, [])
  assert.equal(chunks[7]?.usage?.completion_tokens, 5)
  assert.ok(chunks.slice(0, 7).every((chunk) => chunk.usage === null))
  assert.equal((await ended()).completionTokens, 5)
})

test('without include_usage no chunk speaks of usage', async () => {
  const text = await (await post({ model: 'echo', messages, stream: true })).text()
  assert.ok(!text.includes('"usage"'))
  assert.ok(text.endsWith('data: [DONE]\n\n'))
})

test('the SDK assembles streamed tool calls', async () => {
  const parameters = { type: 'object', properties: { city: { type: 'string', enum: ['Oslo'] } }, required: ['city'] }
  const runner = client.chat.completions.stream(
    withSim(
      { model: 'echo', messages, tools: [{ type: 'function', function: { name: 'weather', parameters } }] },
      { tool_calls: 2 },
    ),
  )
  const answer = await runner.finalChatCompletion()
  assert.equal(answer.choices[0]?.finish_reason, 'tool_calls')
  const calls = answer.choices[0]?.message.tool_calls ?? []
  assert.equal(new Set(calls.map((call) => call.id)).size, 2)
  for (const call of calls) {
    assert.ok(call.type === 'function')
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ['weather', { city: 'Oslo' }])
  }
})

test('JSON modes answer with valid JSON', async () => {
  const answer = await client.chat.completions.create({
    model: 'echo',
    messages,
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'reply', schema: { type: 'object', properties: { ok: { type: 'boolean' } } } },
    },
  })
  assert.deepEqual(JSON.parse(answer.choices[0]?.message.content ?? ''), { ok: true })
})

test('a reasoner counts what it does not show', async () => {
  const { usage } = await client.chat.completions.create({ model: 'reasoner', messages })
  assert.equal(usage?.completion_tokens_details?.reasoning_tokens, 64)
  assert.ok((usage?.completion_tokens ?? 0) > 64)
})

test('models are listed', async () => {
  const names = []
  for await (const model of client.models.list()) names.push(model.id)
  assert.deepEqual(names.slice(0, 4), ['echo', 'large', 'reasoner', 'free'])
  assert.deepEqual(names.slice(4), ['embed', 'speak', 'gpt-sim-tts', 'transcribe', 'gpt-sim-transcribe'])
})

for (const [sim, errorClass] of [
  [{ status: 400 }, BadRequestError],
  [{ context_length: true }, BadRequestError],
  [{ status: 401 }, AuthenticationError],
  [{ status: 404 }, NotFoundError],
  [{ status: 429, retry_after_ms: 10 }, RateLimitError],
  [{ status: 500 }, InternalServerError],
  [{ status: 503 }, InternalServerError],
  [{ html_error: true }, InternalServerError],
  [{ reset: true }, APIConnectionError],
] as const) {
  test(`the SDK sees ${errorClass.name} for ${JSON.stringify(sim)}`, async () => {
    await assert.rejects(client.chat.completions.create(withSim({ model: 'echo', messages }, sim)), errorClass)
    const call = await ended()
    assert.deepEqual([call.state, call.completionTokens], ['reset' in sim ? 'cut' : 'failed', 0])
  })
}

test('an error inside a stream reaches the SDK as an error', async () => {
  const stream = await client.chat.completions.create(
    withSim({ model: 'echo', messages, stream: true }, { error_after: 2 }),
  )
  let chunks = 0
  await assert.rejects(async () => {
    for await (const _ of stream) chunks += 1
  }, APIError)
  assert.equal(chunks, 3)
  assert.deepEqual([(await ended()).state, (await ended()).completionTokens], ['cut', 2])
})

test('with an API key only that key is served', async (t) => {
  const guarded = createSimulator({ apiKey: 'sk-right' })
  const bound = await guarded.listen()
  t.after(() => guarded.close())
  const baseURL = `${bound.url}/v1`
  const right = new OpenAI({ baseURL, apiKey: 'sk-right', maxRetries: 0 })
  const wrong = new OpenAI({ baseURL, apiKey: 'sk-wrong-and-secret', maxRetries: 0 })
  assert.ok(await right.chat.completions.create({ model: 'echo', messages }))
  await assert.rejects(wrong.chat.completions.create({ model: 'echo', messages }), (error: unknown) => {
    assert.ok(error instanceof AuthenticationError)
    assert.equal(error.code, 'invalid_api_key')
    assert.ok(!error.message.includes('wrong-and-secret'))
    return true
  })
})

test('a client that leaves a slow stream is noticed within a second, with what it was sent', async () => {
  const stream = await client.chat.completions.create(
    withSim({ model: 'large', messages, stream: true }, { chunk_ms: 5, tokens: 10_000 }),
  )
  let chunks = 0
  let leftMs = 0
  for await (const _ of stream) {
    chunks += 1
    if (chunks < 10) continue
    leftMs = performance.now()
    break
  }
  const call = await ended()
  assert.ok(performance.now() - leftMs < 1000)
  assert.equal(call.state, 'aborted')
  assert.ok(call.completionTokens >= 9 && call.completionTokens < 250, String(call.completionTokens))
})

for (const sim of [
  { no_response: true },
  { stall_after: 2 },
  { first_byte_ms: 600_000 },
  { stall_after: 1, stall_ms: 600_000 },
]) {
  test(`the wait of ${JSON.stringify(sim)} ends when the client goes away`, async () => {
    const leaving = new AbortController()
    const before = simulator.oracle.totals().all.calls
    const body = JSON.stringify({ model: 'echo', messages, stream: true, sim })
    const asked = fetch(`${url}/v1/chat/completions`, { method: 'POST', body, signal: leaving.signal })
    const text = asked.then((response) => response.text())
    while (simulator.oracle.totals().all.calls === before) await delay(2)
    const leftMs = performance.now()
    leaving.abort()
    await assert.rejects(text)
    const call = await ended()
    assert.ok(performance.now() - leftMs < 1000)
    assert.equal(call.state, 'aborted')
    assert.ok(call.endedAfterMs !== null)
  })
}

/** Everything a raw socket reads until the simulator ends or resets the connection. */
async function readRaw(body: object): Promise<{ text: string; reads: Buffer[]; reset: boolean }> {
  const socket = connect(port, '127.0.0.1')
  const json = JSON.stringify(body)
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(json)}`
  socket.write(`${head}\r\n\r\n${json}`)
  const reads: Buffer[] = []
  let reset = false
  socket.on('data', (piece: Buffer) => reads.push(piece))
  socket.on('error', () => {
    reset = true
  })
  await new Promise((resolve) => socket.on('close', resolve))
  return { text: Buffer.concat(reads).toString(), reads, reset }
}

/** The bodies of the HTTP chunks in a raw response. */
function chunksOf(raw: Buffer): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = raw.indexOf('\r\n\r\n') + 4; at < raw.length; ) {
    const lineEnd = raw.indexOf('\r\n', at)
    const size = Number.parseInt(raw.toString('latin1', at, lineEnd), 16)
    if (size === 0) break
    chunks.push(raw.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
  return chunks
}

const rawStream = { model: 'echo', messages, stream: true }

async function bodyOf(sim: Record<string, unknown>, more: object = {}): Promise<Buffer> {
  const { reads } = await readRaw({ ...rawStream, ...more, sim: { tokens: 3, ...sim } })
  return Buffer.concat(chunksOf(Buffer.concat(reads)))
}

test('cut_after resets the connection behind exactly so many chunks', async () => {
  const { text, reset } = await readRaw({ ...rawStream, sim: { tokens: 9, cut_after: 4 } })
  assert.ok(reset)
  assert.equal(text.match(/"content":"[^"]/g)?.length, 4)
  assert.ok(!text.includes('[DONE]'))
  assert.deepEqual([(await ended()).state, (await ended()).completionTokens], ['cut', 4])
})

test('end_after ends the stream cleanly without its end marks', async () => {
  const { text, reset } = await readRaw({ ...rawStream, sim: { tokens: 9, end_after: 4 } })
  assert.ok(!reset && text.endsWith('\r\n0\r\n\r\n'))
  assert.ok(!text.includes('[DONE]') && !text.includes('"finish_reason":"'))
})

test('a body that is cut has promised more bytes than it has', async () => {
  const { text, reset } = await readRaw({ model: 'echo', messages, sim: { cut_after: 1 } })
  const promised = Number(/content-length: (\d+)/.exec(text)?.[1])
  assert.ok(reset)
  assert.ok(text.slice(text.indexOf('\r\n\r\n') + 4).length < promised)
})

test('crlf, bom, comments and multi-line data are still server-sent events', async () => {
  const body = (await bodyOf({ crlf: true, bom: true, comments: true, multiline_data: true })).toString()
  assert.ok(body.startsWith('\ufeff: ping\r\n\r\ndata: {'))
  assert.ok(!/[^\r]\n/.test(body))
  const events = body
    .slice(1)
    .split('\r\n\r\n')
    .filter((event) => event.startsWith('data: {'))
  assert.equal(events.length, 1 + 3 + 1)
  for (const event of events) {
    const lines = event.split('\r\n')
    assert.equal(lines.length, 2)
    assert.equal(JSON.parse(lines.map((line) => line.slice('data: '.length)).join('\n')).model, 'echo')
  }
  assert.ok(body.endsWith('data: [DONE]\r\n\r\n'))
})

test('one_byte writes every byte by itself', async () => {
  const { reads } = await readRaw({ ...rawStream, sim: { tokens: 1, one_byte: true } })
  const chunks = chunksOf(Buffer.concat(reads))
  assert.ok(chunks.length > 300 && chunks.every((chunk) => chunk.length === 1))
  assert.ok(Buffer.concat(chunks).toString().endsWith('data: [DONE]\n\n'))
})

test('split_utf8 ends its writes inside characters, and the text is whole', async () => {
  const { reads } = await readRaw({ ...rawStream, sim: { tokens: 20, split_utf8: true } })
  const chunks = chunksOf(Buffer.concat(reads))
  const torn = chunks.filter((chunk) => (chunk.at(-1) ?? 0) >= 0xc0)
  assert.ok(torn.length >= 10, String(torn.length))
  const body = Buffer.concat(chunks).toString()
  assert.ok(!body.includes('\ufffd') && body.includes('🚀') && body.endsWith('data: [DONE]\n\n'))
})

test('paced chunks are writes of their own; merged ones share them', async () => {
  const sim = { tokens: 16, chunk_ms: 2 }
  const paced = await readRaw({ ...rawStream, sim })
  assert.equal(chunksOf(Buffer.concat(paced.reads)).length, 16 + 1)
  const merged = await readRaw({ ...rawStream, sim: { ...sim, merge: true } })
  assert.equal(chunksOf(Buffer.concat(merged.reads)).length, 2 + 1)
})

test('pacing keeps to its schedule', async () => {
  const startMs = performance.now()
  await bodyOf({ tokens: 50, chunk_ms: 4 })
  const tookMs = performance.now() - startMs
  assert.ok(tookMs >= 195 && tookMs < 2000, String(tookMs))
})

test('gzip compresses events so that each can be decoded when it arrives, and bodies', async () => {
  const { reads } = await readRaw({ ...rawStream, sim: { tokens: 3, chunk_ms: 2, gzip: true } })
  const raw = Buffer.concat(reads)
  assert.match(raw.toString('latin1'), /content-encoding: gzip/i)
  const chunks = chunksOf(raw)
  assert.ok(chunks.length >= 4)
  assert.ok(gunzipSync(Buffer.concat(chunks)).toString().endsWith('data: [DONE]\n\n'))
  const plain = await post({ model: 'echo', messages, sim: { gzip: true } }, { 'accept-encoding': 'identity' })
  assert.equal(plain.headers.get('content-encoding'), 'gzip')
  assert.equal((await jsonOf<{ object: string }>(plain)).object, 'chat.completion')
})

test('a long line has the size that was asked for', async () => {
  const body = (await bodyOf({ long_line_bytes: 300_000 })).toString()
  assert.deepEqual(
    body
      .split('\n\n')
      .map((event) => event.length - 'data: '.length)
      .filter((length) => length > 1000),
    [300_000],
  )
  const whole = await (await post({ model: 'echo', messages, sim: { long_line_bytes: 70_000 } })).text()
  assert.equal(whole.length, 70_000)
  assert.equal(JSON.parse(whole).object, 'chat.completion')
})

test('an unknown switch is refused by name', async () => {
  const response = await post({ model: 'echo', messages, sim: { bogus: 1 } })
  assert.equal(response.status, 400)
  assert.equal((await jsonOf<ErrorBody>(response)).error.param, 'sim.bogus')
})

test('fail_first fails so often for a key, and flap in turns', async () => {
  const ask = async (sim: object) => (await post({ model: 'echo', messages, sim })).status
  const first = { key: 'a', fail_first: 2, status: 503 }
  assert.deepEqual([await ask(first), await ask(first), await ask(first), await ask(first)], [503, 503, 200, 200])
  assert.equal(await ask({ ...first, key: 'other' }), 503)
  const flap = { key: 'b', flap: 2 }
  const seen = []
  for (let call = 0; call < 6; call += 1) seen.push(await ask(flap))
  assert.deepEqual(seen, [500, 500, 200, 200, 500, 500])
})

for (const { name, ask, want } of [
  { name: 'broken JSON', ask: () => fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{' }), want: 400 },
  { name: 'an empty body', ask: () => fetch(`${url}/v1/chat/completions`, { method: 'POST' }), want: 400 },
  { name: 'another method', ask: () => fetch(`${url}/v1/chat/completions`), want: 405 },
  { name: 'another address', ask: () => fetch(`${url}/v1/images`), want: 404 },
  {
    name: 'a body over 32 MiB',
    ask: () => fetch(`${url}/v1/chat/completions`, { method: 'POST', body: Buffer.alloc(32 * 1024 * 1024 + 1, ' ') }),
    want: 413,
  },
]) {
  test(`${name} is answered with ${want}`, async () => {
    const response = await ask()
    assert.equal(response.status, want)
    assert.equal(typeof (await jsonOf<ErrorBody>(response)).error.message, 'string')
  })
}

test('a slow reader is sent a large answer whole and in order', async () => {
  const response = await post({ model: 'large', messages, stream: true, sim: { tokens: 20_000 } })
  assert.ok(response.body !== null)
  let bytes = 0
  for await (const piece of response.body) {
    bytes += piece.length
    if (bytes < 2_000_000) await delay(1)
  }
  const call = await ended()
  assert.deepEqual([call.state, call.completionTokens, call.bytes], ['finished', 20_000, bytes])
})

test('the oracle answers over HTTP: totals, pages, calls by either id, and forgetting', async (t) => {
  const other = createSimulator({ exposeOracle: true, oracleCalls: 3 })
  const { url: base } = await other.listen()
  t.after(() => other.close())
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(base + path, { method })
    return { status: response.status, json: await jsonOf<Totals & { calls: OracleCall[] }>(response) }
  }
  for (const id of ['one', 'two', 'two', 'bad']) {
    const model = id === 'bad' ? 'none' : 'sim/free'
    const headers = { 'x-client-request-id': id }
    const body = JSON.stringify({ model, messages, sim: { tokens: 5 } })
    await (await fetch(`${base}/v1/chat/completions`, { method: 'POST', headers, body })).text()
  }
  const { json: totals } = await get('/oracle/totals')
  assert.deepEqual([totals.all.calls, totals.all.open, totals.all.failed], [4, 0, 1])
  assert.deepEqual(totals.models.free?.finished, {
    calls: 3,
    promptTokens: 6,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    audioPromptTokens: 0,
    completionTokens: 15,
    reasoningTokens: 0,
    characters: 0,
    spokenCharacters: 0,
    seconds: 0,
  })
  // Only the last three are held.
  const sequences = (page: { json: { calls: OracleCall[] } }) => page.json.calls.map((call) => call.sequence)
  assert.deepEqual(sequences(await get('/oracle/calls')), [2, 3, 4])
  assert.deepEqual(sequences(await get('/oracle/calls?after=2&limit=1')), [3])
  assert.deepEqual(sequences(await get('/oracle/calls/two')), [2, 3])
  assert.deepEqual(sequences(await get('/oracle/calls/4')), [4])
  assert.equal((await get('/oracle/calls/one')).status, 404)
  assert.equal((await get('/oracle/calls?limit=0')).status, 400)
  assert.equal((await get('/oracle', 'DELETE')).status, 200)
  assert.equal((await get('/oracle/totals')).json.all.calls, 0)
})

test('the oracle is closed to HTTP by default', async (t) => {
  const other = createSimulator()
  const { url: base } = await other.listen()
  t.after(() => other.close())
  assert.equal((await fetch(`${base}/oracle/totals`)).status, 404)
})

test('closing cuts what is open', async () => {
  const other = createSimulator()
  const { url: base } = await other.listen()
  const body = JSON.stringify({ model: 'echo', messages, stream: true, sim: { stall_after: 1 } })
  const response = await fetch(`${base}/v1/chat/completions`, { method: 'POST', body })
  await other.close()
  await assert.rejects(response.text())
  await other.close()
})

test('the command prints its address first and stops when told to', async () => {
  const out = new PassThrough({ encoding: 'utf8' })
  const stop = new AbortController()
  const code = run({ out, err: new PassThrough(), signal: stop.signal }, ['--json'])
  const [line] = await once(out, 'data')
  const { url: base } = JSON.parse(line)
  assert.equal((await fetch(`${base}/oracle/totals`)).status, 200)
  stop.abort()
  assert.equal(await code, 0)
  assert.equal(await run({ out, err: new PassThrough() }, ['--port', 'x']), 2)
  assert.equal(await run({ out, err: new PassThrough() }, ['--port', String(port)]), 1)
})
