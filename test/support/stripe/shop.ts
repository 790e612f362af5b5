import type { Json } from '#test/support/gateway.ts'
import { type Books, StripeRefusal } from './books.ts'

const MONTH = 30 * 86_400

type Outcome = 'succeeded' | 'processing' | 'declined'

/** What happens at Stripe: people pay, banks take money back, periods end. Each change tells its events in Stripe's order. */
export function createShop(books: Books) {
  const { add, get, tell, book } = books

  function charge(intent: Json): void {
    const { id, amount, currency, customer } = intent
    const made = add('charge', 'charge', {
      ...{ amount, currency, customer, payment_intent: id, amount_captured: amount, amount_refunded: 0, paid: true },
      ...{ status: 'succeeded', refunded: false, disputed: false, captured: true, failure_balance_transaction: null },
    })
    made.balance_transaction = book('charge', amount, currency, made.id).id
    Object.assign(intent, { status: 'succeeded', amount_received: amount, latest_charge: made.id })
    tell('charge.succeeded', made)
    tell('payment_intent.succeeded', intent)
    tell('charge.updated', made)
  }

  function createIntent(members: Json): Json {
    return add('payment_intent', 'payment_intent', {
      ...{ amount_received: 0, status: 'requires_payment_method', latest_charge: null, last_payment_error: null },
      ...members,
    })
  }

  function decline(intent: Json, code: string): void {
    Object.assign(intent, { status: 'requires_payment_method', last_payment_error: { type: 'card_error', code } })
    tell('payment_intent.payment_failed', intent)
  }

  /** An invoice with its lines; paid at once unless the card is declined. */
  function createInvoice(subscription: Json, lines: Json[], outcome: Outcome, reason: string): Json {
    const amount = lines.reduce((sum, line) => sum + line.amount, 0)
    const { customer, currency } = subscription
    const invoice = add('invoice', 'invoice', {
      ...{
        customer,
        currency,
        status: 'draft',
        billing_reason: reason,
        amount_due: Math.max(amount, 0),
        amount_paid: 0,
      },
      ...{ parent: { type: 'subscription_details', subscription_details: { subscription: subscription.id } } },
      ...{ hosted_invoice_url: 'https://stripe.example/invoice', invoice_pdf: 'https://stripe.example/invoice.pdf' },
      ...{ period_start: subscription.items.data[0].current_period_start, total: amount },
      period_end: subscription.items.data[0].current_period_end,
      lines: { object: 'list', data: [], has_more: false },
    })
    for (const line of lines)
      add('line', 'line_item', {
        ...{ ...line, invoice: invoice.id, currency, quantity: 1 },
        pricing: { type: 'price_details', price_details: { price: line.price, product: 'prod_flux' } },
        parent: {
          ...{ type: 'subscription_item_details', invoice_item_details: null },
          subscription_item_details: { proration: line.proration, subscription: subscription.id },
        },
      })
    tell('invoice.created', invoice)
    invoice.status = 'open'
    tell('invoice.finalized', invoice)
    if (amount <= 0) {
      invoice.status = 'paid'
      tell('invoice.paid', invoice)
      return invoice
    }
    const intent = createIntent({ amount, currency, customer })
    const payment = add('invoice_payment', 'invoice_payment', {
      ...{ invoice: invoice.id, amount_requested: amount, currency, status: 'open', amount_paid: null },
      payment: { type: 'payment_intent', payment_intent: intent.id },
    })
    if (outcome === 'declined') {
      decline(intent, 'card_declined')
      tell('invoice.payment_failed', invoice)
      return invoice
    }
    charge(intent)
    Object.assign(payment, { status: 'paid', amount_paid: amount })
    Object.assign(invoice, { status: 'paid', amount_paid: amount })
    tell('invoice.paid', invoice)
    tell('invoice.payment_succeeded', invoice)
    return invoice
  }

  const lineOf = (price: Json, period: Json, amount = price.unit_amount, proration = false): Json => ({
    ...{ price: price.id, amount, proration, period },
  })

  function subscribe(session: Json): void {
    const price = get('price', session.price)
    const [start, end] = [books.now(), books.now() + MONTH]
    const subscription = add('subscription', 'subscription', {
      ...{ customer: session.customer, currency: price.currency, status: 'active', cancel_at_period_end: false },
      ...{ canceled_at: null, ended_at: null, metadata: session.subscription_metadata ?? {} },
    })
    subscription.items = {
      object: 'list',
      data: [
        add('subscription_item', 'subscription_item', {
          ...{ price: { id: price.id }, current_period_start: start, current_period_end: end },
        }),
      ],
      has_more: false,
    }
    session.subscription = subscription.id
    tell('customer.subscription.created', subscription)
    createInvoice(subscription, [lineOf(price, { start, end })], 'succeeded', 'subscription_create')
  }

  return {
    createIntent,

    /** The person pays on the page of a checkout; `promotion` pays all of it. */
    pay(sessionId: string, options: { outcome?: Outcome; promotion?: boolean; method?: string } = {}): Json {
      const session = get('checkout', sessionId)
      const { outcome = 'succeeded', promotion = false } = options
      if (outcome === 'declined') {
        const intent = createIntent({
          amount: session.amount_total,
          currency: session.currency,
          customer: session.customer,
        })
        decline(intent, 'card_declined')
        return session
      }
      session.status = 'complete'
      if (session.setup_future_usage === 'off_session')
        add('payment_method', 'payment_method', { type: 'card', customer: session.customer })
      if (promotion) {
        Object.assign(session, { payment_status: 'no_payment_required', amount_total: 0 })
        tell('checkout.session.completed', session)
        return session
      }
      if (session.mode === 'subscription') {
        subscribe(session)
        session.payment_status = 'paid'
        tell('checkout.session.completed', session)
        return session
      }
      const intent = createIntent({
        ...{ amount: session.amount_total, currency: session.currency, customer: session.customer },
        metadata: session.intent_metadata ?? {},
      })
      session.payment_intent = intent.id
      if (outcome === 'processing') {
        intent.status = 'processing'
        tell('payment_intent.processing', intent)
      } else {
        charge(intent)
        session.payment_status = 'paid'
      }
      tell('checkout.session.completed', session)
      return session
    },

    /** A delayed payment arrives, or does not. */
    settle(sessionId: string, outcome: 'succeeded' | 'failed'): Json {
      const session = get('checkout', sessionId)
      const intent = get('payment_intent', session.payment_intent)
      if (outcome === 'failed') {
        decline(intent, 'payment_failed')
        tell('checkout.session.async_payment_failed', session)
        return session
      }
      charge(intent)
      session.payment_status = 'paid'
      tell('checkout.session.async_payment_succeeded', session)
      return session
    },

    refund(intentId: string, amount?: number): Json {
      const intent = get('payment_intent', intentId)
      const one = get('charge', intent.latest_charge)
      const value = amount ?? one.amount - one.amount_refunded
      const refund = add('refund', 'refund', {
        ...{ amount: value, currency: one.currency, charge: one.id, payment_intent: intentId, status: 'succeeded' },
      })
      refund.balance_transaction = book('refund', -value, one.currency, refund.id).id
      one.amount_refunded += value
      one.refunded = one.amount_refunded === one.amount
      tell('refund.created', refund)
      tell('charge.refunded', one)
      return refund
    },

    /** The bank of the person sends a refund back. */
    failRefund(id: string): void {
      const refund = get('refund', id)
      const one = get('charge', refund.charge)
      refund.status = 'failed'
      refund.failure_balance_transaction = book('refund_failure', refund.amount, refund.currency, refund.id).id
      one.amount_refunded -= refund.amount
      one.refunded = false
      tell('refund.failed', refund)
      tell('charge.refund.updated', refund)
    },

    dispute(intentId: string, options: { inquiry?: boolean } = {}): Json {
      const one = get('charge', get('payment_intent', intentId).latest_charge)
      const amount = one.amount - one.amount_refunded
      const dispute = add('dispute', 'dispute', {
        ...{ amount, currency: one.currency, charge: one.id, payment_intent: intentId, reason: 'fraudulent' },
        ...{ status: options.inquiry ? 'warning_needs_response' : 'needs_response', balance_transactions: [] },
      })
      one.disputed = true
      if (!options.inquiry) dispute.balance_transactions.push(book('adjustment', -amount, one.currency, dispute.id))
      tell('charge.dispute.created', dispute)
      if (!options.inquiry) tell('charge.dispute.funds_withdrawn', dispute)
      return dispute
    },

    closeDispute(id: string, status: 'won' | 'lost' | 'warning_closed'): void {
      const dispute = get('dispute', id)
      dispute.status = status
      if (status === 'won')
        dispute.balance_transactions.push(book('adjustment', dispute.amount, dispute.currency, dispute.id))
      tell('charge.dispute.closed', dispute)
      if (status === 'won') tell('charge.dispute.funds_reinstated', dispute)
    },

    /** The next period begins. */
    renew(subscriptionId: string, outcome: Outcome = 'succeeded'): Json {
      const subscription = get('subscription', subscriptionId)
      const [item] = subscription.items.data
      books.advance(Math.max(item.current_period_end - books.now(), 0) + 3_600)
      const [start, end] = [item.current_period_end, item.current_period_end + MONTH]
      Object.assign(item, { current_period_start: start, current_period_end: end })
      subscription.status = outcome === 'declined' ? 'past_due' : 'active'
      tell('customer.subscription.updated', subscription)
      const line = lineOf(get('price', item.price.id), { start, end })
      return createInvoice(subscription, [line], outcome, 'subscription_cycle')
    },

    /** Another plan from half of the period on, invoiced at once. */
    changePlan(subscriptionId: string, priceId: string): Json {
      const subscription = get('subscription', subscriptionId)
      const [item] = subscription.items.data
      const [before, after] = [get('price', item.price.id), get('price', priceId)]
      const period = { start: books.now(), end: item.current_period_end }
      item.price = { id: priceId }
      tell('customer.subscription.updated', subscription)
      const lines = [
        lineOf(before, period, -before.unit_amount / 2, true),
        lineOf(after, period, after.unit_amount / 2, true),
      ]
      return createInvoice(subscription, lines, 'succeeded', 'subscription_update')
    },

    cancel(subscriptionId: string): Json {
      const subscription = get('subscription', subscriptionId)
      Object.assign(subscription, { status: 'canceled', canceled_at: books.now(), ended_at: books.now() })
      tell('customer.subscription.deleted', subscription)
      return subscription
    },

    /** A payment without the person. */
    payOffSession(params: Json, failure: string | undefined): Json {
      const { amount, currency, customer, payment_method, metadata } = params
      const method = books.find('payment_method', payment_method)
      if (method?.customer !== customer)
        throw new StripeRefusal(404, { type: 'invalid_request_error', message: 'no method' })
      const intent = createIntent({ amount: Number(amount), currency, customer, metadata: metadata ?? {} })
      if (failure === undefined) charge(intent)
      else {
        decline(intent, failure)
        throw new StripeRefusal(402, {
          ...{ type: 'card_error', code: failure, message: 'Your card was declined.', payment_intent: intent },
        })
      }
      return intent
    },

    payout(amount: number, currency: string): void {
      book('payout', -amount, currency, 'po_1')
    },
  }
}
