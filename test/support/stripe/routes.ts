import type { Json } from '#test/support/gateway.ts'
import { type Books, type Kind, missing, StripeRefusal } from './books.ts'
import type { createShop } from './shop.ts'

export interface StripeRequest {
  method: string
  path: string
  params: Json
}

type Handler = (params: Json, id: string) => Json

const PAGE = 10

/** What the API answers to. */
export function createRoutes(
  books: Books,
  shop: ReturnType<typeof createShop>,
  double: { url: () => string; decline: () => string | undefined },
) {
  const { add, all, get } = books

  function page(url: string, params: Json, rows: Json[]): Json {
    const limit = Number(params.limit ?? PAGE)
    const start = params.starting_after === undefined ? 0 : rows.findIndex(({ id }) => id === params.starting_after) + 1
    const data = rows.slice(start, start + limit)
    return {
      object: 'list',
      url,
      data: data.map((row) => expanded(row, params, 'data.')),
      has_more: rows.length > start + limit,
    }
  }

  /** Writes out what a request wants written out: `expand[]=latest_charge.balance_transaction`. */
  function expanded(row: Json, params: Json, prefix = ''): Json {
    const copy = structuredClone(row)
    for (const wish of Object.values<string>(params.expand ?? {})) {
      if (!wish.startsWith(prefix)) continue
      let place = copy
      for (const name of wish.slice(prefix.length).split('.')) {
        if (typeof place?.[name] === 'string') place[name] = structuredClone(byId(place[name]))
        place = place?.[name]
      }
    }
    return copy
  }

  const shelves: Record<string, Kind> = {
    ch: 'charge',
    txn: 'balance_transaction',
    pi: 'payment_intent',
    cus: 'customer',
  }
  function byId(id: string): Json {
    const kind = shelves[id.slice(0, id.indexOf('_'))]
    return kind === undefined ? id : get(kind, id)
  }

  const retrieve =
    (kind: Kind): Handler =>
    (params, id) =>
      expanded(get(kind, id), params)
  const newestFirst = (kind: Kind) => all(kind).reverse()
  const created = (params: Json) => (row: Json) =>
    row.created >= Number(params.created?.gte ?? 0) &&
    row.created < Number(params.created?.lt ?? Number.POSITIVE_INFINITY)

  const handlers: Record<string, Handler> = {
    'GET prices': (params) =>
      page(
        '/v1/prices',
        params,
        all('price').filter((price) => price.product === params.product && price.active),
      ),
    'GET prices/:id': retrieve('price'),
    'POST customers': ({ email, metadata = {} }) => {
      const customer = add('customer', 'customer', {
        email,
        metadata,
        invoice_settings: { default_payment_method: null },
      })
      books.tell('customer.created', customer)
      return customer
    },
    'GET customers/:id': retrieve('customer'),
    'DELETE customers/:id'(_params, id) {
      const customer = get('customer', id)
      if (customer.deleted) throw missing('customer', id)
      customer.deleted = true
      for (const one of all('subscription')) if (one.customer === id && one.status !== 'canceled') shop.cancel(one.id)
      return { id, object: 'customer', deleted: true }
    },
    'POST checkout/sessions'(params) {
      const price = get('price', params.line_items[0].price)
      const currency = params.currency ?? price.currency
      const option = currency === price.currency ? price : price.currency_options?.[currency]
      if (option === undefined)
        throw new StripeRefusal(400, { type: 'invalid_request_error', message: 'no such currency' })
      const session = add('checkout', 'checkout.session', {
        ...{ mode: params.mode, customer: params.customer, metadata: params.metadata ?? {}, currency, price: price.id },
        ...{ amount_total: option.unit_amount, status: 'open', payment_status: 'unpaid', payment_intent: null },
        ...{ subscription: null, success_url: params.success_url, cancel_url: params.cancel_url },
        intent_metadata: params.payment_intent_data?.metadata,
        setup_future_usage: params.payment_intent_data?.setup_future_usage,
        subscription_metadata: params.subscription_data?.metadata,
      })
      session.url = `${double.url()}/pay/${session.id}`
      return session
    },
    'GET checkout/sessions': (params) =>
      page(
        '/v1/checkout/sessions',
        params,
        newestFirst('checkout').filter(({ payment_intent }) => payment_intent === params.payment_intent),
      ),
    'GET checkout/sessions/:id': retrieve('checkout'),
    'POST billing_portal/sessions': ({ customer, return_url }) => {
      get('customer', customer)
      const session = add('portal', 'billing_portal.session', { customer, return_url })
      return Object.assign(session, { url: `${double.url()}/portal/${session.id}` })
    },
    'POST payment_intents': (params) => shop.payOffSession(params, double.decline()),
    'GET payment_intents/:id': retrieve('payment_intent'),
    'GET payment_methods': (params) =>
      page(
        '/v1/payment_methods',
        params,
        newestFirst('payment_method').filter(({ customer }) => customer === params.customer),
      ),
    'GET charges/:id': retrieve('charge'),
    'GET refunds': (params) =>
      page(
        '/v1/refunds',
        params,
        newestFirst('refund').filter((one) => one.payment_intent === params.payment_intent),
      ),
    'GET refunds/:id': retrieve('refund'),
    'GET disputes': (params) =>
      page(
        '/v1/disputes',
        params,
        newestFirst('dispute').filter((one) => one.payment_intent === params.payment_intent),
      ),
    'GET disputes/:id': retrieve('dispute'),
    'GET subscriptions/:id': retrieve('subscription'),
    'DELETE subscriptions/:id': (_params, id) => shop.cancel(id),
    'GET invoices/:id': retrieve('invoice'),
    'GET invoices/:id/lines': (params, id) =>
      page(
        `/v1/invoices/${id}/lines`,
        params,
        all('line').filter(({ invoice }) => invoice === id),
      ),
    'GET invoice_payments': (params) =>
      page(
        '/v1/invoice_payments',
        params,
        all('invoice_payment').filter(
          (one) =>
            (params.invoice === undefined || one.invoice === params.invoice) &&
            (params.status === undefined || one.status === params.status) &&
            (params.payment === undefined || one.payment.payment_intent === params.payment.payment_intent),
        ),
      ),
    'GET balance_transactions': (params) =>
      page('/v1/balance_transactions', params, newestFirst('balance_transaction').filter(created(params))),
  }

  return function answer({ method, path, params }: StripeRequest): Json {
    const parts = path.split('/')
    const known = Object.hasOwn(handlers, `${method} ${path}`)
    const idAt = known
      ? -1
      : parts.findIndex(
          (part) =>
            /^[a-z]+_\w+$/.test(part) &&
            !/^(?:payment_intents|payment_methods|invoice_payments|balance_transactions|billing_portal)$/.test(part),
        )
    const name = `${method} ${parts.map((part, index) => (index === idAt ? ':id' : part)).join('/')}`
    const handler = handlers[name]
    if (handler === undefined)
      throw new StripeRefusal(404, { type: 'invalid_request_error', message: `The double has no ${name}` })
    return handler(params, parts[idAt] ?? '')
  }
}
