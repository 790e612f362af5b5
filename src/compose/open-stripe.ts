import type { PaymentProvider } from '#domain/payments/provider.ts'
import type { Config } from '#src/config.ts'

const TIMEOUT_MS = 8_000

/** Stripe, where it is configured. Its library is loaded only there. */
export async function openStripe(
  config: Pick<Config, 'STRIPE_SECRET_KEY' | 'STRIPE_WEBHOOK_SECRET' | 'STRIPE_API_URL'>,
): Promise<PaymentProvider | undefined> {
  const secretKey = config.STRIPE_SECRET_KEY
  if (secretKey === undefined) return undefined
  const { createStripe } = await import('#adapters/stripe.ts')
  return createStripe({
    ...{ secretKey, webhookSecret: config.STRIPE_WEBHOOK_SECRET, timeoutMs: TIMEOUT_MS },
    apiUrl: config.STRIPE_API_URL,
  })
}
