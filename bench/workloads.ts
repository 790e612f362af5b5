import { chatRequest } from './load.ts'
import type { LoadOptions, LoadRequest } from './load-options.ts'

/** One way of loading every variant in turn. */
export interface Workload {
  name: string
  title: string
  kind: 'json' | 'stream' | 'latency'
  connections: number
  /** Arrivals per second; absent in a closed loop. */
  rate?: number | undefined
  /** One wallet for everybody, instead of one for each of many keys. */
  hot?: boolean
  /** Left out of the run with --quick. */
  slow?: boolean
  /** The variants that say something here; all when absent. */
  only?: readonly string[]
}

// Request and answer are about 1 KB each, head not counted; a stream is 50 chunks of content, one every 5 ms.
const PROMPT_BYTES = 850
const ANSWER_TOKENS = 125
const STREAM_TOKENS = 50
const STREAM_CHUNK_MS = 5
const RATE = 300

export const workloads: readonly Workload[] = [
  { name: 'json32', title: '1 KB calls, 32 connections', kind: 'json', connections: 32, slow: true },
  { name: 'json64', title: '1 KB calls, 64 connections', kind: 'json', connections: 64 },
  { name: 'json128', title: '1 KB calls, 128 connections', kind: 'json', connections: 128, slow: true },
  {
    name: 'hot128',
    title: '1 KB calls, 128 connections, one wallet',
    kind: 'json',
    connections: 128,
    hot: true,
    slow: true,
    only: ['floor', 'ledger', 'full'],
  },
  { name: 'stream48', title: 'streams of 50 chunks, 48 at once', kind: 'stream', connections: 48 },
  { name: 'stream160', title: 'streams of 50 chunks, 160 at once', kind: 'stream', connections: 160, slow: true },
  { name: 'latency', title: `1 KB calls, ${RATE} arrivals/s`, kind: 'latency', connections: 64, rate: RATE },
]

/** What the load generator sends to one variant. */
export function loadOptions(
  workload: Workload,
  to: {
    url: string
    keys: readonly string[]
    headers?: Record<string, string>
    durationMs: number
    count?: number | undefined
  },
): LoadOptions {
  const keys = workload.hot === true ? to.keys.slice(0, 1) : to.keys
  return {
    url: `${to.url}/v1/chat/completions`,
    requests: keys.map((key) => request(workload.kind, key, to.headers)),
    connections: workload.connections,
    durationMs: to.durationMs,
    timeoutMs: 30_000,
    ...(to.count !== undefined && { count: to.count }),
    ...(workload.rate !== undefined && { rate: workload.rate }),
  }
}

function request(kind: Workload['kind'], key: string, headers: Record<string, string> = {}): LoadRequest {
  const stream = kind === 'stream'
  return chatRequest({
    model: 'sim/echo',
    stream,
    key,
    promptBytes: PROMPT_BYTES,
    sim: stream ? { tokens: STREAM_TOKENS, chunk_ms: STREAM_CHUNK_MS } : { tokens: ANSWER_TOKENS },
    headers,
  })
}
