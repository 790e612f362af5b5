import type { Json } from '#test/support/gateway.ts'
import type { Books } from '../books.ts'
import { Listing } from '../present.ts'
import { invalid } from '../refusal.ts'
import { addCoupon, addPrice, addProduct, addPromotionCode } from '../shapes/catalogue.ts'
import { boolean, integer, matching, merged, type Route } from './route.ts'

export function catalogueRoutes(books: Books): Route[] {
  const { all, get, tell } = books

  return [
    {
      ...{ name: 'GET account', takes: '' },
      answer: () => ({
        ...{ id: 'acct_double', object: 'account', charges_enabled: true, country: 'US', default_currency: 'usd' },
        ...{
          details_submitted: true,
          email: 'shop@example.com',
          payouts_enabled: true,
          type: 'standard',
          metadata: {},
        },
      }),
    },
    {
      ...{ name: 'POST products', takes: 'id name! active description metadata' },
      answer({ params }) {
        const { id, name, description = null, metadata = {} } = params
        const active = boolean(params, 'active') ?? true
        const product = addProduct(books, { ...(id && { id }), name, active, description, metadata: { ...metadata } })
        tell('product.created', product)
        return product
      },
    },
    {
      ...{ name: 'GET products', takes: 'active created' },
      answer: ({ params }) => new Listing('/v1/products', 'product', matching(all('product'), params, 'active')),
    },
    { ...{ name: 'GET products/:id', takes: '' }, answer: ({ id }) => get('product', id) },
    {
      ...{ name: 'POST products/:id', takes: 'name active description metadata' },
      answer({ id, params }) {
        const product = get('product', id)
        const active = boolean(params, 'active') ?? product.active
        const { name = product.name, description = product.description } = params
        Object.assign(product, { name, description, active, metadata: merged(product.metadata, params.metadata) })
        tell('product.updated', product)
        return product
      },
    },
    {
      name: 'POST prices',
      takes:
        'product product_data currency! unit_amount! active metadata nickname lookup_key recurring currency_options',
      answer({ params }) {
        const { product, product_data, currency, nickname, lookup_key, metadata, recurring, currency_options } = params
        if (product === undefined && product_data === undefined)
          throw invalid('Missing required param: product.', { code: 'parameter_missing', param: 'product' })
        const of =
          product === undefined ? addProduct(books, { name: product_data.name }) : get('product', product, 'product')
        const price = addPrice(books, {
          ...{ product: of.id, currency, unit_amount: integer(params, 'unit_amount') },
          ...{ active: boolean(params, 'active') ?? true, metadata: { ...metadata } },
          ...{ nickname: nickname ?? null, lookup_key: lookup_key ?? null, recurring: recurringOf(recurring) },
          options: currency_options && amountsOf(currency_options),
        })
        tell('price.created', price)
        return price
      },
    },
    {
      ...{ name: 'GET prices', takes: 'product active currency type created' },
      answer: ({ params }) =>
        new Listing('/v1/prices', 'price', matching(all('price'), params, 'product', 'active', 'currency', 'type')),
    },
    { ...{ name: 'GET prices/:id', takes: '' }, answer: ({ id }) => get('price', id) },
    {
      ...{ name: 'POST prices/:id', takes: 'active metadata nickname' },
      answer({ id, params }) {
        const price = get('price', id)
        const { nickname = price.nickname } = params
        const active = boolean(params, 'active') ?? price.active
        Object.assign(price, { active, nickname, metadata: merged(price.metadata, params.metadata) })
        tell('price.updated', price)
        return price
      },
    },
    {
      ...{ name: 'POST coupons', takes: 'id percent_off amount_off currency duration name' },
      answer({ params }) {
        const { id, percent_off, amount_off, currency = null, duration = 'once', name = null } = params
        if ((percent_off === undefined) === (amount_off === undefined))
          throw invalid('You must specify either `percent_off` or `amount_off`.', { param: 'percent_off' })
        return addCoupon(books, {
          ...(id && { id }),
          ...{ percent_off: percent_off === undefined ? null : Number(percent_off), currency, duration, name },
          amount_off: amount_off === undefined ? null : integer(params, 'amount_off'),
        })
      },
    },
    { ...{ name: 'GET coupons/:id', takes: '' }, answer: ({ id }) => get('coupon', id) },
    {
      ...{ name: 'POST promotion_codes', takes: 'promotion! code active max_redemptions metadata' },
      answer({ params }) {
        const coupon = get('coupon', params.promotion.coupon, 'promotion[coupon]')
        const { code = `CODE${all('promotion_code').length + 1}`, metadata } = params
        if (all('promotion_code').some((one) => one.code.toLowerCase() === code.toLowerCase() && one.active))
          throw invalid(`An active promotion code with \`code: ${code}\` already exists.`)
        return addPromotionCode(books, {
          ...{ coupon: coupon.id, code, active: boolean(params, 'active') ?? true, metadata: { ...metadata } },
          max_redemptions: params.max_redemptions === undefined ? null : integer(params, 'max_redemptions'),
        })
      },
    },
    { ...{ name: 'GET promotion_codes/:id', takes: '' }, answer: ({ id }) => get('promotion_code', id) },
    {
      ...{ name: 'GET promotion_codes', takes: 'code active created' },
      answer: ({ params }) =>
        new Listing('/v1/promotion_codes', 'promotion_code', matching(all('promotion_code'), params, 'code', 'active')),
    },
  ]
}

export function recurringOf(recurring: Json) {
  if (recurring === undefined) return null
  return { interval: recurring.interval, interval_count: Number(recurring.interval_count ?? 1) }
}

function amountsOf(options: Json): Record<string, number> {
  return Object.fromEntries(
    Object.entries<Json>(options).map(([currency, option]) => [currency, integer(option, 'unit_amount')]),
  )
}
