import type Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'
import type { Bank } from '../bank.ts'
import { type Books, idOf, snapshot } from '../books.ts'
import { cardOf, cardOfToken, type Decline, declineOf } from '../cards.ts'
import { Listing } from '../present.ts'
import { invalid, missing, StripeRefusal } from '../refusal.ts'
import { addMethod } from '../shapes/payments.ts'
import { boolean, checkAmount, integer, matching, merged, type Route } from './route.ts'

const INTENT = 'amount! currency! customer payment_method metadata off_session confirm description setup_future_usage'

/** `nextDecline` is what a test has put in place of what the card would do. */
export function paymentRoutes(books: Books, bank: Bank, nextDecline: () => string | undefined): Route[] {
  const { all, get } = books

  function methodOf(id: string, customer: string | null): Stripe.PaymentMethod {
    const last4 = cardOfToken(id)
    if (last4 !== undefined) return addMethod(books, null, last4)
    const method = get('payment_method', id, 'payment_method')
    if (method.customer !== customer)
      throw invalid(
        method.customer === null
          ? 'The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, or was detached from a Customer, and may not be used again.'
          : `The PaymentMethod ${id} does not belong to the Customer you supplied.`,
        { param: 'payment_method' },
      )
    return method
  }

  function refuse(intent: Stripe.PaymentIntent, why: Decline, method: Stripe.PaymentMethod): never {
    bank.decline(intent, why)
    throw new StripeRefusal(402, {
      ...{ type: 'card_error', ...why, charge: idOf(intent.latest_charge), payment_method: snapshot(method) },
      payment_intent: snapshot(intent),
    })
  }

  function confirm(intent: Stripe.PaymentIntent, method: Stripe.PaymentMethod, offSession: boolean): void {
    const wanted = nextDecline()
    const { charge, asksPerson = false } = cardOf(method.card?.last4 ?? '')
    intent.payment_method = method.id
    const why = wanted === undefined ? charge : declineOf(wanted)
    // Off session nobody is there to be asked: the payment is declined.
    if (asksPerson && !offSession && wanted === undefined) bank.askPerson(intent)
    else if (why !== undefined) refuse(intent, why, method)
    else bank.succeed(intent)
  }

  const byIntent = (what: 'refund' | 'dispute', params: Json) =>
    new Listing(`/v1/${what}s`, what, matching(all(what), params, 'charge', 'payment_intent'))

  return [
    {
      ...{ name: 'POST payment_intents', takes: INTENT },
      answer({ params }) {
        const { currency, customer = null, payment_method, metadata, description = null } = params
        const amount = integer(params, 'amount')
        const [isConfirmed, offSession] = [boolean(params, 'confirm') === true, boolean(params, 'off_session') === true]
        checkAmount(amount, currency)
        if (offSession && !isConfirmed)
          throw invalid('You cannot provide `off_session` without `confirm=true`.', { param: 'off_session' })
        if (customer !== null && (get('customer', customer, 'customer') as Json).deleted)
          throw missing('customer', customer, 'customer')
        const method = payment_method === undefined ? undefined : methodOf(payment_method, customer)
        if (isConfirmed && method === undefined)
          throw invalid(
            'You cannot confirm this PaymentIntent because it is missing a payment method. Update the PaymentIntent with a payment method and then confirm it again.',
          )
        const intent = bank.openIntent({
          ...{ amount, currency, customer, metadata: { ...metadata }, description },
          setup_future_usage: params.setup_future_usage ?? null,
          ...(method && { payment_method: method.id, status: 'requires_confirmation' as const }),
        })
        if (isConfirmed && method !== undefined) confirm(intent, method, offSession)
        return intent
      },
    },
    {
      ...{ name: 'POST payment_intents/:id/confirm', takes: 'payment_method off_session' },
      answer({ id, params }) {
        const intent = get('payment_intent', id)
        if (!intent.status.startsWith('requires_'))
          throw invalid(`You cannot confirm this PaymentIntent because it has a status of ${intent.status}.`, {
            code: 'payment_intent_unexpected_state',
          })
        const method = methodOf(params.payment_method ?? idOf(intent.payment_method), idOf(intent.customer) || null)
        confirm(intent, method, boolean(params, 'off_session') === true)
        return intent
      },
    },
    {
      ...{ name: 'GET payment_intents', takes: 'customer created' },
      answer: ({ params }) =>
        new Listing('/v1/payment_intents', 'payment_intent', matching(all('payment_intent'), params, 'customer')),
    },
    { ...{ name: 'GET payment_intents/:id', takes: '' }, answer: ({ id }) => get('payment_intent', id) },
    {
      ...{ name: 'GET charges', takes: 'customer payment_intent created' },
      answer: ({ params }) =>
        new Listing('/v1/charges', 'charge', matching(all('charge'), params, 'customer', 'payment_intent')),
    },
    { ...{ name: 'GET charges/:id', takes: '' }, answer: ({ id }) => get('charge', id) },
    {
      ...{ name: 'POST refunds', takes: 'charge payment_intent amount reason metadata' },
      answer({ params }) {
        const of = params.charge ?? params.payment_intent
        if (of === undefined) throw invalid('One of the following params should be provided: payment_intent or charge.')
        return bank.refund(of, {
          ...{ amount: params.amount === undefined ? undefined : integer(params, 'amount') },
          ...{ reason: params.reason ?? null, metadata: { ...params.metadata } },
        })
      },
    },
    {
      ...{ name: 'GET refunds', takes: 'charge payment_intent created' },
      answer: ({ params }) => byIntent('refund', params),
    },
    { ...{ name: 'GET refunds/:id', takes: '' }, answer: ({ id }) => get('refund', id) },
    {
      ...{ name: 'POST refunds/:id', takes: 'metadata' },
      answer({ id, params }) {
        const refund = get('refund', id)
        refund.metadata = merged(refund.metadata ?? {}, params.metadata)
        books.tell('refund.updated', refund)
        return refund
      },
    },
    {
      ...{ name: 'GET disputes', takes: 'charge payment_intent created' },
      answer: ({ params }) => byIntent('dispute', params),
    },
    { ...{ name: 'GET disputes/:id', takes: '' }, answer: ({ id }) => get('dispute', id) },
    {
      ...{ name: 'GET balance_transactions', takes: 'created type source currency payout' },
      answer: ({ params }) =>
        new Listing(
          '/v1/balance_transactions',
          'balance_transaction',
          matching(all('balance_transaction'), params, 'type', 'source', 'currency'),
        ),
    },
    { ...{ name: 'GET balance_transactions/:id', takes: '' }, answer: ({ id }) => get('balance_transaction', id) },
    {
      ...{ name: 'GET payouts', takes: 'created status' },
      answer: ({ params }) => new Listing('/v1/payouts', 'payout', matching(all('payout'), params, 'status')),
    },
    { ...{ name: 'GET payouts/:id', takes: '' }, answer: ({ id }) => get('payout', id) },
    {
      ...{ name: 'GET events', takes: 'type types created' },
      answer({ params }) {
        const types = Object.values<string>(params.types ?? {})
        const events = all('event').filter(({ type }) => types.length === 0 || types.includes(type))
        return new Listing('/v1/events', 'event', matching(events, params, 'type'))
      },
    },
    { ...{ name: 'GET events/:id', takes: '' }, answer: ({ id }) => get('event', id) },
  ]
}
