import type { LedgerTotal } from './ledger-total.ts'
import type { Machine, Placement } from './machine.ts'
import type { MemoryResult } from './measure-memory.ts'
import type { TwoResult } from './measure-two.ts'
import type { WindowResult } from './measure-window.ts'
import { median, type SummaryRow } from './summary.ts'
import { variants } from './variants.ts'
import { workloads } from './workloads.ts'

/** Everything that a run found: what --json writes and bench/write-report.ts reads. */
export interface Results {
  at: string
  machine: Machine
  placement: Placement | null
  database: string
  flush: { p50Ms: number; p99Ms: number }
  windowMs: number
  rounds: number
  /** Share of the machine's time that the hypervisor gave to others during the run; null where it is not told. */
  stolen: number | null
  loadAfter: number
  windows: WindowResult[]
  rows: SummaryRow[]
  memory: MemoryResult[]
  two: TwoResult[]
  totals: (Omit<LedgerTotal, 'deliveredNanos' | 'recordedNanos' | 'transferredNanos'> & {
    deliveredNanos: string
    recordedNanos: string
    transferredNanos: string
  })[]
}

/** The table of one workload. */
export function renderWorkload(name: string, rows: readonly SummaryRow[]): string {
  const workload = workloads.find((known) => known.name === name)
  const latency = workload?.kind === 'latency'
  const unit = workload?.kind === 'stream' ? 'stream' : 'call'
  const own = rows.filter((row) => row.workload === name)
  const heads = [
    'variant',
    `gateway µs per ${unit} (q1)`,
    '× floor',
    `PostgreSQL µs (q1)`,
    `${unit}s/s`,
    'p50 / p99 ms',
    ...(latency ? ['added p50 / p99 ms'] : []),
    ...(unit === 'stream' ? ['first byte p50 ms'] : []),
  ]
  const body = own.map((row) => [
    titleOf(row.variant),
    row.variant === 'direct' ? '–' : `${whole(row.gatewayUs.median)} (${whole(row.gatewayUs.q1)})`,
    row.variant === 'direct' ? '–' : fixed(row.ratio, 2),
    `${whole(row.postgresUs.median)} (${whole(row.postgresUs.q1)})`,
    whole(row.perSecond),
    `${fixed(row.p50Ms, 2)} / ${fixed(row.p99Ms, 2)}`,
    ...(latency ? [`${fixed(row.addedP50Ms, 2)} / ${fixed(row.addedP99Ms, 2)}`] : []),
    ...(unit === 'stream' ? [fixed(row.firstByteP50Ms, 2)] : []),
  ])
  const besides = own.find((row) => row.variant === 'full') ?? own[0]
  const notes = own.filter((row) => row.trouble !== '').map((row) => `${titleOf(row.variant)}: ${row.trouble}`)
  return [
    `### ${workload?.title ?? name}`,
    '',
    renderTable(heads, body),
    '',
    `Beside it, per ${unit}: simulator ${whole(besides?.simulatorUs)} µs, load generator ${whole(besides?.loadUs)} µs.`,
    ...notes.map((note) => `Not answered as asked: ${note}.`),
    '',
  ].join('\n')
}

export function renderMemory(memory: readonly MemoryResult[]): string {
  const body = memory.map((row) => [
    titleOf(row.variant),
    fixed(row.idleMb, 0),
    fixed(row.openMb, 0),
    fixed(row.addedMb, 0),
    row.trouble || '–',
  ])
  return `### 1,000 open streams\n\n${renderTable(['variant', 'idle MB', 'open MB', 'added MB', 'trouble'], body)}\n`
}

export function renderTwo(two: readonly TwoResult[]): string {
  const groups = Map.groupBy(two, ({ what, processes }) => `${what} ${processes}`)
  const body = [...groups.values()].map((own) => {
    const of = (read: (result: TwoResult) => number) => median(own.map(read))
    const { what = 'ledgers', processes = 1 } = own[0] ?? {}
    return [
      `${processes} × ${what === 'ledgers' ? 'hold and settle only' : 'whole gateway'}`,
      whole(of(({ perSecond }) => perSecond)),
      fixed(scaling(two, what, processes), 2),
      whole(of(({ processUs }) => processUs)),
      whole(of(({ postgresUs }) => postgresUs)),
      String(own.reduce((sum, { deadlocks }) => sum + deadlocks, 0)),
      String(own.reduce((sum, { failed }) => sum + failed, 0)),
    ]
  })
  const heads = [
    'processes on one database',
    'calls/s',
    '× one',
    'own µs per call',
    'PostgreSQL µs',
    'deadlocks',
    'failed',
  ]
  return `### Two processes, one database, nothing pinned\n\n${renderTable(heads, body)}\n`
}

/** Throughput beside that of one process in the same round; the median of the rounds. */
export function scaling(two: readonly TwoResult[], what: TwoResult['what'], processes: number): number {
  const own = two.filter((result) => result.what === what)
  return median(
    own
      .filter((result) => result.processes === processes)
      .map(({ round, perSecond }) => {
        const one = own.find((result) => result.processes === 1 && result.round === round)
        return one === undefined ? Number.NaN : perSecond / one.perSecond
      }),
  )
}

/** Columns as wide as their widest cell, so that the table reads well as text and as Markdown. */
export function renderTable(heads: readonly string[], body: readonly (readonly string[])[]): string {
  const all = [heads, ...body]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(heads), rule, ...body.map(line)].join('\n')
}

function titleOf(variant: string): string {
  return variants.find(({ name }) => name === variant)?.title ?? variant
}

export function whole(value = Number.NaN): string {
  return Number.isNaN(value) ? '–' : Math.round(value).toLocaleString('en-US')
}

export function fixed(value = Number.NaN, digits: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(digits)
}
