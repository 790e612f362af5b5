import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import { createTestGateway, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'
import {
  createRawUpstream,
  httpAnswer,
  type RawHandler,
  type RawUpstream,
  streamHead,
} from '#test/support/raw-upstream.ts'
import { putModels } from '#test/support/routed-models.ts'
import { textOf, verdictOf } from '#test/support/stream-text.ts'
import { countPrompt, loadTokenizer } from '#wire/count-tokens.ts'

// Two upstreams, of which the second is asked beside the first after a while. A token costs 1 nano-dollar at the first, 3 at the
// second, 7 at the third, which only serves when both have failed.

const AFTER_MS = 20
const MESSAGES = [{ role: 'user', content: 'Who is the faster one of you?' }]
const PRICES = { first: 1, second: 3, third: 7 }
type Name = keyof typeof PRICES
const names = Object.keys(PRICES) as Name[]

let upstreams: Record<Name, RawUpstream>
let gateway: TestGateway
let prompt: number
before(async () => {
  await loadTokenizer()
  prompt = countPrompt({ messages: MESSAGES }).tokens
  const [first, second, third] = await Promise.all(names.map(() => createRawUpstream(silence)))
  assert(first && second && third)
  upstreams = { first, second, third }
  gateway = await createTestGateway()
})
after(async () => {
  await gateway.close()
  for (const upstream of Object.values(upstreams)) await upstream.close()
})
// Each test has targets of its own, so that none remembers what another test has done.
let tests = 0
beforeEach(async () => {
  tests += 1
  for (const upstream of Object.values(upstreams)) upstream.answerWith(silence)
  const all = names.map((id) => ({
    id,
    url: `${upstreams[id].url}/${tests}`,
    nanosPerToken: PRICES[id],
    more: { maxConcurrency: 1 },
  }))
  const two = all.slice(0, 2)
  const hedge = { afterMs: AFTER_MS }
  await putModels(gateway, {
    hedged: { upstreams: two, hedge },
    three: { upstreams: all, hedge },
    ruled: { upstreams: all, hedge, fallbackTriggers: { httpCodes: [400] } },
    later: { upstreams: two, hedge: { afterMs: 700 } },
    plain: { upstreams: two },
    brief: { upstreams: two, hedge, fullChainTimeoutMs: 900 },
  })
})

const silence: RawHandler = () => undefined

const chunk = (delta: object, more: object = {}) =>
  `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta, finish_reason: null }], ...more })}\n\n`

function says(socket: Socket, text: string, stream: boolean): void {
  const usage = { prompt_tokens: 100, completion_tokens: 10 }
  if (!stream) {
    const choices = [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }]
    socket.write(httpAnswer(JSON.stringify({ id: 'c', model: 'm', choices, usage })))
    return
  }
  const last = { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }
  const frames = [
    chunk({ role: 'assistant' }),
    chunk({ content: text }),
    chunk({}, last),
    chunk({}, { choices: [], usage }),
  ]
  socket.end(`${streamHead()}${frames.join('')}data: [DONE]\n\n`)
}

const answers =
  (text: string, stream: boolean): RawHandler =>
  (socket) =>
    says(socket, text, stream)
const refuses = (status: string) => (socket: Socket) =>
  socket.write(httpAnswer('{"error":{"message":"no","type":"t"}}', {}, status))

/** Asks a model; resolves when the upstreams that are named have the request. */
async function ask(project: TestProject, model: string, stream: boolean, both: Name[] = ['first', 'second']) {
  const before = names.map((name) => upstreams[name].requests.length)
  const sockets: Partial<Record<Name, Socket>> = {}
  const leaving = new AbortController()
  for (const name of both)
    upstreams[name].answerWith((socket) => {
      sockets[name] = socket
    })
  const reply = gateway.chat({ model, stream, messages: MESSAGES }, { key: project.secret, signal: leaving.signal })
  reply.catch(() => undefined)
  await until('all of them are asked', () => both.every((name) => sockets[name] !== undefined))
  const socketOf = (name: Name): Socket => {
    const socket = sockets[name]
    assert(socket !== undefined)
    return socket
  }
  return {
    reply,
    socketOf,
    leave: () => leaving.abort(),
    asked: () => names.filter((name, index) => upstreams[name].requests.length > (before[index] ?? 0)),
  }
}

function attemptsOf(receipt: Receipt): string[] {
  return (receipt.attempt_list ?? []).map(
    ({ upstream, result, cost_nanousd }) =>
      `${upstream} ${result}${cost_nanousd === undefined ? '' : ` ${cost_nanousd}`}`,
  )
}

async function costOf(receipt: Receipt): Promise<bigint> {
  const { rows } = await gateway.db.query<{ cost: bigint }>('select cost from request_log where request_id = $1', [
    receipt.receipt_id.slice('rcp_'.length),
  ])
  return rows[0]?.cost ?? -1n
}

async function closed(...which: Name[]): Promise<void> {
  await until('their connections are closed', () => which.every((name) => upstreams[name].used.size === 0))
}

for (const stream of [true, false])
  describe(`hedging, ${stream ? 'streamed' : 'whole'}`, () => {
    const open = () => gateway.openProject(1_000_000_000n)

    async function expectServed(project: TestProject, by: Name, attempts: string[], lost: bigint): Promise<void> {
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      const { outcome, provider, usage, usage_source, charged_nanousd } = receipt
      assert.deepEqual([outcome, provider, usage_source], ['complete', by, 'provider'], JSON.stringify(receipt))
      assert.deepEqual({ ...usage }, { input: 100, output: 10 })
      assert.equal(charged_nanousd, String(110 * PRICES[by]), 'the customer pays the one that served, and no more')
      assert.deepEqual(attemptsOf(receipt), attempts)
      assert.equal(await costOf(receipt), BigInt(charged_nanousd) + lost, 'the books know what the loser may cost')
      await gateway.expectNothingHeld()
    }

    /** Neither has a call left, and both are in health: each takes only one at a time, and serves. */
    async function expectFree(): Promise<void> {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'hedged', stream)
      says(socketOf('second'), 'Free.', stream)
      await expectText(reply, 'Free.')
    }

    async function expectText(reply: Promise<{ status: number; text: string; json: unknown }>, text: string) {
      const { status, text: body, json } = await reply
      assert.equal(status, 200, body)
      assert.equal(stream ? textOf(body) : gotten(json), text)
    }
    // biome-ignore lint/suspicious/noExplicitAny: a wrong path fails the test.
    const gotten = (json: any) => json.choices[0].message.content

    test('the second serves, the first is cut at once and its prompt is the operator’s', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'hedged', stream)
      says(socketOf('second'), 'I am.', stream)
      await expectText(reply, 'I am.')
      await closed('first')
      await expectServed(project, 'second', [`first lost ${prompt}`, 'second ok'], BigInt(prompt))
      await expectFree()
    })

    test('the first serves after all, and the second is the one that is cut', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'hedged', stream)
      says(socketOf('first'), 'I am, after all.', stream)
      await expectText(reply, 'I am, after all.')
      await closed('second')
      await expectServed(project, 'first', ['first ok', `second lost ${prompt * 3}`], BigInt(prompt * 3))
      await expectFree()
    })

    test('a fault of the second waits for the first', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'hedged', stream)
      socketOf('second').resetAndDestroy()
      says(socketOf('first'), 'Still here.', stream)
      await expectText(reply, 'Still here.')
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      // Which of the two was heard of first is theirs to decide.
      assert.match(attemptsOf(receipt).join(), new RegExp(`^first ok,second (?:reset|lost ${prompt * 3})$`))
    })

    test('a fault of the first waits for the second', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'hedged', stream)
      refuses('500 Oops')(socketOf('first'))
      assert.notEqual((await project.wallet()).heldNanos, 0n, 'the call goes on')
      says(socketOf('second'), 'I am left.', stream)
      await expectText(reply, 'I am left.')
      await expectServed(project, 'second', ['first status_500', 'second ok'], 0n)
    })

    test('when both have failed the next one is asked, without another beside it', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'three', stream)
      upstreams.third.answerWith(answers('The third.', stream))
      refuses('500 Oops')(socketOf('second'))
      refuses('503 Oops')(socketOf('first'))
      await expectText(reply, 'The third.')
      await expectServed(project, 'third', ['first status_503', 'second status_500', 'third ok'], 0n)
    })

    test('the caller’s own fault ends both, and nothing is charged', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'three', stream)
      refuses('400 Bad Request')(socketOf('second'))
      assert.equal(verdictOf(await reply), '400 `t`')
      await closed('first')
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      assert.deepEqual([receipt.outcome, receipt.charged_nanousd], ['void', '0'])
      assert.deepEqual(attemptsOf(receipt), [`first given_up ${prompt}`, 'second status_400'])
      assert.equal(await costOf(receipt), BigInt(prompt))
    })

    test('where a rule takes the caller’s fault elsewhere, the next one is asked', async () => {
      const project = await open()
      const { reply, socketOf } = await ask(project, 'ruled', stream)
      upstreams.third.answerWith(answers('The third.', stream))
      refuses('400 Bad Request')(socketOf('second'))
      await expectText(reply, 'The third.')
      const attempts = [`first given_up ${prompt}`, 'second status_400', 'third ok']
      await expectServed(project, 'third', attempts, BigInt(prompt))
    })

    test('a client that leaves ends both: it pays one prompt, the other is the operator’s', async () => {
      const project = await open()
      const { reply, leave } = await ask(project, 'hedged', stream)
      leave()
      await assert.rejects(reply)
      await closed('first', 'second')
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      assert.deepEqual(
        [receipt.outcome, receipt.provider, receipt.charged_nanousd],
        ['client_abort', 'first', String(prompt)],
      )
      assert.deepEqual(attemptsOf(receipt), ['first client_abort', `second client_abort ${prompt * 3}`])
      assert.equal(await costOf(receipt), BigInt(prompt + prompt * 3))
      await expectFree()
    })

    test('when the time of the chain is over both are cut', async () => {
      const project = await open()
      const { reply } = await ask(project, 'brief', stream)
      assert.equal(verdictOf(await reply), '504 `upstream_timeout`')
      await closed('first', 'second')
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      assert.deepEqual([receipt.outcome, receipt.reason], ['void', 'timeout_chain'])
      assert.deepEqual(attemptsOf(receipt), [`first timeout_chain ${prompt}`, `second timeout_chain ${prompt * 3}`])
    })

    test('an answer that has begun is raced no more', async () => {
      const project = await open()
      const { reply, socketOf, asked } = await ask(project, 'later', stream, ['first'])
      const body = JSON.stringify({
        model: 'm',
        choices: [{ index: 0, message: { content: 'Slowly.' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 100, completion_tokens: 10 },
      })
      const head = stream
        ? streamHead() + chunk({ content: 'Slowly' })
        : streamHead({ 'content-type': 'application/json' })
      socketOf('first').write(head + (stream ? '' : body.slice(0, 10)))
      await until('its time for a second has come', () => performance.now() > begunAt + 1_300)
      assert.deepEqual(asked(), ['first'])
      const rest = `${chunk({ content: '.' })}${chunk({}, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}`
      const usage = chunk({}, { choices: [], usage: { prompt_tokens: 100, completion_tokens: 10 } })
      socketOf('first').end(stream ? `${rest}${usage}data: [DONE]\n\n` : body.slice(10))
      await expectText(reply, 'Slowly.')
      await expectServed(project, 'first', ['first ok'], 0n)
    })
    let begunAt = 0
    beforeEach(() => {
      begunAt = performance.now()
    })

    test('nobody is raced where nothing says so', async () => {
      const project = await open()
      const { reply, socketOf, asked } = await ask(project, 'plain', stream, ['first'])
      await until('a second would have been asked', () => performance.now() > begunAt + 500)
      assert.deepEqual(asked(), ['first'])
      says(socketOf('first'), 'Alone.', stream)
      await expectText(reply, 'Alone.')
    })

    test('the hold covers the dearer of the two', async () => {
      const limit = { max_tokens: 100 }
      const body = { model: 'hedged', stream, messages: MESSAGES, ...limit }
      // Enough for the first, which costs a third.
      const project = await gateway.openProject(300n)
      const reply = await gateway.chat(body, { key: project.secret })
      assert.equal(verdictOf(reply), '402 `insufficient_quota`')
      assert.match(reply.json.error.message, /needs at least (\d+)/)
      const needed = Number(/at least (\d+)/.exec(reply.json.error.message)?.[1])
      assert(needed > 300 && needed % 3 === 0, `${needed} nano-dollars, at the price of the second`)
    })
  })
