import { type Db, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { AppError } from '#src/errors.ts'
import type { Actor } from './endpoints.ts'

export const deliveryStates = ['pending', 'delivered', 'failed', 'discarded'] as const
export type DeliveryState = (typeof deliveryStates)[number]
export const DELIVERIES_PAGE_MAX = 100

interface DeliveryAttempt {
  number: number
  at: string
  status: number | null
  error: string | null
  tookMs: number
}

/** One event on its way to one endpoint. */
export interface WebhookDelivery {
  id: string
  endpointId: string
  eventId: string
  type: string
  state: DeliveryState
  attempts: number
  nextAttemptAt: Date
  lastStatus: number | null
  lastError: string | null
  createdAt: Date
  deliveredAt: Date | null
  /** The last of them, the newest first. */
  attemptList: DeliveryAttempt[]
}

const select = `select d.id, d.endpoint_id as "endpointId", d.event_id as "eventId", e.type, d.state, d.attempts,
    d.next_attempt_at as "nextAttemptAt", d.last_status as "lastStatus", d.last_error as "lastError",
    d.created_at as "createdAt", d.delivered_at as "deliveredAt",
    coalesce((select jsonb_agg(jsonb_build_object('number', a.number, 'at', a.at, 'status', a.status, 'error', a.error,
                'tookMs', a.took_ms) order by a.number desc)
              from webhook_attempt a where a.delivery_id = d.id), '[]') as "attemptList"
  from webhook_delivery d join operator_event e on e.id = d.event_id`

export function createWebhookDeliveries({ db }: { db: Db }) {
  async function get(id: string): Promise<WebhookDelivery> {
    const { rows } = await db.query<WebhookDelivery>(`${select} where d.id = $1`, [uuid(id)])
    const [delivery] = rows
    if (delivery === undefined) throw notFound()
    return delivery
  }

  return {
    get,

    /** Of one endpoint, the newest first; `after` is the id that the page before ended with. Throws AppError not_found. */
    async list(
      endpointId: string,
      page: { state?: DeliveryState | undefined; after?: string | undefined; limit: number },
    ): Promise<{ deliveries: WebhookDelivery[]; hasMore: boolean }> {
      const known = await db.query('select from webhook_endpoint where id = $1', [endpointId])
      if (known.rowCount === 0) throw new AppError('not_found', { message: 'No webhook has this id.' })
      const { rows } = await db.query<WebhookDelivery>(
        `${select} where d.endpoint_id = $1 and ($2::text is null or d.state = $2)
           and ($3::uuid is null or (d.created_at, d.id) < (select created_at, id from webhook_delivery where id = $3))
         order by d.created_at desc, d.id desc limit $4`,
        [endpointId, page.state ?? null, page.after === undefined ? null : uuid(page.after), page.limit + 1],
      )
      return { deliveries: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },

    /**
     * Sends an event again, now and with all its retries, under the id that it had: also one that was delivered. Throws
     * AppError: not_found, webhook_disabled, delivery_running.
     */
    async resend(id: string, actor: Actor): Promise<WebhookDelivery> {
      await transaction(db, async (tx) => {
        const { rows } = await tx.query<{
          state: DeliveryState
          running: boolean
          enabled: boolean
          endpointId: string
        }>(
          `select d.state, d.claim is not null and d.next_attempt_at > clock_timestamp() as running, w.enabled,
                  w.id as "endpointId"
           from webhook_delivery d join webhook_endpoint w on w.id = d.endpoint_id where d.id = $1 for update of d`,
          [uuid(id)],
        )
        const [found] = rows
        if (found === undefined) throw notFound()
        if (!found.enabled) throw new AppError('webhook_disabled')
        if (found.running) throw new AppError('delivery_running')
        await tx.query(
          `update webhook_delivery set state = 'pending', tries = 0, claim = null, delivered_at = null,
             next_attempt_at = clock_timestamp() where id = $1`,
          [uuid(id)],
        )
        const before = { webhook: found.endpointId, state: found.state }
        await recordAct(tx, { ...actor, action: 'webhook.resend', subject: deliveryId(uuid(id)), before })
      })
      return get(id)
    },
  }
}

export type WebhookDeliveries = ReturnType<typeof createWebhookDeliveries>

export function deliveryId(id: string): string {
  return `whd_${id.replaceAll('-', '')}`
}

/** The UUID in an id of ours, or of the database. Throws AppError not_found: an id that could not exist does not. */
function uuid(id: string): string {
  const [, hex] = /^(?:whd_)?([0-9a-f]{32})$/.exec(id.replaceAll('-', '')) ?? []
  if (hex === undefined) throw notFound()
  return hex
}

function notFound(): AppError {
  return new AppError('not_found', { message: 'No delivery has this id.' })
}
