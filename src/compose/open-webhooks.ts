import { setTimeout as delay } from 'node:timers/promises'
import { Counter, Gauge } from 'prom-client'
import { createGuardedFetch } from '#adapters/guarded-fetch.ts'
import { createWebhookHttp } from '#adapters/webhook-http.ts'
import type { Db } from '#db/pool.ts'
import { createCredentialAlarms } from '#domain/credential-alarms.ts'
import type { LowBalances } from '#domain/flux/low-balance.ts'
import { lookForLowWallets } from '#domain/low-wallets.ts'
import { ATTEMPT_MS_MAX, createDeliverer } from '#domain/webhooks/deliverer.ts'
import { createWebhookDeliveries } from '#domain/webhooks/deliveries.ts'
import { createWebhookEndpoints } from '#domain/webhooks/endpoints.ts'
import { createEventList } from '#domain/webhooks/event-list.ts'
import { createQueueState } from '#domain/webhooks/queue-state.ts'
import { parseRetryAfter } from '#domain/webhooks/retry-schedule.ts'
import { discardOfDisabled, forgetOldSecrets, pruneEvents, resealSecrets } from '#domain/webhooks/upkeep.ts'
import { createWebhookSecrets } from '#domain/webhooks/webhook-secrets.ts'
import type { Parts } from './parts.ts'

const EVERY_MS = 1_000
const ATTEMPTS_MAX = 64
const PER_ENDPOINT_MAX = 4
const CONNECT_MS_MAX = 5_000
const ALARMS_EVERY_MS = 5_000
const LOW_WALLETS_EVERY_MS = 10_000
const UPKEEP_EVERY_MS = 60_000

/** Operators hear of credentials that fail; opened before whatever uses credentials. */
export function openCredentialAlarms({ log, opened }: Parts, db: Db) {
  const alarms = createCredentialAlarms({
    db,
    everyMs: ALARMS_EVERY_MS,
    onError: (error) => log.warn({ err: error }, 'operators could not be told of failing credentials'),
  })
  opened.defer(() => alarms.close())
  return alarms
}

/** What operators are told of, and how it gets to them. */
export function openWebhooks(parts: Parts, db: Db, lowBalances: LowBalances) {
  const { config, installation, log, opened } = parts
  const secrets = createWebhookSecrets(installation.envelopeKeys)
  const guard = createGuardedFetch({
    hostSuffixes: 'any',
    insecureHosts: config.WEBHOOK_INSECURE_HOSTS ?? [],
    connectTimeoutMs: CONNECT_MS_MAX,
    connectionsMax: PER_ENDPOINT_MAX,
  })
  opened.defer(() => guard.close())
  const metrics = createWebhookMetrics(parts, db)
  const deliverer = createDeliverer({
    db,
    secrets,
    send: createWebhookHttp({ guard, timeoutMs: ATTEMPT_MS_MAX, parseRetryAfter }),
    attemptsMax: ATTEMPTS_MAX,
    perEndpointMax: PER_ENDPOINT_MAX,
    everyMs: EVERY_MS,
    onAttempt({ claimed, result, finished }) {
      metrics.attempts.inc({ outcome: result.ok ? 'delivered' : 'failed' })
      const names = { webhook: claimed.endpointId, event: claimed.eventId, type: claimed.type, status: result.status }
      if (finished.givenUp) log.warn(names, 'a webhook delivery is given up')
      if (finished.disabled !== undefined) log.warn({ ...names, reason: finished.disabled }, 'a webhook was disabled')
    },
    onError: (error) => log.warn({ err: error }, 'webhooks could not be delivered; tried again'),
  })
  opened.defer(() => deliverer.close())

  repeat(parts, LOW_WALLETS_EVERY_MS, 'low wallets could not be looked for', async () => {
    await lookForLowWallets(db)
    await lowBalances.sendMails()
  })
  repeat(parts, UPKEEP_EVERY_MS, 'webhook deliveries could not be tidied up', async (signal) => {
    await discardOfDisabled(db, signal)
    await forgetOldSecrets(db)
    const closed = await resealSecrets(db, secrets)
    if (closed > 0) log.error({ secrets: closed }, 'secrets of webhooks open with neither master key')
    await pruneEvents(db, signal)
  })
  return {
    webhooks: createWebhookEndpoints({ db, secrets, checkUrl: (url) => void guard.route(url) }),
    deliveries: createWebhookDeliveries({ db }),
    events: createEventList({ db }),
  }
}

function repeat(
  { log, opened }: Parts,
  everyMs: number,
  failure: string,
  work: (signal: AbortSignal) => Promise<unknown>,
): void {
  const closing = new AbortController()
  const { signal } = closing
  const repeating = (async () => {
    while (!signal.aborted) {
      await work(signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, failure)
      })
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  })()
  opened.defer(async () => {
    closing.abort()
    await repeating
  })
}

function createWebhookMetrics({ registry, log }: Parts, db: Db) {
  const registers = [registry]
  const state = createQueueState({ db })
  new Gauge({
    name: 'fluxgate_webhook_deliveries',
    help: 'Webhook deliveries of the last 30 days by state, in all gateways.',
    labelNames: ['state'],
    registers,
    async collect() {
      try {
        for (const [name, count] of Object.entries(await state.counts())) this.set({ state: name }, count)
      } catch (error) {
        log.warn({ err: error }, 'webhook deliveries could not be counted')
      }
    },
  })
  new Gauge({
    name: 'fluxgate_webhook_oldest_pending_seconds',
    help: 'How long the oldest webhook delivery has been waiting that is not delivered yet; 0 where none is.',
    registers,
    async collect() {
      try {
        this.set(await state.oldestPendingSeconds())
      } catch {
        // Said by the one above.
      }
    },
  })
  return {
    attempts: new Counter({
      name: 'fluxgate_webhook_attempts_total',
      help: 'Attempts of this process to deliver a webhook.',
      labelNames: ['outcome'],
      registers,
    }),
  }
}
