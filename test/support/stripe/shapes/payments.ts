import type Stripe from 'stripe'
import type { Books } from '../books.ts'

const noDetails = { address: null, email: null, name: null, phone: null, tax_id: null }

export function addIntent(
  books: Books,
  members: Pick<Stripe.PaymentIntent, 'amount' | 'currency' | 'customer'> & Partial<Stripe.PaymentIntent>,
): Stripe.PaymentIntent {
  const born = books.born('payment_intent')
  return books.add('payment_intent', {
    ...{ ...born, object: 'payment_intent', allowed_payment_method_types: null, amount_capturable: 0 },
    ...{ amount_details: { tip: {} }, amount_received: 0, application: null, application_fee_amount: null },
    ...{ automatic_payment_methods: null, canceled_at: null, cancellation_reason: null },
    ...{ capture_method: 'automatic_async', client_secret: `${born.id}_secret_double` },
    ...{ confirmation_method: 'automatic', customer_account: null, description: null },
    ...{ excluded_payment_method_types: null, last_payment_error: null, latest_charge: null, livemode: false },
    ...{ managed_payments: null, metadata: {}, next_action: null, on_behalf_of: null, payment_method: null },
    ...{ payment_method_configuration_details: null, payment_method_options: {}, payment_method_types: ['card'] },
    ...{ payment_record: null, processing: null, receipt_email: null, review: null, setup_future_usage: null },
    ...{ shipping: null, source: null, statement_descriptor: null, statement_descriptor_suffix: null },
    ...{ status: 'requires_payment_method', transfer_data: null, transfer_group: null },
    ...members,
  })
}

export function addCharge(
  books: Books,
  intent: Stripe.PaymentIntent,
  members: Partial<Stripe.Charge> & Pick<Stripe.Charge, 'status'>,
): Stripe.Charge {
  const { amount, currency, customer, description, metadata } = intent
  const isPaid = members.status === 'succeeded'
  return books.add('charge', {
    ...{ ...books.born('charge'), object: 'charge', amount, amount_captured: isPaid ? amount : 0, amount_refunded: 0 },
    ...{ application: null, application_fee: null, application_fee_amount: null, balance_transaction: null },
    ...{ billing_details: noDetails, calculated_statement_descriptor: 'DOUBLE', captured: isPaid, currency, customer },
    ...{ description, disputed: false, failure_balance_transaction: null, failure_code: null },
    ...{ failure_message: null, fraud_details: {}, livemode: false, metadata: { ...metadata }, on_behalf_of: null },
    ...{ outcome: null, paid: isPaid, payment_intent: intent.id, payment_method: null, payment_method_details: null },
    ...{ receipt_email: null, receipt_number: null, receipt_url: null, refunded: false, review: null },
    ...{ shipping: null, source: null, source_transfer: null, statement_descriptor: null },
    ...{ statement_descriptor_suffix: null, transfer_data: null, transfer_group: null },
    ...members,
  })
}

export function addRefund(
  books: Books,
  charge: Stripe.Charge,
  members: { amount: number; reason?: Stripe.Refund.Reason | null; metadata?: Stripe.Metadata },
): Stripe.Refund {
  const { currency, customer, payment_intent, payment_method } = charge
  return books.add('refund', {
    ...{ ...books.born('refund'), object: 'refund', balance_transaction: null, charge: charge.id, currency, customer },
    ...{ customer_account: null, metadata: {}, payment_intent, payment_method, reason: null, receipt_number: null },
    ...{ source_transfer_reversal: null, status: 'succeeded', transfer_reversal: null },
    ...members,
  })
}

export function addDispute(
  books: Books,
  charge: Stripe.Charge,
  members: Pick<Stripe.Dispute, 'amount' | 'status' | 'reason'>,
): Stripe.Dispute {
  const { currency, payment_intent } = charge
  const born = books.born('dispute')
  return books.add('dispute', {
    ...{ ...born, object: 'dispute', balance_transactions: [], charge: charge.id, currency, payment_intent },
    ...{ enhanced_eligibility_types: [], evidence: {} as Stripe.Dispute.Evidence, intended_submission_method: null },
    evidence_details: {
      ...{ due_by: born.created + 9 * 86_400, enhanced_eligibility: {}, has_evidence: false, past_due: false },
      ...{ submission_count: 0, submission_method: 'manual' },
    },
    ...{ is_charge_refundable: members.status.startsWith('warning_'), livemode: false, metadata: {} },
    ...members,
  })
}

export function addMethod(books: Books, customer: string | null, last4: string): Stripe.PaymentMethod {
  return books.add('payment_method', {
    ...{ ...books.born('payment_method'), object: 'payment_method', allow_redisplay: 'unspecified' },
    ...{ billing_details: noDetails, customer, customer_account: null, livemode: false, metadata: {}, type: 'card' },
    card: {
      ...{ brand: 'visa', checks: null, country: 'US', display_brand: 'visa', exp_month: 12, exp_year: 2040 },
      ...{ fingerprint: null, funding: 'credit', generated_from: null, last4, networks: null, regulated_status: null },
      ...{ three_d_secure_usage: { supported: true }, wallet: null },
    },
  })
}

export function addCustomer(books: Books, members: Partial<Stripe.Customer>): Stripe.Customer {
  const born = books.born('customer')
  return books.add('customer', {
    ...{ ...born, object: 'customer', address: null, balance: 0, currency: null, customer_account: null },
    ...{ default_source: null, delinquent: false, description: null, discount: null, email: null },
    invoice_prefix: born.id.slice(-6),
    invoice_settings: { custom_fields: null, default_payment_method: null, footer: null, rendering_options: null },
    ...{ livemode: false, metadata: {}, name: null, next_invoice_sequence: 1, phone: null, preferred_locales: [] },
    ...{ shipping: null, tax_exempt: 'none', test_clock: null },
    ...members,
  })
}

export function addPayout(books: Books, members: { amount: number; currency: string }): Stripe.Payout {
  const born = books.born('payout')
  return books.add('payout', {
    ...{ ...born, object: 'payout', application_fee: null, application_fee_amount: null, arrival_date: born.created },
    ...{ automatic: true, balance_transaction: null, description: 'STRIPE PAYOUT', destination: null },
    ...{ failure_balance_transaction: null, failure_code: null, failure_message: null, livemode: false, metadata: {} },
    ...{ method: 'standard', original_payout: null, payout_method: null, reconciliation_status: 'completed' },
    ...{ reversed_by: null, source_type: 'card', statement_descriptor: null, status: 'paid', trace_id: null },
    ...{ type: 'bank_account', ...members },
  })
}
