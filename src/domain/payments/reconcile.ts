import type { Db } from '#db/pool.ts'
import { reversedNanos } from './credit.ts'
import type { PaymentProvider } from './provider.ts'

const LISTED_MAX = 1_000
/** Movements that belong to payments; payouts and Stripe's own fees do not. */
const OURS = new Set([
  'charge',
  'payment',
  'refund',
  'payment_refund',
  'refund_failure',
  'payment_failure_refund',
  'payment_reversal',
  'adjustment',
])

/** Something that Stripe and the books do not agree on. */
interface Difference {
  kind: 'not_booked' | 'not_at_stripe' | 'other_amount' | 'credit_without_payment' | 'credit_disagrees'
  id: string
  detail: string
}

export interface Reconciliation {
  ok: boolean
  /** By currency, in its smallest unit. */
  currencies: { currency: string; atStripe: bigint; here: bigint; fees: bigint; movements: number }[]
  /** Nano-dollars that payments have put into wallets, less what was taken back, by the clearing accounts. */
  clearingNanos: bigint
  /** The same by the payments; equal, or something moved that account that was no payment. */
  paymentsNanos: bigint
  differences: Difference[]
  /** More differences than are listed. */
  leftOut: number
}

interface CashRow {
  id: string
  amount: bigint
  currency: string
}

/**
 * Compares Stripe's balance with the books from `from` to before `to`: each balance transaction with what was booked of it, each
 * payment with its credit, and the clearing accounts with the payments. Throws AppError payment_provider_unavailable.
 */
export async function reconcile(
  deps: { db: Db; provider: PaymentProvider },
  range: { from: Date; to: Date },
): Promise<Reconciliation> {
  const { db, provider } = deps
  const differences: Difference[] = []
  let leftOut = 0
  const differ = (difference: Difference) => {
    if (differences.length < LISTED_MAX) differences.push(difference)
    else leftOut += 1
  }
  const totals = new Map<string, { atStripe: bigint; here: bigint; fees: bigint; movements: number }>()
  const totalOf = (currency: string) => {
    const total = totals.get(currency) ?? { atStripe: 0n, here: 0n, fees: 0n, movements: 0 }
    totals.set(currency, total)
    return total
  }

  const booked = await bookedCash(db, range)
  for (const { amount, currency } of booked.values()) totalOf(currency).here += amount
  for await (const line of provider.listBalance(range.from, range.to)) {
    if (!OURS.has(line.type)) continue
    const total = totalOf(line.currency)
    total.atStripe += line.amount
    total.fees += line.fee
    total.movements += 1
    const row = booked.get(line.id)
    if (row === undefined)
      differ({ kind: 'not_booked', id: line.id, detail: `${line.type} of ${line.amount} ${line.currency}` })
    else if (row.amount !== line.amount || row.currency !== line.currency)
      differ({
        kind: 'other_amount',
        id: line.id,
        detail: `${line.amount} ${line.currency}, booked ${row.amount} ${row.currency}`,
      })
    booked.delete(line.id)
  }
  for (const { id, amount, currency } of booked.values())
    differ({ kind: 'not_at_stripe', id, detail: `booked ${amount} ${currency}` })

  for (const difference of await creditDifferences(db, range)) differ(difference)
  const { clearing, payments } = await clearingOf(db, range)
  return {
    ok: differences.length === 0 && clearing === payments,
    currencies: [...totals]
      .map(([currency, total]) => ({ currency, ...total }))
      .sort((a, b) => (a.currency < b.currency ? -1 : 1)),
    clearingNanos: clearing,
    paymentsNanos: payments,
    differences,
    leftOut,
  }
}

async function bookedCash(db: Db, { from, to }: { from: Date; to: Date }): Promise<Map<string, CashRow>> {
  const { rows } = await db.query<CashRow>(
    'select transaction_id as id, amount, currency from payment_cash where at >= $1 and at < $2',
    [from, to],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

/** Payments of the range whose credit is not what their money is worth, where the balance has the currency of the payment. */
async function creditDifferences(db: Db, { from, to }: { from: Date; to: Date }): Promise<Difference[]> {
  const { rows } = await db.query<{
    id: string
    amountNanos: bigint
    minor: bigint
    reversed: bigint
    proratedNanos: bigint
    charged: bigint | null
    back: bigint
    foreign: boolean
  }>(
    `select p.id, p.amount as "amountNanos", p.charged_minor as minor, p.reversed,
            (select coalesce(sum(r.amount), 0) from payment_proration r where r.payment_id = p.id)::bigint as "proratedNanos",
            (select sum(c.amount) from payment_cash c where c.payment_id = p.id and c.kind = 'charge')::bigint as charged,
            (select coalesce(-sum(c.amount), 0) from payment_cash c where c.payment_id = p.id and c.kind <> 'charge')::bigint as back,
            exists (select 1 from payment_cash c where c.payment_id = p.id and c.currency <> p.currency) as foreign
     from payment p where p.created_at >= $1 and p.created_at < $2 order by p.created_at, p.id`,
    [from, to],
  )
  return rows.flatMap(({ id, minor, charged, back, reversed, foreign, ...payment }): Difference[] => {
    if (minor === 0n) return []
    if (charged === null)
      return [{ kind: 'credit_without_payment', id, detail: `credited for ${minor}, and no charge is known` }]
    if (foreign) return []
    const expected = reversedNanos({ ...payment, minor }, back)
    if (charged === minor && expected === reversed) return []
    return [
      {
        kind: 'credit_disagrees',
        id,
        detail: `charged ${charged} for ${minor}; taken back ${back}, which is ${expected} nano-dollars, and ${reversed} are booked`,
      },
    ]
  })
}

async function clearingOf(
  db: Db,
  { from, to }: { from: Date; to: Date },
): Promise<{ clearing: bigint; payments: bigint }> {
  const { rows } = await db.query<{ clearing: bigint; payments: bigint }>(
    `with moved as (
       select t.ref, t.reverses, case when a.id = t.debit then t.amount else -t.amount end as amount
       from transfer t join account a on a.id in (t.debit, t.credit) and a.kind = 3
       where t.at >= $1 and t.at < $2)
     select coalesce(sum(m.amount), 0)::bigint as clearing,
            coalesce(sum(m.amount) filter (where p.id is not null), 0)::bigint as payments
     from moved m left join payment p on p.ref in (m.ref, m.reverses)`,
    [from, to],
  )
  return rows[0] ?? { clearing: 0n, payments: 0n }
}
