import type { Db } from '#db/pool.ts'
import { type DeliveryState, deliveryStates } from './deliveries.ts'

/** Counting reads every delivery: a scrape that comes sooner sees the last answer. */
const BELIEVED_MS = 15_000
const QUERY_MS_MAX = 2_000

interface State {
  counts: Record<DeliveryState, number>
  oldestPendingSeconds: number
}

/** How the deliveries stand, over all gateways. */
export function createQueueState({ db }: { db: Db }) {
  let last: { at: number; state: Promise<State> } | undefined

  function current(): Promise<State> {
    if (last !== undefined && performance.now() - last.at < BELIEVED_MS) return last.state
    const state = read(db)
    const fresh = { at: performance.now(), state }
    last = fresh
    state.catch(() => {
      if (last === fresh) last = undefined
    })
    return state
  }

  return {
    counts: async (): Promise<Record<DeliveryState, number>> => (await current()).counts,
    oldestPendingSeconds: async (): Promise<number> => (await current()).oldestPendingSeconds,
  }
}

async function read(db: Db): Promise<State> {
  const query = {
    text: `select state, count(*)::float8 as count,
             extract(epoch from clock_timestamp() - min(created_at))::float8 as "oldestSeconds"
           from webhook_delivery group by state`,
    query_timeout: QUERY_MS_MAX,
  }
  const { rows } = await db.query<{ state: DeliveryState; count: number; oldestSeconds: number }>(query)
  const counts = Object.fromEntries(deliveryStates.map((name) => [name, 0])) as Record<DeliveryState, number>
  for (const { state, count } of rows) counts[state] = count
  return { counts, oldestPendingSeconds: rows.find(({ state }) => state === 'pending')?.oldestSeconds ?? 0 }
}
