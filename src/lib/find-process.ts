import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'

export interface FoundProcess {
  pid: number
  /** Differs between two processes that had the same pid one after the other; empty when it cannot be read. */
  startedAt: string
  /** The command line; empty when it cannot be read. */
  command: string[]
  /** The working directory; empty when it cannot be read. */
  directory: string
}

/** A living process, or undefined. A zombie counts as dead: it holds no file, no memory and no port any more. */
export function findProcess(pid: number): FoundProcess | undefined {
  if (!isSignallable(pid)) return undefined
  return process.platform === 'linux' ? findInProc(pid) : findWithPs(pid)
}

/** The living processes that work in a directory, as far as this user may see them; none where the system does not tell. */
export async function findProcessesIn(directory: string): Promise<FoundProcess[]> {
  if (process.platform !== 'linux') return []
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0)
  const here = pids.filter((pid) => attempt(() => readlinkSync(`/proc/${pid}/cwd`)) === directory)
  return here.map(findProcess).filter((found) => found !== undefined)
}

/** True while the kernel still knows the pid, which it also does for a zombie. */
export function isSignallable(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function findInProc(pid: number): FoundProcess | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  // The pid answers to a signal but is not listed: /proc hides the processes of other users.
  if (stat === undefined) return isSignallable(pid) ? { pid, startedAt: '', command: [], directory: '' } : undefined
  // The name is in parentheses and may itself hold spaces and parentheses; the fields after it are numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  const command = attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? ''
  const directory = attempt(() => readlinkSync(`/proc/${pid}/cwd`)) ?? ''
  return { pid, startedAt: fields[19] ?? '', command: command.split('\0').filter(Boolean), directory }
}

function findWithPs(pid: number): FoundProcess | undefined {
  const columns = ['-o', 'stat=', '-o', 'lstart=', '-o', 'command=']
  const line = attempt(() => execFileSync('ps', [...columns, '-p', String(pid)], { encoding: 'utf8' }))?.trim()
  if (line === undefined || line === '') return undefined
  const words = line.split(/\s+/)
  if (words[0]?.startsWith('Z')) return undefined
  return { pid, startedAt: words.slice(1, 6).join(' '), command: words.slice(6), directory: '' }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
