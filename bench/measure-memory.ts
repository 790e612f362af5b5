import { setTimeout as delay } from 'node:timers/promises'
import { chatRequest, type Loader } from './load.ts'
import { readRssBytes } from './process-cost.ts'
import type { VariantServer } from './variants.ts'

const STREAMS = 1_000
const CHUNKS = 40
const CHUNK_MS = 250
const WARM_CALLS = 2_000
const WARM_STREAMS = 200
const REST_MS = 1_500
const SAMPLE_MS = 250

export interface MemoryResult {
  variant: string
  streams: number
  idleMb: number
  openMb: number
  /** What 1,000 open streams take beyond the idle process. */
  addedMb: number
  trouble: string
}

/**
 * Memory of 1,000 streams that are open at once and slow: the most that the process had in RAM while they ran, less what it
 * had before. The process is warm, so that code and pools do not count as streams.
 */
export async function measureMemory(
  variant: string,
  server: VariantServer,
  stage: { loader: Loader; keys: readonly string[] },
): Promise<MemoryResult> {
  const { loader, keys } = stage
  const { pid } = server
  if (pid === undefined) throw new Error('this variant has no process of its own')
  const url = `${server.url}/v1/chat/completions`
  const requests = (sim: Record<string, unknown>, stream: boolean) =>
    keys.map((key) =>
      chatRequest({ model: 'sim/echo', stream, key, sim, promptBytes: 850, headers: server.headers ?? {} }),
    )
  await loader.run({ url, requests: requests({ tokens: 125 }, false), connections: 64, count: WARM_CALLS })
  await loader.run({ url, requests: requests({ tokens: 50 }, true), connections: 64, count: WARM_STREAMS })
  await delay(REST_MS)
  const idle = readRssBytes(pid)

  const slow = requests({ tokens: CHUNKS, chunk_ms: CHUNK_MS }, true)
  const running = loader.run({ url, requests: slow, connections: STREAMS, count: STREAMS, timeoutMs: 60_000 })
  let most = 0
  const sampler = setInterval(() => {
    most = Math.max(most, readRssBytes(pid))
  }, SAMPLE_MS)
  const report = await running
  clearInterval(sampler)
  const mb = (bytes: number) => bytes / 2 ** 20
  return {
    variant,
    streams: STREAMS,
    idleMb: mb(idle),
    openMb: mb(most),
    addedMb: mb(most - idle),
    trouble: report.latency.count === STREAMS ? '' : `${STREAMS - report.latency.count} streams failed`,
  }
}
