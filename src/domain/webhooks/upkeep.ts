import type { Db } from '#db/pool.ts'
import { EnvelopeError } from '#lib/envelope.ts'
import type { WebhookSecrets } from './webhook-secrets.ts'

export const KEPT_DAYS = 30
const ROWS_PER_STEP = 200
/** What one pass does at most; the next one goes on. */
const STEPS_MAX = 50

/** What nobody will be sent any more: the pending deliveries of endpoints that are disabled. Returns how many. */
export async function discardOfDisabled(db: Db, signal?: AbortSignal): Promise<number> {
  return inSteps(signal, async () => {
    const { rowCount } = await db.query(
      `update webhook_delivery d set state = 'discarded' from (
         select d.id from webhook_endpoint w join webhook_delivery d on d.endpoint_id = w.id
         where not w.enabled and d.state = 'pending' limit $1 for update of d skip locked
       ) x where d.id = x.id`,
      [ROWS_PER_STEP],
    )
    return rowCount ?? 0
  })
}

/** Deletes events that are older than KEPT_DAYS, with their deliveries, but for what is still under way. Returns how many. */
export async function pruneEvents(db: Db, signal?: AbortSignal): Promise<number> {
  return inSteps(signal, async () => {
    const { rowCount } = await db.query(
      `delete from operator_event e using (
         select id from operator_event e where at < clock_timestamp() - $1 * interval '1 day' and spread
           and not exists (select from webhook_delivery d where d.event_id = e.id and d.state = 'pending')
         order by at, id limit $2 for update skip locked
       ) x where e.id = x.id`,
      [KEPT_DAYS, ROWS_PER_STEP],
    )
    return rowCount ?? 0
  })
}

async function inSteps(signal: AbortSignal | undefined, step: () => Promise<number>): Promise<number> {
  let total = 0
  for (let count = 0; count < STEPS_MAX && signal?.aborted !== true; count += 1) {
    const done = await step()
    total += done
    if (done < ROWS_PER_STEP) break
  }
  return total
}

/** Seals with the current master key what the previous one sealed. Returns how many secrets neither of them opens. */
export async function resealSecrets(db: Db, secrets: WebhookSecrets): Promise<number> {
  let closed = 0
  for (const column of ['secret', 'secret_previous'] as const) {
    const { rows } = await db.query<{ id: string; sealed: string }>(
      `select id, ${column} as sealed from webhook_endpoint where ${column} is not null`,
    )
    for (const { id, sealed } of rows) {
      try {
        const fresh = secrets.reseal(id, sealed)
        if (fresh !== undefined)
          await db.query(`update webhook_endpoint set ${column} = $3 where id = $1 and ${column} = $2`, [
            ...[id, sealed, fresh],
          ])
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error
        closed += 1
      }
    }
  }
  return closed
}

/** Forgets secrets whose overlap is over. */
export async function forgetOldSecrets(db: Db): Promise<void> {
  await db.query(
    'update webhook_endpoint set secret_previous = null, previous_until = null where previous_until <= clock_timestamp()',
  )
}
