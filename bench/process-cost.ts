import { readFileSync } from 'node:fs'

/** Linux counts the CPU time that it shows to programs in hundredths of a second, on every common machine. */
const MS_PER_TICK = 10

/** User and system time of one process so far, in milliseconds. NaN where there is no /proc, or no such process. */
export function readCpuMs(pid: number): number {
  return readStat(pid)?.ownMs ?? Number.NaN
}

/**
 * The same of a server and all its children, those that have ended and were waited for included. PostgreSQL's processes
 * are all children of its first one.
 */
export function readFamilyCpuMs(pid: number): number {
  const parent = readStat(pid)
  if (parent === undefined) return Number.NaN
  let sum = parent.ownMs + parent.reapedMs
  for (const child of readChildren(pid)) sum += readStat(child)?.ownMs ?? 0
  return sum
}

/** Memory that a process has in RAM, in bytes. NaN where there is no /proc. */
export function readRssBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readText(`/proc/${pid}/status`))?.[1]
  return kilobytes === undefined ? Number.NaN : Number(kilobytes) * 1024
}

/** The process that started this one, or undefined when it cannot be seen. */
export function readParent(pid: number): number | undefined {
  return readStat(pid)?.parent
}

/** The name of the program that a process runs; empty when it cannot be seen. */
export function readProgram(pid: number): string {
  return readText(`/proc/${pid}/comm`).trim()
}

/** Processes that `pid` started and that still run. */
export function readChildren(pid: number): number[] {
  return readText(`/proc/${pid}/task/${pid}/children`).split(' ').map(Number).filter(Boolean)
}

function readStat(pid: number): { parent: number; ownMs: number; reapedMs: number } | undefined {
  const text = readText(`/proc/${pid}/stat`)
  if (text === '') return undefined
  // The name is in parentheses and may itself hold spaces and parentheses; the fields after it are numbers.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = (index: number) => Number(fields[index] ?? 0)
  return {
    parent: ticks(1),
    ownMs: (ticks(11) + ticks(12)) * MS_PER_TICK,
    reapedMs: (ticks(13) + ticks(14)) * MS_PER_TICK,
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
