import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { OracleCall } from '#simulator/oracle.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PAGE = 1_000
/** The upstream in a process of its own: it outlives every gateway, and its count is the truth. */
export async function startSimulator() {
  const child = spawn(process.execPath, ['src/main.ts', 'simulator', '--json'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    exited.then(() => Promise.reject(new Error('the simulator did not start'))),
  ])
  const { url } = JSON.parse(String(line)) as { url: string }
  return {
    url,

    /** Every call since the start, oldest first. */
    async calls(): Promise<OracleCall[]> {
      const all: OracleCall[] = []
      for (;;) {
        const after = all.at(-1)?.sequence ?? 0
        const page = await getJson<{ calls: OracleCall[] }>(`${url}/oracle/calls?after=${after}&limit=${PAGE}`)
        all.push(...page.calls)
        if (page.calls.length < PAGE) return all
      }
    },

    async open(): Promise<number> {
      return (await getJson<{ all: { open: number } }>(`${url}/oracle/totals`)).all.open
    },

    async close(): Promise<void> {
      child.kill('SIGTERM')
      await exited
    },
  }
}

export type SimulatorProcess = Awaited<ReturnType<typeof startSimulator>>

async function getJson<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T
}
