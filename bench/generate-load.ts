import { createConnectionPool } from './connection-pool.ts'
import { findProblem, type LoadOptions, serialiseRequests, TIMEOUT_MS_DEFAULT } from './load-options.ts'
import { createLoadReport, type LoadReport } from './load-report.ts'

/** A run with more lost exchanges than this measures an outage, not a server. */
const ERRORS_MAX = 10_000
const SWEEP_MS = 100

/**
 * Loads one server from this thread and reports. In an open loop request number i is due at start + i / rate, whether
 * or not earlier ones were answered, and its latency counts from then. Rejects only on wrong options.
 */
export function generateLoad(options: LoadOptions): Promise<LoadReport> {
  const problem = findProblem(options)
  if (problem !== undefined) return Promise.reject(new TypeError(problem))
  return new Promise((resolve) => startRun(options, resolve))
}

function startRun(options: LoadOptions, resolve: (report: LoadReport) => void): void {
  const { hostname, port } = new URL(options.url)
  const requests = serialiseRequests(options)
  const report = createLoadReport({ connections: options.connections, rate: options.rate })
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT
  const dueBy = schedule(options)
  const target = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) }
  const openedMs = performance.now()
  let startMs = 0
  let startCpu = process.cpuUsage()
  let begun = 0
  let inFlight = 0
  let over = false

  const pool = createConnectionPool(target, options.connections, {
    // The clock starts when every connection stands, so that connecting is not measured.
    filled() {
      startMs = performance.now()
      startCpu = process.cpuUsage()
      if (options.rate === undefined) serve()
      else tick()
    },
    refilled: serve,
    answered(exchange, summary) {
      inFlight -= 1
      report.answered(exchange, summary)
      serve()
    },
    failed(error, exchange) {
      if (exchange !== undefined) inFlight -= 1
      // An idle connection that the server closes costs nothing but a new one.
      if (exchange !== undefined || error === 'connect') report.failed(error)
      if (report.errorCount() > ERRORS_MAX) finish(`more than ${ERRORS_MAX} errors`)
    },
  })
  const sweeper = setInterval(sweep, SWEEP_MS)

  function tick(): void {
    serve()
    if (!over) setTimeout(tick, 1)
  }

  /** Gives due requests to idle connections, and ends the run when nothing more is to come. */
  function serve(): void {
    if (over) return
    const nowMs = performance.now()
    const { due, last } = dueBy(nowMs - startMs, begun)
    while (begun < due) {
      const connection = pool.take()
      const request = requests[begun % requests.length]
      if (connection === undefined || request === undefined) return
      const intendedMs = options.rate === undefined ? nowMs : startMs + (begun * 1000) / options.rate
      begun += 1
      inFlight += 1
      report.sent(intendedMs, nowMs)
      connection.send(request, intendedMs, nowMs)
    }
    if (last && inFlight === 0) finish(null)
  }

  function sweep(): void {
    const nowMs = performance.now()
    pool.expire(nowMs - timeoutMs)
    if (startMs === 0) {
      if (nowMs > openedMs + timeoutMs) finish('the connections could not be opened')
      return
    }
    serve()
    if (nowMs > startMs + (options.durationMs ?? Number.POSITIVE_INFINITY) + timeoutMs) {
      report.failed('unsent', dueBy(nowMs - startMs, begun).due - begun)
      finish('unfinished exchanges')
    }
  }

  function finish(stopped: string | null): void {
    if (over) return
    over = true
    const elapsedMs = startMs === 0 ? 0 : performance.now() - startMs
    const cpu = process.cpuUsage(startCpu)
    clearInterval(sweeper)
    pool.close()
    resolve(report.finish({ elapsedMs, cpuMs: (cpu.user + cpu.system) / 1000, stopped }))
  }
}

/** How many requests are due so long after the start, and whether those are all of the run. */
function schedule(options: LoadOptions): (elapsedMs: number, begun: number) => { due: number; last: boolean } {
  const { rate, durationMs = Number.POSITIVE_INFINITY, count = Number.POSITIVE_INFINITY } = options
  if (rate === undefined) {
    return (elapsedMs, begun) => {
      const due = elapsedMs < durationMs ? count : begun
      return { due, last: begun >= count || elapsedMs >= durationMs }
    }
  }
  const all = Math.min(Math.ceil((durationMs * rate) / 1000), count)
  return (elapsedMs) => {
    const due = Math.min(Math.floor((elapsedMs * rate) / 1000) + 1, all)
    return { due, last: due === all }
  }
}
