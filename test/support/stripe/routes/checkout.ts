import type Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'
import { type Books, idOf } from '../books.ts'
import type { Checkout } from '../checkout.ts'
import { Listing } from '../present.ts'
import { invalid, missing } from '../refusal.ts'
import { addPrice, addProduct, amountIn } from '../shapes/catalogue.ts'
import { lineItem } from '../shapes/sessions.ts'
import { recurringOf } from './catalogue.ts'
import { boolean, checkAmount, integer, matching, type Route } from './route.ts'

const SESSION =
  `mode! line_items! success_url! cancel_url customer customer_email customer_creation client_reference_id metadata
  currency allow_promotion_codes discounts payment_intent_data subscription_data allowed_payment_method_types
  payment_method_types payment_method_options expires_at locale`.replace(/\s+/g, ' ')

export function checkoutRoutes(books: Books, checkout: Checkout, origin: () => string): Route[] {
  const { all, get } = books

  /** The price of a line, or one that is made for it. */
  function priceOf(line: Json, index: number): Stripe.Price {
    if (line.price !== undefined) {
      const price = get('price', line.price, `line_items[${index}][price]`)
      if (!price.active)
        throw invalid(`The price specified is inactive. This field only accepts active prices.`, {
          param: `line_items[${index}][price]`,
        })
      return price
    }
    const data = line.price_data
    if (data === undefined) throw invalid('You must provide one of `price` or `price_data` for each line item.')
    const product =
      data.product === undefined ? addProduct(books, { ...data.product_data }).id : get('product', data.product).id
    return addPrice(books, {
      ...{ product, currency: data.currency, unit_amount: integer(data, 'unit_amount'), active: false },
      recurring: recurringOf(data.recurring),
    })
  }

  function itemOf(line: Json, index: number, currency: string | undefined): Stripe.LineItem {
    const price = priceOf(line, index)
    const wanted = currency ?? price.currency
    const unit = amountIn(price, wanted)
    if (unit === undefined) throw invalid(`The price ${price.id} is not available in ${wanted}.`, { param: 'currency' })
    if (line.quantity === undefined) throw invalid('Quantity is required.', { param: `line_items[${index}][quantity]` })
    const quantity = integer(line, 'quantity')
    const description = books.find('product', idOf(price.product))?.name ?? price.id
    return lineItem(books, price, { quantity, amount: unit * quantity, currency: wanted, description })
  }

  function checkMode(mode: string, items: Stripe.LineItem[], params: Json): void {
    const recurring = items.filter(({ price }) => price?.recurring != null).length
    if (mode === 'payment' && recurring > 0)
      throw invalid(
        'You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices.',
        { param: 'mode' },
      )
    if (mode === 'subscription' && recurring === 0)
      throw invalid('You must provide at least one recurring price in `subscription` mode when using prices.', {
        param: 'line_items',
      })
    if (mode === 'subscription' && items.length > 1) throw invalid('The double subscribes to one price at a time.')
    const other = mode === 'payment' ? 'subscription_data' : 'payment_intent_data'
    if (params[other] !== undefined)
      throw invalid(`You can not pass \`${other}\` in \`${mode}\` mode.`, { param: other })
    if (new Set(items.map(({ currency }) => currency)).size > 1)
      throw invalid('All line items must have the same currency.')
  }

  function couponOf([wanted]: Json[]): Stripe.Coupon | undefined {
    if (wanted === undefined) return undefined
    if (wanted.promotion_code === undefined) return get('coupon', wanted.coupon, 'discounts[0][coupon]')
    return get('coupon', idOf(get('promotion_code', wanted.promotion_code).promotion.coupon))
  }

  function open(params: Json): Stripe.Checkout.Session {
    const { mode, customer = null, payment_intent_data, subscription_data, discounts = [] } = params
    if (mode !== 'payment' && mode !== 'subscription') throw invalid(`Invalid mode: ${mode}`, { param: 'mode' })
    if (customer !== null && (get('customer', customer, 'customer') as Json).deleted)
      throw missing('customer', customer, 'customer')
    if (params.allow_promotion_codes !== undefined && discounts.length > 0)
      throw invalid('You may only specify one of these parameters: allow_promotion_codes, discounts.')
    const items = (params.line_items as Json[]).map((line, index) => itemOf(line, index, params.currency))
    checkMode(mode, items, params)
    const [{ currency } = { currency: 'usd' }] = items
    const amount = items.reduce((sum, one) => sum + one.amount_total, 0)
    if (amount > 0) checkAmount(amount, currency)
    const session = checkout.open(
      {
        ...{ mode, customer, currency, amount_subtotal: amount, amount_total: amount },
        ...{ success_url: params.success_url, cancel_url: params.cancel_url ?? null, metadata: { ...params.metadata } },
        ...{ client_reference_id: params.client_reference_id ?? null, customer_email: params.customer_email ?? null },
        allow_promotion_codes: boolean(params, 'allow_promotion_codes') ?? null,
        customer_creation: customer === null ? (params.customer_creation ?? 'if_required') : null,
        allowed_payment_method_types: params.allowed_payment_method_types ?? null,
        ...(params.payment_method_types && { payment_method_types: params.payment_method_types }),
        ...(params.expires_at && { expires_at: integer(params, 'expires_at') }),
      },
      {
        ...{ items, coupon: couponOf(discounts), intentMetadata: { ...payment_intent_data?.metadata } },
        subscriptionMetadata: { ...subscription_data?.metadata },
        savesCard: payment_intent_data?.setup_future_usage !== undefined,
      },
    )
    session.url = `${origin()}/pay/${session.id}`
    return session
  }

  return [
    { ...{ name: 'POST checkout/sessions', takes: SESSION }, answer: ({ params }) => open(params) },
    {
      ...{ name: 'GET checkout/sessions', takes: 'customer payment_intent subscription status created' },
      answer: ({ params }) =>
        new Listing(
          '/v1/checkout/sessions',
          'checkout.session',
          matching(all('checkout'), params, 'customer', 'payment_intent', 'subscription', 'status'),
        ),
    },
    { ...{ name: 'GET checkout/sessions/:id', takes: '' }, answer: ({ id }) => get('checkout', id) },
    { ...{ name: 'POST checkout/sessions/:id/expire', takes: '' }, answer: ({ id }) => checkout.expire(id) },
    {
      ...{ name: 'GET checkout/sessions/:id/line_items', takes: '' },
      answer: ({ id }) => new Listing(`/v1/checkout/sessions/${id}/line_items`, 'line item', checkout.itemsOf(id)),
    },
  ]
}
