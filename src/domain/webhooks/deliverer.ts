import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '#db/pool.ts'
import { EnvelopeError } from '#lib/envelope.ts'
import { type AttemptResult, type Claimed, claimDeliveries, type Finished, finishDelivery, LEASE_MS } from './claims.ts'
import { spreadEvents } from './fan-out.ts'
import { signedHeaders } from './signature.ts'
import type { WebhookSecrets } from './webhook-secrets.ts'

/** The longest that one attempt takes, from the name of the host to the end of the answer. */
export const ATTEMPT_MS_MAX = 15_000
/** To write down what came of an attempt before it counts as lost. */
const MARGIN_MS = 15_000

/** Sends one message. Never throws: what went wrong is in the result. Done within ATTEMPT_MS_MAX, sooner when aborted. */
type SendWebhook = (
  message: { url: string; headers: Record<string, string>; body: string },
  signal: AbortSignal,
) => Promise<Omit<AttemptResult, 'tookMs'>>

export interface DelivererOptions {
  db: Db
  secrets: WebhookSecrets
  send: SendWebhook
  /** Attempts that this process makes at once, in all and to one endpoint. */
  attemptsMax: number
  perEndpointMax: number
  /** How often the queue is looked at. */
  everyMs: number
  /** Moves the clock of the database forward, for tests. */
  aheadMs?: () => number
  onAttempt?: (attempt: { claimed: Claimed; result: AttemptResult; finished: Finished }) => void
  onError: (error: unknown) => void
}

/**
 * Delivers the events of the queue to the endpoints, at least once and in no order. Any number of gateways share the work: an
 * attempt belongs to the one that claimed it until its lease is over.
 */
export function createDeliverer(options: DelivererOptions) {
  const { db, secrets, attemptsMax, perEndpointMax } = options
  const aheadMs = options.aheadMs ?? (() => 0)
  const closing = new AbortController()
  const running = new Set<Promise<void>>()
  const byEndpoint = new Map<string, number>()

  async function attempt(claimed: Claimed, claimedAt: number): Promise<void> {
    byEndpoint.set(claimed.endpointId, (byEndpoint.get(claimed.endpointId) ?? 0) + 1)
    try {
      // A process that was stopped in between may have lost the attempt to another one.
      if (performance.now() - claimedAt > LEASE_MS - ATTEMPT_MS_MAX - MARGIN_MS) return
      const startedAt = performance.now()
      const sent = await send(claimed)
      // Cut off by our own end: another process makes this attempt again when the lease is over.
      if (!sent.ok && closing.signal.aborted) return
      const result = { ...sent, tookMs: performance.now() - startedAt }
      const finished = await finishDelivery(db, claimed, result, aheadMs())
      options.onAttempt?.({ claimed, result, finished })
    } catch (error) {
      options.onError(error)
    } finally {
      const left = (byEndpoint.get(claimed.endpointId) ?? 1) - 1
      if (left > 0) byEndpoint.set(claimed.endpointId, left)
      else byEndpoint.delete(claimed.endpointId)
    }
  }

  async function send(claimed: Claimed): Promise<Omit<AttemptResult, 'tookMs'>> {
    const { endpointId, secret, secretPrevious, type, at, data } = claimed
    let opened: string[]
    try {
      opened = [secret, secretPrevious]
        .filter((sealed) => sealed !== null)
        .map((sealed) => secrets.open(endpointId, sealed))
    } catch (error) {
      if (!(error instanceof EnvelopeError)) throw error
      return { ok: false, status: undefined, error: 'secret_unreadable', retryAfterMs: undefined }
    }
    // The same bytes at every attempt: the data is passed on as it was queued.
    const body = `{"type":${JSON.stringify(type)},"timestamp":${JSON.stringify(at.toISOString())},"data":${data}}`
    const message = { id: webhookId(claimed.eventId), sentAtSeconds: Math.floor(Date.now() / 1000), body }
    const headers = { 'content-type': 'application/json', ...signedHeaders(message, opened) }
    return options.send({ url: claimed.url, headers, body }, closing.signal)
  }

  /** Claims what there is room for. Returns how many attempts were begun. */
  async function claimMore(): Promise<number> {
    const room = attemptsMax - running.size
    if (room <= 0 || closing.signal.aborted) return 0
    const askedAt = performance.now()
    const limits = { room, running: byEndpoint, perEndpoint: perEndpointMax }
    const claimed = await claimDeliveries(db, limits, aheadMs())
    for (const one of claimed) {
      const run = attempt(one, askedAt).finally(() => {
        running.delete(run)
        wake()
      })
      running.add(run)
    }
    return claimed.length
  }

  // An attempt that ends makes room: the next look is then at once, not after everyMs.
  let wake: () => void = () => undefined
  const turning = (async () => {
    while (!closing.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        wake = resolve
      })
      try {
        await spreadEvents(db, closing.signal)
        await claimMore()
      } catch (error) {
        if (!closing.signal.aborted) options.onError(error)
        await pause(options.everyMs, closing.signal)
        continue
      }
      const timer = new AbortController()
      await Promise.race([woken, pause(options.everyMs, AbortSignal.any([closing.signal, timer.signal]))])
      timer.abort()
    }
  })()

  return {
    /** Attempts that run. */
    get running(): number {
      return running.size
    },

    async close(): Promise<void> {
      closing.abort()
      wake()
      await turning
      await Promise.all(running)
    },
  }
}

/** What a receiver knows a message by, at every attempt and however it is sent again. */
export function webhookId(eventId: string): string {
  return `evt_${eventId.replaceAll('-', '')}`
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => undefined)
}
