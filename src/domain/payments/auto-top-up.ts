import { setTimeout as delay } from 'node:timers/promises'
import { type Db, transaction } from '#db/pool.ts'
import { dashedUuid, uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import type { Applied, Applier } from './apply.ts'
import type { Catalogue } from './catalogue.ts'
import type { Customers } from './customers.ts'
import { lockCustomer } from './events.ts'
import type { PaymentProvider } from './provider.ts'
import { failAttempt } from './top-up-attempts.ts'

const BATCH = 50
/** Stripe forgets keys after a day: an attempt that is older is not sent again, or it could be paid twice. */
const SENT_HOURS_MAX = 20

/** What a person wants bought by itself. Flux are whole. */
export interface AutoTopUp {
  enabled: boolean
  thresholdFlux: number
  stripePriceId: string
  currency: string | null
  maxFluxPerMonth: number
  /** Bought by itself since the first of this month, UTC. */
  fluxThisMonth: number
  /** Why it was switched off, where the person did not. */
  disabledReason: string | null
}

export interface AutoTopUpInput {
  enabled: boolean
  thresholdFlux: number
  stripePriceId: string
  currency: string | undefined
  maxFluxPerMonth: number
}

export interface AutoTopUpsOptions {
  db: Db
  provider: PaymentProvider
  catalogue: Catalogue
  customers: Customers
  applier: Applier
  fluxNanousd: bigint
  everyMs: number
  onApplied: (applied: Applied) => void
  /** A payment did not go through; after the commit. */
  onFailed: (failed: { projectId: string; minor: bigint; currency: string }) => void
  onError: (error: unknown) => void
}

interface Attempt {
  id: string
  projectId: string
  flux: bigint
  minor: bigint
  currency: string
}

/**
 * Buys a package by itself when a balance falls below what its person has chosen. One purchase at a time for a person, at most so
 * much a month; an attempt is written down before Stripe is asked and its id is the key that goes along, so that it is paid once
 * whatever dies in between.
 */
export function createAutoTopUps(options: AutoTopUpsOptions) {
  const { db, provider, catalogue, customers, applier, fluxNanousd, everyMs, onApplied, onFailed, onError } = options
  const closing = new AbortController()
  const { signal } = closing

  async function find(projectId: string): Promise<AutoTopUp | undefined> {
    const { rows } = await db.query<{
      enabled: boolean
      threshold: bigint
      priceId: string
      currency: string | null
      perMonth: bigint
      spent: bigint
      reason: string | null
    }>(
      `select a.enabled, a.threshold, a.price_id as "priceId", a.currency, a.flux_per_month as "perMonth",
              a.disabled_reason as reason, ${spentThisMonth} as spent
       from auto_top_up a where a.project_id = $1`,
      [projectId],
    )
    const [row] = rows
    return (
      row && {
        enabled: row.enabled,
        thresholdFlux: Number(row.threshold / fluxNanousd),
        stripePriceId: row.priceId,
        currency: row.currency,
        maxFluxPerMonth: Number(row.perMonth),
        fluxThisMonth: Number(row.spent),
        disabledReason: row.reason,
      }
    )
  }

  /** Writes an attempt down, if it is still wanted by now. */
  async function begin(projectId: string): Promise<void> {
    const { rows: wishes } = await db.query<{ priceId: string; currency: string | null }>(
      'select price_id as "priceId", currency from auto_top_up where project_id = $1',
      [projectId],
    )
    const [wish] = wishes
    if (wish === undefined) return
    const price = await catalogue.sold(wish.priceId, wish.currency ?? undefined)
    const currency = wish.currency ?? price.currency
    const minor = price.amounts[currency] ?? null
    if (minor === null || minor <= 0n) throw new AppError('package_invalid', { param: 'stripePriceId' })
    await transaction(db, async (tx) => {
      await tx.query('select 1 from auto_top_up where project_id = $1 for update', [projectId])
      await tx.query(
        `insert into auto_top_up_attempt (id, project_id, price_id, flux, minor, currency)
         select $2, a.project_id, $3, $4, $5, $6
         from auto_top_up a join project p on p.id = a.project_id join wallet w on w.id = p.wallet_id
         where a.project_id = $1 and ${isWanted} and a.price_id = $3 and ${spentThisMonth} + $4 <= a.flux_per_month`,
        [projectId, dashedUuid(uuidv7Hex()), price.id, price.flux, minor, currency],
      )
    })
  }

  /** A package that is sold no longer is not asked for again and again. */
  async function giveUp(projectId: string, error: unknown): Promise<void> {
    onError(error)
    if (!(error instanceof AppError) || error.code !== 'package_invalid') return
    await db.query(
      `update auto_top_up set enabled = false, disabled_reason = $2, updated_at = clock_timestamp() where project_id = $1`,
      [projectId, error.code],
    )
  }

  async function pay(attempt: Attempt): Promise<void> {
    const customerId = await customers.find(attempt.projectId)
    const methodId = customerId === undefined ? undefined : await provider.findMethod(customerId)
    if (customerId === undefined || methodId === undefined) return fail(attempt, null, 'payment_method_missing')
    const result = await provider.payOffSession({
      key: `fluxgate top-up ${attempt.id}`,
      ...{ customerId, methodId, amount: attempt.minor, currency: attempt.currency },
      metadata: { kind: 'auto_top_up', attempt: attempt.id, projectId: attempt.projectId },
    })
    if (!result.ok) return fail(attempt, result.intentId, result.failure)
    const applied = await transaction(db, async (tx) => {
      await lockCustomer(tx, customerId)
      await tx.query('update auto_top_up_attempt set intent_id = $2 where id = $1', [attempt.id, result.intentId])
      return applier.apply(tx, { type: 'intent', id: result.intentId })
    })
    onApplied(applied)
  }

  async function fail(attempt: Attempt, intentId: string | null, failure: string): Promise<void> {
    const isNew = await transaction(db, (tx) => failAttempt(tx, { id: attempt.id, intentId, failure }))
    if (isNew) onFailed(attempt)
  }

  /** Begins what is wanted and pays what was begun. Returns how many were paid or failed. */
  async function sweep(): Promise<number> {
    const { rows: wanted } = await db.query<{ projectId: string }>(
      `select a.project_id as "projectId"
       from auto_top_up a join project p on p.id = a.project_id join wallet w on w.id = p.wallet_id
       where ${isWanted} order by a.project_id limit $1`,
      [BATCH],
    )
    for (const { projectId } of wanted) await begin(projectId).catch((error: unknown) => giveUp(projectId, error))
    const { rows: open } = await db.query<Attempt>(
      `select id, project_id as "projectId", flux, minor, currency from auto_top_up_attempt
       where state = 'pending' and intent_id is null and created_at > now() - make_interval(hours => $2)
       order by created_at limit $1`,
      [BATCH, SENT_HOURS_MAX],
    )
    for (const attempt of open) if (!signal.aborted) await pay(attempt).catch(onError)
    const { rows: old } = await db.query<Attempt>(
      `select id, project_id as "projectId", flux, minor, currency from auto_top_up_attempt
       where state = 'pending' and intent_id is null and created_at <= now() - make_interval(hours => $2)
       order by created_at limit $1`,
      [BATCH, SENT_HOURS_MAX],
    )
    // Should it have been paid all the same, the event of its intent credits it.
    for (const attempt of old) await fail(attempt, null, 'unknown').catch(onError)
    return open.length
  }

  const sweeping = (async () => {
    while (!signal.aborted) {
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted) await sweep().catch(onError)
    }
  })()

  return {
    find,
    sweep,

    /**
     * Throws AppError: package_invalid, body_invalid, payment_method_missing, payments_not_configured, payment_provider_unavailable,
     * payment_provider_refused.
     */
    async set(projectId: string, input: AutoTopUpInput): Promise<AutoTopUp> {
      const price = await catalogue.sold(input.stripePriceId, input.currency)
      if (price.interval !== null) throw new AppError('package_invalid', { param: 'stripePriceId' })
      if (BigInt(input.maxFluxPerMonth) < price.flux)
        throw new AppError('body_invalid', {
          message: "'maxFluxPerMonth' must be at least the Flux of the package.",
          param: 'maxFluxPerMonth',
        })
      if (input.enabled) {
        const customerId = await customers.find(projectId)
        if (customerId === undefined || (await provider.findMethod(customerId)) === undefined)
          throw new AppError('payment_method_missing')
      }
      await db.query(
        `insert into auto_top_up (project_id, enabled, threshold, price_id, currency, flux_per_month)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (project_id) do update set enabled = excluded.enabled, threshold = excluded.threshold,
           price_id = excluded.price_id, currency = excluded.currency, flux_per_month = excluded.flux_per_month,
           failures = 0, disabled_reason = null, updated_at = clock_timestamp()`,
        [
          ...[projectId, input.enabled, BigInt(input.thresholdFlux) * fluxNanousd, price.id],
          ...[input.currency ?? null, input.maxFluxPerMonth],
        ],
      )
      const saved = await find(projectId)
      if (saved === undefined) throw new AppError('not_found')
      return saved
    },

    async close(): Promise<void> {
      closing.abort()
      await sweeping
    },
  }
}

export type AutoTopUps = ReturnType<typeof createAutoTopUps>

const spentThisMonth = `(select coalesce(sum(t.flux), 0) from auto_top_up_attempt t
  where t.project_id = a.project_id and t.state <> 'failed'
    and t.created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC')::bigint`

// What is held counts as there: only what is spent is gone. After a failure the next try waits an hour longer each time.
const isWanted = `a.enabled and not w.frozen and p.user_id is not null and w.posted < a.threshold
  and not exists (select 1 from auto_top_up_attempt t where t.project_id = a.project_id
    and (t.state = 'pending' or (t.state = 'failed' and t.ended_at > now() - a.failures * interval '1 hour')))`
