import type { Billing } from '../billing.ts'
import { type Books, idOf } from '../books.ts'
import { Listing } from '../present.ts'
import { invalid, StripeRefusal } from '../refusal.ts'
import { boolean, integer, matching, merged, type Route } from './route.ts'

export function billingRoutes(books: Books, billing: Billing): Route[] {
  const { all, get, tell } = books

  return [
    { ...{ name: 'GET subscriptions/:id', takes: '' }, answer: ({ id }) => get('subscription', id) },
    {
      ...{ name: 'GET subscriptions', takes: 'customer status price created' },
      answer({ params }) {
        const { status, price } = params
        const rows = matching(all('subscription'), params, 'customer')
          // Ended ones are only listed where they are asked for.
          .filter((one) =>
            status === undefined ? one.status !== 'canceled' : status === 'all' || one.status === status,
          )
          .filter(({ items }) => price === undefined || items.data[0]?.price.id === price)
        return new Listing('/v1/subscriptions', 'subscription', rows)
      },
    },
    {
      name: 'POST subscriptions/:id',
      takes: 'items proration_behavior cancel_at_period_end metadata default_payment_method',
      answer({ id, params }) {
        const subscription = get('subscription', id)
        if (subscription.status === 'canceled')
          throw invalid('A canceled subscription can only update its cancellation_details and metadata.')
        const { items, proration_behavior = 'create_prorations', metadata, default_payment_method } = params
        const ends = boolean(params, 'cancel_at_period_end')
        if (default_payment_method !== undefined)
          subscription.default_payment_method = get('payment_method', default_payment_method).id
        if (metadata !== undefined) {
          subscription.metadata = merged(subscription.metadata, metadata)
          tell('customer.subscription.updated', subscription)
        }
        if (ends !== undefined) billing.setCancelAtPeriodEnd(id, ends)
        const [change] = items ?? []
        if (change === undefined) return subscription
        const known = subscription.items.data.find((one) => one.id === change.id)
        if (known === undefined)
          throw invalid('The double changes the one item of a subscription; name it.', { param: 'items[0][id]' })
        const price = change.price === undefined ? known.price : get('price', change.price, 'items[0][price]')
        const quantity = change.quantity === undefined ? undefined : integer(change, 'quantity')
        billing.changePlan(id, price, proration_behavior, quantity)
        return subscription
      },
    },
    {
      ...{ name: 'DELETE subscriptions/:id', takes: 'prorate invoice_now' },
      answer({ id, params }) {
        if (boolean(params, 'prorate') === true || boolean(params, 'invoice_now') === true)
          throw invalid('The double gives nothing back when a subscription is cancelled.', { param: 'prorate' })
        return billing.cancel(id)
      },
    },
    { ...{ name: 'GET invoices/:id', takes: '' }, answer: ({ id }) => get('invoice', id) },
    {
      ...{ name: 'GET invoices', takes: 'customer subscription status created' },
      answer({ params }) {
        const rows = matching(all('invoice'), params, 'customer', 'status').filter(
          ({ parent }) =>
            params.subscription === undefined || parent?.subscription_details?.subscription === params.subscription,
        )
        return new Listing('/v1/invoices', 'invoice', rows)
      },
    },
    {
      ...{ name: 'GET invoices/:id/lines', takes: '' },
      answer: ({ id }) => new Listing(`/v1/invoices/${id}/lines`, 'line item', get('invoice', id).lines.data),
    },
    {
      ...{ name: 'POST invoices/:id/finalize', takes: 'auto_advance' },
      answer({ id }) {
        const invoice = get('invoice', id)
        if (invoice.status !== 'draft') throw invalid('This invoice is already finalized.')
        return billing.finalize(invoice)
      },
    },
    {
      ...{ name: 'POST invoices/:id/pay', takes: 'off_session' },
      answer({ id }) {
        const invoice = get('invoice', id)
        const subscription = get('subscription', idOf(invoice.parent?.subscription_details?.subscription))
        billing.pay(invoice, billing.cardOutcome(subscription))
        if (invoice.status === 'open')
          throw new StripeRefusal(402, {
            ...{ type: 'card_error', code: 'card_declined', decline_code: 'generic_decline' },
            message: 'Your card was declined.',
          })
        return invoice
      },
    },
    {
      ...{ name: 'GET invoice_payments', takes: 'invoice status payment' },
      answer({ params }) {
        const { payment } = params
        const rows = matching(all('invoice_payment'), params, 'invoice', 'status').filter(
          (one) => payment === undefined || one.payment.payment_intent === payment.payment_intent,
        )
        return new Listing('/v1/invoice_payments', 'invoice_payment', rows)
      },
    },
    { ...{ name: 'GET invoice_payments/:id', takes: '' }, answer: ({ id }) => get('invoice_payment', id) },
  ]
}
