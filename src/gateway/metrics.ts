import { Counter, Gauge, type Registry } from 'prom-client'
import { createCounter, createHistogram } from './tallies.ts'

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600]

/** What the hot path counts. Labels come from our own tables or from names that were resolved, never from free text. */
export function createGatewayMetrics(
  registry: Registry,
  sources: { openCalls: () => number; laneDepth: () => Record<string, number>; spooled: () => number },
) {
  const registers = [registry]
  new Gauge({
    name: 'fluxgate_open_calls',
    help: 'Calls that are running.',
    registers,
    collect() {
      this.set(sources.openCalls())
    },
  })
  new Gauge({
    name: 'fluxgate_ledger_queue',
    help: 'Ledger operations waiting for a commit.',
    labelNames: ['lane'],
    registers,
    collect() {
      for (const [lane, depth] of Object.entries(sources.laneDepth())) this.set({ lane }, depth)
    },
  })
  new Gauge({
    name: 'fluxgate_spooled_settlements',
    help: 'Settlements on disk that wait for the database.',
    registers,
    collect() {
      this.set(sources.spooled())
    },
  })
  return {
    requests: createCounter(registry, {
      name: 'fluxgate_requests_total',
      help: 'Requests by route and status.',
      labelNames: ['route', 'status'],
    }),
    calls: createCounter(registry, {
      name: 'fluxgate_calls_total',
      help: 'Settled calls by model and outcome.',
      labelNames: ['model', 'outcome'],
    }),
    tokens: createCounter(registry, {
      name: 'fluxgate_tokens_total',
      help: 'Tokens of settled calls.',
      labelNames: ['model', 'direction'],
    }),
    units: createCounter(registry, {
      name: 'fluxgate_units_total',
      help: 'Characters, seconds and calls of settled calls that are not charged by tokens.',
      labelNames: ['model', 'kind'],
    }),
    money: createCounter(registry, {
      name: 'fluxgate_nanousd_total',
      help: 'Nano-dollars of settled calls, charged to wallets or absorbed by the operator.',
      labelNames: ['model', 'side'],
    }),
    usageSource: createCounter(registry, {
      name: 'fluxgate_usage_source_total',
      help: 'Settled calls by who counted their usage.',
      labelNames: ['source'],
    }),
    holds: createCounter(registry, {
      name: 'fluxgate_holds_total',
      help: 'Admissions by their result.',
      labelNames: ['status'],
    }),
    attempts: createCounter(registry, {
      name: 'fluxgate_upstream_faults_total',
      help: 'Failed attempts by provider and fault.',
      labelNames: ['provider', 'fault'],
    }),
    latency: createHistogram(registry, {
      name: 'fluxgate_call_seconds',
      help: 'From the request to the end of the answer.',
      labelNames: ['stream'],
      buckets: SECONDS,
    }),
    firstByte: createHistogram(registry, {
      name: 'fluxgate_first_byte_seconds',
      help: 'From the request to the first byte of the answer.',
      labelNames: ['stream'],
      buckets: SECONDS,
    }),
    added: createHistogram(registry, {
      name: 'fluxgate_added_seconds',
      help: 'Time of a call that was not spent waiting for its upstream.',
      labelNames: ['stream'],
      buckets: SECONDS,
    }),
  }
}

export type GatewayMetrics = ReturnType<typeof createGatewayMetrics>

/** What the ledger's lanes report. */
export function createLedgerMetrics(registry: Registry) {
  const registers = [registry]
  return {
    batchSize: createHistogram(registry, {
      name: 'fluxgate_ledger_batch_size',
      help: 'Operations that shared one commit.',
      labelNames: ['lane'],
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    }),
    commit: createHistogram(registry, {
      name: 'fluxgate_ledger_commit_seconds',
      help: 'Round trip and commit of one batch.',
      labelNames: ['lane'],
      buckets: SECONDS,
    }),
    outages: createCounter(registry, {
      name: 'fluxgate_ledger_outages_total',
      help: 'Commits that failed in passing and were sent again.',
      labelNames: ['lane'],
    }),
    swept: new Counter({
      name: 'fluxgate_holds_swept_total',
      help: 'Holds of dead gateways that were settled at their durable progress.',
      registers,
    }),
  }
}
