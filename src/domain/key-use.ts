import type { Db } from '#db/pool.ts'

const KEYS_MAX = 10_000
const KEYS_PER_STATEMENT = 1_000
const FLUSH_MS_MAX = 3_000

/**
 * Remembers when keys were last used and writes it behind the requests, at most once a minute for each key. What cannot be
 * written is tried again a minute later; beyond 10,000 keys a minute, the rest waits for its next use.
 */
export function createKeyUse(options: { db: Db; everyMs?: number; onError?: (error: unknown) => void }) {
  const { db, everyMs = 60_000, onError = () => undefined } = options
  let used = new Map<string, number>()
  let running: Promise<void> = Promise.resolve()
  // Spread over the minute, so that gateways that started together do not write together.
  let timer = setTimeout(tick, everyMs * Math.random()).unref()

  function tick(): void {
    timer = setTimeout(tick, everyMs).unref()
    running = running.then(() => flush(everyMs))
  }

  /** Skips keys whose use was written less than `restMs` before, by whichever gateway. */
  async function flush(restMs: number): Promise<void> {
    const taken = [...used]
    used = new Map()
    for (let at = 0; at < taken.length; at += KEYS_PER_STATEMENT) {
      const some = taken.slice(at, at + KEYS_PER_STATEMENT)
      try {
        await write(db, some, restMs)
      } catch (error) {
        for (const [id, usedAt] of some) note(id, Math.max(usedAt, used.get(id) ?? 0))
        onError(error)
      }
    }
  }

  function note(keyId: string, nowMs: number): void {
    if (used.size < KEYS_MAX || used.has(keyId)) used.set(keyId, nowMs)
  }

  return {
    /** `nowMs` is performance.now(). */
    note,

    /** Writes what is left. */
    async close(): Promise<void> {
      clearTimeout(timer)
      await running
      await flush(0)
    },
  }
}

/** Rows are locked in the order of their ids, so that two gateways that write at once wait for each other in turn. */
async function write(db: Db, some: readonly (readonly [id: string, usedAt: number])[], restMs: number): Promise<void> {
  const nowMs = performance.now()
  const query = {
    text: `with used as materialized (
             select k.id, clock_timestamp() - make_interval(secs => u.ago) as at
             from unnest($1::text[], $2::float8[]) u (id, ago) join api_key k on k.id = u.id
             order by k.id for no key update of k)
           update api_key k set last_used_at = used.at from used
           where k.id = used.id
             and (k.last_used_at is null or k.last_used_at < used.at - make_interval(secs => $3))`,
    values: [some.map(([id]) => id), some.map(([, usedAt]) => Math.max(0, nowMs - usedAt) / 1000), restMs / 1000],
    query_timeout: FLUSH_MS_MAX,
  }
  await db.query(query)
}
