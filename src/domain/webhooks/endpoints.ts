import { type Db, type Tx, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { type OperatorEventType, operatorEventTypes } from '#domain/operator-events.ts'
import { requirePlainText } from '#domain/plain-text.ts'
import { assert } from '#lib/assert.ts'
import { randomText, uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { createWebhookSecret } from './signature.ts'
import type { WebhookSecrets } from './webhook-secrets.ts'

/** Where events are sent to. */
export interface WebhookEndpoint {
  id: string
  url: string
  description: string | null
  /** Null: all, those of later releases too. */
  eventTypes: OperatorEventType[] | null
  enabled: boolean
  /** Why the gateway disabled it: `gone`, `failing`. */
  disabledReason: string | null
  /** Nothing was delivered since, and something was tried. */
  failingSince: Date | null
  /** Until when messages carry the signature of the last secret too. */
  previousUntil: Date | null
  createdAt: Date
}

export const ENDPOINTS_MAX = 50
export const URL_CHARS_MAX = 2_000
const DESCRIPTION_CHARS_MAX = 500
export const SECRET_OVERLAP_SECONDS = { default: 86_400, max: 30 * 86_400 } as const

/** Who changes something. */
export interface Actor {
  actor: string
  requestId?: string
}

export interface EndpointChanges {
  url?: string | undefined
  description?: string | null | undefined
  eventTypes?: readonly string[] | null | undefined
  enabled?: boolean | undefined
}

export interface WebhookEndpointsOptions {
  db: Db
  secrets: WebhookSecrets
  /** Throws for an address that nothing is sent to, whatever its name leads to. */
  checkUrl: (url: string) => void
}

const columns = `id, url, description, event_types as "eventTypes", enabled, disabled_reason as "disabledReason",
  failing_since as "failingSince", case when previous_until > clock_timestamp() then previous_until end as "previousUntil",
  created_at as "createdAt"`

export function createWebhookEndpoints(options: WebhookEndpointsOptions) {
  const { db, secrets } = options

  function check({ url, description, eventTypes }: EndpointChanges): void {
    if (url !== undefined) checkUrl(url)
    if (typeof description === 'string') requirePlainText(description, 'description', DESCRIPTION_CHARS_MAX)
    if (eventTypes == null) return
    const known: readonly string[] = operatorEventTypes
    const unknown = eventTypes.filter((type) => !known.includes(type))
    if (eventTypes.length > 0 && unknown.length === 0) return
    const message = `'event_types' must name some of: ${operatorEventTypes.join(', ')}; or be null for all.`
    throw new AppError('body_invalid', { message, param: 'event_types' })
  }

  function checkUrl(url: string): void {
    try {
      if (url.length > URL_CHARS_MAX) throw new Error('too long')
      options.checkUrl(url)
    } catch (cause) {
      throw new AppError('body_invalid', {
        message: "'url' must be an https address with a public name, without a user or password.",
        param: 'url',
        cause,
      })
    }
  }

  return {
    /** Throws AppError: body_invalid, too_many_webhooks. The secret is shown now and never again. */
    async create(
      input: {
        url: string
        description?: string | null | undefined
        eventTypes?: readonly string[] | null | undefined
      },
      actor: Actor,
    ): Promise<{ endpoint: WebhookEndpoint; secret: string }> {
      check(input)
      const id = `whe_${randomText(20)}`
      const secret = createWebhookSecret()
      return transaction(db, async (tx) => {
        // Who counts at the same time waits, or there would be one too many.
        await tx.query(`select pg_advisory_xact_lock(hashtext('fluxgate webhooks'))`)
        const { rows } = await tx.query<WebhookEndpoint>(
          `insert into webhook_endpoint (id, url, description, event_types, secret)
           select $1, $2, $3, $4, $5 where (select count(*) from webhook_endpoint) < $6 returning ${columns}`,
          [
            ...[id, input.url, input.description ?? null, distinct(input.eventTypes), secrets.seal(id, secret)],
            ENDPOINTS_MAX,
          ],
        )
        const [endpoint] = rows
        if (endpoint === undefined) throw new AppError('too_many_webhooks')
        await recordAct(tx, { ...actor, action: 'webhook.create', subject: id, after: told(endpoint) })
        return { endpoint, secret }
      })
    },

    /** All of them, at most ENDPOINTS_MAX, the oldest first. */
    async list(): Promise<WebhookEndpoint[]> {
      const { rows } = await db.query<WebhookEndpoint>(
        `select ${columns} from webhook_endpoint order by created_at, id limit $1`,
        [ENDPOINTS_MAX],
      )
      return rows
    },

    /** Throws AppError not_found. */
    get: (id: string): Promise<WebhookEndpoint> => read(db, id),

    /** Changes what is given. Enabling forgets why it was disabled. Throws AppError: body_invalid, not_found. */
    async update(id: string, changes: EndpointChanges, actor: Actor): Promise<WebhookEndpoint> {
      check(changes)
      return transaction(db, async (tx) => {
        const before = await read(tx, id, 'for no key update')
        const { rows } = await tx.query<WebhookEndpoint>(
          `update webhook_endpoint set
             url = coalesce($2, url), description = case when $3 then $4 else description end,
             event_types = case when $5 then $6 else event_types end, enabled = coalesce($7, enabled),
             disabled_reason = case when $7 is null then disabled_reason end,
             failing_since = case when $7 and not enabled or $2 <> url then null else failing_since end
           where id = $1 returning ${columns}`,
          [
            id,
            changes.url ?? null,
            changes.description !== undefined,
            changes.description ?? null,
            changes.eventTypes !== undefined,
            distinct(changes.eventTypes),
            changes.enabled ?? null,
          ],
        )
        const after = only(rows)
        await recordAct(tx, {
          ...actor,
          action: 'webhook.update',
          subject: id,
          before: told(before),
          after: told(after),
        })
        return after
      })
    },

    /** Takes it away with its deliveries; what is being sent may still arrive. Throws AppError not_found. */
    async remove(id: string, actor: Actor): Promise<void> {
      await transaction(db, async (tx) => {
        const before = await read(tx, id, 'for update')
        await tx.query('delete from webhook_endpoint where id = $1', [id])
        await recordAct(tx, { ...actor, action: 'webhook.delete', subject: id, before: told(before) })
      })
    },

    /**
     * A new secret. Until `overlapSeconds` have passed, messages carry the signatures of both; a secret before that one ends
     * now. Throws AppError not_found.
     */
    async rotateSecret(
      id: string,
      overlapSeconds: number,
      actor: Actor,
    ): Promise<{ endpoint: WebhookEndpoint; secret: string }> {
      assert(overlapSeconds >= 0 && overlapSeconds <= SECRET_OVERLAP_SECONDS.max, 'the route checks the overlap')
      const secret = createWebhookSecret()
      return transaction(db, async (tx) => {
        await read(tx, id, 'for no key update')
        const { rows } = await tx.query<WebhookEndpoint>(
          `update webhook_endpoint set secret = $2,
             secret_previous = case when $3 > 0 then secret end,
             previous_until = case when $3 > 0 then clock_timestamp() + $3 * interval '1 second' end
           where id = $1 returning ${columns}`,
          [id, secrets.seal(id, secret), overlapSeconds],
        )
        const after = { overlap_seconds: overlapSeconds }
        await recordAct(tx, { ...actor, action: 'webhook.rotate_secret', subject: id, after })
        return { endpoint: only(rows), secret }
      })
    },

    /** Queues an event `webhook.test` for this endpoint alone. Throws AppError: not_found, webhook_disabled. */
    async test(id: string, actor: Actor): Promise<{ deliveryId: string }> {
      return transaction(db, async (tx) => {
        const { enabled } = await read(tx, id, 'for key share')
        if (!enabled) throw new AppError('webhook_disabled')
        const eventId = uuidv7Hex()
        await tx.query(`insert into operator_event (id, type, data, spread) values ($1, 'webhook.test', $2, true)`, [
          eventId,
          JSON.stringify({ webhook_id: id }),
        ])
        const { rows } = await tx.query<{ id: string }>(
          'insert into webhook_delivery (endpoint_id, event_id) values ($1, $2) returning id',
          [id, eventId],
        )
        await recordAct(tx, { ...actor, action: 'webhook.test', subject: id })
        return { deliveryId: only(rows).id }
      })
    },
  }
}

export type WebhookEndpoints = ReturnType<typeof createWebhookEndpoints>

async function read(db: Db | Tx, id: string, lock = ''): Promise<WebhookEndpoint> {
  const { rows } = await db.query<WebhookEndpoint>(`select ${columns} from webhook_endpoint where id = $1 ${lock}`, [
    id,
  ])
  const [endpoint] = rows
  if (endpoint === undefined) throw new AppError('not_found', { message: 'No webhook has this id.' })
  return endpoint
}

function only<T>([row]: readonly T[]): T {
  assert(row !== undefined, 'the row is there while it is locked')
  return row
}

function distinct(types: readonly string[] | null | undefined): string[] | null {
  return types == null ? null : [...new Set(types)]
}

/** What the trail keeps for ever: only the host of the address, since receivers put tokens into the rest. */
function told(endpoint: WebhookEndpoint) {
  const { url, eventTypes, enabled, disabledReason } = endpoint
  return { host: new URL(url).host, event_types: eventTypes, enabled, disabled_reason: disabledReason }
}
