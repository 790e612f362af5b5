import type { WindowResult } from './measure-window.ts'

/** One variant under one workload, over all rounds. `q1` is the lower quartile: the closest to an undisturbed machine. */
export interface SummaryRow {
  workload: string
  variant: string
  rounds: number
  gatewayUs: { q1: number; median: number }
  postgresUs: { q1: number; median: number }
  /** Gateway CPU beside the floor's in the same round; the median of the rounds. */
  ratio: number
  perSecond: number
  p50Ms: number
  p99Ms: number
  firstByteP50Ms: number
  /** Beyond the simulator itself in the same round; the median of the rounds. */
  addedP50Ms: number
  addedP99Ms: number
  simulatorUs: number
  loadUs: number
  trouble: string
}

const FLOOR = 'floor'
const DIRECT = 'direct'

/** Rows in the order in which their first windows ran. */
export function summarise(windows: readonly WindowResult[]): SummaryRow[] {
  const groups = Map.groupBy(windows, ({ workload, variant }) => `${workload} ${variant}`)
  return [...groups.values()].map((own) => summariseGroup(own, windows))
}

function summariseGroup(own: readonly WindowResult[], all: readonly WindowResult[]): SummaryRow {
  const [first] = own
  if (first === undefined) throw new Error('a group has a window')
  const { workload, variant } = first
  const besides = (other: string, compare: (mine: WindowResult, theirs: WindowResult) => number) =>
    median(
      own.flatMap((mine) => {
        const theirs = all.find(
          (window) => window.workload === workload && window.variant === other && window.round === mine.round,
        )
        return theirs === undefined ? [] : [compare(mine, theirs)]
      }),
    )
  const of = (read: (window: WindowResult) => number) => own.map(read)
  return {
    workload,
    variant,
    rounds: own.length,
    gatewayUs: spread(of(({ gatewayUs }) => gatewayUs)),
    postgresUs: spread(of(({ postgresUs }) => postgresUs)),
    ratio: besides(FLOOR, (mine, theirs) => mine.gatewayUs / theirs.gatewayUs),
    perSecond: median(of(({ perSecond }) => perSecond)),
    p50Ms: median(of(({ p50Ms }) => p50Ms)),
    p99Ms: median(of(({ p99Ms }) => p99Ms)),
    firstByteP50Ms: median(of(({ firstByteP50Ms }) => firstByteP50Ms)),
    addedP50Ms: besides(DIRECT, (mine, theirs) => mine.p50Ms - theirs.p50Ms),
    addedP99Ms: besides(DIRECT, (mine, theirs) => mine.p99Ms - theirs.p99Ms),
    simulatorUs: median(of(({ simulatorUs }) => simulatorUs)),
    loadUs: median(of(({ loadUs }) => loadUs)),
    trouble: [...new Set(own.map(({ trouble }) => trouble).filter(Boolean))].join('; '),
  }
}

function spread(values: readonly number[]): { q1: number; median: number } {
  return { q1: quantile(values, 0.25), median: quantile(values, 0.5) }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The nearest rank, averaged with the next for an even split; NaN without values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  if (sorted.length === 0) return Number.NaN
  const at = (sorted.length - 1) * share
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at - Math.floor(at))
}
