import { parseArgs } from 'node:util'
import { DURATION_MS_MAX, findProblem, type LoadOptions, type LoadRequest, TIMEOUT_MS_DEFAULT } from './load-options.ts'
import type { LoadReport } from './load-report.ts'
import { startWorker } from './worker-process.ts'

/** What a run may take beyond its own duration and timeout. */
const GRACE_MS = 30_000

export interface Loader {
  pid: number
  /** One load at a time. Rejects on wrong options and when the process dies. */
  run(options: LoadOptions): Promise<LoadReport>
  close(): void
}

/**
 * Starts a process that generates loads, one after the other, so that only the first finds it cold. It is pinned to the
 * processors of `place` when they are given (Linux, needs taskset).
 */
export function startLoader(place: { cpu?: number | string } = {}): Loader {
  const { pid, ask, close } = startWorker<LoadOptions, LoadReport>(
    'load-worker.ts',
    place.cpu === undefined ? undefined : String(place.cpu),
  )
  return {
    pid,
    close,
    async run(options) {
      const problem = findProblem(options)
      if (problem !== undefined) throw new TypeError(problem)
      return ask(
        options,
        (options.durationMs ?? DURATION_MS_MAX) + (options.timeoutMs ?? TIMEOUT_MS_DEFAULT) + GRACE_MS,
      )
    },
  }
}

/** Generates one load in a process of its own. Rejects as a loader does. */
export async function runLoad(options: LoadOptions, place: { cpu?: number | string } = {}): Promise<LoadReport> {
  const problem = findProblem(options)
  if (problem !== undefined) throw new TypeError(problem)
  const loader = startLoader(place)
  try {
    return await loader.run(options)
  } finally {
    loader.close()
  }
}

/** A chat completion request as the generator sends it. `sim` carries the simulator's switches. */
export function chatRequest(chat: {
  model: string
  stream?: boolean
  key?: string
  promptBytes?: number
  sim?: Record<string, unknown>
  headers?: Record<string, string>
}): LoadRequest {
  const content = 'Tell me what one call costs. '.repeat(40).slice(0, 29)
  const body = {
    model: chat.model,
    messages: [{ role: 'user', content: content.padEnd(chat.promptBytes ?? 0, 'Say it again. ') }],
    ...(chat.stream === true ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...(chat.sim === undefined ? {} : { sim: chat.sim }),
  }
  const authorization = chat.key === undefined ? {} : { authorization: `Bearer ${chat.key}` }
  return { headers: { ...authorization, ...chat.headers }, body: JSON.stringify(body) }
}

const USAGE = `node bench/load.ts --url URL [--connections N] [--duration SECONDS] [--count N] [--rate PER_SECOND]
  [--timeout SECONDS] [--cpu N] [--model NAME] [--stream] [--key KEY] [--prompt-bytes N] [--sim JSON] [--body JSON]

Sends chat completions to URL (the whole address, such as http://127.0.0.1:3000/v1/chat/completions) and prints a
report as JSON. Without --rate each connection sends its next request after its answer; with it, requests arrive at a
constant rate and latency counts from when each was due.
`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      connections: { type: 'string', default: '16' },
      duration: { type: 'string' },
      count: { type: 'string' },
      rate: { type: 'string' },
      timeout: { type: 'string' },
      cpu: { type: 'string' },
      model: { type: 'string', default: 'sim/echo' },
      stream: { type: 'boolean', default: false },
      key: { type: 'string' },
      'prompt-bytes': { type: 'string', default: '0' },
      sim: { type: 'string' },
      body: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.url === undefined || values.help) {
    process.stderr.write(USAGE)
    return 2
  }
  const request = chatRequest({
    model: values.model,
    stream: values.stream,
    promptBytes: Number(values['prompt-bytes']),
    ...(values.key === undefined ? {} : { key: values.key }),
    ...(values.sim === undefined ? {} : { sim: JSON.parse(values.sim) }),
  })
  const unbounded = values.duration === undefined && values.count === undefined
  const report = await runLoad(
    {
      url: values.url,
      requests: [values.body === undefined ? request : { ...request, body: values.body }],
      connections: Number(values.connections),
      ...(values.rate === undefined ? {} : { rate: Number(values.rate) }),
      ...(values.count === undefined ? {} : { count: Number(values.count) }),
      ...(values.duration === undefined && !unbounded ? {} : { durationMs: Number(values.duration ?? 10) * 1000 }),
      ...(values.timeout === undefined ? {} : { timeoutMs: Number(values.timeout) * 1000 }),
    },
    values.cpu === undefined ? {} : { cpu: Number(values.cpu) },
  )
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  return report.stopped === null ? 0 : 1
}

if (import.meta.main) process.exitCode = await main()
