import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createSimulator } from '#simulator/simulator.ts'
import { createRawUpstream, type RawHandler, type RawUpstream, streamHead } from '#test/support/raw-upstream.ts'
import { textOf, verdictOf } from '#test/support/stream-text.ts'
import { createTwoTargets, type TwoTargets } from '#test/support/two-targets.ts'
import { until } from '#test/support/until.ts'
import { countTokens } from '#wire/count-tokens.ts'

// The first upstream does what each test says; the second is well. One nano-dollar a token.

const HELLO = 'Hello! This is the simulator built into Fluxgate; no provider was called. You said: hi'
const CHUNK = 'data: {"id":"c1","model":"m1","choices":[{"index":0,"delta":{"content":"from the first "}}]}\n\n'

let first: RawUpstream
let second: ReturnType<typeof createSimulator>
let secondUrl: string
let gateway: TwoTargets
before(async () => {
  first = await createRawUpstream(() => undefined)
  second = createSimulator()
  secondUrl = (await second.listen()).url
  gateway = await createTwoTargets([first.url, secondUrl], { timeouts: { keepAliveMs: 150 } })
})
after(async () => {
  await gateway.close()
  await first.close()
  await second.close()
})

async function call(handler: RawHandler, stream: boolean, more: object = {}) {
  first.answerWith(handler)
  const project = await gateway.openProject(1_000_000n)
  const asked = second.oracle.totals().all.calls
  const body = { model: 'two/model', stream, messages: [{ role: 'user', content: 'hi' }], ...more }
  const reply = await gateway.chat(body, { key: project.secret })
  const [receipt] = await project.settled(1)
  assert(receipt !== undefined)
  return { reply, receipt, askedSecond: second.oracle.totals().all.calls - asked }
}

const status =
  (line: string, headers = '', body = '{"error":{"message":"no","type":"t"}}'): RawHandler =>
  (socket) =>
    socket.write(
      `HTTP/1.1 ${line}\r\ncontent-type: application/json\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
    )
const answer =
  (text: string, type = 'text/event-stream'): RawHandler =>
  (socket) =>
    socket.end(streamHead({ 'content-type': type }) + text)

const movesOn: [name: string, handler: RawHandler, modes: boolean[]][] = [
  ['a refused credential', status('401 Unauthorized'), [true, false]],
  ['an unknown model', status('404 Not Found'), [true, false]],
  ['a limited rate', status('429 Too Many Requests', 'retry-after: 60\r\n'), [true, false]],
  ['a fault', status('500 Oops'), [true, false]],
  ['a page', answer('<html></html>', 'text/html'), [true, false]],
  ['a reset', (socket) => socket.resetAndDestroy(), [true, false]],
  ['an empty answer', answer(''), [true, false]],
  ['an error in a 200', answer('data: {"error":{"message":"no"}}\n\n'), [true]],
  ['an error in a 200', answer('{"error":{"message":"no"}}', 'application/json'), [true, false]],
  ['nonsense', answer('data: nonsense\n\n'), [true]],
  ['a role and then nothing', answer('data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'), [true]],
  ['silence before the first byte', () => undefined, [true]],
  ['silence before the first content', (socket) => socket.write(`${streamHead()}: hello\n\n`), [true]],
  ['content and a fault in one read', answer(`${CHUNK}data: {"error":{"message":"no"}}\n\n`), [true]],
]

describe('before content the next target serves', () => {
  for (const [name, handler, modes] of movesOn)
    for (const stream of modes)
      test(`after ${name}, ${stream ? 'streamed' : 'whole'}`, async () => {
        const { reply, receipt, askedSecond } = await call(handler, stream)
        assert.equal(verdictOf(reply), '200')
        assert.equal(askedSecond, 1)
        const said = stream ? textOf(reply.text) : reply.json.choices[0].message.content
        assert.equal(said, HELLO)
        assert.doesNotMatch(reply.text, /from the first/)
        const { outcome, provider, model, model_used, attempts, usage, charged_nanousd, usage_source } = receipt
        assert.deepEqual(
          { outcome, provider, model, model_used, attempts, usage_source },
          {
            outcome: 'complete',
            provider: 'second',
            model: 'two/model',
            model_used: 'echo',
            attempts: 2,
            usage_source: 'provider',
          },
        )
        assert.equal(charged_nanousd, String((usage.input ?? 0) + (usage.output ?? 0)), 'only the second is paid')
        assert.equal(usage.output, Math.ceil(HELLO.length / 4))
        if (!reply.text.startsWith(': keepalive')) assert.equal(reply.headers['x-fluxgate-attempts'], '2')
      })
})

test('a target that cannot be reached is passed over', async (t) => {
  const half = await createTwoTargets(['http://127.0.0.1:1', secondUrl])
  t.after(() => half.close())
  const project = await half.openProject(1_000_000n)
  for (const stream of [true, false]) {
    const body = { model: 'two/model', stream, messages: [{ role: 'user', content: 'hi' }] }
    assert.equal((await half.chat(body, { key: project.secret })).status, 200)
  }
  for (const receipt of await project.settled(2)) assert.deepEqual([receipt.provider, receipt.attempts], ['second', 2])
})

test('a keep-alive comment does not keep the second target from serving', async () => {
  const { reply, receipt } = await call((socket) => setTimeout(() => socket.resetAndDestroy(), 320), true)
  assert.match(reply.text, /^: keepalive\n\n/)
  assert.equal(textOf(reply.text), HELLO)
  assert.deepEqual([receipt.outcome, receipt.provider, receipt.attempts], ['complete', 'second', 2])
})

test('after content no other target is asked, and what was passed on is paid at the first price', async () => {
  const { reply, receipt, askedSecond } = await call((socket) => {
    socket.write(streamHead() + CHUNK)
    setTimeout(() => socket.resetAndDestroy(), 50)
  }, true)
  assert.equal(verdictOf(reply), '200, then `upstream_failed`')
  assert.equal(askedSecond, 0)
  assert.equal(textOf(reply.text), 'from the first ')
  assert.deepEqual(
    [
      receipt.outcome,
      receipt.provider,
      receipt.model_used,
      receipt.upstream_id,
      receipt.attempts,
      receipt.usage.output,
    ],
    ['upstream_error', 'first', 'm1', 'c1', 1, countTokens('from the first ')],
  )
  assert.equal(reply.headers['x-fluxgate-attempts'], '1')
})

for (const stream of [true, false])
  test(`the caller's own fault is not taken elsewhere, ${stream ? 'streamed' : 'whole'}`, async () => {
    const { reply, receipt, askedSecond } = await call(status('422 Unprocessable'), stream)
    assert.equal(reply.status, 422)
    assert.equal(reply.json.error.message, 'no')
    assert.equal(askedSecond, 0)
    assert.deepEqual([receipt.outcome, receipt.provider, receipt.attempts], ['void', 'first', 1])
  })

for (const stream of [true, false])
  test(`a client that leaves is not served by another target, ${stream ? 'streamed' : 'whole'}`, async () => {
    const asked = second.oracle.totals().all.calls
    const seen = first.requests.length
    first.answerWith(() => undefined)
    const project = await gateway.openProject(1_000_000n)
    const leaving = new AbortController()
    const body = { model: 'two/model', stream, messages: [{ role: 'user', content: 'hi' }] }
    const gone = assert.rejects(gateway.open(body, { key: project.secret, signal: leaving.signal }))
    await until('the first target has the call', () => first.requests.length > seen)
    leaving.abort()
    await gone
    const [receipt] = await project.settled(1)
    assert.deepEqual([receipt?.outcome, receipt?.provider, receipt?.attempts], ['client_abort', 'first', 1])
    assert.equal(second.oracle.totals().all.calls, asked)
  })

test('usage and text of a failed attempt do not count for the one that serves', async () => {
  const { receipt } = await call(
    answer(
      `${CHUNK.repeat(50)}data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":999}}\n\ndata: {"error":"x"}\n\n`,
    ),
    true,
    { sim: { usage: 'none' } },
  )
  assert.deepEqual([receipt.provider, receipt.usage_source], ['second', 'counted'])
  assert((receipt.usage.output ?? 0) < 30, `${receipt.usage.output} tokens`)
})

test('when all fail, the last one decides what the client is told, and the shortest wait', async () => {
  const { reply, receipt } = await call(status('429 Slow', 'retry-after: 9\r\n'), false, {
    sim: { status: 429, retry_after: '4' },
  })
  assert.equal(verdictOf(reply), '429 `rate_limit_exceeded`')
  assert.equal(reply.headers['retry-after'], '4')
  assert.equal(reply.headers['x-fluxgate-attempts'], '2')
  assert.deepEqual(
    [receipt.outcome, receipt.provider, receipt.attempts, receipt.reason],
    ['void', 'second', 2, 'status_429'],
  )
})

test('a refused credential of one and a fault of the other is a fault', async () => {
  const { reply } = await call(status('401 Unauthorized'), false, { sim: { status: 500 } })
  assert.equal(verdictOf(reply), '502 `upstream_failed`')
})
