import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  createTestGateway,
  ONE_USD,
  type Reply,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'
import {
  createRawUpstream,
  httpAnswer,
  type RawHandler,
  type RawUpstream,
  streamHead,
} from '#test/support/raw-upstream.ts'
import { textOf, verdictOf } from '#test/support/stream-text.ts'
import { loadTokenizer } from '#wire/count-tokens.ts'

// An upstream that breaks the rules, in ways that the simulator is too well-behaved for.

let upstream: RawUpstream
let gateway: TestGateway
let project: TestProject
let calls = 0
before(async () => {
  await loadTokenizer()
  upstream = await createRawUpstream(() => undefined)
  gateway = await createTestGateway({
    env: {
      FLUXGATE_SIM_URL: upstream.url,
      FRAME_BYTES_MAX: '20000',
      ANSWER_BYTES_MAX: '100000',
      FIRST_BYTE_TIMEOUT_MS: '1500',
      IDLE_TIMEOUT_MS: '1500',
      OPENAI_API_KEY: 'sk-with-a-line-end\n',
      OPENAI_BASE_URL: `${upstream.url}/v1`,
    },
  })
  project = await gateway.openProject(1_000n * ONE_USD)
})
after(async () => {
  await gateway.close()
  await upstream.close()
})

async function ask(handler: RawHandler, body: object = {}): Promise<Reply> {
  upstream.answerWith(handler)
  calls += 1
  const request = { model: 'sim/echo', stream: true, messages: [{ role: 'user', content: 'hi' }], ...body }
  return gateway.chat(request, { key: project.secret })
}

async function lastReceipt() {
  const receipt = (await project.settled(calls)).at(-1)
  assert(receipt !== undefined)
  return receipt
}

const data = (value: unknown) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`
const said = (content: string) => data({ id: 'c1', model: 'm1', choices: [{ index: 0, delta: { content } }] })
const STOP = data({ id: 'c1', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
const used = (usage: object) => data({ id: 'c1', choices: [], usage })
const USED = used({ prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 })
const DONE = data('[DONE]')
const whole = (usage: object, more: object = {}) =>
  JSON.stringify({
    id: 'c1',
    model: 'm1',
    choices: [{ index: 0, message: { role: 'assistant', content: 'well, hello' }, finish_reason: 'stop' }],
    usage,
    ...more,
  })
const stream =
  (text: string | Buffer, headers: Record<string, string> = {}): RawHandler =>
  (socket) => {
    socket.write(streamHead(headers))
    socket.end(text)
  }

test('a frame that never ends is a fault, and is not collected', async () => {
  const reply = await ask(stream(`data: ${'x'.repeat(50_000)}`))
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.equal((await lastReceipt()).reason, 'frame_too_long')
})

test('a frame that never ends after content costs what came before it', async () => {
  const reply = await ask((socket) => {
    socket.write(streamHead() + said('one two three'))
    setTimeout(() => socket.write(`data: ${'x'.repeat(50_000)}`), 30)
  })
  assert.equal(verdictOf(reply), '200, then `upstream_failed`')
  assert.equal(textOf(reply.text), 'one two three')
  const receipt = await lastReceipt()
  assert.deepEqual([receipt.reason, receipt.usage.output], ['frame_too_long', 3])
  await until('the upstream is closed', () => upstream.used.size === 0, 1_000)
})

test('an answer larger than the limit is a fault', async () => {
  const reply = await ask((socket) => socket.write(httpAnswer(whole({}, { x: 'y'.repeat(200_000) }))), {
    stream: false,
  })
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.equal((await lastReceipt()).reason, 'answer_too_large')
  await until('the upstream is closed', () => upstream.used.size === 0, 1_000)
})

test('headers without end are a fault', async () => {
  const reply = await ask((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const line = `x-filler: ${'y'.repeat(1_000)}\r\n`
    const writing = setInterval(() => socket.write(line.repeat(10)), 5)
    socket.on('close', () => clearInterval(writing))
  })
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.equal((await lastReceipt()).outcome, 'void')
})

test('an error whose body never ends is answered by its status', async () => {
  const reply = await ask((socket) => {
    socket.write('HTTP/1.1 503 Busy\r\ncontent-type: text/plain\r\nretry-after: 4\r\n\r\n')
    const writing = setInterval(() => socket.write('z'.repeat(20_000)), 5)
    socket.on('close', () => clearInterval(writing))
  })
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.equal(reply.headers['retry-after'], '4')
  assert.doesNotMatch(reply.text, /zzz/)
  await until('the upstream is closed', () => upstream.used.size === 0, 1_000)
})

test('not even HTTP', async () => {
  const reply = await ask((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'))
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.doesNotMatch(reply.text, /SSH/)
})

test('early hints come before the answer, not instead of it', async () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n'
  const first = await ask(
    (socket) => {
      socket.write(hints + hints)
      socket.write(httpAnswer(whole({ prompt_tokens: 1, completion_tokens: 1 })))
    },
    { stream: false },
  )
  assert.equal(first.status, 200)
  const second = await ask((socket) => socket.end(hints + streamHead() + said('a') + STOP + USED + DONE))
  assert.equal(verdictOf(second), '200')
  assert.equal((await lastReceipt()).usage_source, 'provider')
})

test('a redirect is not followed', async () => {
  const moved = 'HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n'
  const reply = await ask((socket) => socket.write(moved))
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.doesNotMatch(reply.text + JSON.stringify(reply.headers), /elsewhere/)
  assert.equal((await lastReceipt()).reason, 'status_307')
})

test('a gzip that is cut short or no gzip at all is a fault', async () => {
  const zipped = gzipSync(said('a') + STOP + DONE)
  for (const bytes of [zipped.subarray(0, 10), Buffer.from('this is no gzip')]) {
    const reply = await ask(stream(bytes, { 'content-encoding': 'gzip' }))
    assert.equal(verdictOf(reply), '502 `upstream_failed`')
    assert.equal((await lastReceipt()).reason, 'reset')
  }
  const unknown = await ask(stream('a', { 'content-encoding': 'zstd' }))
  assert.equal(verdictOf(unknown), '502 `upstream_failed`')
})

test('a few bytes that unpack to very many are stopped at the limit', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20))
  assert(bomb.length < 100_000)
  for (const isStream of [true, false]) {
    const reply = await ask(
      stream(bomb, { 'content-encoding': 'gzip', ...(!isStream && { 'content-type': 'application/json' }) }),
      { stream: isStream },
    )
    assert.equal(verdictOf(reply), '502 `upstream_failed`')
    assert.equal((await lastReceipt()).reason, isStream ? 'frame_too_long' : 'answer_too_large')
  }
})

test('headers that HTTP does not allow do not reach the client, and do not fail an answer that is charged', async () => {
  const odd = { 'x-request-id': 'ünï☃', 'content-type': 'application/json; x=☃' }
  const reply = await ask(
    (socket) => socket.write(httpAnswer(whole({ prompt_tokens: 1, completion_tokens: 1 }), odd)),
    { stream: false },
  )
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['content-type'], 'application/json')
  assert.equal(reply.headers['x-upstream-request-id'], undefined)
  assert.equal((await lastReceipt()).outcome, 'complete')
})

const contentTypes: [theirs: string, ours: string][] = [
  ['application/json', 'application/json'],
  ['application/json; charset=utf-8', 'application/json; charset=utf-8'],
  ['application/problem+json', 'application/problem+json'],
  ['text/html', 'application/json'],
  ['image/svg+xml', 'application/json'],
  ['text/html; x=application/json', 'application/json'],
  ['application/json, text/html', 'application/json'],
]
for (const [theirs, ours] of contentTypes)
  test(`a whole answer is JSON for every browser: ${theirs}`, async () => {
    const { status, headers } = await ask(
      (socket) => socket.write(httpAnswer(whole({ prompt_tokens: 1 }), { 'content-type': theirs })),
      { stream: false },
    )
    assert.equal(status, 200)
    assert.equal(headers['content-type'], ours)
    assert.equal(headers['x-content-type-options'], 'nosniff')
  })

test('names with control characters do not spoil the books', async () => {
  const named = { id: 'a\u0000b\n', model: '\u0007m\ud800' }
  await ask((socket) => socket.write(httpAnswer(whole({ prompt_tokens: 1, completion_tokens: 1 }, named))), {
    stream: false,
  })
  const receipt = await lastReceipt()
  assert.equal(receipt.upstream_id, 'ab')
  assert.equal(receipt.model_used, 'm\ufffd')
})

test('usage of a kind that has no price is counted instead', async () => {
  const audio = { prompt_tokens: 50, completion_tokens: 9, completion_tokens_details: { audio_tokens: 9 } }
  const replies = [
    await ask((socket) => socket.write(httpAnswer(whole(audio))), { stream: false }),
    await ask(stream(said('well, hello') + STOP + used(audio) + DONE)),
  ]
  for (const reply of replies) assert.equal(verdictOf(reply), '200')
  for (const receipt of (await project.settled(calls)).slice(-2)) {
    assert.deepEqual([receipt.reason, receipt.usage_source, receipt.usage.output], ['usage_unpriced', 'counted', 3])
  }
})

const oddUsage: [name: string, usage: unknown][] = [
  ['text', { prompt_tokens: '7', completion_tokens: '3' }],
  ['beyond what a number can count', { prompt_tokens: 7, completion_tokens: 2 ** 53 }],
  ['more than any request', { prompt_tokens: 7, completion_tokens: 100_000_001 }],
  ['a list', [1, 2]],
  ['no completion', { prompt_tokens: 7 }],
  ['a negative detail', { prompt_tokens: 7, completion_tokens: 3, prompt_tokens_details: { cached_tokens: -1 } }],
]
for (const [name, usage] of oddUsage)
  test(`usage that is no usage is counted instead: ${name}`, async () => {
    await ask((socket) => socket.write(httpAnswer(whole(usage as object))), { stream: false })
    const receipt = await lastReceipt()
    assert.equal(receipt.usage_source, 'counted')
    assert.equal(receipt.usage.output, 3)
  })

test('an upstream that never closes after [DONE] is let go', async () => {
  const reply = await ask((socket) => {
    socket.write(streamHead() + said('a') + STOP + USED + DONE)
    const writing = setInterval(() => socket.write(': still here\n\n'), 20)
    socket.on('close', () => clearInterval(writing))
  })
  assert.equal(verdictOf(reply), '200')
  await until('the upstream is closed', () => upstream.used.size === 0, 3_000)
})

test('an upstream that goes on after a malformed frame is let go', async () => {
  const reply = await ask((socket) => {
    socket.write(streamHead() + said('a'))
    const writing = setInterval(() => socket.write(data('{"half') + said('b')), 20)
    socket.on('close', () => clearInterval(writing))
  })
  assert.equal(verdictOf(reply), '200, then `upstream_failed`')
  assert.equal((await lastReceipt()).usage.output, 1)
  await until('the upstream is closed', () => upstream.used.size === 0, 1_000)
})

test('an upstream that hangs after the finish reason has finished', async () => {
  const reply = await ask((socket) => socket.write(streamHead() + said('a') + STOP + USED))
  assert.equal(verdictOf(reply), '200')
  assert.match(reply.text, /data: \[DONE\]\n\n$/)
  assert.equal((await lastReceipt()).outcome, 'complete')
})

test('an upstream that ignores the limit is charged only as far as the wallet goes', async () => {
  const poor = await gateway.openProject(700_000n)
  upstream.answerWith((socket) => {
    socket.write(streamHead())
    const line = said('one two three four five six seven eight nine ten ').repeat(20)
    const writing = setInterval(() => socket.write(line), 2)
    socket.on('close', () => clearInterval(writing))
  })
  const request = { model: 'sim/echo', stream: true, max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] }
  const reply = await gateway.chat(request, { key: poor.secret })
  assert.equal(verdictOf(reply), '200, then `length`')
  const [receipt] = await poor.settled(1)
  assert.equal(receipt?.reason, 'insufficient_credits')
  // Whatever arrived in the reads before the stream was paused: more of them on a busy machine.
  assert(BigInt(receipt.absorbed_nanousd) < 20_000_000n, `absorbed ${receipt.absorbed_nanousd}`)
})

test('sound is passed on as it comes, not held back as if nothing had been said', async () => {
  const sound = data({ choices: [{ index: 0, delta: { audio: { id: 'a', data: 'UklG', transcript: 'hel' } } }] })
  upstream.answerWith((socket) => {
    socket.write(streamHead() + data({ choices: [{ index: 0, delta: { role: 'assistant' } }] }) + sound)
    socket.on('close', () => undefined)
  })
  calls += 1
  const body = { model: 'sim/echo', stream: true, messages: [{ role: 'user', content: 'hi' }] }
  const open = await gateway.open(body, { key: project.secret })
  await open.until((text) => text.includes('UklG'))
  open.hangUp()
  assert.equal((await lastReceipt()).usage.output, 1)
})

test('a credential that HTTP does not allow fails the call at once', async () => {
  for (const isStream of [true, false]) {
    calls += 1
    const startedAt = performance.now()
    const body = { model: 'openai/gpt-4o-mini', stream: isStream, messages: [{ role: 'user', content: 'hi' }] }
    const reply = await gateway.chat(body, { key: project.secret })
    assert.equal(verdictOf(reply), '502 `upstream_credential`')
    assert(performance.now() - startedAt < 1_000)
    assert.doesNotMatch(reply.text, /sk-with/)
    assert.equal((await lastReceipt()).outcome, 'void')
  }
})

test('an upstream that is closed before it answers is a fault, also on a connection that was used before', async () => {
  await ask((socket) => socket.write(httpAnswer(whole({ prompt_tokens: 1, completion_tokens: 1 }))), { stream: false })
  const reply = await ask((socket) => socket.destroy(), { stream: false })
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
  assert.equal((await lastReceipt()).reason, 'reset')
})
