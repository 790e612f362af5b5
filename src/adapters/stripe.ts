import Stripe from 'stripe'
import type { BalanceTransaction, CheckoutInput, OffSessionResult, PaymentProvider } from '#domain/payments/provider.ts'
import type { Secret } from '#lib/secret.ts'
import { AppError } from '#src/errors.ts'
import {
  balanceOf,
  checkoutOf,
  idOf,
  intentOf,
  invoiceOf,
  isSettled,
  priceOf,
  subscriptionOf,
} from './stripe-objects.ts'

const PAGE = 100
/** Refunds, disputes and lines of one object beyond this are not read: the object is refused. */
const MEMBERS_MAX = 1_000
const TOLERANCE_SECONDS = 300

export interface StripeOptions {
  secretKey: Secret
  webhookSecret: Secret | undefined
  timeoutMs: number
  /** Where Stripe's API is, for tests. */
  apiUrl?: string | undefined
}

/** Stripe by its own library. docs/payments.md says what is asked and why. */
export function createStripe(options: StripeOptions): PaymentProvider {
  const place = options.apiUrl === undefined ? undefined : new URL(options.apiUrl)
  const stripe = new Stripe(options.secretKey.reveal(), {
    timeout: options.timeoutMs,
    maxNetworkRetries: 1,
    telemetry: false,
    ...(place && {
      host: place.hostname,
      port: place.port,
      protocol: place.protocol === 'http:' ? ('http' as const) : ('https' as const),
    }),
  })

  return {
    readEvent(rawBody, signature) {
      if (options.webhookSecret === undefined) throw new Error('there is no secret to check with')
      const event = stripe.webhooks.constructEvent(
        rawBody,
        signature,
        options.webhookSecret.reveal(),
        TOLERANCE_SECONDS,
      )
      const object = event.data.object as { id?: unknown; object?: unknown; customer?: string | { id: string } | null }
      return {
        id: event.id,
        type: event.type,
        objectId: typeof object.id === 'string' ? object.id : '',
        objectType: typeof object.object === 'string' ? object.object : '',
        customerId: idOf(object.customer),
      }
    },

    listPrices: (product) =>
      asked(async () => {
        const { data } = await stripe.prices.list({
          product,
          active: true,
          limit: PAGE,
          expand: ['data.currency_options'],
        })
        return data.map(priceOf)
      }),

    findPrice: (id) => found(async () => priceOf(await stripe.prices.retrieve(id, { expand: ['currency_options'] }))),

    createCustomer: ({ key, email, metadata }) =>
      asked(async () => (await stripe.customers.create({ email, metadata }, { idempotencyKey: key })).id),

    deleteCustomer: async (id) => {
      await found(() => stripe.customers.del(id))
    },

    createCheckout: (input) =>
      asked(async () =>
        checkoutOf(await stripe.checkout.sessions.create(checkoutParams(input), { idempotencyKey: input.key })),
      ),

    findCheckout: (id) => found(async () => checkoutOf(await stripe.checkout.sessions.retrieve(id))),

    findCheckoutOfIntent: (payment_intent) =>
      asked(async () => {
        const { data } = await stripe.checkout.sessions.list({ payment_intent, limit: 1 })
        return data[0] && checkoutOf(data[0])
      }),

    createPortal: ({ customerId, returnUrl }) =>
      asked(
        async () => (await stripe.billingPortal.sessions.create({ customer: customerId, return_url: returnUrl })).url,
      ),

    findIntent: (id) =>
      found(async () => {
        const intent = await stripe.paymentIntents.retrieve(id, { expand: ['latest_charge.balance_transaction'] })
        const charge = typeof intent.latest_charge === 'string' ? null : intent.latest_charge
        if (charge === null) return intentOf(intent, { charge: null, refunds: [], disputes: [] })
        const [refunds, disputes] = await Promise.all([
          everything(
            stripe.refunds.list({
              payment_intent: id,
              limit: PAGE,
              expand: ['data.balance_transaction', 'data.failure_balance_transaction'],
            }),
          ),
          everything(stripe.disputes.list({ payment_intent: id, limit: PAGE })),
        ])
        return intentOf(intent, { charge, refunds, disputes })
      }),

    intentOf: ({ type, id }) =>
      found(async () => {
        const expand = { expand: ['payment_intent'] }
        const { payment_intent } =
          type === 'charge'
            ? await stripe.charges.retrieve(id, expand)
            : type === 'refund'
              ? await stripe.refunds.retrieve(id, expand)
              : await stripe.disputes.retrieve(id, expand)
        if (payment_intent === null || typeof payment_intent === 'string') return undefined
        return { intentId: payment_intent.id, customerId: idOf(payment_intent.customer) }
      }),

    findInvoice: (id) =>
      found(async () => {
        const [invoice, lines, payments] = await Promise.all([
          stripe.invoices.retrieve(id),
          everything(stripe.invoices.listLineItems(id, { limit: PAGE })),
          everything(stripe.invoicePayments.list({ invoice: id, status: 'paid', limit: PAGE })),
        ])
        return invoiceOf(invoice, lines, payments)
      }),

    findInvoiceOfIntent: (payment_intent) =>
      asked(async () => {
        const { data } = await stripe.invoicePayments.list({
          payment: { type: 'payment_intent', payment_intent },
          limit: 1,
        })
        return data[0] && (idOf(data[0].invoice) ?? undefined)
      }),

    findSubscription: (id) => found(async () => subscriptionOf(await stripe.subscriptions.retrieve(id))),

    cancelSubscription: async (id) => {
      await found(async () => {
        const { status } = await stripe.subscriptions.retrieve(id)
        if (!isSettled(status)) await stripe.subscriptions.cancel(id, { prorate: false })
      })
    },

    findMethod: (customerId) =>
      found(async () => {
        const customer = await stripe.customers.retrieve(customerId)
        if (customer.deleted) return undefined
        const chosen = idOf(customer.invoice_settings.default_payment_method)
        if (chosen !== null) return chosen
        const { data } = await stripe.paymentMethods.list({ customer: customerId, type: 'card', limit: 1 })
        return data[0]?.id
      }),

    async payOffSession({ key, customerId, methodId, amount, currency, metadata }): Promise<OffSessionResult> {
      try {
        const intent = await stripe.paymentIntents.create(
          {
            ...{ customer: customerId, payment_method: methodId, amount: Number(amount), currency, metadata },
            ...{ off_session: true, confirm: true },
          },
          { idempotencyKey: key },
        )
        if (intent.status === 'succeeded' || intent.status === 'processing') return { ok: true, intentId: intent.id }
        return { ok: false, intentId: intent.id, failure: intent.status }
      } catch (error) {
        if (error instanceof Stripe.errors.StripeCardError)
          return { ok: false, intentId: error.payment_intent?.id ?? null, failure: error.code ?? error.message }
        throw refusalOf(error)
      }
    },

    async *listBalance(from, to): AsyncIterable<BalanceTransaction> {
      const range = { gte: seconds(from), lt: seconds(to) }
      try {
        for await (const line of stripe.balanceTransactions.list({ created: range, limit: PAGE })) yield balanceOf(line)
      } catch (error) {
        throw refusalOf(error)
      }
    },
  }
}

function checkoutParams(input: CheckoutInput): Stripe.Checkout.SessionCreateParams {
  const { mode, priceId, currency, metadata, methods, methodOptions, saveMethod } = input
  return {
    mode,
    customer: input.customerId,
    line_items: [{ price: priceId, quantity: 1 }],
    allow_promotion_codes: true,
    success_url: input.successUrl,
    cancel_url: input.cancelUrl,
    metadata,
    ...(currency !== undefined && { currency }),
    ...(methods !== undefined && {
      allowed_payment_method_types: [...methods] as Stripe.Checkout.SessionCreateParams.AllowedPaymentMethodType[],
    }),
    ...(methodOptions !== undefined && {
      payment_method_options: methodOptions as Stripe.Checkout.SessionCreateParams.PaymentMethodOptions,
    }),
    ...(mode === 'payment'
      ? { payment_intent_data: { metadata, ...(saveMethod && { setup_future_usage: 'off_session' as const }) } }
      : { subscription_data: { metadata } }),
  }
}

/** All members of a list, of which there are few. */
async function everything<T>(list: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of list) {
    if (all.length >= MEMBERS_MAX) throw refusal(`Stripe lists more than ${MEMBERS_MAX} of them`)
    all.push(one)
  }
  return all
}

async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw refusalOf(error)
  }
}

/** The same for what may not be there. */
async function found<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Stripe.errors.StripeInvalidRequestError && error.code === 'resource_missing') return undefined
    throw refusalOf(error)
  }
}

/** Without the library's error as its cause, which carries the headers of the request. */
function refusalOf(error: unknown): unknown {
  if (!(error instanceof Stripe.errors.StripeError)) return error
  const message = `Stripe: ${error.message} (${error.type}${error.requestId ? `, ${error.requestId}` : ''})`
  if (error instanceof Stripe.errors.StripeInvalidRequestError || error instanceof Stripe.errors.StripeCardError)
    return refusal(message)
  return new AppError('payment_provider_unavailable', { cause: new Error(message) })
}

function refusal(message: string): AppError {
  return new AppError('payment_provider_refused', { cause: new Error(message) })
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1000)
}
