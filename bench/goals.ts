import { fixed, type Results, renderTable, scaling, whole } from './render-results.ts'
import type { SummaryRow } from './summary.ts'

interface Goal {
  what: string
  goal: string
  /** NaN when the run did not measure it. */
  measured: number
  shown: string
  met: boolean
}

/** The numbers to reach, beside what this run measured. */
export function judge(results: Results): Goal[] {
  const { rows, memory, two } = results
  const find = (workload: string, variant = 'full') =>
    rows.find((row) => row.workload === workload && row.variant === variant)
  const call = find('json64')
  const stream = find('stream48')
  const latency = find('latency')
  const fastest = throughputs(results).toSorted((a, b) => b.value - a.value)[0]
  const memoryMb = memory.find(({ variant }) => variant === 'full')?.addedMb ?? Number.NaN
  const ledgers = scaling(two, 'ledgers', 2)
  const gateways = scaling(two, 'gateways', 2)
  const deadlocks = two.length === 0 ? Number.NaN : two.reduce((sum, result) => sum + result.deadlocks, 0)
  return [
    atMost(
      'gateway CPU of a 1 KB call, all of it on',
      '≤ 1.7 × floor',
      1.7,
      call?.ratio,
      (value) => `${fixed(value, 2)} × (${besideFloor(rows, call)} µs)`,
    ),
    atMost(
      'gateway CPU of a 50-chunk stream, all of it on',
      '≤ 1.15 × floor',
      1.15,
      stream?.ratio,
      (value) => `${fixed(value, 2)} × (${besideFloor(rows, stream)} µs)`,
    ),
    atMost('added latency p50, all of it on', '≤ 2 ms', 2, latency?.addedP50Ms, (value) => `${fixed(value, 2)} ms`),
    atLeast(
      'billed calls a second, one gateway and PostgreSQL',
      '≥ 4,500',
      4_500,
      fastest?.value,
      (value) => `${whole(value)} (${fastest?.where})`,
    ),
    atLeast(
      'two processes that hold and settle, on one database',
      '≥ 1.6 × one',
      1.6,
      ledgers,
      (value) => `${fixed(value, 2)} ×`,
    ),
    atLeast('two whole gateways on one database', '≥ 1.6 × one', 1.6, gateways, (value) => `${fixed(value, 2)} ×`),
    atMost('deadlocks of two processes', '0', 0, deadlocks, whole),
    atMost('memory of 1,000 open streams', '≤ 60 MB', 60, memoryMb, (value) => `${fixed(value, 0)} MB`),
  ]
}

export function renderGoals(results: Results): string {
  const body = judge(results)
    .filter(({ measured }) => !Number.isNaN(measured))
    .map(({ what, goal, shown, met }) => [what, goal, shown, met ? 'yes' : 'no'])
  return `### Goals\n\n${renderTable(['what', 'goal', 'measured', 'met'], body)}\n`
}

function throughputs(results: Results): { where: string; value: number }[] {
  const pinned = results.rows
    .filter(({ workload, variant }) => variant === 'full' && workload.startsWith('json'))
    .map(({ workload, perSecond }) => ({ where: `${workload}, pinned`, value: perSecond }))
  const loose = results.two
    .filter(({ what, processes }) => what === 'gateways' && processes === 1)
    .map(({ perSecond }) => ({ where: 'json64, nothing pinned', value: perSecond }))
  return [...pinned, ...loose]
}

function besideFloor(rows: readonly SummaryRow[], row: SummaryRow | undefined): string {
  const floor = rows.find(({ workload, variant }) => workload === row?.workload && variant === 'floor')
  return `${whole(row?.gatewayUs.median)} beside ${whole(floor?.gatewayUs.median)}`
}

function atMost(what: string, goal: string, most: number, value = Number.NaN, show: (value: number) => string): Goal {
  return { what, goal, measured: value, shown: show(value), met: value <= most }
}

function atLeast(what: string, goal: string, least: number, value = Number.NaN, show: (value: number) => string): Goal {
  return { what, goal, measured: value, shown: show(value), met: value >= least }
}
