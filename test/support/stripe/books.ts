import Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'
import { missing } from './refusal.ts'

/** What is kept, and how its ids begin. */
const prefixes = {
  product: 'prod',
  price: 'price',
  coupon: 'coupon',
  promotion_code: 'promo',
  customer: 'cus',
  payment_method: 'pm',
  checkout: 'cs_test',
  portal: 'bps',
  payment_intent: 'pi',
  charge: 'ch',
  refund: 're',
  dispute: 'dp',
  subscription: 'sub',
  subscription_item: 'si',
  invoice: 'in',
  invoice_item: 'ii',
  line: 'il',
  invoice_payment: 'inpay',
  balance_transaction: 'txn',
  payout: 'po',
  event: 'evt',
} as const

export type Kind = keyof typeof prefixes

interface Shelves {
  product: Stripe.Product
  price: Stripe.Price
  coupon: Stripe.Coupon
  promotion_code: Stripe.PromotionCode
  customer: Stripe.Customer
  payment_method: Stripe.PaymentMethod
  checkout: Stripe.Checkout.Session
  portal: Stripe.BillingPortal.Session
  payment_intent: Stripe.PaymentIntent
  charge: Stripe.Charge
  refund: Stripe.Refund
  dispute: Stripe.Dispute
  subscription: Stripe.Subscription
  subscription_item: Stripe.SubscriptionItem
  invoice: Stripe.Invoice
  invoice_item: Stripe.InvoiceItem
  line: Stripe.InvoiceLineItem
  invoice_payment: Stripe.InvoicePayment
  balance_transaction: Stripe.BalanceTransaction
  payout: Stripe.Payout
  event: Json
}

/** How Stripe names a kind where it is missing. */
const names: Partial<Record<Kind, string>> = { checkout: 'checkout.session', payment_method: 'PaymentMethod' }

/** Members that are only written out where a request asks for them. */
export const includable: Record<string, readonly string[]> = {
  price: ['currency_options'],
  'checkout.session': ['line_items'],
  charge: ['refunds'],
  invoice: ['payments'],
  customer: ['subscriptions'],
}

export interface Movement {
  type: Stripe.BalanceTransaction.Type
  category: string
  amount: number
  currency: string
  source: string
  fees?: { amount: number; description: string }[]
}

/** The one currency that an account is paid out in, and what one of another currency's smallest unit is worth in its smallest unit. */
export interface Settlement {
  currency: string
  rates: Record<string, number>
}

/** The objects of the double, the events that tell of their changes, and its clock. Times are seconds since 1970. */
export function createBooks(options: { now?: number; settlement?: Settlement } = {}) {
  const shelves = new Map<Kind, Map<string, Json>>()
  const later: (() => void)[] = []
  const listeners: ((event: Json) => void)[] = []
  let count = 0
  let now = options.now ?? Math.floor(Date.now() / 1000)
  /** The request whose handling tells events. */
  let request: { id: string | null; idempotency_key: string | null } = { id: null, idempotency_key: null }
  let isHeld = false

  function shelf(kind: Kind): Map<string, Json> {
    const found = shelves.get(kind) ?? new Map<string, Json>()
    shelves.set(kind, found)
    return found
  }
  function born(kind: Kind): { id: string; created: number } {
    count += 1
    return { id: `${prefixes[kind]}_${String(count).padStart(6, '0')}`, created: now }
  }
  function add<K extends Kind>(kind: K, made: Shelves[K]): Shelves[K] {
    shelf(kind).set(made.id, made)
    return made
  }
  function get<K extends Kind>(kind: K, id: string, param = 'id'): Shelves[K] {
    const found = shelf(kind).get(id)
    if (found === undefined) throw missing(names[kind] ?? kind, id, param)
    return found
  }

  return {
    born,
    add,
    get,
    all: <K extends Kind>(kind: K): Shelves[K][] => [...shelf(kind).values()],
    find: <K extends Kind>(kind: K, id: string): Shelves[K] | undefined => shelf(kind).get(id),
    /** What an id names, of whatever kind. */
    byId(id: string): Json {
      for (const objects of shelves.values()) if (objects.has(id)) return objects.get(id)
      return undefined
    },
    now: () => now,
    advance(seconds: number): void {
      now += seconds
    },
    asRequest(one: typeof request): void {
      request = one
    },

    /** Calls for every event from now on. */
    listen(hear: (event: Json) => void): void {
      listeners.push(hear)
    },
    /** A snapshot of the object as it is, under the name of what happened to it. */
    tell(type: string, object: Json, previous?: Json): Json {
      const event = add('event', {
        ...{ ...born('event'), object: 'event', type, api_version: Stripe.API_VERSION, livemode: false },
        ...{ pending_webhooks: 1, request: { ...request } },
        data: { object: snapshot(object), ...(previous && { previous_attributes: structuredClone(previous) }) },
      })
      for (const hear of listeners) hear(event)
      return event
    },

    /** Moves the balance. */
    book({ type, category, amount, currency, source, fees = [] }: Movement): Stripe.BalanceTransaction {
      const { currency: own = currency, rates = {} } = options.settlement ?? {}
      const rate = currency === own ? null : (rates[currency] ?? 1)
      const settled = (amount: number) => (rate === null ? amount : Math.round(amount * rate))
      const fee = fees.reduce((sum, one) => sum + settled(one.amount), 0)
      return add('balance_transaction', {
        ...{ ...born('balance_transaction'), object: 'balance_transaction', balance_type: 'payments' },
        ...{ type, reporting_category: category, amount: settled(amount), currency: own, source, fee },
        fee_details: fees.map(({ amount, description }) => ({
          ...{ amount: settled(amount), description, application: null, currency: own, type: 'stripe_fee' },
        })),
        ...{ net: settled(amount) - fee, exchange_rate: rate, description: null },
        ...{ available_on: now + 2 * 86_400, status: 'pending' },
      })
    },

    /** Stripe does this soon after what it is doing now. */
    afterwards(work: () => void): void {
      later.push(work)
    },
    /** What was put off happens now, and from here on again at the end of each act. */
    release(): void {
      isHeld = false
      for (const work of later.splice(0)) work()
    },
    hold(): void {
      isHeld = true
    },
    endAct(): void {
      if (!isHeld) for (const work of later.splice(0)) work()
    },
  }
}

export type Books = ReturnType<typeof createBooks>

/** A copy without the members that are written out on request only. */
export function snapshot<T>(object: T): T {
  const copy = structuredClone(object)
  hide(copy)
  return copy
}

function hide(value: Json): void {
  if (typeof value !== 'object' || value === null) return
  for (const name of includable[value.object] ?? []) delete value[name]
  for (const member of Object.values(value)) hide(member)
}

/** The id of what is named or written out. */
export function idOf(reference: string | { id: string } | null | undefined): string {
  return typeof reference === 'string' ? reference : (reference?.id ?? '')
}
