import type { Db, Tx } from '#db/pool.ts'
import type { CheckoutSession, Invoice, Subscription } from './provider.ts'

// What people see of their purchases: Stripe's objects as they were when it was last asked.

/** What a checkout was begun for. Pinned there, so that a price that changes meanwhile changes nothing. */
export interface Order {
  projectId: string
  priceId: string
  flux: bigint
}

/** The order that a checkout belongs to: our row, or what we had Stripe note; undefined for a checkout that is not ours. */
export async function orderOf(tx: Tx, session: CheckoutSession): Promise<Order | undefined> {
  const { rows } = await tx.query<Order>(
    'select project_id as "projectId", price_id as "priceId", flux from stripe_order where session_id = $1',
    [session.id],
  )
  if (rows[0] !== undefined) return rows[0]
  const { projectId, priceId, fluxAmount } = session.metadata
  if (projectId === undefined || priceId === undefined || !/^[1-9]\d{0,9}$/.test(fluxAmount ?? '')) return undefined
  const { rowCount } = await tx.query('select 1 from project where id = $1', [projectId])
  return rowCount === 0 ? undefined : { projectId, priceId, flux: BigInt(fluxAmount ?? 0) }
}

export async function saveOrder(db: Db | Tx, session: CheckoutSession, order: Order): Promise<void> {
  await db.query(
    `insert into stripe_order (session_id, project_id, mode, price_id, flux, status, payment_status, amount_total, currency,
                               payment_intent_id, subscription_id, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     on conflict (session_id) do update set status = excluded.status, payment_status = excluded.payment_status,
       amount_total = excluded.amount_total, currency = excluded.currency, payment_intent_id = excluded.payment_intent_id,
       subscription_id = excluded.subscription_id, updated_at = clock_timestamp()`,
    [
      ...[session.id, order.projectId, session.mode, order.priceId, order.flux, session.status, session.paymentStatus],
      ...[session.amountTotal, session.currency, session.intentId, session.subscriptionId, session.createdAt],
    ],
  )
}

/** Whose customer this is; undefined for one that is not ours, or whose account is gone. */
export async function projectOfCustomer(tx: Tx, customerId: string | null): Promise<string | undefined> {
  const { rows } = await tx.query<{ id: string }>('select project_id as id from stripe_customer where id = $1', [
    customerId,
  ])
  return rows[0]?.id
}

/** Whose subscription this is, also after the account is gone. */
export async function projectOfSubscription(tx: Tx, id: string | null): Promise<string | undefined> {
  const { rows } = await tx.query<{ id: string }>('select project_id as id from stripe_subscription where id = $1', [
    id,
  ])
  return rows[0]?.id
}

/** Returns the status that was known before; undefined for a new one. */
export async function saveSubscription(tx: Tx, projectId: string, one: Subscription): Promise<string | undefined> {
  const { rows } = await tx.query<{ status: string }>('select status from stripe_subscription where id = $1', [one.id])
  await tx.query(
    `insert into stripe_subscription (id, project_id, price_id, status, current_period_start, current_period_end,
                                      cancel_at_period_end, canceled_at, ended_at, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (id) do update set price_id = excluded.price_id, status = excluded.status,
       current_period_start = excluded.current_period_start, current_period_end = excluded.current_period_end,
       cancel_at_period_end = excluded.cancel_at_period_end, canceled_at = excluded.canceled_at, ended_at = excluded.ended_at,
       updated_at = clock_timestamp()`,
    [
      ...[one.id, projectId, one.priceId, one.status, one.periodStart, one.periodEnd, one.cancelAtPeriodEnd],
      ...[one.canceledAt, one.endedAt, one.createdAt],
    ],
  )
  return rows[0]?.status
}

export async function saveInvoice(tx: Tx, projectId: string, one: Invoice): Promise<void> {
  await tx.query(
    `insert into stripe_invoice (id, project_id, subscription_id, status, amount_due, amount_paid, currency, hosted_url, pdf_url,
                                 period_start, period_end, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     on conflict (id) do update set status = excluded.status, amount_due = excluded.amount_due, amount_paid = excluded.amount_paid,
       hosted_url = excluded.hosted_url, pdf_url = excluded.pdf_url, updated_at = clock_timestamp()`,
    [
      ...[one.id, projectId, one.subscriptionId, one.status, one.amountDue, one.amountPaid, one.currency],
      ...[one.hostedUrl, one.pdfUrl, one.periodStart, one.periodEnd, one.createdAt],
    ],
  )
}
