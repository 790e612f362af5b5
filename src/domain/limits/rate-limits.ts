import { setTimeout as delay } from 'node:timers/promises'
import type { AuthenticatedKey } from '#domain/keyring.ts'
import { SESSION_KEY_ID } from '#domain/people/signed-in.ts'
import type { Settings } from '#domain/settings.ts'
import {
  isLimited,
  type LimitedSubject,
  type LimitStore,
  limitHeaders,
  type RateLimit,
  refusalOf,
  type Verdict,
} from './rate-limit.ts'

/** A store that failed is left alone for a while. */
const AWAY_MS = 2_000
const REFRESH_MS = 15_000
const REFRESHED_AT_ONCE = 500

/** A call's place among those that run. */
export interface Place {
  /** What the client is told of its limits. */
  headers: Readonly<Record<string, string>>
  /** Ends the call, once; `tokens` is what it used. */
  leave(tokens: number): void
}

export interface RateLimitsOptions {
  settings: () => Settings
  local: LimitStore
  /** How long an admission waits for a shared store, before this gateway counts by itself. */
  sharedMsMax: number
  /** What several gateways count together; undefined where one counts for itself. Asked at every call. */
  shared: () => LimitStore | undefined
  /** The shared store failed; calls are counted by this gateway alone for a while. */
  onAway: (error: unknown) => void
  onBack: () => void
  onRefused: (kind: string, subject: string) => void
}

/**
 * Admits calls by rate: of the key, of the person and of the project. Whoever is not limited costs nothing. A shared store that is
 * away or slow never refuses anybody: then each gateway counts by itself.
 */
export function createRateLimits(options: RateLimitsOptions) {
  const { settings, local, sharedMsMax, onAway, onBack, onRefused } = options
  const closing = new AbortController()
  const { signal } = closing
  /** Calls that run and were counted with others. */
  const open = new Map<string, { store: LimitStore; subjects: readonly LimitedSubject[] }>()
  let awayUntil = 0
  let isAway = false

  function subjectsOf(key: AuthenticatedKey): LimitedSubject[] {
    const subjects: LimitedSubject[] = []
    const now = settings()
    const add = (kind: LimitedSubject['kind'], id: string, limit: RateLimit | undefined) => {
      if (isLimited(limit)) subjects.push({ kind, name: `${kind}:${id}`, limit })
    }
    // A session is no key of its own: a person has one limit, however it signs in.
    if (key.keyId !== SESSION_KEY_ID) add('key', key.keyId, key.rateLimits?.key ?? now.stored('RATE_LIMIT_KEY'))
    if (key.userId !== null) add('user', key.userId, now.stored('RATE_LIMIT_USER'))
    add('project', key.projectId, key.rateLimits?.project ?? now.stored('RATE_LIMIT_PROJECT'))
    return subjects
  }

  async function enterShared(
    store: LimitStore,
    id: string,
    subjects: readonly LimitedSubject[],
  ): Promise<Verdict | undefined> {
    const entering = store.enter(id, subjects)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), sharedMsMax)
    })
    try {
      const verdict = await Promise.race([entering, late])
      if (verdict !== 'late') {
        if (isAway) onBack()
        isAway = false
        return verdict
      }
      // It may have been counted there all the same.
      entering
        .then(({ refused }) => (refused === undefined ? store.leave(id, subjects, 0) : undefined))
        .catch(() => undefined)
      away(new Error(`no answer within ${sharedMsMax} ms`))
    } catch (error) {
      away(error)
    } finally {
      clearTimeout(timer)
    }
    return undefined
  }

  function away(error: unknown): void {
    awayUntil = performance.now() + AWAY_MS
    if (!isAway) onAway(error)
    isAway = true
  }

  async function enter(id: string, subjects: readonly LimitedSubject[]): Promise<Place> {
    const shared = performance.now() < awayUntil ? undefined : options.shared()
    const counted = shared && (await enterShared(shared, id, subjects))
    const store = counted === undefined ? local : (shared ?? local)
    const verdict = counted ?? (await local.enter(id, subjects))
    if (verdict.refused !== undefined) {
      onRefused(verdict.refused.kind, subjects[verdict.refused.index]?.kind ?? '')
      throw refusalOf(subjects, verdict)
    }
    if (store !== local && subjects.some(({ limit }) => limit.concurrentCalls !== undefined))
      open.set(id, { store, subjects })
    let left = false
    return {
      headers: limitHeaders(subjects, verdict),
      leave(tokens) {
        if (left) return
        left = true
        open.delete(id)
        store.leave(id, subjects, tokens).catch(away)
      },
    }
  }

  const refreshing = (async () => {
    while (!signal.aborted) {
      await delay(REFRESH_MS, undefined, { signal, ref: false }).catch(() => undefined)
      const calls = [...open].map(([id, call]) => ({ id, ...call }))
      for (let start = 0; start < calls.length && !signal.aborted; start += REFRESHED_AT_ONCE) {
        const some = calls.slice(start, start + REFRESHED_AT_ONCE)
        for (const store of new Set(some.map((call) => call.store)))
          await store.refresh(some.filter((call) => call.store === store)).catch(away)
      }
    }
  })()

  return {
    /** Undefined for who is not limited. Throws AppError too_many_requests. */
    enter(id: string, key: AuthenticatedKey): Promise<Place> | undefined {
      const subjects = subjectsOf(key)
      return subjects.length === 0 ? undefined : enter(id, subjects)
    },

    async close(): Promise<void> {
      closing.abort()
      await refreshing
    },
  }
}

export type RateLimits = Pick<ReturnType<typeof createRateLimits>, 'enter'>
