// A process that only holds and settles, as fast as its ledger lets it. It takes one message with its orders and answers
// with what it did.
import { setTimeout as delay } from 'node:timers/promises'
import { startCallers } from './ledger-callers.ts'

export interface LedgerOrders {
  databaseUrl: string
  name: string
  callers: number
  durationMs: number
}

export interface LedgerWork {
  /** In the measured time. */
  settled: number
  /** With the warm-up and the end. */
  all: number
  /** Calls that were refused or failed; there should be none. */
  failed: number
  elapsedMs: number
  /** Of the measured time. */
  cpuMs: number
}

const WARM_MS = 700

process.once('message', async (orders: LedgerOrders) => {
  const work = await run(orders)
  process.send?.(work, undefined, undefined, () => process.exit())
})
process.on('disconnect', () => process.exit())

async function run(orders: LedgerOrders): Promise<LedgerWork> {
  const { counts, stop } = await startCallers({
    connection: { connectionString: orders.databaseUrl },
    instance: orders.name,
    callers: orders.callers,
  })
  await delay(WARM_MS)
  const before = { settled: counts.settled, at: performance.now(), cpu: process.cpuUsage() }
  await delay(orders.durationMs)
  const cpu = process.cpuUsage(before.cpu)
  const measured = { settled: counts.settled - before.settled, elapsedMs: performance.now() - before.at }
  await stop()
  return { ...measured, all: counts.settled, failed: counts.failed, cpuMs: (cpu.user + cpu.system) / 1000 }
}
