import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const READY_MS_MAX = 30_000
const STOP_MS_MAX = 15_000
const POLL_MS = 50

export interface RunningServer {
  url: string
  /** Undefined for a server that is none of the variant's own. */
  pid: number | undefined
  /** Asks it to end and waits. Resolves with the last line that it printed, as JSON. */
  stop(): Promise<Record<string, unknown>>
}

/** Servers that still run; a run that fails half-way ends them. */
const running = new Set<ChildProcess>()

/**
 * Starts `node ...args` with nothing of the caller's environment but its PATH. Without `url` its first line of output must
 * be JSON with the address; with it, the server is ready when it takes connections there and its output goes nowhere.
 */
export async function spawnServer(options: {
  args: readonly string[]
  env: Record<string, string>
  processors: string | undefined
  url?: string
}): Promise<RunningServer> {
  const command = [process.execPath, ...options.args]
  const [file = '', ...args] =
    options.processors === undefined ? command : ['taskset', '-c', options.processors, ...command]
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: process.env.TMPDIR, ...options.env },
    stdio: ['ignore', options.url === undefined ? 'pipe' : 'ignore', 'pipe'],
  })
  running.add(child)
  let complaint = ''
  child.stderr?.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(-4_000)
  })
  const lines: string[] = []
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  const exited = once(child, 'close').finally(() => running.delete(child))
  let ended = false
  const over = exited.then(() => {
    ended = true
  })

  const deadline = performance.now() + READY_MS_MAX
  for (;;) {
    const url =
      options.url === undefined ? addressIn(lines.find((line) => line.startsWith('{'))) : await answers(options.url)
    if (url !== undefined) return { url, pid: child.pid, stop }
    if (ended) throw new Error(`${args.at(-1)} ended before it was ready:\n${complaint}`)
    if (performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`${args.at(-1)} was not ready in time:\n${complaint}`)
    }
    await Promise.race([delay(POLL_MS), over])
  }

  async function stop(): Promise<Record<string, unknown>> {
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
    child.kill('SIGTERM')
    await exited
    clearTimeout(killer)
    const last = lines.length > 1 ? lines.at(-1) : undefined
    return last === undefined ? {} : (JSON.parse(last) as Record<string, unknown>)
  }
}

/** Ends at once what a failed run has left. */
export function killServers(): void {
  for (const child of running) child.kill('SIGKILL')
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function addressIn(line: string | undefined): string | undefined {
  return line === undefined ? undefined : (JSON.parse(line) as { url: string }).url
}

async function answers(url: string): Promise<string | undefined> {
  try {
    await (await fetch(url)).arrayBuffer()
    return url
  } catch {
    return undefined
  }
}
