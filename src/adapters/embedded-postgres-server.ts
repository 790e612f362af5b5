import { type ChildProcess, spawn } from 'node:child_process'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '#adapters/embedded-postgres.ts'
import { POSTGRES_ENV, type PostgresBinaries } from '#adapters/embedded-postgres-binaries.ts'
import type { DatabasePlace } from '#adapters/embedded-postgres-place.ts'
import { findProcess, findProcessesIn, isSignallable } from '#lib/find-process.ts'

const LEFTOVERS_MS_MAX = 30_000
const FAST_STOP_MS_MAX = 20_000
const IMMEDIATE_STOP_MS_MAX = 5_000
const LAST_LINES_MAX = 20
const LINE_CHARS_MAX = 1_000

/** One run of the server program, from its start to its exit. */
export interface ServerRun {
  pid: number
  exited: Promise<string>
  /** What the server printed last, for an error message. */
  lastLines(): string
  /** Rolls open transactions back, writes a checkpoint and ends; harder and harder when that takes too long. */
  stop(): Promise<void>
}

export interface Endpoint {
  /** The folder of the socket, or an address. */
  host: string
  port: number
}

/** Starts the server program. It is not ready when this returns, and may exit at once: watch `exited`. */
export function runServer(options: {
  place: DatabasePlace
  binaries: PostgresBinaries
  endpoint: Endpoint
  durable: boolean
  log: Log
}): ServerRun {
  const { place, binaries, endpoint, log } = options
  const args = ['-D', place.pgdata]
  for (const [name, value] of Object.entries(serverSettings(endpoint, options.durable)))
    args.push('-c', `${name}=${value}`)
  // A session of its own: Ctrl-C in a terminal reaches the gateway, which still has calls to settle, and not the server.
  const child = spawn(join(binaries.bin, 'postgres'), args, {
    env: POSTGRES_ENV,
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...place.account.ids,
  })
  const lines: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    const text = line.slice(0, LINE_CHARS_MAX)
    lines.push(text)
    if (lines.length > LAST_LINES_MAX) lines.shift()
    log(levelOf(text), 'postgres', { line: text })
  })
  const guard = startGuard(child, place)
  const exited = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  }).finally(() => guard?.kill('SIGKILL'))
  return { pid: child.pid ?? -1, exited, lastLines: () => lines.join('\n'), stop: () => stopChild(child, exited) }
}

function serverSettings(endpoint: Endpoint, durable: boolean): Record<string, string> {
  const socket = endpoint.host.startsWith('/')
  const flushed = durable ? 'on' : 'off'
  return {
    listen_addresses: socket ? '' : endpoint.host,
    unix_socket_directories: socket ? endpoint.host : '',
    unix_socket_permissions: '0700',
    port: String(endpoint.port),
    fsync: flushed,
    full_page_writes: flushed,
    // On in any case: a commit is then with the system when it is acknowledged, and survives the death of every process.
    synchronous_commit: 'on',
    logging_collector: 'off',
    log_destination: 'stderr',
    // A message may not carry what a statement or a row holds.
    log_statement: 'none',
    log_min_duration_statement: '-1',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
  }
}

// A shell that waits on a pipe which only the gateway holds open: however the gateway dies, the server is told to stop.
// It compares with postmaster.pid first, so that it can never signal a stranger who got the pid later.
function startGuard(child: ChildProcess, place: DatabasePlace): ChildProcess | undefined {
  if (child.pid === undefined) return undefined
  const script = 'read -r _; read -r pid < "$2/postmaster.pid" && [ "$pid" = "$1" ] && kill -INT "$pid"'
  const guard = spawn('/bin/sh', ['-c', script, 'sh', String(child.pid), place.pgdata], {
    env: POSTGRES_ENV,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...place.account.ids,
  })
  // Without the guard the next start stops what is left; nothing else depends on it.
  guard.on('error', () => {})
  guard.stdin.on('error', () => {})
  guard.unref()
  return guard
}

async function stopChild(child: ChildProcess, exited: Promise<string>): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGINT', FAST_STOP_MS_MAX],
    ['SIGQUIT', IMMEDIATE_STOP_MS_MAX],
  ] as const) {
    child.kill(signal)
    if (await settlesWithin(exited, waitMs)) return
  }
  child.kill('SIGKILL')
  await exited
}

/**
 * Clears what a killed gateway or a killed server left behind: stops an orphaned server of this database, waits until the last of
 * its processes is gone, and removes lock files that name a dead one. The caller holds the lock of the data directory, so no
 * living gateway owns what is stopped here. Throws when processes remain after LEFTOVERS_MS_MAX.
 */
export async function clearLeftovers(place: DatabasePlace, log: Log): Promise<void> {
  const deadline = Date.now() + LEFTOVERS_MS_MAX
  const pidFile = join(place.pgdata, 'postmaster.pid')
  let signalled = 0
  for (;;) {
    const recorded = Number((await readFile(pidFile, 'utf8').catch(() => '')).split('\n')[0])
    const orphan = recorded > 0 && isServerOf(recorded, place.pgdata) ? recorded : undefined
    const others = orphan === undefined ? await processesOf(place.pgdata) : [orphan]
    if (others.length === 0) {
      // PostgreSQL clears a stale lock by itself, unless the pid exists: as a zombie that nobody reaps, or as a stranger's.
      if (recorded > 0 && isSignallable(recorded)) {
        await rm(pidFile, { force: true })
        for (const name of await readdir(place.pgdata)) {
          if (/^\.s\.PGSQL\.\d+\.lock$/.test(name)) await rm(join(place.pgdata, name), { force: true })
        }
      }
      return
    }
    const left = deadline - Date.now()
    if (left <= 0) throw new Error(`Processes of the database in ${place.pgdata} do not end: ${others.join(', ')}.`)
    if (orphan !== undefined) {
      // Fast first, then immediate, then by force: the books are safe in every case, only recovery takes longer.
      const step = left > LEFTOVERS_MS_MAX / 2 ? 1 : left > LEFTOVERS_MS_MAX / 6 ? 2 : 3
      if (step > signalled) {
        log('warn', 'stopping a database server that a killed gateway left behind', { pid: orphan })
        signal(orphan, step === 1 ? 'SIGINT' : step === 2 ? 'SIGQUIT' : 'SIGKILL')
        signalled = step
      }
    }
    await sleep(25)
  }
}

function isServerOf(pid: number, pgdata: string): boolean {
  const found = findProcess(pid)
  if (found === undefined || !/\bpostgres$/.test(found.command[0] ?? '')) return false
  return found.command.includes(pgdata) || found.directory === pgdata
}

// Backends of a dead server carry no path on their command line, but work in its directory. Where that cannot be read, PostgreSQL
// refuses to start beside them, because they share its memory, and the start is tried again.
async function processesOf(pgdata: string): Promise<number[]> {
  return (await findProcessesIn(pgdata))
    .filter((found) => /^postgres\b|\/postgres$/.test(found.command[0] ?? ''))
    .map(({ pid }) => pid)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const cancel = new AbortController()
  const late = sleep(ms, false, { signal: cancel.signal }).catch(() => false)
  const settled = await Promise.race([promise.then(() => true), late])
  cancel.abort()
  return settled
}

// What every stop and every start brings is no news; what a client did wrong, the client is told.
const EXPECTED =
  /terminating connection due to|database system is (starting up|shutting down|in recovery|not yet accepting)/

function levelOf(line: string): 'debug' | 'warn' | 'error' {
  if (/\bPANIC:/.test(line)) return 'error'
  return /\b(FATAL|WARNING):/.test(line) && !EXPECTED.test(line) ? 'warn' : 'debug'
}
