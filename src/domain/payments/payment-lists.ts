import type { Db } from '#db/pool.ts'

export const PAYMENTS_PAGE_MAX = 100

/** A checkout as AIRI's clients read it, without what is nobody's business but Stripe's. */
export interface OrderRow {
  stripeSessionId: string
  mode: string
  stripePriceId: string
  fluxAmount: bigint
  status: string
  paymentStatus: string
  amountTotal: bigint | null
  currency: string | null
  fluxCredited: boolean
  createdAt: Date
}

export interface InvoiceRow {
  stripeInvoiceId: string
  stripeSubscriptionId: string | null
  status: string
  amountDue: bigint
  amountPaid: bigint
  currency: string
  invoiceUrl: string | null
  invoicePdf: string | null
  periodStart: Date | null
  periodEnd: Date | null
  fluxCredited: boolean
  createdAt: Date
}

export interface SubscriptionRow {
  stripeSubscriptionId: string
  stripePriceId: string | null
  status: string
  currentPeriodStart: Date | null
  currentPeriodEnd: Date | null
  cancelAtPeriodEnd: boolean
  canceledAt: Date | null
  endedAt: Date | null
  createdAt: Date
}

/** What a person has bought, newest first, at most PAYMENTS_PAGE_MAX. */
export function createPaymentLists({ db }: { db: Db }) {
  return {
    async orders(projectId: string): Promise<OrderRow[]> {
      const { rows } = await db.query<OrderRow>(
        `select o.session_id as "stripeSessionId", o.mode, o.price_id as "stripePriceId", o.flux as "fluxAmount", o.status,
                o.payment_status as "paymentStatus", o.amount_total as "amountTotal", o.currency,
                exists (select 1 from payment p where p.id = coalesce(o.payment_intent_id, o.session_id)) as "fluxCredited",
                o.created_at as "createdAt"
         from stripe_order o where o.project_id = $1 order by o.created_at desc, o.session_id desc limit $2`,
        [projectId, PAYMENTS_PAGE_MAX],
      )
      return rows
    },

    async invoices(projectId: string): Promise<InvoiceRow[]> {
      const { rows } = await db.query<InvoiceRow>(
        `select i.id as "stripeInvoiceId", i.subscription_id as "stripeSubscriptionId", i.status, i.amount_due as "amountDue",
                i.amount_paid as "amountPaid", i.currency, i.hosted_url as "invoiceUrl", i.pdf_url as "invoicePdf",
                i.period_start as "periodStart", i.period_end as "periodEnd",
                exists (select 1 from payment p where p.id = i.id) as "fluxCredited", i.created_at as "createdAt"
         from stripe_invoice i where i.project_id = $1 order by i.created_at desc, i.id desc limit $2`,
        [projectId, PAYMENTS_PAGE_MAX],
      )
      return rows
    },

    async subscriptions(projectId: string): Promise<SubscriptionRow[]> {
      const { rows } = await db.query<SubscriptionRow>(
        `select id as "stripeSubscriptionId", price_id as "stripePriceId", status, current_period_start as "currentPeriodStart",
                current_period_end as "currentPeriodEnd", cancel_at_period_end as "cancelAtPeriodEnd",
                canceled_at as "canceledAt", ended_at as "endedAt", created_at as "createdAt"
         from stripe_subscription where project_id = $1 order by created_at desc, id desc limit $2`,
        [projectId, PAYMENTS_PAGE_MAX],
      )
      return rows
    },
  }
}

export type PaymentLists = ReturnType<typeof createPaymentLists>
