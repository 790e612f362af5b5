import { countDeadlocks } from './ledger-total.ts'
import type { LedgerOrders, LedgerWork } from './ledger-worker.ts'
import type { Loader } from './load.ts'
import { readCpuMs, readFamilyCpuMs } from './process-cost.ts'
import type { VariantServer } from './variants.ts'
import { startWorker } from './worker-process.ts'
import { loadOptions, workloads } from './workloads.ts'

const CALLERS = 64
const LIMIT_MS = 60_000

/** One process against two on one database, in one round. */
export interface TwoResult {
  what: 'ledgers' | 'gateways'
  round: number
  processes: number
  perSecond: number
  /** Of one call, by the processes themselves and by PostgreSQL. */
  processUs: number
  postgresUs: number
  failed: number
  deadlocks: number
}

/** Processes that only hold and settle, 64 callers each, on the same 128 wallets. */
export async function measureLedgers(
  run: { databaseUrl: string; postgresPid: number | undefined },
  place: { processes: number; round: number; durationMs: number; processors: string | undefined },
): Promise<TwoResult> {
  const deadlocks = await countDeadlocks(run.databaseUrl)
  const cpu = watchPostgres(run.postgresPid)
  const works = await Promise.all(
    Array.from({ length: place.processes }, (_, index) =>
      work(
        {
          databaseUrl: run.databaseUrl,
          name: `ledger-${index}`,
          callers: CALLERS,
          durationMs: place.durationMs,
        },
        place.processors,
      ),
    ),
  )
  const settled = works.reduce((sum, done) => sum + done.settled, 0)
  return {
    what: 'ledgers',
    round: place.round,
    processes: place.processes,
    perSecond: works.reduce((sum, done) => sum + (done.settled * 1000) / done.elapsedMs, 0),
    processUs: (works.reduce((sum, done) => sum + done.cpuMs, 0) * 1000) / settled,
    // The warm-up is work as well, so PostgreSQL's share is taken over all of it.
    postgresUs: (cpu() * 1000) / works.reduce((sum, done) => sum + done.all, 0),
    failed: works.reduce((sum, done) => sum + done.failed, 0),
    deadlocks: (await countDeadlocks(run.databaseUrl)) - deadlocks,
  }
}

/** Whole gateways on one database, each under its own load of 64 connections. */
export async function measureGateways(
  run: { databaseUrl: string; postgresPid: number | undefined; keys: readonly string[]; loaders: readonly Loader[] },
  place: { servers: readonly VariantServer[]; round: number; durationMs: number },
): Promise<TwoResult> {
  const { servers } = place
  const workload = workloads.find(({ name }) => name === 'json64')
  if (workload === undefined) throw new Error('json64 is a workload')
  const deadlocks = await countDeadlocks(run.databaseUrl)
  const own = () => servers.reduce((sum, { pid }) => sum + (pid === undefined ? 0 : readCpuMs(pid)), 0)
  const ownBefore = own()
  const cpu = watchPostgres(run.postgresPid)
  const reports = await Promise.all(
    servers.map((server, index) => {
      const loader = run.loaders[index]
      if (loader === undefined) throw new Error('each gateway has a loader')
      return loader.run(loadOptions(workload, { url: server.url, keys: run.keys, durationMs: place.durationMs }))
    }),
  )
  const calls = reports.reduce((sum, report) => sum + report.latency.count, 0)
  return {
    what: 'gateways',
    round: place.round,
    processes: servers.length,
    perSecond: reports.reduce((sum, report) => sum + report.throughput, 0),
    processUs: ((own() - ownBefore) * 1000) / calls,
    postgresUs: (cpu() * 1000) / calls,
    failed: reports.reduce((sum, report) => sum + report.sent - report.latency.count, 0),
    deadlocks: (await countDeadlocks(run.databaseUrl)) - deadlocks,
  }
}

function watchPostgres(pid: number | undefined): () => number {
  const before = pid === undefined ? Number.NaN : readFamilyCpuMs(pid)
  return () => (pid === undefined ? Number.NaN : readFamilyCpuMs(pid) - before)
}

async function work(orders: LedgerOrders, processors: string | undefined): Promise<LedgerWork> {
  const worker = startWorker<LedgerOrders, LedgerWork>('ledger-worker.ts', processors)
  try {
    return await worker.ask(orders, orders.durationMs + LIMIT_MS)
  } finally {
    worker.close()
  }
}
