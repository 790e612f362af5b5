import { createHistogram, type Histogram } from './histogram.ts'
import type { ConnectionError, Exchange } from './load-connection.ts'
import type { ResponseSummary } from './response-parser.ts'

/** Milliseconds with three decimals. Percentiles are at most 0.1 % too high. */
export interface Distribution {
  count: number
  mean: number
  p50: number
  p90: number
  p99: number
  p999: number
  max: number
}

export interface LoadReport {
  loop: 'closed' | 'open'
  connections: number
  /** The arrivals per second that were asked for; null in a closed loop. */
  rate: number | null
  elapsedMs: number
  sent: number
  answered: number
  /** Answers per second over the whole run, its end included. */
  throughput: number
  statuses: Record<string, number>
  /** Exchanges without an answer, by reason. `unsent` arrivals waited for a connection until the run was over. */
  errors: Record<ConnectionError | 'unsent', number>
  /** Of 2xx answers: from when the request was due to the last byte. This is the one to publish. */
  latency: Distribution
  /** Of 2xx answers: from when the request was due to the first byte of the body. */
  firstByte: Distribution
  /** Of 2xx answers: from when the request was written to the last byte. Hides waiting for a connection. */
  service: Distribution
  /** How late requests were written: timers of the generator, and arrivals without a free connection. */
  lateness: Distribution
  /** Lines that begin with `data:`, over all answers. */
  events: number
  /** 2xx answers with events but without `[DONE]`. */
  unfinishedStreams: number
  bodyBytes: number
  /** Why the run ended before its time, or null. */
  stopped: string | null
  /** What the generator itself cost. */
  generator: { cpuMs: number; cpuUsPerRequest: number }
}

/** Collects what happens during a run and turns it into a report. */
export function createLoadReport(run: { connections: number; rate: number | undefined }) {
  const latency = createHistogram()
  const firstByte = createHistogram()
  const service = createHistogram()
  const lateness = createHistogram()
  const statuses = new Map<number, number>()
  const errors: LoadReport['errors'] = { connect: 0, closed: 0, timeout: 0, not_http: 0, unsent: 0 }
  let sent = 0
  let answered = 0
  let events = 0
  let unfinishedStreams = 0
  let bodyBytes = 0

  return {
    sent(intendedMs: number, nowMs: number): void {
      sent += 1
      lateness.record((nowMs - intendedMs) * 1000)
    },

    answered(exchange: Exchange, summary: ResponseSummary): void {
      answered += 1
      statuses.set(summary.status, (statuses.get(summary.status) ?? 0) + 1)
      events += summary.events
      bodyBytes += summary.bodyBytes
      if (summary.status >= 300) return
      const nowMs = performance.now()
      latency.record((nowMs - exchange.intendedMs) * 1000)
      service.record((nowMs - exchange.sentMs) * 1000)
      if (exchange.firstByteMs > 0) firstByte.record((exchange.firstByteMs - exchange.intendedMs) * 1000)
      if (summary.events > 0 && !summary.done) unfinishedStreams += 1
    },

    failed(error: keyof LoadReport['errors'], times = 1): void {
      errors[error] += times
    },

    errorCount: () => errors.connect + errors.closed + errors.timeout + errors.not_http,

    finish(end: { elapsedMs: number; cpuMs: number; stopped: string | null }): LoadReport {
      return {
        loop: run.rate === undefined ? 'closed' : 'open',
        connections: run.connections,
        rate: run.rate ?? null,
        elapsedMs: round(end.elapsedMs),
        sent,
        answered,
        throughput: end.elapsedMs === 0 ? 0 : round(answered / (end.elapsedMs / 1000)),
        statuses: Object.fromEntries(statuses),
        errors,
        latency: distribution(latency),
        firstByte: distribution(firstByte),
        service: distribution(service),
        lateness: distribution(lateness),
        events,
        unfinishedStreams,
        bodyBytes,
        stopped: end.stopped,
        generator: { cpuMs: round(end.cpuMs), cpuUsPerRequest: sent === 0 ? 0 : round((end.cpuMs * 1000) / sent) },
      }
    },
  }
}

function distribution(histogram: Histogram): Distribution {
  return {
    count: histogram.count(),
    mean: round(histogram.mean() / 1000),
    p50: histogram.percentile(0.5) / 1000,
    p90: histogram.percentile(0.9) / 1000,
    p99: histogram.percentile(0.99) / 1000,
    p999: histogram.percentile(0.999) / 1000,
    max: histogram.max() / 1000,
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
