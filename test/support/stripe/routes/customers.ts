import type Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'
import type { Billing } from '../billing.ts'
import { type Books, idOf } from '../books.ts'
import { cardOf, cardOfToken } from '../cards.ts'
import { Listing } from '../present.ts'
import { invalid, missing, StripeRefusal } from '../refusal.ts'
import { addCustomer, addMethod } from '../shapes/payments.ts'
import { addPortal } from '../shapes/sessions.ts'
import { matching, merged, type Route } from './route.ts'

const CUSTOMER = 'email name phone description metadata invoice_settings'

export function customerRoutes(books: Books, billing: Billing, origin: () => string): Route[] {
  const { all, get, tell } = books
  const isThere = (one: Json) => one.deleted !== true

  function living(id: string, param = 'id'): Stripe.Customer {
    const customer = get('customer', id, param)
    if (!isThere(customer)) throw missing('customer', id, param)
    return customer
  }

  function change(customer: Stripe.Customer, params: Json): void {
    const { email, name, phone, description, metadata, invoice_settings } = params
    const method = invoice_settings?.default_payment_method
    if (method && get('payment_method', method).customer !== customer.id)
      throw invalid(`The customer does not have a payment method with the ID ${method}.`)
    for (const [member, value] of Object.entries({ email, name, phone, description }))
      if (value !== undefined) Object.assign(customer, { [member]: value === '' ? null : value })
    customer.metadata = merged(customer.metadata, metadata)
    if (method !== undefined) customer.invoice_settings.default_payment_method = method || null
  }

  function detach(method: Stripe.PaymentMethod): void {
    const customer = idOf(method.customer)
    method.customer = null
    tell('payment_method.detached', method, { customer })
  }

  return [
    {
      ...{ name: 'POST customers', takes: CUSTOMER },
      answer({ params }) {
        const customer = addCustomer(books, {})
        change(customer, params)
        tell('customer.created', customer)
        return customer
      },
    },
    {
      ...{ name: 'GET customers', takes: 'email created' },
      answer: ({ params }) =>
        new Listing('/v1/customers', 'customer', matching(all('customer').filter(isThere), params, 'email')),
    },
    {
      ...{ name: 'GET customers/search', takes: 'query! page' },
      answer({ params }) {
        const finds = readQuery(params.query)
        const data = all('customer').filter((one) => isThere(one) && finds(one))
        return { object: 'search_result', url: '/v1/customers/search', data, has_more: false, next_page: null }
      },
    },
    { ...{ name: 'GET customers/:id', takes: '' }, answer: ({ id }) => get('customer', id) },
    {
      ...{ name: 'POST customers/:id', takes: CUSTOMER },
      answer({ id, params }) {
        const customer = living(id)
        change(customer, params)
        tell('customer.updated', customer)
        return customer
      },
    },
    {
      ...{ name: 'DELETE customers/:id', takes: '' },
      answer({ id }) {
        const customer = living(id)
        for (const one of all('subscription'))
          if (one.customer === id && one.status !== 'canceled') billing.cancel(one.id)
        for (const method of all('payment_method')) if (method.customer === id) detach(method)
        tell('customer.deleted', customer)
        const gone = { id, object: 'customer', deleted: true }
        books.add('customer', gone as unknown as Stripe.Customer)
        return gone
      },
    },
    {
      ...{ name: 'GET customers/:id/payment_methods', takes: 'type' },
      answer: ({ id, params }) =>
        new Listing(
          `/v1/customers/${living(id).id}/payment_methods`,
          'PaymentMethod',
          matching(all('payment_method'), { ...params, customer: id }, 'customer', 'type'),
        ),
    },
    {
      ...{ name: 'GET payment_methods', takes: 'customer type' },
      answer: ({ params }) =>
        new Listing(
          '/v1/payment_methods',
          'PaymentMethod',
          // Without a customer Stripe lists none.
          params.customer === undefined ? [] : matching(all('payment_method'), params, 'customer', 'type'),
        ),
    },
    { ...{ name: 'GET payment_methods/:id', takes: '' }, answer: ({ id }) => get('payment_method', id) },
    {
      ...{ name: 'POST payment_methods/:id/attach', takes: 'customer!' },
      answer({ id, params }) {
        const customer = living(params.customer, 'customer').id
        const token = cardOfToken(id)
        const last4 = token ?? get('payment_method', id).card?.last4 ?? ''
        const refusal = cardOf(last4).attach
        if (refusal) throw new StripeRefusal(402, { type: 'card_error', ...refusal })
        const method = token === undefined ? get('payment_method', id) : addMethod(books, null, last4)
        if (method.customer !== null && method.customer !== customer)
          throw invalid('The payment method you provided has already been attached to a customer.')
        method.customer = customer
        tell('payment_method.attached', method)
        return method
      },
    },
    {
      ...{ name: 'POST payment_methods/:id/detach', takes: '' },
      answer({ id }) {
        const method = get('payment_method', id)
        if (method.customer === null)
          throw invalid('The payment method you provided is not attached to a customer so detachment is impossible.')
        detach(method)
        return method
      },
    },
    {
      ...{ name: 'POST billing_portal/sessions', takes: 'customer! return_url' },
      answer: ({ params }) =>
        addPortal(books, {
          ...{ customer: living(params.customer, 'customer').id, return_url: params.return_url ?? null },
          origin: origin(),
        }),
    },
  ]
}

/** Of Stripe's search: `email:'a@example.com' AND metadata['key']:'value'`. */
function readQuery(query: string): (customer: Stripe.Customer) => boolean {
  const clauses = query.split(/ AND /i).map((clause) => {
    const match = /^\s*(?:(email|name|phone)|metadata\[['"]([^'"]+)['"]\])\s*:\s*(['"])(.*)\3\s*$/.exec(clause)
    if (match === null) throw invalid('We were unable to parse your search query.', { param: 'query' })
    return { member: match[1] as 'email' | 'name' | 'phone' | undefined, key: match[2] ?? '', value: match[4] ?? '' }
  })
  return (customer) =>
    clauses.every(({ member, key, value }) =>
      member === undefined ? customer.metadata[key] === value : customer[member]?.toLowerCase() === value.toLowerCase(),
    )
}
