import type Stripe from 'stripe'
import type { Books } from '../books.ts'

/** What is sold, as Stripe shapes it; amounts in the smallest unit of the currency. */
export function addProduct(
  books: Books,
  members: { id?: string; name: string } & Partial<Stripe.Product>,
): Stripe.Product {
  const born = books.born('product')
  return books.add('product', {
    ...{ ...born, object: 'product', active: true, default_price: null, description: null, images: [] },
    ...{ livemode: false, marketing_features: [], metadata: {}, package_dimensions: null, shippable: null },
    ...{ statement_descriptor: null, tax_code: null, tax_details: null, type: 'service', unit_label: null },
    ...{ updated: born.created, url: null },
    ...members,
  })
}

export interface NewPrice {
  product: string
  currency: string
  unit_amount: number | null
  active?: boolean
  metadata?: Stripe.Metadata
  nickname?: string | null
  lookup_key?: string | null
  recurring?: { interval: 'day' | 'week' | 'month' | 'year'; interval_count: number } | null
  /** Amounts in other currencies. */
  options?: Record<string, number | null> | undefined
}

export function addPrice(books: Books, price: NewPrice): Stripe.Price {
  const { options = {}, recurring = null, ...members } = price
  const optionOf = (unit_amount: number | null) => ({
    ...{ custom_unit_amount: null, tax_behavior: 'unspecified' as const, unit_amount },
    unit_amount_decimal: decimal(unit_amount),
  })
  return books.add('price', {
    ...{ ...books.born('price'), object: 'price', active: true, billing_scheme: 'per_unit', custom_unit_amount: null },
    ...{ livemode: false, lookup_key: null, metadata: {}, nickname: null, tax_behavior: 'unspecified' },
    ...{ tiers_mode: null, transform_quantity: null, type: recurring === null ? 'one_time' : 'recurring' },
    recurring: recurring && { ...recurring, meter: null, trial_period_days: null, usage_type: 'licensed' },
    unit_amount_decimal: decimal(price.unit_amount),
    currency_options: Object.fromEntries(
      Object.entries({ ...options, [price.currency]: price.unit_amount }).map(([code, amount]) => [
        code,
        optionOf(amount),
      ]),
    ),
    ...members,
  })
}

/** Stripe sends decimals as text; its library makes objects of them. */
export function decimal(amount: number | null): Stripe.Decimal | null {
  return amount === null ? null : (String(amount) as unknown as Stripe.Decimal)
}

/** What one of a price costs in a currency, or undefined where it is not sold in it. */
export function amountIn(price: Stripe.Price, currency: string): number | undefined {
  return price.currency_options?.[currency]?.unit_amount ?? undefined
}

export interface NewCoupon {
  percent_off?: number | null
  amount_off?: number | null
  currency?: string | null
  duration?: 'once' | 'forever'
}

export function addCoupon(books: Books, members: NewCoupon & { id?: string; name?: string | null }): Stripe.Coupon {
  return books.add('coupon', {
    ...{ ...books.born('coupon'), object: 'coupon', amount_off: null, currency: null, duration: 'once' },
    ...{ duration_in_months: null, livemode: false, max_redemptions: null, metadata: {}, name: null },
    ...{ percent_off: null, redeem_by: null, times_redeemed: 0, valid: true },
    ...members,
  })
}

export function addPromotionCode(
  books: Books,
  members: { coupon: string; code: string } & Partial<
    Pick<Stripe.PromotionCode, 'active' | 'max_redemptions' | 'metadata'>
  >,
): Stripe.PromotionCode {
  const { coupon, ...rest } = members
  return books.add('promotion_code', {
    ...{ ...books.born('promotion_code'), object: 'promotion_code', active: true, customer: null },
    ...{ customer_account: null, expires_at: null, livemode: false, max_redemptions: null, metadata: {} },
    promotion: { coupon, type: 'coupon' },
    restrictions: { first_time_transaction: false, minimum_amount: null, minimum_amount_currency: null },
    ...{ times_redeemed: 0, ...rest },
  })
}

/** What a coupon takes off an amount. */
export function discountOf(coupon: Stripe.Coupon | undefined, amount: number, currency: string): number {
  if (coupon === undefined || amount <= 0) return 0
  if (coupon.percent_off !== null) return Math.round((amount * coupon.percent_off) / 100)
  return coupon.currency === currency ? Math.min(coupon.amount_off ?? 0, amount) : 0
}
