import { randomUUID } from 'node:crypto'
import type { Db } from '#db/pool.ts'
import type { Settings } from '#domain/settings.ts'
import { assert } from '#lib/assert.ts'
import { AppError } from '#src/errors.ts'
import type { Catalogue } from './catalogue.ts'
import type { Customers } from './customers.ts'
import { saveOrder } from './orders.ts'
import type { PaymentProvider } from './provider.ts'

export interface CheckoutRequest {
  userId: string
  projectId: string
  priceId: string
  currency: string | undefined
  saveMethod: boolean
  /** Where the person comes from and goes back to. */
  origin: string
}

/** Sends people to Stripe, to buy and to look after what they bought. */
export function createCheckout(deps: {
  db: Db
  provider: PaymentProvider
  catalogue: Catalogue
  customers: Customers
  settings: () => Settings
}) {
  const { db, provider, catalogue, customers, settings } = deps
  return {
    /**
     * Begins a purchase, or with the price of a plan a subscription; resolves to the page to pay on. Throws AppError:
     * package_invalid, payments_not_configured, payment_provider_unavailable, payment_provider_refused.
     */
    async begin(request: CheckoutRequest): Promise<string> {
      const { userId, projectId, priceId, currency, origin } = request
      const price = await catalogue.sold(priceId, currency)
      const customerId = await customers.open({ userId, projectId })
      const methods = settings().getOptional('STRIPE_PAYMENT_METHODS')
      const options = settings().get('STRIPE_PAYMENT_METHOD_OPTIONS')
      const session = await provider.createCheckout({
        // A person may buy the same twice: only what the library sends again by itself is one purchase.
        key: `fluxgate checkout ${randomUUID()}`,
        ...{ customerId, priceId, currency, saveMethod: request.saveMethod },
        mode: price.interval === null ? 'payment' : 'subscription',
        successUrl: `${origin}/settings/flux?success=true`,
        cancelUrl: `${origin}/settings/flux?canceled=true`,
        metadata: { userId, projectId, priceId, fluxAmount: price.flux.toString() },
        methods: methods !== undefined && methods.length > 0 ? methods : undefined,
        methodOptions: Object.keys(options).length > 0 ? options : undefined,
      })
      await saveOrder(db, session, { projectId, priceId, flux: price.flux })
      assert(session.url !== null, 'a checkout that was just begun has its page')
      return session.url
    },

    /** The page where a person sees invoices, changes plans and payment methods. Throws AppError no_customer and as above. */
    async portal(projectId: string, origin: string): Promise<string> {
      const customerId = await customers.find(projectId)
      if (customerId === undefined) throw new AppError('no_customer')
      return provider.createPortal({ customerId, returnUrl: `${origin}/settings/flux` })
    },
  }
}

export type Checkout = ReturnType<typeof createCheckout>
