import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { parseSpool } from '#domain/spool.ts'
import { type ChatResult, chat } from '#test/support/chat-client.ts'
import { createDatabaseDoor, type DatabaseDoor } from '#test/support/database-door.ts'
import { type DurableDatabase, startDurableDatabase } from '#test/support/durable-database.ts'
import {
  CLIENT_KEY,
  createDataDir,
  type GatewayProcess,
  removeDataDir,
  startGateway,
} from '#test/support/gateway-process.ts'
import { createOperator } from '#test/support/operator.ts'
import { type SimulatorProcess, startSimulator } from '#test/support/simulator-process.ts'
import { countTokens, loadTokenizer } from '#wire/count-tokens.ts'

const PROMPT = { messages: [{ role: 'user', content: 'Tell me of the tides.' }] }
const RESERVE_WAIT_MS = 400

let database: DurableDatabase
let door: DatabaseDoor
let simulator: SimulatorProcess
let dataDir = ''
let gateway: GatewayProcess | undefined
const operator = createOperator(() => gateway?.url ?? '')

before(async () => {
  ;[database, simulator, dataDir] = await Promise.all([startDurableDatabase(), startSimulator(), createDataDir()])
  door = await createDatabaseDoor(database.url)
})
after(async () => {
  await end('SIGKILL')
  await door.close()
  await simulator.close()
  await database.close()
  await removeDataDir(dataDir)
})

async function end(signal: NodeJS.Signals): Promise<void> {
  gateway?.kill(signal)
  await gateway?.exited
}

async function start(env: Record<string, string>): Promise<void> {
  await end('SIGTERM')
  gateway = await startGateway({
    dataDir,
    env: {
      DATABASE_URL: door.url,
      FLUXGATE_SIM_URL: simulator.url,
      WELCOME_GRANT_USD: '5',
      RESERVE_WAIT_MS: String(RESERVE_WAIT_MS),
      SLOT_LEASE_MS: '1000',
      HOLD_TTL_MS: '1000',
      ...env,
    },
  })
}

function call(body: Record<string, unknown>): Promise<ChatResult> {
  return chat({ url: gateway?.url ?? '', key: CLIENT_KEY, body: { ...PROMPT, ...body } })
}

const stream = (tokens: number, chunkMs: number) => ({
  model: 'sim/large',
  stream: true,
  sim: { tokens, chunk_ms: chunkMs },
})
const whole = (afterMs: number) => ({ model: 'sim/echo', sim: { first_byte_ms: afterMs } })

async function recovered(msMax = 10_000): Promise<void> {
  const deadline = performance.now() + msMax
  for (;;) {
    const { acknowledged, errorCode, failure } = await call({ model: 'sim/echo' })
    if (acknowledged && (await operator.ready())) return
    assert(performance.now() < deadline, `still not served after ${msMax} ms: ${errorCode ?? failure}`)
    await delay(50)
  }
}

/** Every call has one receipt that verifies, nothing is held any more, and the money adds up. */
async function checkBooks(): Promise<void> {
  const [project] = await operator.projects()
  assert(project)
  const deadline = performance.now() + 10_000
  let wallet = await operator.wallet(project.id)
  while (wallet.held > 0n && performance.now() < deadline) {
    await delay(100)
    wallet = await operator.wallet(project.id)
  }
  const { receipts, problems } = await operator.receipts(CLIENT_KEY)
  assert.deepEqual(problems, [])
  assert.deepEqual((await operator.audit()).bad, [])
  const charged = receipts.reduce((sum, receipt) => sum + BigInt(receipt.charged_nanousd), 0n)
  assert.deepEqual(wallet, { posted: 5_000_000_000n - charged, held: 0n, lastSeq: receipts.length })
}

async function booked(
  id: string | undefined,
): Promise<{ outcome: string; reason: string | undefined; charged: bigint }> {
  assert(id !== undefined, 'the client was told the receipt')
  const deadline = performance.now() + 10_000
  for (;;) {
    const receipt = await operator.receipt(CLIENT_KEY, id)
    if (receipt !== undefined)
      return { outcome: receipt.outcome, reason: receipt.reason, charged: BigInt(receipt.charged_nanousd) }
    assert(performance.now() < deadline, `${id} has no receipt`)
    await delay(50)
  }
}

async function spooled(): Promise<string[]> {
  const text = await readFile(join(dataDir, 'spool.jsonl'), 'utf8')
  return parseSpool(text).ops.map((op) => `rcp_${op.requestId}`)
}

test('while the database is away answers wait for their commit, new calls are refused, and all goes on by itself', async () => {
  await start({ SETTLE_WAIT_MS: '20000' })
  await recovered()
  const running = Promise.all([call(stream(60, 10)), call(whole(600))])
  await delay(300)
  door.shut()
  let over = false
  void running.then(() => {
    over = true
  })
  for (let n = 0; n < 3; n += 1) {
    const refused = await call({ model: 'sim/echo' })
    assert.deepEqual([refused.status, refused.errorCode], [503, 'ledger_unavailable'])
    assert.equal(refused.headers['x-should-retry'], 'true')
    assert.equal(refused.headers['retry-after'], '1')
  }
  assert.equal(await operator.ready(), false)
  assert.equal((await fetch(`${gateway?.url}/livez`)).status, 200)
  await delay(900)
  assert.equal(over, false, 'nothing is acknowledged without a commit')

  door.reopen()
  for (const result of await running) {
    assert.equal(result.errorCode, undefined)
    assert.equal(result.acknowledged, true)
    assert.deepEqual(await booked(result.receipt), { outcome: 'complete', reason: undefined, charged: result.charged })
  }
  await recovered()
  assert.deepEqual(await spooled(), [])
  await checkBooks()
})

test('a stream that reaches the end of its tranche while the database is away is cut', async () => {
  await start({ SETTLE_WAIT_MS: '20000' })
  await recovered()
  const running = call(stream(4_000, 1))
  await delay(150)
  door.shut()
  // Far longer than a tranche takes to write, also on a busy machine, and far shorter than the settlement waits.
  await delay(7_000)
  door.reopen()
  const cut = await running
  assert.deepEqual([cut.status, cut.ended, cut.acknowledged, cut.errorCode], [200, true, false, 'ledger_unavailable'])
  await loadTokenizer()
  const tokens = countTokens(cut.content)
  assert(tokens > 0 && tokens <= 1_024 + 64, `it went on for ${tokens} tokens`)
  assert.deepEqual(await booked(cut.receipt), {
    outcome: 'cut_off',
    reason: 'ledger_unavailable',
    charged: cut.charged,
  })
  await recovered()
  await checkBooks()
})

test('an answer that cannot be settled in time says so, and is settled once when the database is back', async () => {
  await start({ SETTLE_WAIT_MS: '600' })
  await recovered()
  const pending = await leavePending()
  assert.deepEqual((await spooled()).sort(), pending.map(({ receipt }) => receipt).sort())
  door.reopen()
  await recovered()
  for (const { receipt } of pending) assert.equal((await booked(receipt)).outcome, 'complete')
  assert.deepEqual(await spooled(), [])
  await checkBooks()
})

test('... or by the next process, when this one is killed meanwhile', async () => {
  await start({ SETTLE_WAIT_MS: '600' })
  await recovered()
  const pending = await leavePending()
  await end('SIGKILL')
  door.reopen()
  await start({})
  for (const { receipt } of pending) {
    const { outcome, charged } = await booked(receipt)
    assert.equal(outcome, 'complete')
    assert(charged > 0n)
  }
  assert.deepEqual(await spooled(), [])
  await recovered()
  await checkBooks()
})

test('... or when it is stopped meanwhile', async () => {
  await start({ SETTLE_WAIT_MS: '600', SHUTDOWN_MS: '500' })
  await recovered()
  const pending = await leavePending()
  const stopping = performance.now()
  await end('SIGTERM')
  assert(performance.now() - stopping < 15_000, 'a stop does not wait for the database')
  door.reopen()
  await start({})
  for (const { receipt } of pending) assert.equal((await booked(receipt)).outcome, 'complete')
  assert.deepEqual(await spooled(), [])
  await checkBooks()
})

test('a database that falls silent is given up in bounded time, and its dead connections do not stay in the way', async () => {
  await start({ SETTLE_WAIT_MS: '600' })
  await recovered()
  door.silence()
  const results = await Promise.all([
    call({ model: 'sim/echo' }),
    call({ model: 'sim/echo' }),
    operator.ready(),
    chat({ url: gateway?.url ?? '', key: 'fg_key_nobody_knows_this_one_00000000000', body: PROMPT }),
  ])
  const [first, second, ready, stranger] = results
  for (const result of [first, second, stranger])
    assert.deepEqual([result.status, result.errorCode], [503, 'ledger_unavailable'])
  assert.equal(ready, false)
  door.reopen()
  await recovered(30_000)
  await checkBooks()
})

/** A stream and a whole answer that ended while the database was away for longer than they wait. */
async function leavePending(): Promise<{ receipt: string }[]> {
  const running = Promise.all([call(stream(60, 10)), call(whole(500))])
  await delay(250)
  door.shut()
  const [cut, refused] = await running
  assert.deepEqual([cut.status, cut.ended, cut.acknowledged], [200, true, false])
  assert.equal(cut.errorCode, 'settlement_pending')
  assert(cut.content.length > 0)
  assert.deepEqual([refused.status, refused.errorCode], [503, 'settlement_pending'])
  assert.equal(refused.headers['x-should-retry'], 'false')
  return [cut, refused].map(({ receipt }) => {
    assert(receipt !== undefined)
    return { receipt }
  })
}
