import { setTimeout as delay } from 'node:timers/promises'
import type { Loader } from './load.ts'
import { type DeliveredTokens, deliveredBetween, readDelivered } from './oracle.ts'
import { readCpuMs, readFamilyCpuMs } from './process-cost.ts'
import type { VariantServer } from './variants.ts'
import { loadOptions, type Workload } from './workloads.ts'

/** What one window of one variant under one workload showed. Times per call in microseconds, latencies in ms. */
export interface WindowResult {
  workload: string
  variant: string
  round: number
  calls: number
  perSecond: number
  gatewayUs: number
  postgresUs: number
  /** The rest of the stage: what else the machine was busy with. */
  simulatorUs: number
  loadUs: number
  p50Ms: number
  p99Ms: number
  firstByteP50Ms: number
  /** What went wrong, in words; empty when every call was answered with 200 and to its end. */
  trouble: string
  /** What the simulator counted as delivered meanwhile. */
  delivered: DeliveredTokens
}

export interface Stage {
  loader: Loader
  simulator: { url: string; pid: number }
  postgresPid: number | undefined
  keys: readonly string[]
}

/** Loads one variant for a while and measures everybody who had a part in it. */
export async function measureWindow(
  stage: Stage,
  place: {
    workload: Workload
    variant: string
    server: VariantServer
    round: number
    durationMs: number
    count?: number
  },
): Promise<WindowResult> {
  const { workload, server, durationMs } = place
  const before = await readCosts(stage, server)
  const report = await stage.loader.run(
    loadOptions(workload, {
      url: server.url,
      keys: stage.keys,
      durationMs,
      count: place.count,
      ...(server.headers && { headers: server.headers }),
    }),
  )
  const after = await readCosts(stage, server)
  const calls = report.latency.count
  const perCall = (ms: number) => (calls === 0 ? Number.NaN : (ms * 1000) / calls)
  const errors = Object.entries(report.errors).filter(([, count]) => count > 0)
  const statuses = Object.entries(report.statuses).filter(([status]) => status !== '200')
  return {
    workload: workload.name,
    variant: place.variant,
    round: place.round,
    calls,
    perSecond: report.elapsedMs === 0 ? 0 : (calls * 1000) / report.elapsedMs,
    gatewayUs: perCall(after.gatewayMs - before.gatewayMs),
    postgresUs: perCall(after.postgresMs - before.postgresMs),
    simulatorUs: perCall(after.simulatorMs - before.simulatorMs),
    loadUs: perCall(report.generator.cpuMs),
    p50Ms: calls === 0 ? Number.NaN : report.latency.p50,
    p99Ms: calls === 0 ? Number.NaN : report.latency.p99,
    firstByteP50Ms: calls === 0 ? Number.NaN : report.firstByte.p50,
    trouble: [
      ...statuses.map(([status, count]) => `${count} × ${status}`),
      ...errors.map(([error, count]) => `${count} × ${error}`),
      ...(report.unfinishedStreams > 0 ? [`${report.unfinishedStreams} streams without an end`] : []),
      ...(report.stopped === null ? [] : [report.stopped]),
    ].join(', '),
    delivered: deliveredBetween(before.delivered, after.delivered),
  }
}

async function readCosts(stage: Stage, server: VariantServer) {
  const delivered = await settledTotals(stage.simulator.url)
  return {
    gatewayMs: server.pid === undefined ? 0 : readCpuMs(server.pid),
    postgresMs: stage.postgresPid === undefined ? Number.NaN : readFamilyCpuMs(stage.postgresPid),
    simulatorMs: readCpuMs(stage.simulator.pid),
    delivered,
  }
}

/** Waits until no call is open, so that the next window starts from nothing. */
async function settledTotals(url: string): Promise<DeliveredTokens> {
  for (;;) {
    const { open, ...delivered } = await readDelivered(url)
    if (open === 0) return delivered
    await delay(20)
  }
}
