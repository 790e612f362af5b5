import { sqlState } from '#db/failures.ts'
import type { Db } from '#db/pool.ts'

const EVENTS_MAX = 500
const FOREIGN_KEY_VIOLATION = '23503'

/**
 * Makes a delivery of each waiting event for each endpoint that wants it, and takes the event off the queue, in one commit:
 * exactly once, however many gateways do it at once. Returns how many events it took; EVENTS_MAX means there may be more.
 */
async function spreadOnce(db: Db): Promise<number> {
  const { rowCount } = await db.query(
    `with due as (
       select id, type from operator_event where not spread order by at, id limit $1 for update skip locked
     ), made as (
       insert into webhook_delivery (endpoint_id, event_id)
       select w.id, e.id from due e join webhook_endpoint w on w.enabled and (w.event_types is null or e.type = any (w.event_types))
       on conflict (event_id, endpoint_id) do nothing
     )
     update operator_event e set spread = true from due where e.id = due.id`,
    [EVENTS_MAX],
  )
  return rowCount ?? 0
}

/** Spreads all that is waiting. Returns how many events. */
export async function spreadEvents(db: Db, signal?: AbortSignal): Promise<number> {
  let total = 0
  for (let refused = 0; signal?.aborted !== true; ) {
    try {
      const spread = await spreadOnce(db)
      total += spread
      if (spread < EVENTS_MAX) break
    } catch (error) {
      // An endpoint was deleted in between; the next look does not see it.
      refused += 1
      if (sqlState(error) !== FOREIGN_KEY_VIOLATION || refused > 3) throw error
    }
  }
  return total
}
