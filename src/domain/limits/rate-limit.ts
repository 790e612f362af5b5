import { AppError } from '#src/errors.ts'

/** What is counted in one minute of the clock, and at one moment. What is missing is not limited. */
export interface RateLimit {
  requestsPerMinute?: number
  /** Input and output together. A call is admitted while any are left, and counts when it ends. */
  tokensPerMinute?: number
  concurrentCalls?: number
}

/** Limits of a caller beside those of the settings. */
export interface CallerLimits {
  rateLimits?: { key?: RateLimit; project?: RateLimit }
}

/** Somebody or something that calls are counted for. */
export interface LimitedSubject {
  kind: 'key' | 'user' | 'project'
  /** Unique among all kinds. */
  name: string
  limit: RateLimit
}

export type LimitKind = 'requests' | 'tokens' | 'concurrent'

/** What was counted so far, this call included where it was admitted. */
interface LimitCounts {
  requests: number
  tokens: number
  concurrent: number
}

export interface Verdict {
  /** The first limit that refuses; then nothing was counted. */
  refused: { index: number; kind: LimitKind } | undefined
  /** To the end of the minute. */
  leftMs: number
  counts: readonly LimitCounts[]
}

/** Where calls are counted. */
export interface LimitStore {
  /** Counts a call for all subjects or for none. */
  enter(id: string, subjects: readonly LimitedSubject[]): Promise<Verdict>
  /** Ends a call that was admitted; safe to repeat but for the tokens. */
  leave(id: string, subjects: readonly LimitedSubject[], tokens: number): Promise<void>
  /** Says that these calls still run. */
  refresh(calls: readonly { id: string; subjects: readonly LimitedSubject[] }[]): Promise<void>
}

/** A call whose process says nothing for so long is over. */
export const LEASE_MS = 60_000
export const WINDOW_MS = 60_000
const REQUESTS_MAX = 1_000_000_000
const TOKENS_MAX = 1_000_000_000_000

const members = [
  ['requestsPerMinute', REQUESTS_MAX],
  ['tokensPerMinute', TOKENS_MAX],
  ['concurrentCalls', REQUESTS_MAX],
] as const

/** What is wrong with a limit as it was written; nothing for one that can be used. Completes "must …". */
export function rateLimitProblem(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'be an object'
  const known = new Map<string, number>(members)
  for (const [name, count] of Object.entries(value)) {
    const max = known.get(name)
    if (max === undefined) return `have no member but ${[...known.keys()].join(', ')}`
    if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 1 || count > max)
      return `have ${name} as an integer from 1 to ${max}`
  }
  return undefined
}

export function isLimited(limit: RateLimit | undefined): limit is RateLimit {
  return (
    limit !== undefined &&
    (limit.requestsPerMinute !== undefined ||
      limit.tokensPerMinute !== undefined ||
      limit.concurrentCalls !== undefined)
  )
}

/** As the columns of project and key tell it; nothing where neither limits. */
export function callerLimits(project: string | null, key: string | null): CallerLimits {
  if (project === null && key === null) return {}
  return {
    rateLimits: {
      ...(project !== null && { project: JSON.parse(project) as RateLimit }),
      ...(key !== null && { key: JSON.parse(key) as RateLimit }),
    },
  }
}

const whose = { key: 'this key', user: 'this account', project: 'this project' } as const
const words: Record<LimitKind, (limit: RateLimit) => string> = {
  requests: ({ requestsPerMinute }) => `${requestsPerMinute} requests a minute`,
  tokens: ({ tokensPerMinute }) => `${tokensPerMinute} tokens a minute`,
  concurrent: ({ concurrentCalls }) => `${concurrentCalls} calls at once`,
}

/** The refusal that a verdict is: 429 with when to come again. */
export function refusalOf(subjects: readonly LimitedSubject[], verdict: Verdict): AppError {
  const { refused, leftMs } = verdict
  const subject = refused && subjects[refused.index]
  if (refused === undefined || subject === undefined) throw new Error('only a verdict that refuses is a refusal')
  // Nobody knows when a running call ends.
  const waitSeconds = refused.kind === 'concurrent' ? 1 : Math.max(1, Math.ceil(leftMs / 1000))
  return new AppError('too_many_requests', {
    message: `The limit of ${whose[subject.kind]} is ${words[refused.kind](subject.limit)}. Try again in ${waitSeconds} s.`,
    headers: { ...limitHeaders(subjects, verdict), 'retry-after': String(waitSeconds) },
    publicDetails: { limit: refused.kind, subject: subject.kind },
  })
}

/** What clients read of their limits: OpenAI's headers, and those of the IETF's draft. Of several limits the tightest. */
export function limitHeaders(subjects: readonly LimitedSubject[], verdict: Verdict): Record<string, string> {
  const headers: Record<string, string> = {}
  const policies: string[] = []
  const states: string[] = []
  const seconds = Math.max(1, Math.ceil(verdict.leftMs / 1000))
  for (const [kind, member] of [
    ['requests', 'requestsPerMinute'],
    ['tokens', 'tokensPerMinute'],
    ['concurrent', 'concurrentCalls'],
  ] as const) {
    let tightest: { limit: number; remaining: number } | undefined
    for (const [index, { limit }] of subjects.entries()) {
      const most = limit[member]
      if (most === undefined) continue
      const remaining = Math.max(0, most - (verdict.counts[index]?.[kind] ?? 0))
      if (tightest === undefined || remaining < tightest.remaining) tightest = { limit: most, remaining }
    }
    if (tightest === undefined) continue
    headers[`x-ratelimit-limit-${kind}`] = String(tightest.limit)
    headers[`x-ratelimit-remaining-${kind}`] = String(tightest.remaining)
    if (kind === 'concurrent') continue
    headers[`x-ratelimit-reset-${kind}`] = `${(verdict.leftMs / 1000).toFixed(3)}s`
    policies.push(`"${kind}";q=${tightest.limit};w=${WINDOW_MS / 1000}`)
    states.push(`"${kind}";r=${tightest.remaining};t=${seconds}`)
  }
  if (policies.length > 0) {
    headers['ratelimit-policy'] = policies.join(', ')
    headers.ratelimit = states.join(', ')
  }
  return headers
}
