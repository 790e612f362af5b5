import { Type } from 'typebox'

const FLUX_MAX = 1_000_000_000

const Minor = Type.Integer({ description: 'In the smallest unit of the currency.' })
const Time = Type.String({ format: 'date-time' })
const PriceId = Type.String({ pattern: '^[\\w-]{1,255}$' })
const Currency = Type.String({ pattern: '^[a-z]{3}$', description: 'ISO 4217, lower case.' })

const packageFields = {
  stripePriceId: Type.String(),
  label: Type.String(),
  defaultCurrency: Type.String(),
  currencies: Type.Record(Type.String(), Type.String(), { description: 'Prices for people, by currency.' }),
  recommended: Type.Boolean(),
}
export const PackageBody = Type.Object(packageFields)
export const PlanBody = Type.Object({
  ...packageFields,
  fluxAmount: Type.Integer(),
  rolloverFlux: Type.Integer({ description: 'How much of what is left a renewal carries over.' }),
  interval: Type.String(),
  intervalCount: Type.Integer(),
})

export const CheckoutBody = Type.Object(
  {
    stripePriceId: PriceId,
    currency: Type.Optional(Currency),
    saveMethod: Type.Optional(Type.Boolean({ description: 'Keep the payment method for automatic top-ups.' })),
  },
  { additionalProperties: false },
)
export const UrlBody = Type.Object({ url: Type.String({ description: 'A page of Stripe to send the person to.' }) })

export const OrderBody = Type.Object({
  stripeSessionId: Type.String(),
  mode: Type.String(),
  stripePriceId: Type.String(),
  fluxAmount: Type.Integer(),
  status: Type.String(),
  paymentStatus: Type.String(),
  amountTotal: Type.Union([Minor, Type.Null()]),
  currency: Type.Union([Type.String(), Type.Null()]),
  fluxCredited: Type.Boolean(),
  createdAt: Time,
})

export const InvoiceBody = Type.Object({
  stripeInvoiceId: Type.String(),
  stripeSubscriptionId: Type.Union([Type.String(), Type.Null()]),
  status: Type.String(),
  amountDue: Minor,
  amountPaid: Minor,
  currency: Type.String(),
  invoiceUrl: Type.Union([Type.String(), Type.Null()]),
  invoicePdf: Type.Union([Type.String(), Type.Null()]),
  periodStart: Type.Union([Time, Type.Null()]),
  periodEnd: Type.Union([Time, Type.Null()]),
  fluxCredited: Type.Boolean(),
  createdAt: Time,
})

export const SubscriptionBody = Type.Object({
  stripeSubscriptionId: Type.String(),
  stripePriceId: Type.Union([Type.String(), Type.Null()]),
  status: Type.String(),
  currentPeriodStart: Type.Union([Time, Type.Null()]),
  currentPeriodEnd: Type.Union([Time, Type.Null()]),
  cancelAtPeriodEnd: Type.Boolean(),
  canceledAt: Type.Union([Time, Type.Null()]),
  endedAt: Type.Union([Time, Type.Null()]),
  createdAt: Time,
})

const wish = {
  enabled: Type.Boolean(),
  thresholdFlux: Type.Integer({ minimum: 1, maximum: FLUX_MAX }),
  stripePriceId: PriceId,
  maxFluxPerMonth: Type.Integer({ minimum: 1, maximum: FLUX_MAX, description: 'Of a calendar month, UTC.' }),
}
export const AutoTopUpWish = Type.Object(
  { ...wish, currency: Type.Optional(Currency) },
  { additionalProperties: false },
)
export const AutoTopUpBody = Type.Object({
  ...wish,
  currency: Type.Union([Type.String(), Type.Null()]),
  fluxThisMonth: Type.Integer({ description: 'Bought by itself since the first of the month.' }),
  disabledReason: Type.Union([Type.String(), Type.Null()], { description: 'Why it was switched off by itself.' }),
})
