import { getHeapStatistics } from 'node:v8'
import type { Strategy } from '#domain/router/snapshot.ts'
import { createPlan } from '#gateway/dispatch/candidates.ts'
import { createHealth, type Health } from '#gateway/dispatch/health.ts'
import { createInflight, type Inflight } from '#gateway/dispatch/inflight.ts'
import type { UpstreamFault } from '#gateway/upstream-fault.ts'
import { createHistogram } from './histogram.ts'
import { renderTable } from './render-results.ts'

const USAGE = `usage: npm run bench:dispatch [-- CALLS]

Times choosing a candidate, and reporting how it went, of calls that are sent nowhere. CALLS of each row, 300000 by default.
`

const WARM_UP_CALLS = 50_000
const BROKEN: UpstreamFault = { class: 'provider', code: 'status_500', status: 500 }

interface Case {
  name: string
  candidates: number
  strategy: Strategy
  /** How many of the first upstreams cool down. */
  open?: number
  /** How many candidates fail before one serves. */
  failing?: number
}

const cases: Case[] = [1, 3, 9].flatMap((candidates): Case[] => [
  { name: 'in order, all healthy', candidates, strategy: 'ordered' },
  ...(candidates === 1
    ? []
    : ([
        { name: 'weighted, all healthy', candidates, strategy: 'weighted' },
        { name: 'least in flight, all healthy', candidates, strategy: 'least_inflight' },
        { name: 'in order, all but the last cool down', candidates, strategy: 'ordered', open: candidates - 1 },
        { name: 'in order, all but the last fail', candidates, strategy: 'ordered', failing: candidates - 1 },
      ] satisfies Case[])),
])

process.exitCode = main(process.argv.slice(2))

function main(args: string[]): number {
  const calls = Number(args[0] ?? 300_000)
  if (args.length > 1 || !Number.isInteger(calls) || calls < 1 || calls > 100_000_000) {
    process.stderr.write(USAGE)
    return 2
  }
  const clock = measureClock(calls)
  const rows = cases.map((each) => {
    const call = prepare(each)
    for (let index = 0; index < WARM_UP_CALLS; index += 1) call()
    const histogram = createHistogram()
    for (let index = 0; index < calls; index += 1) {
      const startedMs = performance.now()
      call()
      histogram.record((performance.now() - startedMs) * 1e6)
    }
    const allocatedBefore = allocatedBytes()
    const startedMs = performance.now()
    for (let index = 0; index < calls; index += 1) call()
    const meanNs = ((performance.now() - startedMs) * 1e6) / calls
    const bytes = (allocatedBytes() - allocatedBefore) / calls
    return [
      String(each.candidates),
      each.name,
      nanos(histogram.percentile(0.5) - clock),
      nanos(histogram.percentile(0.99) - clock),
      nanos(meanNs),
      Number.isNaN(bytes) ? '–' : Math.round(bytes).toLocaleString('en'),
    ]
  })
  const head = ['candidates', 'case', 'p50 ns', 'p99 ns', 'mean ns', 'bytes per call']
  process.stdout.write(`# fluxgate bench: dispatch, ${new Date().toISOString()}\n\n`)
  process.stdout.write(
    `Node ${process.version}; ${calls} calls each; ${clock} ns of reading the clock are taken off.\n\n`,
  )
  process.stdout.write(`${renderTable(head, rows)}\n`)
  return 0
}

/** What V8 has given out since the process began; NaN where it does not say. */
function allocatedBytes(): number {
  return Number((getHeapStatistics() as { total_allocated_bytes?: number }).total_allocated_bytes ?? Number.NaN)
}

/** Chooses and reports, once per call, as the relay does: a plan, its attempts, what they learned. */
function prepare({ candidates: count, strategy, open = 0, failing = 0 }: Case): () => void {
  const candidates = Array.from({ length: count }, (_, index) => ({
    targetId: `https://api.provider-${index}.example/v1/chat/completions some-model`,
    credentialId: `https://api.provider-${index}.example 0a1b2c3d`,
    groupIndex: 0,
    upstreamWeight: 1 + (index % 3),
    credentialWeight: 1,
    eligible: true as const,
  }))
  const groups = [{ strategy }]
  const inflight: Inflight = createInflight()
  let health: Health = remember()
  for (const { targetId } of candidates.slice(0, open)) health.failed(`target:${targetId}`, { retryAfterMs: 3_600_000 })
  return () => {
    const plan = createPlan({ candidates, groups, health, inflight })
    for (let fails = 0; fails < failing; fails += 1) {
      const candidate = plan.next()
      if (candidate !== undefined) plan.report(candidate, BROKEN)
    }
    const candidate = plan.next()
    if (candidate === undefined) throw new Error('nobody was chosen')
    plan.answered(candidate)
    plan.report(candidate, 'ok')
    // Those that failed are well again for the next call.
    if (failing > 0) health = remember()
  }
}

function remember(): Health {
  return createHealth({ now: () => performance.now(), baseMs: 2_000, maxMs: 3_600_000, entriesMax: 10_000 })
}

/** What two readings of the clock take by themselves, in nanoseconds. */
function measureClock(calls: number): number {
  const histogram = createHistogram()
  for (let index = 0; index < calls; index += 1) {
    const startedMs = performance.now()
    histogram.record((performance.now() - startedMs) * 1e6)
  }
  return histogram.percentile(0.5)
}

function nanos(value: number): string {
  return Math.max(0, Math.round(value)).toLocaleString('en')
}
