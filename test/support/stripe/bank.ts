import type Stripe from 'stripe'
import { type Books, idOf } from './books.ts'
import { type Decline, declineOf } from './cards.ts'
import { invalid } from './refusal.ts'
import { addCharge, addDispute, addIntent, addMethod, addPayout, addRefund } from './shapes/payments.ts'

export type Outcome = 'succeeded' | 'processing' | 'declined'

/** Cents that a dispute costs, whoever wins it. */
const DISPUTE_FEE = 1_500

/** Money that moves: payments, refunds, disputes, payouts. Each act tells its events in Stripe's order. */
export function createBank(books: Books) {
  const { get, tell, book } = books

  function openIntent(members: Parameters<typeof addIntent>[1]): Stripe.PaymentIntent {
    const intent = addIntent(books, members)
    tell('payment_intent.created', intent)
    return intent
  }

  /** Cards are paid out of the balance as charges, everything else as payments. */
  const isCard = (charge: Stripe.Charge) => charge.payment_method_details?.type === 'card'

  const detailsOf = (intent: Stripe.PaymentIntent, type: 'card' | 'us_bank_account') => ({
    ...{ payment_method: idOf(intent.payment_method) || null },
    payment_method_details: { type } as Stripe.Charge.PaymentMethodDetails,
  })

  /** The money is there. Stripe writes down the movement of the balance a little later: until then the charge names none. */
  function arrive(intent: Stripe.PaymentIntent, charge: Stripe.Charge): void {
    const { amount, currency } = charge
    Object.assign(charge, { status: 'succeeded', paid: true, captured: true, amount_captured: amount })
    charge.outcome = outcomeOf('authorized', 'approved_by_network', 'Payment complete.')
    Object.assign(intent, {
      ...{ status: 'succeeded', amount_received: amount, latest_charge: charge.id },
      ...{ last_payment_error: null, next_action: null, processing: null },
    })
    tell('charge.succeeded', charge)
    tell('payment_intent.succeeded', intent)
    books.afterwards(() => land(charge, currency))
  }

  function land(charge: Stripe.Charge, currency: string): void {
    if (charge.balance_transaction !== null) return
    const fee = Math.round(charge.amount * 0.029) + 30
    charge.balance_transaction = book({
      ...{ type: isCard(charge) ? 'charge' : 'payment', category: 'charge', amount: charge.amount, currency },
      ...{ source: charge.id, fees: [{ amount: fee, description: 'Stripe processing fees' }] },
    }).id
    tell('charge.updated', charge, { balance_transaction: null })
  }

  function succeed(intent: Stripe.PaymentIntent): Stripe.Charge {
    const charge = pendingOf(intent) ?? addCharge(books, intent, { status: 'succeeded', ...detailsOf(intent, 'card') })
    arrive(intent, charge)
    return charge
  }

  function pendingOf(intent: Stripe.PaymentIntent): Stripe.Charge | undefined {
    const charge = books.find('charge', idOf(intent.latest_charge))
    return charge?.status === 'pending' ? charge : undefined
  }

  /** The bank takes days to say whether the money comes. */
  function process(intent: Stripe.PaymentIntent): Stripe.Charge {
    intent.payment_method_types = ['us_bank_account']
    const charge = addCharge(books, intent, { status: 'pending', ...detailsOf(intent, 'us_bank_account') })
    Object.assign(intent, { status: 'processing', latest_charge: charge.id, last_payment_error: null })
    tell('charge.pending', charge)
    tell('payment_intent.processing', intent)
    return charge
  }

  function decline(intent: Stripe.PaymentIntent, why: Decline): void {
    const failed = { status: 'failed' as const, failure_code: why.code, failure_message: why.message }
    const charge = pendingOf(intent) ?? addCharge(books, intent, { ...failed, ...detailsOf(intent, 'card') })
    Object.assign(charge, failed, { paid: false })
    charge.outcome = outcomeOf('issuer_declined', 'declined_by_network', why.message, why.decline_code)
    const method = books.find('payment_method', idOf(intent.payment_method))
    Object.assign(intent, {
      ...{ status: 'requires_payment_method', latest_charge: charge.id, payment_method: null, processing: null },
      last_payment_error: {
        ...{ type: 'card_error', ...why, charge: charge.id },
        ...(method && { payment_method: structuredClone(method) }),
      },
    })
    tell('charge.failed', charge)
    tell('payment_intent.payment_failed', intent)
  }

  function askPerson(intent: Stripe.PaymentIntent): void {
    intent.status = 'requires_action'
    intent.next_action = { type: 'use_stripe_sdk', use_stripe_sdk: {} }
    tell('payment_intent.requires_action', intent)
  }

  /** The charge that an id of a charge or a payment intent names. */
  function chargeOf(id: string): Stripe.Charge {
    if (!id.startsWith('pi_')) return get('charge', id, 'charge')
    const latest = idOf(get('payment_intent', id, 'payment_intent').latest_charge)
    if (latest === '') throw invalid('This PaymentIntent does not have a successful charge to refund.')
    return get('charge', latest)
  }

  const disputesOf = (charge: Stripe.Charge) => books.all('dispute').filter((one) => one.charge === charge.id)

  function refund(
    chargeOrIntent: string,
    more: { amount?: number | undefined; reason?: Stripe.Refund.Reason | null; metadata?: Stripe.Metadata } = {},
  ): Stripe.Refund {
    const charge = chargeOf(chargeOrIntent)
    const left = charge.amount_captured - charge.amount_refunded
    if (charge.status !== 'succeeded') throw invalid(`Charge ${charge.id} has not been paid and cannot be refunded.`)
    if (left === 0) throw invalid(`Charge ${charge.id} has already been refunded.`, { code: 'charge_already_refunded' })
    if (charge.disputed && disputesOf(charge).some(({ is_charge_refundable }) => !is_charge_refundable))
      throw invalid(`Charge ${charge.id} has been charged back; cannot issue a refund.`, { code: 'charge_disputed' })
    const { amount = left, ...rest } = more
    if (amount > left)
      throw invalid(`Refund amount (${amount}) is greater than unrefunded amount on charge (${left})`, {
        param: 'amount',
      })
    if (amount < 1) throw invalid('Invalid positive integer', { param: 'amount', code: 'parameter_invalid_integer' })
    land(charge, charge.currency)
    const made = addRefund(books, charge, { amount, ...rest })
    made.balance_transaction = book({
      ...{ type: isCard(charge) ? 'refund' : 'payment_refund', category: 'refund', amount: -amount },
      ...{ currency: charge.currency, source: made.id },
    }).id
    charge.amount_refunded += amount
    charge.refunded = charge.amount_refunded === charge.amount
    tell('refund.created', made)
    tell('charge.refunded', charge, { amount_refunded: charge.amount_refunded - amount })
    return made
  }

  return {
    openIntent,
    succeed,
    process,
    decline,
    askPerson,
    refund,

    /** Confirms an intent with what its person or its card brings about. */
    confirm(intent: Stripe.PaymentIntent, outcome: Outcome, why = declineOf('card_declined')): void {
      if (outcome === 'succeeded') succeed(intent)
      else if (outcome === 'processing') process(intent)
      else decline(intent, why)
    },

    /** A card of a customer, saved. */
    saveCard(customer: string, last4 = '4242'): Stripe.PaymentMethod {
      const method = addMethod(books, customer, last4)
      tell('payment_method.attached', method)
      return method
    },

    /** The bank of the person sends a refund back. */
    failRefund(id: string): Stripe.Refund {
      const one = get('refund', id)
      const charge = get('charge', idOf(one.charge))
      one.status = 'failed'
      one.failure_reason = 'lost_or_stolen_card'
      one.failure_balance_transaction = book({
        ...{ type: isCard(charge) ? 'refund_failure' : 'payment_failure_refund', category: 'refund_failure' },
        ...{ amount: one.amount, currency: one.currency, source: one.id },
      }).id
      charge.amount_refunded -= one.amount
      charge.refunded = false
      tell('refund.failed', one)
      tell('charge.refund.updated', one, { status: 'succeeded' })
      return one
    },

    /**
     * The bank of the person wants the money back, all that is not refunded unless an amount is named. An inquiry asks first and
     * takes nothing; the next dispute of the same charge is what becomes of it.
     */
    dispute(chargeOrIntent: string, options: { inquiry?: boolean; amount?: number } = {}): Stripe.Dispute {
      const charge = chargeOf(chargeOrIntent)
      land(charge, charge.currency)
      const { inquiry = false, amount = charge.amount - charge.amount_refunded } = options
      if (amount < 1) throw new Error(`nothing of ${charge.id} is left to dispute`)
      const asked = disputesOf(charge).find(({ status }) => status === 'warning_needs_response')
      const status = inquiry ? 'warning_needs_response' : 'needs_response'
      const one = asked ?? addDispute(books, charge, { amount, status, reason: 'fraudulent' })
      const before = one.status
      charge.disputed = true
      Object.assign(one, { status, is_charge_refundable: inquiry })
      if (!inquiry)
        one.balance_transactions.push(
          book({
            ...{ type: 'adjustment', category: 'dispute', amount: -one.amount, currency: one.currency, source: one.id },
            fees: [{ amount: DISPUTE_FEE, description: 'Dispute fee' }],
          }),
        )
      if (asked === undefined) tell('charge.dispute.created', one)
      else tell('charge.dispute.updated', one, { status: before })
      if (!inquiry) tell('charge.dispute.funds_withdrawn', one)
      return one
    },

    closeDispute(id: string, status: 'won' | 'lost' | 'warning_closed'): Stripe.Dispute {
      const one = get('dispute', id)
      if (!/needs_response|under_review/.test(one.status)) throw new Error(`${id} is ${one.status}`)
      one.status = status
      one.is_charge_refundable = status !== 'lost'
      if (status === 'won')
        one.balance_transactions.push(
          book({
            ...{ type: 'adjustment', category: 'dispute_reversal', amount: one.amount, currency: one.currency },
            source: one.id,
          }),
        )
      tell('charge.dispute.closed', one)
      if (status === 'won') tell('charge.dispute.funds_reinstated', one)
      return one
    },

    /** The balance, or a part of it, goes to the bank of whoever sells. */
    payout(amount: number | undefined, currency: string): Stripe.Payout {
      const balance = books
        .all('balance_transaction')
        .reduce((sum, one) => (one.currency === currency ? sum + one.net : sum), 0)
      const made = addPayout(books, { amount: amount ?? balance, currency })
      made.balance_transaction = book({
        ...{ type: 'payout', category: 'payout', amount: -made.amount, currency, source: made.id },
      }).id
      tell('payout.created', made)
      tell('payout.paid', made)
      return made
    },
  }
}

export type Bank = ReturnType<typeof createBank>

function outcomeOf(
  type: string,
  network_status: string,
  seller_message: string,
  reason: string | null = null,
): Stripe.Charge.Outcome {
  return {
    ...{ advice_code: null, network_advice_code: null, network_decline_code: null, network_status, reason },
    ...{ risk_level: 'normal', risk_score: 5, seller_message, type },
  }
}
