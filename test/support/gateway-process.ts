import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findProcessesIn } from '#lib/find-process.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const READY_MS_MAX = 60_000
const CLEAR_MS_MAX = 30_000
const LINES_MAX = 5_000

export const ADMIN_KEY = 'fg_admin_for_tests_0123456789'
export const CLIENT_KEY = 'fg_key_testtesttesttesttesttesttesttesttest'
const SIGNING_KEY = Buffer.alloc(32, 9).toString('base64')
const LOG_KEY = Buffer.alloc(32, 11).toString('base64')
const MASTER_KEY = Buffer.alloc(32, 10).toString('base64')

/** How a process ended, and everything it printed. */
export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
  out: string
  err: string
}

/** A gateway in a process of its own, as `npm start` runs it. */
export interface GatewayProcess {
  pid: number
  url: string
  exited: Promise<Exit>
  /** Its log so far, one object per line. */
  log(): Record<string, unknown>[]
  kill(signal: NodeJS.Signals): void
}

export interface GatewayProcessOptions {
  dataDir: string
  env?: Record<string, string>
  /** Flags of node itself, before the program. */
  nodeArgs?: string[]
}

/** A folder for one installation, which a database server of another user may enter too. */
export async function createDataDir(): Promise<string> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'fluxgate-run-'))
  await chmod(folder, 0o755)
  return folder
}

/** Waits for the database of a dead gateway to end, by force if it must, and removes the folder. */
export async function removeDataDir(dataDir: string): Promise<void> {
  const pgdata = await realpath(join(dataDir, 'postgres')).catch(() => undefined)
  if (pgdata !== undefined) {
    await databaseGone(pgdata)
    // Where the server's user may not enter the temporary folder, the database lies elsewhere.
    if (!pgdata.startsWith(dataDir)) await rm(dirname(pgdata), { recursive: true, force: true })
  }
  await rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}

async function databaseGone(pgdata: string): Promise<void> {
  const deadline = Date.now() + CLEAR_MS_MAX
  for (;;) {
    const left = await findProcessesIn(pgdata)
    if (left.length === 0) return
    if (Date.now() > deadline) for (const { pid } of left) signalIfAlive(pid, 'SIGKILL')
    await delay(50)
  }
}

/** The process id of the embedded database's main process, while there is one. */
export async function postmasterPid(dataDir: string): Promise<number | undefined> {
  const text = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number(text.split('\n')[0])
  return pid > 0 ? pid : undefined
}

export function signalIfAlive(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    return false
  }
}

/** Starts a gateway and waits until it says that it is ready. Throws with everything it printed when it ends first. */
export async function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const running = spawnGateway(options)
  const cancel = new AbortController()
  const late = delay(READY_MS_MAX, undefined, { signal: cancel.signal }).catch(() => undefined)
  const url = await Promise.race([running.ready, running.exited, late])
  cancel.abort()
  if (typeof url === 'string') return { ...running, url }
  running.kill('SIGKILL')
  const { code, signal, out, err } = await running.exited
  throw new Error(`the gateway did not get ready (${code ?? signal}):
${err}
${out.slice(-4_000)}`)
}

/** Runs a gateway that is expected to end by itself, within `msMax`. */
export async function runGateway(options: GatewayProcessOptions, msMax = 20_000): Promise<Exit> {
  const running = spawnGateway(options)
  const killer = setTimeout(() => running.kill('SIGKILL'), msMax)
  const exit = await running.exited
  clearTimeout(killer)
  return exit
}

/** Starts a gateway and looks no further; see startGateway. */
export function spawnGateway(options: GatewayProcessOptions) {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), 'src/main.ts', 'api'], {
    cwd: ROOT,
    env: {
      // Nothing of the caller's own configuration: a provider key or a database of his must not get in.
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TMPDIR: process.env.TMPDIR,
      PORT: '0',
      DATA_DIR: options.dataDir,
      FLUXGATE_ADMIN_KEY: ADMIN_KEY,
      FLUXGATE_API_KEY: CLIENT_KEY,
      RECEIPT_SIGNING_KEY: SIGNING_KEY,
      LOG_SIGNING_KEY: LOG_KEY,
      LLM_ROUTER_MASTER_KEY: MASTER_KEY,
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const out = collectLines(child.stdout)
  const err = collectLines(child.stderr)
  const ready = new Promise<string>((resolve) => {
    out.reader.on('line', (line) => {
      const url = /^Fluxgate is ready at (\S+)/.exec(line)?.[1]
      if (url !== undefined) resolve(url)
    })
  })
  const exited = new Promise<Exit>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, out: out.text(), err: err.text() }))
  })
  return {
    pid: child.pid ?? -1,
    ready,
    exited,
    log: () => out.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)),
    kill: (signal: NodeJS.Signals) => void child.kill(signal),
  }
}

function collectLines(stream: NonNullable<ChildProcess['stdout']>) {
  const lines: string[] = []
  const reader = createInterface({ input: stream })
  reader.on('line', (line) => {
    lines.push(line)
    if (lines.length > LINES_MAX) lines.shift()
  })
  return { lines, reader, text: () => lines.join('\n') }
}
