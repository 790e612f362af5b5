import { randomUUID } from 'node:crypto'
import { type Db, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { retryDelayMs } from './retry-schedule.ts'

/** Long enough for an attempt and its record: after it, the attempt counts as lost. */
export const LEASE_MS = 60_000
/** An endpoint to which nothing was delivered for so long is disabled. */
export const FAILING_DAYS_MAX = 5
/** Attempts that are listed of one delivery. */
const ATTEMPTS_KEPT = 20

/** One attempt that this process is to make. */
export interface Claimed {
  id: string
  claim: string
  endpointId: string
  url: string
  secret: string
  secretPrevious: string | null
  eventId: string
  type: string
  at: Date
  data: string
  tries: number
}

export interface ClaimLimits {
  /** Attempts to take now. */
  room: number
  /** Attempts that run, by endpoint. */
  running: ReadonlyMap<string, number>
  /** At once to one endpoint; to one that is failing, one. */
  perEndpoint: number
}

/**
 * Takes attempts that are due, for LEASE_MS: who dies with one leaves it to others after that. Of each endpoint only as many as
 * it has room for are looked at, so that one with a long queue keeps none from theirs. `aheadMs` moves the clock, for tests.
 */
export async function claimDeliveries(db: Db, limits: ClaimLimits, aheadMs = 0): Promise<Claimed[]> {
  const { rows } = await db.query<Claimed>(
    `with moment as materialized (select clock_timestamp() + $1::float8 * interval '1 millisecond' as now),
     due as materialized (
       select d.id from moment, (
         select w.id, coalesce(b.running, 0) as running,
                greatest(0, case when w.failing_since is null then $2::int else 1 end - coalesce(b.running, 0)) as room
         from webhook_endpoint w left join unnest($3::text[], $4::int[]) b(id, running) on b.id = w.id
         where w.enabled
       ) w cross join lateral (
         select d.id, d.next_attempt_at from webhook_delivery d
         where d.endpoint_id = w.id and d.state = 'pending' and d.next_attempt_at <= moment.now
         order by d.next_attempt_at limit w.room for update skip locked
       ) d
       order by w.running, d.next_attempt_at limit $5
     ), taken as (
       update webhook_delivery d set claim = $6, attempts = attempts + 1, tries = tries + 1,
         next_attempt_at = moment.now + $7::float8 * interval '1 millisecond'
       from due, moment where d.id = due.id returning d.*
     )
     select d.id, d.claim, d.tries, w.id as "endpointId", w.url, w.secret,
            case when w.previous_until > moment.now then w.secret_previous end as "secretPrevious",
            e.id as "eventId", e.type, e.at, e.data
     from taken d join webhook_endpoint w on w.id = d.endpoint_id join operator_event e on e.id = d.event_id, moment`,
    [
      aheadMs,
      limits.perEndpoint,
      [...limits.running.keys()],
      [...limits.running.values()],
      limits.room,
      randomUUID(),
      LEASE_MS,
    ],
  )
  return rows
}

/** What came of an attempt. */
export interface AttemptResult {
  ok: boolean
  status: number | undefined
  /** Short. */
  error: string | undefined
  retryAfterMs: number | undefined
  tookMs: number
}

export interface Finished {
  /** There will be no further attempt. */
  givenUp: boolean
  /** This attempt disabled the endpoint. */
  disabled: 'gone' | 'failing' | undefined
}

/** Writes down what came of an attempt, unless it counted as lost by then. `aheadMs` moves the clock, for tests. */
export async function finishDelivery(
  db: Db,
  { id, claim, endpointId, tries }: Pick<Claimed, 'id' | 'claim' | 'endpointId' | 'tries'>,
  result: AttemptResult,
  aheadMs = 0,
): Promise<Finished> {
  const gone = result.status === 410
  const delayMs = gone ? undefined : retryDelayMs(tries, result.retryAfterMs)
  return transaction(db, async (tx) => {
    // The endpoint first: whoever removes it locks it before its deliveries.
    const endpoint = await tx.query<{ failing: boolean; enabled: boolean }>(
      `select enabled, coalesce(failing_since < clock_timestamp() + $2::float8 * interval '1 millisecond' - $3::int * interval '1 day', false) as failing
       from webhook_endpoint where id = $1 for no key update`,
      [endpointId, aheadMs, FAILING_DAYS_MAX],
    )
    const [found] = endpoint.rows
    if (found === undefined) return { givenUp: false, disabled: undefined }
    const { rows } = await tx.query<{ attempts: number; state: string }>(
      `update webhook_delivery set claim = null, last_status = $3, last_error = $4,
         state = case when $5::boolean then 'delivered' when state = 'pending' and $6::float8 is null then 'failed' else state end,
         delivered_at = case when $5 then clock_timestamp() end,
         next_attempt_at = clock_timestamp() + ($7::float8 + coalesce($6, 0)) * interval '1 millisecond'
       where id = $1 and claim = $2 returning attempts, state`,
      [id, claim, result.status ?? null, result.error ?? null, result.ok, delayMs ?? null, aheadMs],
    )
    const [delivery] = rows
    if (delivery === undefined) return { givenUp: false, disabled: undefined }
    await tx.query(
      'insert into webhook_attempt (delivery_id, number, took_ms, status, error) values ($1, $2, $3, $4, $5)',
      [id, delivery.attempts, Math.round(result.tookMs), result.status ?? null, result.error ?? null],
    )
    await tx.query('delete from webhook_attempt where delivery_id = $1 and number <= $2', [
      id,
      delivery.attempts - ATTEMPTS_KEPT,
    ])
    const reason = gone ? 'gone' : !result.ok && found.failing ? 'failing' : undefined
    const disabled = found.enabled ? reason : undefined
    await tx.query(
      `update webhook_endpoint set enabled = enabled and $2::text is null, disabled_reason = coalesce($2, disabled_reason),
         failing_since = case when $3::boolean then null else coalesce(failing_since, clock_timestamp() + $4::float8 * interval '1 millisecond') end
       where id = $1 and ($2::text is not null or (failing_since is null) <> $3)`,
      [endpointId, disabled ?? null, result.ok, aheadMs],
    )
    if (disabled !== undefined)
      await recordAct(tx, {
        ...{ actor: 'system', action: 'webhook.disable', subject: endpointId },
        before: { enabled: true },
        after: { enabled: false, disabled_reason: disabled },
      })
    return { givenUp: delivery.state === 'failed', disabled }
  })
}
