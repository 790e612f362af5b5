import type Stripe from 'stripe'
import type {
  BalanceTransaction,
  CashMovement,
  CheckoutSession,
  Invoice,
  PaymentIntent,
  Price,
  Subscription,
} from '#domain/payments/provider.ts'

// Stripe's objects as the domain reads them.

const FLUX_MAX = 1_000_000_000n

/** The id of what Stripe names or, where it was asked to, writes out. */
export function idOf(reference: string | { id: string } | null | undefined): string | null {
  return typeof reference === 'string' ? reference : (reference?.id ?? null)
}

export function priceOf(price: Stripe.Price): Price {
  const others = Object.entries(price.currency_options ?? {}).map(([code, option]) => [
    code,
    bigintOf(option.unit_amount),
  ])
  return {
    id: price.id,
    productId: idOf(price.product) ?? '',
    active: price.active,
    flux: fluxOf(price.metadata.fluxAmount),
    rolloverFlux: fluxOf(price.metadata.rolloverFlux) ?? 0n,
    recommended: price.metadata.recommended === 'true',
    currency: price.currency,
    amounts: { ...Object.fromEntries(others), [price.currency]: bigintOf(price.unit_amount) },
    interval: price.recurring?.interval ?? null,
    intervalCount: price.recurring?.interval_count ?? 1,
  }
}

export function checkoutOf(session: Stripe.Checkout.Session): CheckoutSession {
  return {
    id: session.id,
    url: session.url,
    customerId: idOf(session.customer),
    mode: session.mode,
    status: session.status ?? 'open',
    paymentStatus: session.payment_status,
    amountTotal: BigInt(session.amount_total ?? 0),
    currency: session.currency ?? '',
    intentId: idOf(session.payment_intent),
    subscriptionId: idOf(session.subscription),
    metadata: session.metadata ?? {},
    createdAt: dateOf(session.created),
  }
}

export function intentOf(
  intent: Stripe.PaymentIntent,
  parts: { charge: Stripe.Charge | null; refunds: readonly Stripe.Refund[]; disputes: readonly Stripe.Dispute[] },
): PaymentIntent {
  const { charge, refunds } = parts
  const received = BigInt(intent.amount_received)
  const disputes = parts.disputes.map((dispute) => ({
    id: dispute.id,
    amount: BigInt(dispute.amount),
    currency: dispute.currency,
    reason: dispute.reason,
    status: dispute.status,
    takesMoney: takesMoney(dispute.status),
    isClosed: ['won', 'lost', 'warning_closed', 'prevented'].includes(dispute.status),
  }))
  const disputed = disputes.reduce((sum, { amount, takesMoney }) => (takesMoney ? sum + amount : sum), 0n)
  const reversed = BigInt(charge?.amount_refunded ?? 0) + disputed
  return {
    id: intent.id,
    customerId: idOf(intent.customer),
    status: intent.status,
    amountReceived: received,
    currency: intent.currency,
    metadata: intent.metadata,
    failure: intent.last_payment_error?.code ?? null,
    reversed: reversed < received ? reversed : received,
    cash: [
      ...cashOf('charge', [charge?.balance_transaction]),
      ...cashOf(
        'refund',
        refunds.flatMap((refund) => [refund.balance_transaction, refund.failure_balance_transaction]),
      ),
      ...cashOf(
        'dispute',
        parts.disputes.flatMap((dispute) => dispute.balance_transactions),
      ),
    ],
    disputes,
  }
}

/** A dispute that was won, or an inquiry that came to nothing, leaves the money where it is. */
function takesMoney(status: string): boolean {
  return !(status === 'won' || status === 'prevented' || status.startsWith('warning_'))
}

function cashOf(
  kind: CashMovement['kind'],
  transactions: readonly (string | Stripe.BalanceTransaction | null | undefined)[],
): CashMovement[] {
  return transactions.flatMap((transaction) =>
    // One that Stripe has not made yet comes with a later event.
    typeof transaction === 'object' && transaction !== null
      ? [
          {
            transactionId: transaction.id,
            kind,
            amount: BigInt(transaction.amount),
            currency: transaction.currency,
            at: dateOf(transaction.created),
          },
        ]
      : [],
  )
}

export function invoiceOf(
  invoice: Stripe.Invoice,
  lines: readonly Stripe.InvoiceLineItem[],
  payments: readonly Stripe.InvoicePayment[],
): Invoice {
  return {
    id: invoice.id ?? '',
    customerId: idOf(invoice.customer),
    subscriptionId: idOf(invoice.parent?.subscription_details?.subscription),
    status: invoice.status ?? 'draft',
    amountDue: BigInt(invoice.amount_due),
    amountPaid: BigInt(invoice.amount_paid),
    currency: invoice.currency,
    hostedUrl: invoice.hosted_invoice_url ?? null,
    pdfUrl: invoice.invoice_pdf ?? null,
    periodStart: dateOf(invoice.period_start),
    periodEnd: dateOf(invoice.period_end),
    createdAt: dateOf(invoice.created),
    intentId: payments.map(({ payment }) => idOf(payment.payment_intent)).find((id) => id !== null) ?? null,
    lines: lines.map((line) => ({
      priceId: idOf(line.pricing?.price_details?.price),
      amount: BigInt(line.amount),
      quantity: BigInt(line.quantity ?? 1),
      proration:
        line.parent?.subscription_item_details?.proration ?? line.parent?.invoice_item_details?.proration ?? false,
      periodEnd: dateOf(line.period.end),
    })),
  }
}

export function subscriptionOf(subscription: Stripe.Subscription): Subscription {
  const [item] = subscription.items.data
  return {
    id: subscription.id,
    customerId: idOf(subscription.customer) ?? '',
    status: subscription.status,
    priceId: item === undefined ? null : item.price.id,
    periodStart: item === undefined ? null : dateOf(item.current_period_start),
    periodEnd: item === undefined ? null : dateOf(item.current_period_end),
    cancelAtPeriodEnd: subscription.cancel_at_period_end,
    canceledAt: dateOrNull(subscription.canceled_at),
    endedAt: dateOrNull(subscription.ended_at),
    createdAt: dateOf(subscription.created),
  }
}

export function balanceOf(line: Stripe.BalanceTransaction): BalanceTransaction {
  const { id, type, currency } = line
  return { id, type, amount: BigInt(line.amount), fee: BigInt(line.fee), currency, at: dateOf(line.created) }
}

/** Whether a subscription has ended for good. */
export function isSettled(status: string): boolean {
  return status === 'canceled' || status === 'incomplete_expired'
}

function fluxOf(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[1-9]\d{0,9}$/.test(text)) return undefined
  const flux = BigInt(text)
  return flux <= FLUX_MAX ? flux : undefined
}

function bigintOf(amount: number | null): bigint | null {
  return amount === null ? null : BigInt(amount)
}

function dateOf(seconds: number): Date {
  return new Date(seconds * 1000)
}

function dateOrNull(seconds: number | null): Date | null {
  return seconds === null ? null : dateOf(seconds)
}
