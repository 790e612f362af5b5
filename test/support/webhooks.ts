import assert from 'node:assert/strict'
import { createWebhookHttp } from '#adapters/webhook-http.ts'
import type { Db } from '#db/pool.ts'
import { createDeliverer, type DelivererOptions } from '#domain/webhooks/deliverer.ts'
import { parseRetryAfter } from '#domain/webhooks/retry-schedule.ts'
import { createWebhookSecrets } from '#domain/webhooks/webhook-secrets.ts'
import { envelopeKeys, webhookGuard } from './http-api.ts'

/** A deliverer as a gateway runs it, in a hurry, with a clock that the test moves. */
export function openDeliverer(db: Db, change: Partial<DelivererOptions> & { timeoutMs?: number } = {}) {
  const clock = { aheadMs: 0 }
  const errors: unknown[] = []
  const { timeoutMs = 2_000, ...options } = change
  const deliverer = createDeliverer({
    db,
    secrets: createWebhookSecrets(envelopeKeys),
    send: createWebhookHttp({ guard: webhookGuard, timeoutMs, parseRetryAfter }),
    attemptsMax: 64,
    perEndpointMax: 4,
    everyMs: 15,
    aheadMs: () => clock.aheadMs,
    onError: (error) => errors.push(error),
    ...options,
  })
  return {
    deliverer,
    clock,
    /** Fails for what went wrong on the way. */
    async close(): Promise<void> {
      await deliverer.close()
      assert.deepEqual(errors, [])
    },
  }
}
