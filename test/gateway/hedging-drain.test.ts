import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import type { Receipt } from '#billing/receipt.ts'
import { createTestGateway, type TestGateway, until } from '#test/support/gateway.ts'
import { createRawUpstream, httpAnswer, type RawUpstream, streamHead } from '#test/support/raw-upstream.ts'
import { putModels } from '#test/support/routed-models.ts'
import { countPrompt, loadTokenizer } from '#wire/count-tokens.ts'

// Under CLIENT_ABORT_POLICY=drain a client that leaves pays for the whole answer: of one upstream, never of two.

const MESSAGES = [{ role: 'user', content: 'Do you mind if I leave?' }]
const USAGE = { prompt_tokens: 100, completion_tokens: 10 }

let gateway: TestGateway
let upstreams: Record<'first' | 'second', RawUpstream>
before(async () => {
  await loadTokenizer()
  upstreams = {
    first: await createRawUpstream(() => undefined),
    second: await createRawUpstream(() => undefined),
  }
  gateway = await createTestGateway({ env: { CLIENT_ABORT_POLICY: 'drain' } })
  // Targets of their own for each kind of call: none remembers what became of another.
  const both = (place: string) => [
    { id: 'first', url: `${upstreams.first.url}/${place}` },
    { id: 'second', url: `${upstreams.second.url}/${place}`, nanosPerToken: 3 },
  ]
  const models = ['streamed', 'whole'].flatMap((mode) => [
    [`soon ${mode}`, { upstreams: both(mode), hedge: { afterMs: 20 } }] as const,
    [`late ${mode}`, { upstreams: both(mode), hedge: { afterMs: 600 } }] as const,
  ])
  await putModels(gateway, Object.fromEntries(models))
})
after(async () => {
  await gateway.close()
  await upstreams.first.close()
  await upstreams.second.close()
})

function says(socket: Socket, stream: boolean): void {
  if (!stream) {
    const choices = [{ index: 0, message: { role: 'assistant', content: 'No.' }, finish_reason: 'stop' }]
    socket.write(httpAnswer(JSON.stringify({ choices, usage: USAGE })))
    return
  }
  const frames = [
    { choices: [{ index: 0, delta: { content: 'No.' } }] },
    { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    { choices: [], usage: USAGE },
  ].map((frame) => `data: ${JSON.stringify(frame)}\n\n`)
  socket.end(`${streamHead()}${frames.join('')}data: [DONE]\n\n`)
}

/** Asks, leaves once so many upstreams have the request, and hands over the connection of the first. */
async function leaves(model: string, stream: boolean, asked: 1 | 2) {
  const project = await gateway.openProject(1_000_000_000n)
  const seen = upstreams.second.requests.length
  let socket: Socket | undefined
  upstreams.first.answerWith((given) => {
    socket = given
  })
  const leaving = new AbortController()
  const body = { model, stream, messages: MESSAGES }
  const gone = assert.rejects(gateway.chat(body, { key: project.secret, signal: leaving.signal }))
  await until('they are asked', () => socket !== undefined && upstreams.second.requests.length - seen === asked - 1)
  leaving.abort()
  await gone
  assert(socket !== undefined)
  return { project, socket, askedSecond: () => upstreams.second.requests.length - seen }
}

function attemptsOf(receipt: Receipt | undefined): string[] {
  return (receipt?.attempt_list ?? []).map(({ upstream, result, cost_nanousd = '' }) =>
    `${upstream} ${result} ${cost_nanousd}`.trim(),
  )
}

for (const stream of [true, false]) {
  const mode = stream ? 'streamed' : 'whole'
  test(`of two that run one is read to its end, and the other is cut, ${mode}`, async () => {
    const { project, socket } = await leaves(`soon ${mode}`, stream, 2)
    await until('the second is cut', () => upstreams.second.used.size === 0)
    says(socket, stream)
    const [receipt] = await project.settled(1)
    assert.deepEqual(
      [receipt?.outcome, receipt?.provider, receipt?.usage_source, receipt?.charged_nanousd],
      ['client_abort', 'first', 'provider', '110'],
    )
    const prompt = countPrompt({ messages: MESSAGES }).tokens
    assert.deepEqual(attemptsOf(receipt), ['first ok', `second client_abort ${prompt * 3}`])
  })

  test(`nobody is asked any more for a client that has left, ${mode}`, async () => {
    const { project, socket, askedSecond } = await leaves(`late ${mode}`, stream, 1)
    const leftAt = performance.now()
    await until('a second would have been asked', () => performance.now() > leftAt + 1_000)
    assert.equal(askedSecond(), 0)
    socket.resetAndDestroy()
    const [receipt] = await project.settled(1)
    assert.deepEqual([receipt?.outcome, receipt?.charged_nanousd, askedSecond()], ['void', '0', 0])
    assert.deepEqual(attemptsOf(receipt), ['first reset'])
  })
}
