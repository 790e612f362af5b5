import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { chat } from '#test/support/chat-client.ts'
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

const PROMPT = { messages: [{ role: 'user', content: 'Tell me of the tides.' }] }
const WELCOME_NANOS = 5_000_000_000n

let database: DurableDatabase
let simulator: SimulatorProcess
const dataDirs: string[] = []
const gateways: GatewayProcess[] = []

before(async () => {
  ;[database, simulator] = await Promise.all([startDurableDatabase(), startSimulator()])
})
after(async () => {
  for (const gateway of gateways) {
    gateway.kill('SIGKILL')
    await gateway.exited
  }
  await simulator.close()
  await database.close()
  for (const dataDir of dataDirs) await removeDataDir(dataDir)
})

/** One of several gateways of one database. */
async function start(): Promise<GatewayProcess> {
  const dataDir = await createDataDir()
  dataDirs.push(dataDir)
  const gateway = await startGateway({
    dataDir,
    env: {
      DATABASE_URL: database.url,
      FLUXGATE_SIM_URL: simulator.url,
      WELCOME_GRANT_USD: '5',
      SLOT_LEASE_MS: '500',
      HOLD_TTL_MS: '1000',
    },
  })
  gateways.push(gateway)
  return gateway
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await holds())) {
    assert(performance.now() < deadline, `still not true: ${what}`)
    await delay(50)
  }
}

test('a gateway that was paused beyond its lease charges nothing again and serves on', async () => {
  const [paused, other] = [await start(), await start()]
  const operator = createOperator(() => other.url)
  const [project] = await operator.projects()
  assert(project)
  const stream = (tokens: number, chunkMs: number) =>
    chat({
      url: paused.url,
      key: CLIENT_KEY,
      body: { ...PROMPT, model: 'sim/large', stream: true, sim: { tokens, chunk_ms: chunkMs } },
    })
  // One that will ask for more when the gateway wakes up, one that will only be settled.
  const running = Promise.all([stream(3_000, 2), stream(150, 10)])
  await until('both are held', async () => (await operator.wallet(project.id)).lastSeq === 2)
  await delay(400)

  paused.kill('SIGSTOP')
  await until('the other gateway has settled them', async () => (await operator.wallet(project.id)).held === 0n)
  const swept = (await operator.receipts(CLIENT_KEY)).receipts
  assert.deepEqual(
    swept.map(({ outcome }) => outcome),
    ['gateway_lost', 'gateway_lost'],
  )
  paused.kill('SIGCONT')

  const [long, short] = await running
  assert.deepEqual([long.ended, long.acknowledged, long.errorCode], [true, false, 'ledger_unavailable'])
  for (const { receipt, charged } of [long, short]) {
    const booked = swept.find(({ receipt_id }) => receipt_id === receipt)
    assert.equal(String(charged), booked?.charged_nanousd, 'the client is told what was really charged')
  }
  await until('the paused one serves again', async () => {
    const { acknowledged } = await chat({ url: paused.url, key: CLIENT_KEY, body: { ...PROMPT, model: 'sim/echo' } })
    return acknowledged
  })

  const { receipts, problems } = await operator.receipts(CLIENT_KEY)
  assert.deepEqual(problems, [])
  assert.deepEqual((await operator.audit()).bad, [])
  assert.deepEqual(receipts.slice(0, 2), swept, 'what was settled stays as it is')
  const charged = receipts.reduce((sum, { charged_nanousd }) => sum + BigInt(charged_nanousd), 0n)
  assert.deepEqual(await operator.wallet(project.id), {
    posted: WELCOME_NANOS - charged,
    held: 0n,
    lastSeq: receipts.length,
  })
})
