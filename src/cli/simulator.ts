import { parseArgs } from 'node:util'
import { createSimulator } from '#simulator/simulator.ts'
import { interrupted } from './interrupted.ts'

export const summary = 'Serve the built-in upstream simulator by itself, with its count of what it delivered.'

export const usage = `usage: fluxgate simulator [--port N] [--json]

Serves the protocols of docs/simulator.md under /v1 and its count under /oracle, on 127.0.0.1, until it is interrupted.
The first line of output is its address; --port 0, the default, takes a free port.
`

/** Serves until SIGINT, SIGTERM or `signal`. Returns 0, 1 when the port is taken, 2 on wrong arguments. */
export async function run(
  deps: { out: NodeJS.WritableStream; err: NodeJS.WritableStream; signal?: AbortSignal },
  args: string[],
): Promise<number> {
  const port = parsePort(args)
  if (port === undefined) {
    deps.err.write(usage)
    return 2
  }
  const simulator = createSimulator({ exposeOracle: true })
  try {
    const bound = await simulator.listen({ port: port.number })
    deps.out.write(port.json ? `${JSON.stringify({ ...bound, pid: process.pid })}\n` : `${bound.url}\n`)
  } catch (error) {
    deps.err.write(`fluxgate simulator: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
  await interrupted(deps.signal)
  await simulator.close()
  return 0
}

function parsePort(args: string[]): { number: number; json: boolean } | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: { port: { type: 'string', default: '0' }, json: { type: 'boolean', default: false } },
    })
    const number = /^\d{1,5}$/.test(values.port) ? Number(values.port) : Number.NaN
    return number <= 65_535 ? { number, json: values.json } : undefined
  } catch {
    return undefined
  }
}
