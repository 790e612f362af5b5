import { assert } from '#lib/assert.ts'
import { type LimitedSubject, type LimitKind, type LimitStore, type Verdict, WINDOW_MS } from './rate-limit.ts'

interface Counter {
  minute: number
  requests: number
  tokens: number
  running: Set<string>
}

/** Counts for one process. When there are too many subjects, those that were quiet longest are forgotten, unless a call of theirs runs. */
export function createMemoryLimits(options: { subjectsMax: number; now?: () => number }) {
  const { subjectsMax, now = Date.now } = options
  assert(subjectsMax > 0, 'at least one subject is known')
  const counters = new Map<string, Counter>()

  /** As of this minute. What was used beyond a limit is paid by the minutes that follow. */
  function counterOf({ name, limit }: LimitedSubject, minute: number): Counter {
    const counter = counters.get(name) ?? { minute, requests: 0, tokens: 0, running: new Set<string>() }
    if (counter.minute !== minute) {
      const paid = (limit.tokensPerMinute ?? Number.POSITIVE_INFINITY) * (minute - counter.minute)
      counter.tokens = Math.max(0, counter.tokens - paid)
      counter.requests = 0
      counter.minute = minute
    }
    counters.delete(name)
    counters.set(name, counter)
    return counter
  }

  function forget(): void {
    for (const [name, { running }] of counters) {
      if (counters.size <= subjectsMax) return
      if (running.size === 0) counters.delete(name)
    }
  }

  function refusedBy({ limit }: LimitedSubject, { requests, tokens, running }: Counter): LimitKind | undefined {
    if (limit.requestsPerMinute !== undefined && requests >= limit.requestsPerMinute) return 'requests'
    if (limit.tokensPerMinute !== undefined && tokens >= limit.tokensPerMinute) return 'tokens'
    if (limit.concurrentCalls !== undefined && running.size >= limit.concurrentCalls) return 'concurrent'
    return undefined
  }

  function enter(id: string, subjects: readonly LimitedSubject[]): Verdict {
    const at = now()
    const minute = Math.floor(at / WINDOW_MS)
    const found = subjects.map((subject) => counterOf(subject, minute))
    let refused: Verdict['refused']
    for (const [index, subject] of subjects.entries()) {
      const counter = found[index]
      const kind = counter && refusedBy(subject, counter)
      if (kind === undefined) continue
      refused = { index, kind }
      break
    }
    if (refused === undefined)
      for (const [index, { limit }] of subjects.entries()) {
        const counter = found[index]
        if (counter === undefined) continue
        counter.requests += 1
        if (limit.concurrentCalls !== undefined) counter.running.add(id)
      }
    if (counters.size > subjectsMax) forget()
    return {
      refused,
      leftMs: WINDOW_MS - (at % WINDOW_MS),
      counts: found.map(({ requests, tokens, running }) => ({ requests, tokens, concurrent: running.size })),
    }
  }

  function leave(id: string, subjects: readonly LimitedSubject[], tokens: number): void {
    const minute = Math.floor(now() / WINDOW_MS)
    for (const subject of subjects) {
      const counter = counterOf(subject, minute)
      counter.running.delete(id)
      if (subject.limit.tokensPerMinute !== undefined) counter.tokens += tokens
    }
  }

  const store: LimitStore = {
    enter: async (id, subjects) => enter(id, subjects),
    leave: async (id, subjects, tokens) => leave(id, subjects, tokens),
    refresh: async () => undefined,
  }
  return { ...store, subjects: () => counters.size }
}
