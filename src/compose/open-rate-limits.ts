import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '#db/pool.ts'
import { createMemoryLimits } from '#domain/limits/memory-store.ts'
import { createPostgresLimits } from '#domain/limits/postgres-store.ts'
import { LEASE_MS, type LimitStore } from '#domain/limits/rate-limit.ts'
import { createRateLimits, type RateLimits } from '#domain/limits/rate-limits.ts'
import type { Settings } from '#domain/settings.ts'
import { createCounter } from '#gateway/tallies.ts'
import type { Parts } from './parts.ts'

const SUBJECTS_MAX = 100_000
const LOOK_MS = 2_000

interface Below {
  db: Db
  settings: () => Settings
  slot: { current(): { slot: number } }
}

/** Rate limits, counted in memory, and by several gateways in Redis, or without it in PostgreSQL. */
export async function openRateLimits(parts: Parts, { db, settings, slot }: Below): Promise<RateLimits> {
  const { config, log, registry, opened } = parts
  const shared =
    config.REDIS_URL === undefined ? openPostgres(parts, db, slot) : await openRedis(parts, config.REDIS_URL)
  const refused = createCounter(registry, {
    name: 'fluxgate_rate_limited_total',
    help: 'Calls that a rate limit has refused, by what is limited and for whom.',
    labelNames: ['limit', 'subject'],
  })
  const limits = createRateLimits({
    settings,
    shared,
    sharedMsMax: config.RATE_LIMIT_WAIT_MS,
    local: createMemoryLimits({ subjectsMax: SUBJECTS_MAX }),
    onAway: (error) => log.warn({ err: error }, 'rate limits are counted by this gateway alone for a while'),
    onBack: () => log.info('rate limits are counted together again'),
    onRefused: (limit, subject) => refused.inc({ limit, subject }),
  })
  opened.defer(() => limits.close())
  return limits
}

async function openRedis({ log, opened }: Parts, url: string): Promise<() => LimitStore> {
  const { createRedisLimits } = await import('#adapters/redis-limits.ts')
  const store = createRedisLimits({
    ...{ url, prefix: 'fluxgate:rate:', leaseMs: LEASE_MS },
    onError: (error) => log.debug({ err: error }, 'the Redis of the rate limits'),
  })
  opened.defer(() => store.close())
  return () => store
}

/** The database is asked only while another gateway writes to it: one alone counts in memory, without a query for each call. */
function openPostgres({ log, opened }: Parts, db: Db, slot: Below['slot']): () => LimitStore | undefined {
  const store = createPostgresLimits({ db })
  const closing = new AbortController()
  const { signal } = closing
  let isAlone = true
  const looking = (async () => {
    while (!signal.aborted) {
      await look().catch((error: unknown) => log.debug({ err: error }, 'other gateways could not be looked for'))
      await delay(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
  })()
  async function look(): Promise<void> {
    const { rows } = await db.query<{ others: boolean }>(
      `select exists (select from gateway_slot where slot <> $1 and not released and instance not like 'cli:%'
                      and heartbeat_at > now() - interval '1 minute') as others`,
      [slot.current().slot],
    )
    isAlone = !(rows[0]?.others ?? false)
    if (!isAlone) await store.prune()
  }
  opened.defer(async () => {
    closing.abort()
    await looking
  })
  return () => (isAlone ? undefined : store)
}
