import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createTestGateway, ONE_USD, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'
import { verdictOf } from '#test/support/stream-text.ts'

const ASK = { model: 'sim/echo', messages: [{ role: 'user', content: 'hello' }] }

/** A connection on which a test writes what it wants. */
function rawClient(gateway: TestGateway) {
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  const answered = (async () => {
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text
  })()
  return { socket, answered }
}

function head(project: TestProject, bytes: number): string {
  return `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${project.secret}\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n`
}

test('calls that end in time end as ever, and then the gateway is closed', async (t) => {
  const gateway = await createTestGateway()
  t.after(() => gateway.close())
  const project = await gateway.openProject(ONE_USD)
  const calls = [
    gateway.chat({ ...ASK, stream: true, sim: { tokens: 30, chunk_ms: 10 } }, { key: project.secret }),
    gateway.chat({ ...ASK, sim: { first_byte_ms: 300 } }, { key: project.secret }),
  ]
  await until('both run', async () => (await gateway.running(project)).length === 2)
  const startedAt = performance.now()
  await gateway.closeApp(30_000)
  assert(performance.now() - startedAt < 5_000)
  for (const reply of await Promise.all(calls)) assert.equal(verdictOf(reply), '200')
  const receipts = await project.settled(2)
  assert(receipts.every(({ outcome, usage_source }) => outcome === 'complete' && usage_source === 'provider'))
})

test('a request that arrives while the gateway stops is told to try again elsewhere', async (t) => {
  const gateway = await createTestGateway()
  t.after(() => gateway.close())
  const project = await gateway.openProject(ONE_USD)
  const running = gateway.chat({ ...ASK, sim: { first_byte_ms: 600 } }, { key: project.secret })
  const late = rawClient(gateway)
  const body = JSON.stringify(ASK)
  late.socket.write(head(project, body.length))
  await until('a call runs', async () => (await gateway.running(project)).length === 1)
  const closed = gateway.closeApp(30_000)
  late.socket.write(`\r\n${body}`)
  const answer = await late.answered
  assert.match(answer, /^HTTP\/1\.1 503 /)
  assert.match(answer, /\r\nretry-after: 1\r\n/i)
  assert.match(answer, /\r\nconnection: close\r\n/i)
  assert.match(answer, /"code":"shutting_down"/)
  assert.equal((await running).status, 200)
  await closed
  await project.settled(1)
})

test('a body that never arrives does not keep the gateway from stopping', async (t) => {
  const gateway = await createTestGateway()
  t.after(() => gateway.close())
  const project = await gateway.openProject(ONE_USD)
  const stuck = rawClient(gateway)
  stuck.socket.write(`${head(project, 1_000)}\r\n{"model":`)
  await until('the call is open', () => gateway.app.openCalls() === 1)
  const startedAt = performance.now()
  await gateway.closeApp(200)
  assert(performance.now() - startedAt < 3_000)
  assert.match(await stuck.answered, /^HTTP\/1\.1 503 .*"code":"shutting_down"/s)
  await project.settled(0)
})

test('at the deadline every call is cut with a proper end, and settled', async (t) => {
  const gateway = await createTestGateway({ env: { CLIENT_ABORT_POLICY: 'drain' } })
  t.after(() => gateway.close())
  const project = await gateway.openProject(ONE_USD)
  const kinds = [
    { stream: true, sim: { tokens: 4_000, chunk_ms: 10 } },
    { stream: true, sim: { first_byte_ms: 60_000 } },
    { stream: false, sim: { first_byte_ms: 60_000 } },
  ]
  const calls = Array.from({ length: 18 }, (_, n) => gateway.chat({ ...ASK, ...kinds[n % 3] }, { key: project.secret }))
  // One whose client has left, and which is read to its end for nobody.
  const leaving = new AbortController()
  const left = gateway.open({ ...ASK, ...kinds[0] }, { key: project.secret, signal: leaving.signal })
  await until('all run', async () => (await gateway.running(project)).length === 19)
  ;(await left).hangUp()
  const startedAt = performance.now()
  await gateway.closeApp(300)
  assert(performance.now() - startedAt < 5_000)
  const verdicts = (await Promise.all(calls)).map(verdictOf)
  assert.deepEqual([...new Set(verdicts)].toSorted(), ['200, then `shutting_down`', '503 `shutting_down`'])
  const receipts = await project.settled(19)
  const outcomes = Map.groupBy(receipts, ({ outcome }) => outcome)
  assert.equal(outcomes.get('cut_off')?.length, 7)
  assert.equal(outcomes.get('void')?.length, 12)
})
