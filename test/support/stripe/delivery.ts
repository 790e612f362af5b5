import Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'

/** Tells of events as Stripe does: signed with the secret of the webhook. */
export function createDelivery(webhookSecret: string) {
  const { webhooks } = new Stripe('sk_test_signs_only')

  function signed(event: Json, secret = webhookSecret): { body: string; headers: Record<string, string> } {
    const body = JSON.stringify(event)
    const signature = webhooks.generateTestHeaderString({ payload: body, secret })
    return { body, headers: { 'content-type': 'application/json', 'stripe-signature': signature } }
  }

  return {
    signed,

    /** Sends an event to an address; resolves with its answer. */
    async deliver(event: Json, url: string): Promise<Response> {
      const { body, headers } = signed(event)
      return await fetch(url, { method: 'POST', headers, body })
    },
  }
}
