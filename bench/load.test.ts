import assert from 'node:assert/strict'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { createSimulator } from '#simulator/simulator.ts'
import { generateLoad } from './generate-load.ts'
import { chatRequest, runLoad } from './load.ts'
import type { LoadOptions } from './load-options.ts'

async function withSimulator(use: (url: string, simulator: ReturnType<typeof createSimulator>) => Promise<void>) {
  const simulator = createSimulator()
  const { url } = await simulator.listen()
  try {
    await use(`${url}/v1/chat/completions`, simulator)
  } finally {
    await simulator.close()
  }
}

test('a closed loop sends as many requests as it was told, from a process of its own', async () => {
  await withSimulator(async (url, simulator) => {
    const report = await runLoad({ url, requests: [chatRequest({ model: 'echo' })], connections: 4, count: 200 })
    assert.deepEqual([report.loop, report.sent, report.answered, report.statuses], ['closed', 200, 200, { 200: 200 }])
    assert.equal(simulator.oracle.totals().all.finished.calls, 200)
    assert.deepEqual([report.latency.count, report.stopped], [200, null])
    assert.ok(report.latency.p50 > 0 && report.latency.p50 <= report.latency.max)
    assert.ok(report.generator.cpuMs > 0)
  })
})

test('streams are counted by event, and what they lack is seen', async () => {
  await withSimulator(async (url) => {
    const whole = chatRequest({ model: 'echo', stream: true, sim: { tokens: 5, chunk_ms: 1 } })
    const lacking = chatRequest({ model: 'echo', stream: true, sim: { tokens: 5, no_done: true } })
    const report = await generateLoad({ url, requests: [whole, lacking], connections: 2, count: 20 })
    // Role, five pieces, finish reason, usage; ten of the streams have [DONE] too.
    assert.equal(report.events, 20 * 8 + 10)
    assert.equal(report.unfinishedStreams, 10)
    assert.equal(report.firstByte.count, 20)
    assert.ok(report.firstByte.p50 <= report.latency.p50)
  })
})

test('an open loop keeps its rate and counts latency from when a request was due', async () => {
  await withSimulator(async (url) => {
    // One connection and 40 ms per answer carry 25 requests/s; 100/s are due for 300 ms.
    const slow = chatRequest({ model: 'echo', sim: { first_byte_ms: 40 } })
    const report = await generateLoad({ url, requests: [slow], connections: 1, rate: 100, durationMs: 300 })
    assert.equal(report.answered, 30)
    assert.ok(report.service.p50 < 200, String(report.service.p50))
    // The last request was due after 290 ms and answered after 30 × 40 ms.
    assert.ok(report.latency.max > 800, String(report.latency.max))
    assert.ok(report.lateness.max > 700, String(report.lateness.max))
  })
})

test('refusals are counted by status and kept out of the latency', async () => {
  await withSimulator(async (url) => {
    const refused = chatRequest({ model: 'echo', sim: { status: 429 } })
    const report = await generateLoad({
      url,
      requests: [refused, chatRequest({ model: 'echo' })],
      connections: 1,
      count: 10,
    })
    assert.deepEqual(report.statuses, { 200: 5, 429: 5 })
    assert.equal(report.latency.count, 5)
  })
})

test('resets and silence are errors, and the run goes on with new connections', async () => {
  await withSimulator(async (url) => {
    const requests = [{ reset: true }, { no_response: true }, {}].map((sim) => chatRequest({ model: 'echo', sim }))
    const report = await generateLoad({ url, requests, connections: 2, count: 9, timeoutMs: 300 })
    assert.deepEqual([report.answered, report.errors.closed, report.errors.timeout], [3, 3, 3])
  })
})

test('a server that closes after each answer is served by new connections', async (t) => {
  const server = createHttpServer((_, response) => response.setHeader('connection', 'close').end('ok'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const report = await generateLoad({ url, requests: [{}], connections: 3, count: 10 })
  assert.deepEqual([report.answered, report.errors.closed], [10, 0])
})

test('a run without a server ends', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const url = `http://127.0.0.1:${port}/`
  const report = await generateLoad({ url, requests: [{}], connections: 1, count: 1, timeoutMs: 200 })
  assert.equal(report.stopped, 'the connections could not be opened')
  assert.ok(report.errors.connect > 0)
})

const usable: LoadOptions = { url: 'http://127.0.0.1:1/', requests: [{}], connections: 1, count: 1 }
for (const [change, claim] of [
  [{ url: 'https://example.com/' }, /http: address/],
  [{ requests: [] }, /requests/],
  [{ connections: 0 }, /connections/],
  [{ rate: 0 }, /rate/],
  [{ count: 1e9 }, /count/],
  [{ durationMs: 1e9 }, /durationMs/],
] as const) {
  test(`options are checked: ${JSON.stringify(change)}`, async () => {
    await assert.rejects(generateLoad({ ...usable, ...change }), claim)
    await assert.rejects(runLoad({ ...usable, ...change }), claim)
  })
}
