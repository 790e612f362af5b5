import Stripe from 'stripe'
import type { Json } from '#test/support/gateway.ts'

const ATTEMPTS = 3

/** Tells of events as Stripe does: signed with the secret of the webhook. */
export function createDelivery(webhookSecret: string, listen: (hear: (event: Json) => void) => void) {
  const { webhooks } = new Stripe('sk_test_signs_only')

  function signed(event: Json, secret = webhookSecret): { body: string; headers: Record<string, string> } {
    const body = JSON.stringify(event)
    const signature = webhooks.generateTestHeaderString({ payload: body, secret })
    return { body, headers: { 'content-type': 'application/json', 'stripe-signature': signature } }
  }

  async function deliver(event: Json, url: string): Promise<Response> {
    const { body, headers } = signed(event)
    return await fetch(url, { method: 'POST', headers, body })
  }

  /** Stripe tries again for days; the double a few times at once. */
  async function deliverSoon(event: Json, url: string): Promise<boolean> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const response = await deliver(event, url).catch(() => undefined)
      await response?.arrayBuffer()
      if (response?.ok) return true
    }
    return false
  }

  return {
    signed,

    /** Sends an event to an address; resolves with its answer. */
    deliver,

    /** From now on every event goes to an address by itself, one after the other. */
    deliverTo(url: string): { settled: () => Promise<void>; refused: Json[] } {
      let queue = Promise.resolve()
      const refused: Json[] = []
      listen((event) => {
        queue = queue.then(async () => {
          if (!(await deliverSoon(event, url))) refused.push(event)
        })
      })
      return {
        /** Resolves when everything that was told has been sent. */
        async settled() {
          let last: Promise<void> | undefined
          while (last !== queue) {
            last = queue
            await last
          }
        },
        refused,
      }
    },
  }
}
