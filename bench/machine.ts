import { execFileSync } from 'node:child_process'
import { fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'

const PIN_COMMAND = 'taskset'
const FLUSHES = 200
const FLUSH_MS_MAX = 3_000
const PAGE_BYTES = 8192

/** What a reader must know of the machine to judge the figures. */
export interface Machine {
  cpu: string
  processors: number
  memoryGb: number
  system: string
  node: string
  /** One minute's load average before the run: above 0 somebody else is working. */
  loadBefore: number
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    processors: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()}`,
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
  }
}

/** Milliseconds for a page to reach the disk, as PostgreSQL writes its log: `pg_test_fsync` in small. */
export function measureFlush(folder: string): { p50Ms: number; p99Ms: number } {
  const own = mkdtempSync(join(folder, 'flush-'))
  try {
    const file = openSync(join(own, 'page'), 'w')
    const page = Buffer.alloc(PAGE_BYTES, 1)
    const took: number[] = []
    const endsAt = performance.now() + FLUSH_MS_MAX
    while (took.length < FLUSHES && performance.now() < endsAt) {
      const startedAt = performance.now()
      writeSync(file, page, 0, page.length, (took.length % 64) * PAGE_BYTES)
      fdatasyncSync(file)
      took.push(performance.now() - startedAt)
    }
    took.sort((a, b) => a - b)
    return { p50Ms: took[took.length >> 1] ?? Number.NaN, p99Ms: took[Math.floor(took.length * 0.99)] ?? Number.NaN }
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

/** Time that the hypervisor gave to others and time of all processors, in ticks since the start. Undefined elsewhere. */
export function readStolen(): { stolen: number; all: number } | undefined {
  try {
    const ticks = (/^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? '').split(' ').map(Number)
    return { stolen: ticks[7] ?? 0, all: ticks.slice(0, 8).reduce((sum, value) => sum + value, 0) }
  } catch {
    return undefined
  }
}

/** Who runs where. Undefined when nothing can be pinned: no Linux, no taskset, or one processor. */
export interface Placement {
  gateway: string
  others: string
  everywhere: string
}

export function choosePlacement(): Placement | undefined {
  const processors = availableParallelism()
  if (process.platform !== 'linux' || processors < 2) return undefined
  const last = processors - 1
  const placement = { gateway: '0', others: last === 1 ? '1' : `1-${last}`, everywhere: `0-${last}` }
  return pin(process.pid, placement.others) ? placement : undefined
}

/** Binds a process, with the threads it has now and the children it will have. False when that is not possible. */
export function pin(pid: number, processors: string): boolean {
  try {
    execFileSync(PIN_COMMAND, ['-a', '-c', '-p', processors, String(pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
