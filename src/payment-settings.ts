import { isLoopback } from '#lib/loopback.ts'
import type { Secret } from '#lib/secret.ts'
import { optional, secret } from '#lib/settings.ts'

/** Selling Flux: docs/payments.md. */
export const paymentSettings = {
  STRIPE_SECRET_KEY: secret('Sells Flux by Stripe. Nothing can be bought when unset.'),
  STRIPE_WEBHOOK_SECRET: secret('What Stripe signs events with that it sends to /api/v1/stripe/webhook.'),
  STRIPE_API_URL: optional({
    description: 'A double of Stripe on this machine to ask instead, as http://127.0.0.1:12111. For tests.',
    parse(value) {
      const url = URL.canParse(value) ? new URL(value) : undefined
      if (url === undefined || !isLoopback(url.hostname) || !/^https?:$/.test(url.protocol))
        throw new Error('an http address on this machine')
      return url.origin
    },
  }),
}

/** What is wrong with them together. */
export function paymentProblems(values: {
  STRIPE_SECRET_KEY: Secret | undefined
  STRIPE_WEBHOOK_SECRET: Secret | undefined
}): string[] {
  if (values.STRIPE_WEBHOOK_SECRET !== undefined && values.STRIPE_SECRET_KEY === undefined)
    return ['STRIPE_SECRET_KEY must be set where STRIPE_WEBHOOK_SECRET is']
  return []
}
