import type Stripe from 'stripe'
import { type Books, idOf } from '../books.ts'
import { decimal } from './catalogue.ts'

export interface Period {
  start: number
  end: number
}

export function addSubscription(
  books: Books,
  members: Pick<Stripe.Subscription, 'customer' | 'currency' | 'metadata' | 'status'> & Partial<Stripe.Subscription>,
): Stripe.Subscription {
  const born = books.born('subscription')
  return books.add('subscription', {
    ...{ ...born, object: 'subscription', application: null, application_fee_percent: null },
    automatic_tax: { disabled_reason: null, enabled: false, liability: null },
    ...{ billing_cycle_anchor: born.created, billing_cycle_anchor_config: null, billing_schedules: [] },
    billing_mode: { flexible: { proration_discounts: 'included' }, type: 'flexible' },
    ...{ billing_thresholds: null, cancel_at: null, cancel_at_period_end: false, canceled_at: null },
    cancellation_details: { comment: null, feedback: null, feedback_option: null, reason: null },
    ...{ collection_method: 'charge_automatically', customer_account: null, days_until_due: null },
    ...{ default_payment_method: null, default_source: null, default_tax_rates: [], description: null },
    ...{ discounts: [], ended_at: null, latest_invoice: null, livemode: false, managed_payments: null },
    invoice_settings: {
      ...{ account_tax_ids: null, custom_fields: null, description: null, footer: null, issuer: { type: 'self' } },
    },
    items: { object: 'list', data: [], has_more: false, url: `/v1/subscription_items?subscription=${born.id}` },
    ...{ next_pending_invoice_item_invoice: null, on_behalf_of: null, pause_collection: null },
    ...{ payment_settings: null, pending_invoice_item_interval: null, pending_setup_intent: null },
    ...{ pending_update: null, schedule: null, start_date: born.created, test_clock: null, transfer_data: null },
    ...{ trial_end: null, trial_settings: null, trial_start: null },
    ...members,
  })
}

export function addItem(
  books: Books,
  subscription: Stripe.Subscription,
  members: { price: Stripe.Price; quantity: number; period: Period },
): Stripe.SubscriptionItem {
  const { price, quantity, period } = members
  const item = books.add('subscription_item', {
    ...{ ...books.born('subscription_item'), object: 'subscription_item', billing_thresholds: null },
    ...{ current_period_start: period.start, current_period_end: period.end, current_trial: null, discounts: [] },
    ...{ metadata: {}, plan: planOf(price), price, quantity, subscription: subscription.id, tax_rates: [] },
  })
  subscription.items.data.push(item)
  return item
}

export function planOf(price: Stripe.Price): Stripe.Plan {
  const { id, active, created, currency, metadata, nickname, product, recurring, unit_amount } = price
  return {
    ...{ id, object: 'plan', active, amount: unit_amount, amount_decimal: decimal(unit_amount), created, currency },
    ...{ billing_scheme: 'per_unit', interval: recurring?.interval ?? 'month', livemode: false, metadata, nickname },
    ...{ interval_count: recurring?.interval_count ?? 1, meter: null, product, tiers_mode: null },
    ...{ transform_usage: null, trial_period_days: null, usage_type: 'licensed' },
  }
}

export function addInvoice(
  books: Books,
  subscription: Stripe.Subscription,
  members: { reason: Stripe.Invoice.BillingReason; period: Period; metadata?: Stripe.Metadata },
): Stripe.Invoice {
  const born = books.born('invoice')
  const customer = books.get('customer', idOf(subscription.customer))
  return books.add('invoice', {
    ...{ ...born, object: 'invoice', account_country: 'US', account_name: 'Double', account_tax_ids: null },
    ...{ amount_due: 0, amount_overpaid: 0, amount_paid: 0, amount_remaining: 0, amount_shipping: 0 },
    ...{ application: null, attempt_count: 0, attempted: false, auto_advance: true },
    automatic_tax: { disabled_reason: null, enabled: false, liability: null, provider: null, status: null },
    ...{ automatically_finalizes_at: null, billing_reason: members.reason, collection_method: 'charge_automatically' },
    ...{ currency: subscription.currency, custom_fields: null, customer: customer.id, customer_account: null },
    ...{ customer_address: null, customer_email: customer.email, customer_name: null, customer_phone: null },
    ...{ customer_shipping: null, customer_tax_exempt: 'none', customer_tax_ids: [], default_payment_method: null },
    ...{ default_source: null, default_tax_rates: [], description: null, discounts: [], due_date: null },
    ...{ effective_at: null, ending_balance: null, footer: null, from_invoice: null, hosted_invoice_url: null },
    ...{ invoice_pdf: null, issuer: { type: 'self' }, last_finalization_error: null, latest_revision: null },
    lines: { object: 'list', data: [], has_more: false, url: `/v1/invoices/${born.id}/lines` },
    ...{ livemode: false, metadata: {}, next_payment_attempt: null, number: null, on_behalf_of: null },
    parent: {
      ...{ quote_details: null, type: 'subscription_details' },
      subscription_details: { metadata: { ...subscription.metadata }, subscription: subscription.id },
    },
    payment_settings: { default_mandate: null, payment_method_options: null, payment_method_types: null },
    ...{ period_start: members.period.start, period_end: members.period.end, post_payment_credit_notes_amount: 0 },
    ...{ pre_payment_credit_notes_amount: 0, receipt_number: null, rendering: null, shipping_cost: null },
    ...{ shipping_details: null, starting_balance: 0, statement_descriptor: null, status: 'draft', subtotal: 0 },
    status_transitions: { finalized_at: null, marked_uncollectible_at: null, paid_at: null, voided_at: null },
    ...{ subtotal_excluding_tax: 0, test_clock: null, total: 0, total_discount_amounts: [] },
    ...{ total_excluding_tax: 0, total_pretax_credit_amounts: [], total_taxes: [], webhooks_delivered_at: null },
  })
}

export interface NewLine {
  price: Stripe.Price
  amount: number
  quantity: number
  period: Period
  /** Set for what a change of plan brings: the invoice item that it comes from. */
  invoiceItem?: string
  discount?: number
}

export function addLine(
  books: Books,
  invoice: Stripe.Invoice,
  subscription: Stripe.Subscription,
  line: NewLine,
): Stripe.InvoiceLineItem {
  const { price, amount, quantity, period, invoiceItem, discount = 0 } = line
  const proration = invoiceItem !== undefined
  const { id: _id, created: _created, ...none } = books.born('line')
  const made: Stripe.InvoiceLineItem = {
    ...{ ...none, id: _id, object: 'line_item', amount, currency: invoice.currency, description: null },
    discount_amounts: discount === 0 ? [] : [{ amount: discount, discount: 'di_double' }],
    ...{ discountable: !proration, discounts: [], invoice: invoice.id, livemode: false, metadata: {} },
    parent: proration
      ? {
          ...{ type: 'invoice_item_details', subscription_item_details: null },
          invoice_item_details: {
            ...{ invoice_item: invoiceItem, proration: true, proration_details: null, subscription: subscription.id },
          },
        }
      : {
          ...{ type: 'subscription_item_details', invoice_item_details: null },
          subscription_item_details: {
            ...{ invoice_item: null, proration: false, proration_details: null, subscription: subscription.id },
            subscription_item: subscription.items.data[0]?.id ?? '',
          },
        },
    ...{ period: { ...period }, pretax_credit_amounts: [], quantity, quantity_decimal: decimal(quantity) },
    pricing: {
      price_details: { price: price.id, product: idOf(price.product) },
      ...{ type: 'price_details', unit_amount_decimal: decimal(price.unit_amount) },
    },
    ...{ subscription: subscription.id, subtotal: amount, taxes: [] },
  }
  invoice.lines.data.push(made)
  return made
}

export function addInvoicePayment(
  books: Books,
  invoice: Stripe.Invoice,
  intent: Stripe.PaymentIntent,
): Stripe.InvoicePayment {
  return books.add('invoice_payment', {
    ...{ ...books.born('invoice_payment'), object: 'invoice_payment', amount_paid: null },
    ...{ amount_requested: intent.amount, currency: invoice.currency, invoice: invoice.id, is_default: true },
    ...{ livemode: false, payment: { payment_intent: intent.id, type: 'payment_intent' }, status: 'open' },
    status_transitions: { canceled_at: null, paid_at: null },
  })
}
