import type { FastifyRequest } from 'fastify'
import { type TSchema, Type } from 'typebox'
import type { AutoTopUps } from '#domain/payments/auto-top-up.ts'
import type { Catalogue } from '#domain/payments/catalogue.ts'
import type { Checkout } from '#domain/payments/checkout.ts'
import type { PaymentEvents } from '#domain/payments/events.ts'
import { PAYMENTS_PAGE_MAX, type PaymentLists } from '#domain/payments/payment-lists.ts'
import { requireScope } from '#domain/scopes.ts'
import { createWindowLimiter } from '#lib/window-limiter.ts'
import { person } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { AppError } from '#src/errors.ts'
import { airiAnswers } from './airi-answers.ts'
import {
  AutoTopUpBody,
  AutoTopUpWish,
  CheckoutBody,
  InvoiceBody,
  OrderBody,
  PackageBody,
  PlanBody,
  SubscriptionBody,
  UrlBody,
} from './payment-schemas.ts'

const WEBHOOK_BYTES_MAX = 1_048_576
/** Of one person, as AIRI has it: each makes an object at Stripe. */
const BEGUN = { max: 10, windowMs: 60_000 }
const PEOPLE_MAX = 10_000

/** What is sold and how it is paid. */
export interface Payments {
  catalogue: Catalogue
  checkout: Checkout
  autoTopUps: AutoTopUps
  /** Undefined without the secret that events are signed with. */
  receive: PaymentEvents['receive'] | undefined
}

export interface PaymentsDeps {
  /** Undefined where nothing is sold. */
  payments: Payments | undefined
  paymentLists: PaymentLists
  /** Pages that people may come from and go back to. */
  trusts: (origin: string) => boolean
}

function shop({ payments }: PaymentsDeps): Payments {
  if (payments === undefined) throw new AppError('payments_not_configured')
  return payments
}

/** What can be bought, for everybody, and where Stripe tells of payments. docs/payments.md. */
export function shopRoutes(app: HttpInstance, deps: PaymentsDeps) {
  app.get(
    '/api/v1/stripe/packages',
    {
      schema: {
        summary: 'What can be bought, cheapest first; nothing where nothing is sold',
        response: airiAnswers({ 200: Type.Array(PackageBody) }),
      },
    },
    async (request) => listed(request, () => deps.payments?.catalogue.packages()),
  )

  app.get(
    '/api/v1/stripe/plans',
    {
      schema: {
        summary: 'What can be subscribed to, cheapest first',
        response: airiAnswers({ 200: Type.Array(PlanBody) }),
      },
    },
    async (request) => listed(request, () => deps.payments?.catalogue.plans()),
  )

  app.register((scope: HttpInstance, _options: unknown, done: () => void) => {
    scope.removeAllContentTypeParsers()
    // The signature is of the bytes.
    scope.addContentTypeParser(
      '*',
      { parseAs: 'buffer', bodyLimit: WEBHOOK_BYTES_MAX },
      async (_request: unknown, body: Buffer) => body,
    )
    scope.post(
      '/api/v1/stripe/webhook',
      {
        schema: {
          summary: 'Where Stripe tells what happened',
          description: 'Signed by Stripe. 503 asks Stripe to tell again later.',
          response: airiAnswers({ 200: Type.Object({ received: Type.Literal(true) }) }, 400, 413, 502, 503),
        },
      },
      async (request) => {
        const receive = deps.payments?.receive
        if (receive === undefined) throw new AppError('payments_not_configured')
        const signature = request.headers['stripe-signature']
        if (typeof signature !== 'string' || signature === '') throw new AppError('signature_missing')
        await receive(request.body instanceof Buffer ? request.body : Buffer.alloc(0), signature)
        return { received: true as const }
      },
    )
    done()
  })
}

/** A person's purchases. */
export function paymentRoutes(app: HttpInstance, deps: PaymentsDeps) {
  const { paymentLists } = deps
  const limiter = createWindowLimiter({ subjectsMax: PEOPLE_MAX })
  const ask = <Body extends TSchema>(summary: string, body: Body, ...errors: number[]) => ({
    summary,
    response: airiAnswers({ 200: body }, ...errors, 401, 403, 503),
  })
  function begin(request: FastifyRequest): { userId: string; projectId: string; origin: string } {
    const { userId, projectId } = spender(request)
    const { allowed, resetMs } = limiter.take(userId, BEGUN)
    if (!allowed)
      throw new AppError('too_many_requests', { headers: { 'retry-after': String(Math.ceil(resetMs / 1000)) } })
    return { userId, projectId, origin: pageOrigin(request, deps.trusts) }
  }

  app.post(
    '/api/v1/stripe/checkout',
    { schema: { ...ask('Begin a purchase or a subscription', UrlBody, 400, 429, 502), body: CheckoutBody } },
    async (request) => {
      const { checkout } = shop(deps)
      const { stripePriceId, currency, saveMethod = false } = request.body
      return { url: await checkout.begin({ ...begin(request), priceId: stripePriceId, currency, saveMethod }) }
    },
  )

  app.post(
    '/api/v1/stripe/portal',
    { schema: ask('Your invoices, plans and payment methods at Stripe', UrlBody, 400, 429, 502) },
    async (request) => {
      const { checkout } = shop(deps)
      const { projectId, origin } = begin(request)
      return { url: await checkout.portal(projectId, origin) }
    },
  )

  app.get(
    '/api/v1/stripe/orders',
    { schema: ask(`Your ${PAYMENTS_PAGE_MAX} newest checkouts, newest first`, Type.Array(OrderBody)) },
    async (request) => (await paymentLists.orders(person(request).projectId)).map(row),
  )
  app.get(
    '/api/v1/stripe/invoices',
    { schema: ask(`Your ${PAYMENTS_PAGE_MAX} newest invoices, newest first`, Type.Array(InvoiceBody)) },
    async (request) => (await paymentLists.invoices(person(request).projectId)).map(row),
  )
  app.get(
    '/api/v1/stripe/subscriptions',
    { schema: ask('Your subscriptions, newest first', Type.Array(SubscriptionBody)) },
    async (request) => (await paymentLists.subscriptions(person(request).projectId)).map(row),
  )

  app.get(
    '/api/v1/stripe/auto-top-up',
    {
      schema: ask(
        'What is bought by itself for you; null before you have chosen',
        Type.Union([AutoTopUpBody, Type.Null()]),
      ),
    },
    async (request) => (await shop(deps).autoTopUps.find(person(request).projectId)) ?? null,
  )
  app.put(
    '/api/v1/stripe/auto-top-up',
    {
      schema: {
        ...ask('Have a package bought when your balance is low', AutoTopUpBody, 400, 409, 502),
        body: AutoTopUpWish,
      },
    },
    async (request) => {
      const { currency, ...wish } = request.body
      return shop(deps).autoTopUps.set(spender(request).projectId, { ...wish, currency })
    },
  )
}

/** A key that only reads buys nothing. Throws AppError forbidden. */
function spender(request: FastifyRequest): ReturnType<typeof person> {
  const caller = person(request)
  requireScope(caller, 'admin')
  return caller
}

/** As AIRI answers: a shop that cannot be reached has nothing in it. */
async function listed<T>(request: FastifyRequest, list: () => Promise<T[]> | undefined): Promise<T[]> {
  try {
    return (await list()) ?? []
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    if (error.code !== 'payments_not_configured') request.log.warn({ err: error }, 'what is sold could not be listed')
    return []
  }
}

/** Where the person is sent back to: the page this came from, if it is trusted. Throws AppError origin_invalid. */
function pageOrigin({ headers }: FastifyRequest, trusts: (origin: string) => boolean): string {
  for (const value of [headers.referer, headers.origin])
    if (value !== undefined && URL.canParse(value)) {
      const { origin } = new URL(value)
      if (trusts(origin)) return origin
    }
  throw new AppError('origin_invalid')
}

/** JSON has no bigint and no date; amounts of money at Stripe are below 2^53. */
function row<T extends object>(one: T): { [Name in keyof T]: Plain<T[Name]> } {
  const plain = Object.entries(one).map(([name, value]) => [
    name,
    typeof value === 'bigint' ? Number(value) : value instanceof Date ? value.toISOString() : value,
  ])
  return Object.fromEntries(plain) as { [Name in keyof T]: Plain<T[Name]> }
}

type Plain<T> = T extends bigint ? number : T extends Date ? string : T
