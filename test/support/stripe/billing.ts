import type Stripe from 'stripe'
import type { Bank } from './bank.ts'
import { type Books, idOf } from './books.ts'
import { cardOf } from './cards.ts'
import { invalid, missing } from './refusal.ts'
import {
  addInvoice,
  addInvoicePayment,
  addItem,
  addLine,
  addSubscription,
  type NewLine,
  type Period,
  planOf,
} from './shapes/billing.ts'
import { amountIn, discountOf } from './shapes/catalogue.ts'

const HOUR = 3_600
const RETRY_SECONDS = 3 * 86_400

/** Of a payment of an invoice. */
type Outcome = 'succeeded' | 'declined'
export type Proration = 'create_prorations' | 'always_invoice' | 'none'

/** Subscriptions and their invoices. Periods are those of the calendar, as at Stripe. */
export function createBilling(books: Books, bank: Bank) {
  const { get, tell } = books
  /** Lines that the next invoice of a subscription brings, by its id. */
  const pending = new Map<string, NewLine[]>()
  const coupons = new Map<string, Stripe.Coupon>()

  const periodFrom = (price: Stripe.Price, start: number): Period => ({ start, end: nextPeriod(price, start) })
  const customerOf = (one: { customer: Stripe.Subscription['customer'] | null }) =>
    get('customer', idOf(one.customer), 'customer')

  function itemOf(subscription: Stripe.Subscription): Stripe.SubscriptionItem {
    const [item] = subscription.items.data
    if (item === undefined) throw new Error(`${subscription.id} has no item`)
    return item
  }

  function wholeLine(subscription: Stripe.Subscription, period: Period): NewLine {
    const { price, quantity = 1 } = itemOf(subscription)
    return { price, quantity, period, amount: (amountIn(price, subscription.currency) ?? 0) * quantity }
  }

  function draft(
    subscription: Stripe.Subscription,
    lines: NewLine[],
    of: { reason: Stripe.Invoice.BillingReason; period: Period },
  ): Stripe.Invoice {
    const invoice = addInvoice(books, subscription, of)
    const coupon = coupons.get(subscription.id)
    const waiting = pending.get(subscription.id) ?? []
    pending.delete(subscription.id)
    for (const line of [...waiting, ...lines]) {
      const discount = line.invoiceItem === undefined ? discountOf(coupon, line.amount, invoice.currency) : 0
      addLine(books, invoice, subscription, { ...line, discount })
      invoice.subtotal += line.amount
      invoice.total += line.amount - discount
    }
    if (coupon?.duration === 'once') coupons.delete(subscription.id)
    if (invoice.total !== invoice.subtotal)
      invoice.total_discount_amounts = [{ amount: invoice.subtotal - invoice.total, discount: 'di_double' }]
    Object.assign(invoice, { subtotal_excluding_tax: invoice.subtotal, total_excluding_tax: invoice.total })
    subscription.latest_invoice = invoice.id
    due(invoice)
    tell('invoice.created', invoice)
    return invoice
  }

  /** What is to be paid of an invoice after the balance of its customer. */
  function due(invoice: Stripe.Invoice): void {
    const { balance } = customerOf(invoice)
    invoice.starting_balance = balance
    invoice.amount_due = Math.max(invoice.total + balance, 0)
    invoice.amount_remaining = invoice.amount_due
  }

  function finalize(invoice: Stripe.Invoice): Stripe.Invoice {
    const customer = customerOf(invoice)
    due(invoice)
    // What is given back stays with the customer and pays later invoices.
    const before = customer.balance
    customer.balance = Math.min(before + invoice.total, 0)
    customer.currency = invoice.currency
    if (customer.balance !== before) tell('customer.updated', customer, { balance: before })
    const number = customer.next_invoice_sequence ?? 1
    customer.next_invoice_sequence = number + 1
    Object.assign(invoice, {
      ...{ status: 'open', number: `${customer.invoice_prefix}-${String(number).padStart(4, '0')}` },
      ...{ ending_balance: customer.balance, effective_at: books.now() },
      ...{ hosted_invoice_url: `https://invoice.stripe.example/${invoice.id}` },
      invoice_pdf: `https://pay.stripe.example/${invoice.id}/pdf`,
    })
    invoice.status_transitions.finalized_at = books.now()
    tell('invoice.finalized', invoice)
    return invoice
  }

  function paid(invoice: Stripe.Invoice): void {
    Object.assign(invoice, { status: 'paid', attempted: true, auto_advance: false, next_payment_attempt: null })
    Object.assign(invoice, { amount_paid: invoice.amount_due, amount_remaining: 0 })
    invoice.status_transitions.paid_at = books.now()
    tell('invoice.paid', invoice)
    tell('invoice.payment_succeeded', invoice)
  }

  /** Tries to pay an open invoice. A subscription follows: active, or past due. */
  function pay(invoice: Stripe.Invoice, outcome: Outcome): Stripe.Invoice {
    const subscription = get('subscription', idOf(invoice.parent?.subscription_details?.subscription))
    if (invoice.status !== 'open')
      throw invalid(invoice.status === 'paid' ? 'Invoice is already paid' : 'This invoice can no longer be paid.')
    if (invoice.amount_due === 0) paid(invoice)
    else attempt(invoice, subscription, outcome)
    const status = invoice.status === 'open' ? afterFailure(subscription) : 'active'
    if (subscription.status === status || subscription.status === 'canceled') return invoice
    const before = subscription.status
    subscription.status = status
    tell('customer.subscription.updated', subscription, { status: before })
    return invoice
  }

  const afterFailure = ({ status }: Stripe.Subscription) => (status === 'incomplete' ? 'incomplete' : 'past_due')

  function attempt(invoice: Stripe.Invoice, subscription: Stripe.Subscription, outcome: Outcome): void {
    const known = books.all('invoice_payment').find((one) => one.invoice === invoice.id && one.status === 'open')
    const intent =
      (known && get('payment_intent', idOf(known.payment.payment_intent))) ??
      bank.openIntent({
        ...{ amount: invoice.amount_due, currency: invoice.currency, customer: idOf(invoice.customer) },
        description: invoice.billing_reason === 'subscription_create' ? 'Subscription creation' : 'Subscription update',
      })
    const payment = known ?? addInvoicePayment(books, invoice, intent)
    intent.payment_method = methodOf(subscription)
    invoice.attempt_count += 1
    invoice.attempted = true
    bank.confirm(intent, outcome)
    if (outcome === 'declined') {
      invoice.next_payment_attempt = books.now() + RETRY_SECONDS
      tell('invoice.payment_failed', invoice)
    } else if (outcome === 'succeeded') {
      Object.assign(payment, { status: 'paid', amount_paid: invoice.amount_due })
      payment.status_transitions.paid_at = books.now()
      paid(invoice)
      tell('invoice_payment.paid', payment)
    }
  }

  function methodOf(subscription: Stripe.Subscription): string | null {
    const chosen =
      idOf(subscription.default_payment_method) ||
      idOf(customerOf(subscription).invoice_settings.default_payment_method)
    return chosen || null
  }

  /** What comes of charging the saved card of a subscription. */
  function cardOutcome(subscription: Stripe.Subscription): Outcome {
    const method = books.find('payment_method', methodOf(subscription) ?? '')
    return cardOf(method?.card?.last4 ?? '4242').charge === undefined ? 'succeeded' : 'declined'
  }

  function cancel(id: string, reason: Stripe.Subscription.CancellationDetails['reason'] = 'cancellation_requested') {
    const subscription = get('subscription', id)
    if (subscription.status === 'canceled') throw missing('subscription', id)
    Object.assign(subscription, { status: 'canceled', ended_at: books.now(), cancel_at: null })
    subscription.canceled_at ??= books.now()
    if (subscription.cancellation_details) subscription.cancellation_details.reason = reason
    pending.delete(id)
    tell('customer.subscription.deleted', subscription)
    return subscription
  }

  function changePlan(
    id: string,
    price: Stripe.Price,
    proration: Proration,
    quantity?: number,
  ): Stripe.Invoice | undefined {
    const subscription = get('subscription', id)
    const item = itemOf(subscription)
    const [before, count] = [item.price, quantity ?? item.quantity ?? 1]
    const { current_period_start: start, current_period_end: end } = item
    const now = books.now()
    const isNewCycle = !sameCycle(before, price)
    const part = { start: now, end }
    const left = (end - now) / (end - start)
    const amountOf = (of: Stripe.Price, many: number) => (amountIn(of, subscription.currency) ?? 0) * many
    const lines: NewLine[] = []
    const prorated = (of: Stripe.Price, many: number, sign: number): NewLine => ({
      ...{ price: of, quantity: many, period: part, amount: sign * Math.round(amountOf(of, many) * left) },
      invoiceItem: books.born('invoice_item').id,
    })
    if (proration !== 'none') {
      lines.push(prorated(before, item.quantity ?? 1, -1))
      if (!isNewCycle) lines.push(prorated(price, count, 1))
    }
    Object.assign(item, { price, plan: planOf(price), quantity: count })
    if (isNewCycle) {
      const period = periodFrom(price, now)
      Object.assign(item, { current_period_start: period.start, current_period_end: period.end })
      subscription.billing_cycle_anchor = now
    }
    tell('customer.subscription.updated', subscription, { items: { data: [{ price: { id: before.id } }] } })
    if (proration === 'create_prorations' && !isNewCycle) {
      pending.set(id, [...(pending.get(id) ?? []), ...lines])
      return undefined
    }
    if (isNewCycle) lines.push(wholeLine(subscription, periodFrom(price, now)))
    if (lines.length === 0) return undefined
    const invoice = draft(subscription, lines, { reason: 'subscription_update', period: { start: now, end: now } })
    return pay(finalize(invoice), cardOutcome(subscription))
  }

  return {
    finalize,
    pay,
    cardOutcome,
    cancel,
    changePlan,

    /** A first period and its invoice. A payment that fails leaves it incomplete. */
    subscribe(
      of: { customer: string; price: Stripe.Price; quantity: number; currency: string; metadata: Stripe.Metadata },
      by: { method: string | null; coupon?: Stripe.Coupon | undefined; outcome: Outcome },
    ): Stripe.Subscription {
      const { customer, price, quantity, currency, metadata } = of
      const subscription = addSubscription(books, {
        ...{ customer, currency, metadata, status: 'incomplete', default_payment_method: by.method },
      })
      const now = books.now()
      addItem(books, subscription, { price, quantity, period: periodFrom(price, now) })
      if (by.coupon) coupons.set(subscription.id, by.coupon)
      tell('customer.subscription.created', subscription)
      const invoice = draft(subscription, [wholeLine(subscription, periodFrom(price, now))], {
        ...{ reason: 'subscription_create', period: { start: now, end: now } },
      })
      pay(finalize(invoice), by.outcome)
      return subscription
    },

    /** The clock goes to the end of the period: the next begins and is invoiced an hour later, or the subscription ends. */
    renew(id: string, outcome?: Outcome): Stripe.Invoice | undefined {
      const subscription = get('subscription', id)
      if (subscription.status === 'canceled') throw new Error(`${id} has ended`)
      const item = itemOf(subscription)
      books.advance(Math.max(item.current_period_end - books.now(), 0))
      if (subscription.cancel_at_period_end) {
        cancel(id)
        return undefined
      }
      const last = { start: item.current_period_start, end: item.current_period_end }
      const next = periodFrom(item.price, last.end)
      Object.assign(item, { current_period_start: next.start, current_period_end: next.end })
      tell('customer.subscription.updated', subscription, { items: { data: [{ current_period_end: last.end }] } })
      // The period of a renewal's invoice is the one that has ended; its lines are of the one that begins.
      const invoice = draft(subscription, [wholeLine(subscription, next)], {
        reason: 'subscription_cycle',
        period: last,
      })
      books.advance(HOUR)
      return pay(finalize(invoice), outcome ?? cardOutcome(subscription))
    },

    setCancelAtPeriodEnd(id: string, wanted: boolean): Stripe.Subscription {
      const subscription = get('subscription', id)
      const before = subscription.cancel_at_period_end
      Object.assign(subscription, {
        ...{ cancel_at_period_end: wanted, cancel_at: wanted ? itemOf(subscription).current_period_end : null },
        canceled_at: wanted ? books.now() : null,
      })
      if (before !== wanted) tell('customer.subscription.updated', subscription, { cancel_at_period_end: before })
      return subscription
    },
  }
}

export type Billing = ReturnType<typeof createBilling>

function sameCycle(a: Stripe.Price, b: Stripe.Price): boolean {
  return a.recurring?.interval === b.recurring?.interval && a.recurring?.interval_count === b.recurring?.interval_count
}

/** The same day of a later month, or its last day. */
function nextPeriod(price: Stripe.Price, start: number): number {
  const { interval = 'month', interval_count = 1 } = price.recurring ?? {}
  if (interval === 'day' || interval === 'week') return start + interval_count * (interval === 'day' ? 1 : 7) * 86_400
  const date = new Date(start * 1000)
  const months = interval_count * (interval === 'year' ? 12 : 1)
  const day = date.getUTCDate()
  date.setUTCDate(1)
  date.setUTCMonth(date.getUTCMonth() + months)
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  date.setUTCDate(Math.min(day, last))
  return date.getTime() / 1000
}
