import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createTestGateway, ONE_USD, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'

const STALL_MS = 800
/** What the buffers of two connections on one machine may hold. */
const BUFFERS_MAX = 20 * 1024 * 1024

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway({ env: { CLIENT_STALL_TIMEOUT_MS: String(STALL_MS), IDLE_TIMEOUT_MS: '400' } })
})
after(() => gateway.close())

/** Sends a request and reads nothing until told to. */
function silentClient(project: TestProject, body: object): { socket: Socket; read(): Promise<number> } {
  const text = JSON.stringify({ model: 'sim/large', messages: [{ role: 'user', content: 'hi' }], ...body })
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer ${project.secret}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  )
  return {
    socket,
    async read() {
      let bytes = 0
      for await (const chunk of socket) bytes += (chunk as Buffer).length
      return bytes
    },
  }
}

async function runningCall(project: TestProject) {
  await until('the upstream has the call', async () => (await gateway.running(project)).length === 1)
  const [call] = await gateway.running(project)
  assert(call !== undefined)
  return () => gateway.oracle.find(call.sequence)[0] ?? assert.fail()
}

/** Resolves with how much the upstream has written once it has stopped writing. */
async function stopped(seen: () => { bytes: number }): Promise<number> {
  let last = -1
  while (seen().bytes !== last) {
    last = seen().bytes
    await delay(150)
  }
  return last
}

test('a client that reads slowly slows the upstream down, and gets everything', async () => {
  const project = await gateway.openProject(10n * ONE_USD)
  const tokens = 200_000
  const client = silentClient(project, { stream: true, sim: { tokens } })
  const seen = await runningCall(project)
  const written = await stopped(seen)
  assert(seen().state === 'open', 'the upstream is not done')
  assert(written < BUFFERS_MAX, `${written} bytes were written for a client that reads nothing`)
  const received = await client.read()
  assert(received > 2 * BUFFERS_MAX, `the answer has ${received} bytes, which is more than fits anywhere`)
  const [receipt] = await project.settled(1)
  assert.deepEqual([receipt?.outcome, receipt?.usage_source, receipt?.usage.output], ['complete', 'provider', tokens])
})

test('a client that reads nothing is dropped, pays what was passed on, and the upstream is closed', async () => {
  const project = await gateway.openProject(10n * ONE_USD)
  const client = silentClient(project, { stream: true, sim: { tokens: 200_000 } })
  const startedAt = performance.now()
  const [receipt] = await project.settled(1)
  assert(performance.now() - startedAt >= STALL_MS)
  assert(receipt !== undefined)
  assert.equal(receipt.outcome, 'client_abort')
  assert.equal(receipt.usage_source, 'counted')
  await until('the upstream is closed', () => gateway.seen(receipt)[0]?.state === 'aborted', 1_000)
  const upstreamTokens = gateway.seen(receipt)[0]?.completionTokens ?? 0
  const output = receipt.usage.output ?? 0
  assert(output > 0 && output <= upstreamTokens, `${output} of ${upstreamTokens}`)
  assert.equal(gateway.app.openCalls(), 0)
  client.socket.destroy()
})

test('a client that reads nothing of a whole answer is dropped too', async () => {
  const project = await gateway.openProject(10n * ONE_USD)
  const client = silentClient(project, { sim: { long_line_bytes: 30 * 1024 * 1024 } })
  const [receipt] = await project.settled(1)
  assert.equal(receipt?.outcome, 'complete')
  // The timer of a socket first sees that some of it went out, then that no more does.
  await delay(STALL_MS * 2.5)
  assert((await client.read()) < BUFFERS_MAX, 'the rest was not kept')
})
