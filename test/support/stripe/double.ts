import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'
import { createApi } from './api.ts'
import { createBank } from './bank.ts'
import { createBilling, type Proration } from './billing.ts'
import { type Books, createBooks, type Settlement } from './books.ts'
import { createCheckout, type Payment } from './checkout.ts'
import { createDelivery } from './delivery.ts'
import { createFaults } from './faults.ts'
import { createPages } from './pages.ts'
import { billingRoutes } from './routes/billing.ts'
import { catalogueRoutes } from './routes/catalogue.ts'
import { checkoutRoutes } from './routes/checkout.ts'
import { customerRoutes } from './routes/customers.ts'
import { paymentRoutes } from './routes/payments.ts'
import { addCoupon, addPrice, addProduct, addPromotionCode, type NewCoupon } from './shapes/catalogue.ts'

const STRIPE_KEY = 'sk_test_double'
const STRIPE_WEBHOOK_SECRET = 'whsec_test_double'
/** The product that every double begins with. */
export const PRODUCT = 'prod_flux'

export interface StripeDoubleOptions {
  webhookSecret?: string
  /** Where its clock begins, in seconds since 1970; now where it is missing. */
  now?: number
  /** Without it every currency has a balance of its own. */
  settlement?: Settlement
}

export interface DoublePrice {
  /** What its metadata says that it is worth. */
  flux?: string
  amount: number | null
  currency?: string
  metadata?: Record<string, string>
  recurring?: boolean | { interval: 'day' | 'week' | 'month' | 'year'; interval_count: number }
  /** Amounts in other currencies. */
  options?: Record<string, number | null>
  active?: boolean
  product?: string
}

/**
 * Stripe on this machine, with memory: its HTTP API as its library of this version asks it, and what people and banks do as
 * methods. It refuses what it does not know rather than overlook it. docs/payments.md says what the gateway asks of it.
 */
export async function createStripeDouble(options: StripeDoubleOptions = {}) {
  const { webhookSecret = STRIPE_WEBHOOK_SECRET } = options
  const books = createBooks(options)
  const bank = createBank(books)
  const billing = createBilling(books, bank)
  const checkout = createCheckout(books, bank, billing)
  const faults = createFaults()
  const delivery = createDelivery(webhookSecret, books.listen)
  const declines: string[] = []
  let url = ''
  const origin = () => url
  const api = createApi({
    ...{ books, faults, secretKey: STRIPE_KEY },
    routes: [
      ...catalogueRoutes(books),
      ...customerRoutes(books, billing, origin),
      ...checkoutRoutes(books, checkout, origin),
      ...paymentRoutes(books, bank, () => declines.shift()),
      ...billingRoutes(books, billing),
    ],
  })
  const servePage = createPages(books, checkout, billing)
  addProduct(books, { id: PRODUCT, name: 'Flux' })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    request.setEncoding('utf8')
    for await (const chunk of request) body += chunk
    const at = new URL(request.url ?? '/', url)
    if (at.pathname.startsWith('/v1/')) await api.serve(request, response, at, body)
    else {
      servePage({ method: request.method ?? 'GET', path: at.pathname, body }, response)
      books.endAct()
    }
  }
  const server = createServer((request, response) => {
    void serve(request, response).catch((error) => response.destroy(error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  let told = 0

  return {
    url,
    /** Stripe's library, asking this double. */
    stripe: new Stripe(STRIPE_KEY, {
      ...{ host: '127.0.0.1', port: (server.address() as AddressInfo).port, protocol: 'http', telemetry: false },
    }),
    /** What the environment of a gateway needs. */
    env: { STRIPE_SECRET_KEY: STRIPE_KEY, STRIPE_WEBHOOK_SECRET: webhookSecret, STRIPE_API_URL: url },
    books: forTests(books),
    ...peopleOf({ books, bank, billing, checkout }),
    ...delivery,
    ...{ faults: faults.faults, hold: faults.hold },
    /** Names of requests in their order, as `POST customers`. */
    requests: api.requests,
    /** How many requests a route has answered: `count('GET customers/:id')`. */
    count: (route: string): number => api.counts.get(route) ?? 0,
    /** Codes that the next payments without the person are declined with, whatever their card. */
    declines,

    /** Everything that was told, in Stripe's order. */
    get events(): Json[] {
      return books.all('event')
    },
    /** Events since the last call. */
    newEvents(): Json[] {
      const events = books.all('event').slice(told)
      told += events.length
      return events
    },

    addPrice(members: DoublePrice): string {
      const { flux, amount, currency = 'usd', metadata = {}, recurring = false, options, active = true } = members
      return addPrice(books, {
        ...{ product: members.product ?? PRODUCT, active, currency, unit_amount: amount, options },
        metadata: { ...(flux !== undefined && { fluxAmount: flux }), ...metadata },
        recurring: recurring === true ? { interval: 'month', interval_count: 1 } : recurring || null,
      }).id
    },
    /** Makes a code that people can type in at a checkout. */
    addPromotionCode(coupon: NewCoupon, code = `CODE${books.all('promotion_code').length + 1}`): string {
      return addPromotionCode(books, { coupon: addCoupon(books, coupon).id, code }).code
    },

    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type StripeDouble = Awaited<ReturnType<typeof createStripeDouble>>

/** Tests look into objects as JSON. */
function forTests(books: Books) {
  return books as unknown as {
    [name in 'get' | 'find']: (kind: Parameters<Books['get']>[0], id: string) => Json
  } & { all: (kind: Parameters<Books['get']>[0]) => Json[]; tell: Books['tell']; book: Books['book'] }
}

/** What people, banks and time do. Each act is over when it returns, with its events told. */
function peopleOf(parts: {
  books: Books
  bank: ReturnType<typeof createBank>
  billing: ReturnType<typeof createBilling>
  checkout: ReturnType<typeof createCheckout>
}) {
  const { books, bank, billing, checkout } = parts
  const act = <T>(done: T): T => {
    books.endAct()
    return done
  }

  return {
    /** The person pays on the page of a checkout, or tries to. */
    pay: (sessionId: string, payment: Payment = {}): Json => act(checkout.pay(sessionId, payment)),
    /** A delayed payment arrives, or does not. */
    settle: (sessionId: string, outcome: 'succeeded' | 'failed'): Json => act(checkout.settle(sessionId, outcome)),
    /** The person never comes back: the session ends. */
    expire: (sessionId: string): Json => act(checkout.expire(sessionId)),
    saveCard: (customer: string, last4?: string): Json => act(bank.saveCard(customer, last4)),

    refund: (chargeOrIntent: string, amount?: number): Json => act(bank.refund(chargeOrIntent, { amount })),
    failRefund: (id: string): Json => act(bank.failRefund(id)),
    dispute: (chargeOrIntent: string, options?: { inquiry?: boolean; amount?: number }): Json =>
      act(bank.dispute(chargeOrIntent, options)),
    closeDispute: (id: string, status: 'won' | 'lost' | 'warning_closed'): Json => act(bank.closeDispute(id, status)),
    payout: (amount?: number, currency = 'usd'): Json => act(bank.payout(amount, currency)),

    /** The clock goes to the end of the period. By the saved card where no outcome is named; the invoice, or undefined at the end. */
    renew: (id: string, { outcome }: { outcome?: 'succeeded' | 'declined' } = {}): Json =>
      act(billing.renew(id, outcome)),
    /** Pays an invoice that is open, or fails to. */
    payInvoice: (id: string, outcome: 'succeeded' | 'declined' = 'succeeded'): Json =>
      act(billing.pay(books.get('invoice', id), outcome)),
    /** Another plan from now on; the invoice, where one comes at once. */
    changePlan: (id: string, priceId: string, proration: Proration = 'always_invoice'): Json =>
      act(billing.changePlan(id, books.get('price', priceId), proration)),
    cancel: (id: string): Json => act(billing.cancel(id)),

    now: books.now,
    /** Moves the clock on. Sessions that are a day old end. */
    advance(seconds: number): void {
      books.advance(seconds)
      checkout.expireOld()
      books.endAct()
    },
    /** From now on charges have no movement of the balance yet, until `landBalance()`. */
    holdBalance: books.hold,
    landBalance: books.release,
  }
}
