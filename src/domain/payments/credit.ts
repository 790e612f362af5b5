import { hash } from 'node:crypto'
import type { Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidFromName } from '#lib/ids.ts'
import type { CashMovement } from './provider.ts'

// The money of payments, in the transaction of whoever asks.

/** `minor` is in the smallest unit of the currency. */
interface CreditInput {
  /** The money object: a payment intent, an invoice, or a checkout that cost nothing. */
  paymentId: string
  kind: 'top_up' | 'subscription' | 'auto_top_up'
  projectId: string
  amountNanos: bigint
  minor: bigint
  currency: string
  reason: string
  intentId: string | null
  /** Of a subscription: its lot ends, and may take over what is left of those before. */
  period?: { subscriptionId: string; expiresAt: Date; rolloverNanos: bigint }
}

const lots = {
  top_up: { class: 1, priority: 30 },
  auto_top_up: { class: 1, priority: 30 },
  subscription: { class: 3, priority: 20 },
} as const

/** Credits a payment once. Returns whether this was the time. */
export async function creditPayment(tx: Tx, slot: number, input: CreditInput): Promise<boolean> {
  const { paymentId, kind, projectId, amountNanos, minor, currency, reason, intentId, period } = input
  const { rows } = await tx.query<{ status: 'credited' | 'already' | 'key_reused' | 'no_project' }>(
    'select credit_payment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as status',
    [
      ...[slot, paymentId, kind, projectId, uuidFromName('stripe payment', paymentId), amountNanos],
      ...[lots[kind].class, lots[kind].priority, period?.expiresAt ?? null, minor, currency, reason],
      hash('sha256', canonicalJson({ payment: paymentId, amount_nanousd: amountNanos.toString() }), 'buffer'),
    ],
  )
  const status = rows[0]?.status
  assert(status === 'credited' || status === 'already', `payment ${paymentId} is credited once and the same: ${status}`)
  if (status === 'already') return false
  await tx.query('update payment set intent_id = $2, subscription_id = $3 where id = $1', [
    ...[paymentId, intentId, period?.subscriptionId ?? null],
  ])
  if (period !== undefined && period.rolloverNanos > 0n)
    await tx.query('select roll_over($1, $2, $3)', [slot, paymentId, period.rolloverNanos])
  return true
}

/** A payment as it was booked. */
export interface BookedPayment {
  id: string
  kind: CreditInput['kind']
  projectId: string
  amountNanos: bigint
  minor: bigint
  currency: string
  reversedNanos: bigint
  owedNanos: bigint
  proratedNanos: bigint
}

const columns = `p.id, p.kind, p.project_id as "projectId", p.amount as "amountNanos", p.charged_minor as minor, p.currency,
  p.reversed as "reversedNanos", p.owed as "owedNanos",
  (select coalesce(sum(r.amount), 0) from payment_proration r where r.payment_id = p.id)::bigint as "proratedNanos"`

/** The payments that one intent has paid for: one, but for an invoice that was settled by several. */
export async function paymentsOfIntent(tx: Tx, intentId: string): Promise<BookedPayment[]> {
  const { rows } = await tx.query<BookedPayment>(
    `select ${columns} from payment p where p.intent_id = $1 order by p.created_at, p.id`,
    [intentId],
  )
  return rows
}

/** Whether this money object was credited before. */
export async function isBooked(tx: Tx, paymentId: string): Promise<boolean> {
  const { rowCount } = await tx.query('select 1 from payment where id = $1', [paymentId])
  return rowCount !== 0
}

/** The newest payment of a subscription that began before a moment. */
export async function latestOfSubscription(tx: Tx, subscriptionId: string): Promise<BookedPayment | undefined> {
  const { rows } = await tx.query<BookedPayment>(
    `select ${columns} from payment p where p.subscription_id = $1 order by p.created_at desc, p.id desc limit 1`,
    [subscriptionId],
  )
  return rows[0]
}

/** Makes the books agree with what Stripe has taken back of a payment by now. Returns the change. */
export async function claimBack(
  tx: Tx,
  slot: number,
  claim: { payment: BookedPayment; reversedMinor: bigint; reason: string },
): Promise<bigint> {
  const { payment, reversedMinor, reason } = claim
  const { rows } = await tx.query<{ change: bigint }>('select claim_back($1, $2, $3, $4) as change', [
    ...[slot, payment.id, reversedNanos(payment, reversedMinor), reason],
  ])
  return rows[0]?.change ?? 0n
}

/** In proportion, and the whole for the whole. Rounded down: nobody loses more than was given back. */
export function reversedNanos(
  payment: Pick<BookedPayment, 'amountNanos' | 'minor' | 'proratedNanos'>,
  reversedMinor: bigint,
): bigint {
  const { amountNanos, minor, proratedNanos } = payment
  const byMoney = minor === 0n ? 0n : (amountNanos * (reversedMinor < minor ? reversedMinor : minor)) / minor
  const total = byMoney + proratedNanos
  return total < amountNanos ? total : amountNanos
}

/** Writes down how the balance at Stripe has moved for a payment; what is known already stays. */
export async function recordCash(tx: Tx, paymentId: string, movements: readonly CashMovement[]): Promise<void> {
  if (movements.length === 0) return
  await tx.query(
    `insert into payment_cash (transaction_id, payment_id, kind, amount, currency, at)
     select m.id, $1, m.kind, m.amount, m.currency, m.at
     from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[]) as m(id, kind, amount, currency, at)
     on conflict do nothing`,
    [
      paymentId,
      movements.map(({ transactionId }) => transactionId),
      movements.map(({ kind }) => kind),
      movements.map(({ amount }) => amount),
      movements.map(({ currency }) => currency),
      movements.map(({ at }) => at),
    ],
  )
}
