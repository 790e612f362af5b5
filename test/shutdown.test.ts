import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import pg from 'pg'
import { startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import { findProcess } from '#lib/find-process.ts'
import { type ChatResult, chat } from '#test/support/chat-client.ts'
import {
  CLIENT_KEY,
  createDataDir,
  type Exit,
  type GatewayProcess,
  postmasterPid,
  removeDataDir,
  spawnGateway,
  startGateway,
} from '#test/support/gateway-process.ts'
import { createOperator } from '#test/support/operator.ts'
import { until } from '#test/support/until.ts'

const WELCOME_NANOS = 5_000_000_000n
/** Signals that come closer together are one and the same Ctrl-C. */
const ANOTHER_SIGNAL_MS = 400
const PROMPT = { messages: [{ role: 'user', content: 'Tell me of the tides.' }] }

let dataDir = ''
let gateway: GatewayProcess | undefined
const operator = createOperator(() => gateway?.url ?? '')

before(async () => {
  dataDir = await createDataDir()
})
after(async () => {
  gateway?.kill('SIGKILL')
  await gateway?.exited
  await removeDataDir(dataDir)
})

async function start(env: Record<string, string> = {}): Promise<GatewayProcess> {
  gateway = await startGateway({ dataDir, env })
  return gateway
}

/** Starts calls and gives each the time to be under way; resolves to the promises of their ends. */
async function beginAll(url: string, bodies: Record<string, unknown>[]): Promise<{ results: Promise<ChatResult[]> }> {
  const results = Promise.all(bodies.map((body) => chat({ url, key: CLIENT_KEY, body: { ...PROMPT, ...body } })))
  await delay(300)
  return { results }
}

const slow = (tokens: number, chunkMs: number) => ({
  model: 'sim/large',
  stream: true,
  sim: { tokens, chunk_ms: chunkMs },
})

async function stopNoticed(): Promise<void> {
  while (await operator.ready()) await delay(10)
}

async function exitWithin(running: { exited: Promise<Exit> }, ms: number): Promise<Exit> {
  const late = delay(ms, undefined, { ref: false }).then(() => assert.fail(`the gateway still runs after ${ms} ms`))
  return await Promise.race([running.exited, late])
}

async function wallet() {
  const [project] = await operator.projects()
  assert(project)
  return await operator.wallet(project.id)
}

/** The books cannot lie still: every call has a receipt that verifies, nothing is held, and the money adds up. */
async function checkBooks(): Promise<Map<string, { outcome: string; charged: bigint }>> {
  const { receipts, problems } = await operator.receipts(CLIENT_KEY)
  assert.deepEqual(problems, [])
  assert.deepEqual((await operator.audit()).bad, [])
  const charged = receipts.reduce((sum, receipt) => sum + BigInt(receipt.charged_nanousd), 0n)
  assert.deepEqual(await wallet(), { posted: WELCOME_NANOS - charged, held: 0n, lastSeq: receipts.length })
  return new Map(
    receipts.map(({ receipt_id, outcome, charged_nanousd }) => [
      receipt_id,
      { outcome, charged: BigInt(charged_nanousd) },
    ]),
  )
}

test('SIGINT: running calls finish, new ones are refused, the slot is released and the database stopped', async () => {
  const { url, kill } = await start()
  const { results } = await beginAll(url, [
    slow(120, 10),
    slow(120, 10),
    { model: 'sim/echo', sim: { first_byte_ms: 1_200 } },
  ])
  const postmaster = await postmasterPid(dataDir)
  assert(postmaster)
  kill('SIGINT')
  await stopNoticed()
  const refused = await chat({ url, key: CLIENT_KEY, body: { ...PROMPT, model: 'sim/echo' } })
  assert.deepEqual([refused.status, refused.errorCode], [503, 'shutting_down'])
  assert.equal(refused.headers['retry-after'], '1')
  assert.equal(refused.headers['x-should-retry'], 'true')
  const ended = await results
  assert(gateway)
  assert.equal((await exitWithin(gateway, 10_000)).code, 0)
  for (const result of ended) assert(result.acknowledged, inspect(result))
  assert.equal(findProcess(postmaster), undefined)

  const database = await startEmbeddedPostgres({ dataDir, log: () => undefined })
  const client = new pg.Client(database.connection)
  await client.connect()
  const { rows } = await client.query('select released from fluxgate.gateway_slot')
  await client.end()
  await database.stop()
  assert.deepEqual(rows, [{ released: true }])

  await start()
  const booked = await checkBooks()
  for (const { receipt = '', charged } of ended) assert.deepEqual(booked.get(receipt), { outcome: 'complete', charged })
  assert((await chat({ url: gateway.url, key: CLIENT_KEY, body: { ...PROMPT, model: 'sim/echo' } })).acknowledged)
})

test('calls that outlast SHUTDOWN_MS are cut with a proper last word and charged for what was delivered', async () => {
  gateway?.kill('SIGTERM')
  await gateway?.exited
  const { url, kill } = await start({ SHUTDOWN_MS: '300' })
  const { results } = await beginAll(url, [
    slow(2_000, 10),
    { model: 'sim/echo', sim: { first_byte_ms: 60_000 } },
    { model: 'sim/echo', stream: true, sim: { first_byte_ms: 60_000 } },
  ])
  kill('SIGTERM')
  const [cut, whole, silent] = await results
  assert(gateway && cut && whole && silent)
  assert.equal((await exitWithin(gateway, 10_000)).code, 0)
  assert.deepEqual([cut.status, cut.ended, cut.acknowledged, cut.errorCode], [200, true, false, 'shutting_down'])
  assert(cut.content.length > 0 && cut.charged !== undefined && cut.charged > 0n)
  for (const refused of [whole, silent])
    assert.deepEqual([refused.status, refused.ended, refused.errorCode], [503, true, 'shutting_down'])

  await start()
  const booked = await checkBooks()
  assert.deepEqual(booked.get(cut.receipt ?? ''), { outcome: 'cut_off', charged: cut.charged })
  for (const { receipt = '' } of [whole, silent])
    assert.deepEqual(booked.get(receipt), { outcome: 'void', charged: 0n })
})

test('a second SIGINT cuts at once', async () => {
  gateway?.kill('SIGTERM')
  await gateway?.exited
  const { url, kill } = await start({ SHUTDOWN_MS: '60000' })
  const { results } = await beginAll(url, [slow(3_000, 10)])
  kill('SIGINT')
  await stopNoticed()
  await delay(ANOTHER_SIGNAL_MS)
  kill('SIGINT')
  const [result] = await results
  assert(gateway && result)
  assert.deepEqual([result.ended, result.errorCode], [true, 'shutting_down'])
  assert.equal((await exitWithin(gateway, 10_000)).code, 0)
})

test('a client that reads slowly gets the whole of the answer that it has paid for', async () => {
  const { url, kill } = await start({ SHUTDOWN_MS: '300' })
  const socket = await connectTo(url)
  socket.pause()
  const before = await wallet()
  socket.write(request(JSON.stringify(BIG)))
  await until('the answer is paid for', async () => {
    const { held, lastSeq } = await wallet()
    return lastSeq > before.lastSeq && held === 0n
  })
  kill('SIGINT')
  await delay(1_000)
  let bytes = 0
  socket.on('data', (chunk) => {
    bytes += chunk.length
  })
  socket.resume()
  const closed = once(socket, 'close')
  assert(gateway)
  assert.equal((await exitWithin(gateway, 15_000)).code, 0)
  await closed
  assert(bytes > BIG.sim.long_line_bytes, `only ${bytes} bytes came`)
})

test('clients that read nothing, or never finish asking, do not hold up a stop', async () => {
  const { url, kill } = await start({ SHUTDOWN_MS: '300' })
  const [deaf, slow] = [await connectTo(url), await connectTo(url)]
  deaf.pause()
  deaf.write(request(JSON.stringify(BIG)))
  slow.write(request('{"model":', 1_000))
  await delay(700)
  kill('SIGINT')
  assert(gateway)
  const exit = await exitWithin(gateway, 15_000)
  for (const socket of [deaf, slow]) socket.destroy()
  assert.equal(exit.code, 0)
})

test('a start can be interrupted, also more than once', async () => {
  for (const signals of [1, 2]) {
    const starting = spawnGateway({ dataDir, env: { LOG_LEVEL: 'debug' } })
    gateway = { ...starting, url: '' }
    while (starting.log().length === 0) await delay(10)
    starting.kill('SIGINT')
    if (signals > 1) await delay(ANOTHER_SIGNAL_MS)
    if (signals > 1) starting.kill('SIGINT')
    assert((await exitWithin(starting, 15_000)).signal === null, 'it leaves by itself')
  }
  await start()
  await checkBooks()
})

// More than the buffers of a connection hold.
const BIG = { ...PROMPT, model: 'sim/echo', sim: { long_line_bytes: 30_000_000 } }

async function connectTo(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

function request(body: string, length = Buffer.byteLength(body)): string {
  return (
    `POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${CLIENT_KEY}\r\n` +
    `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`
  )
}
