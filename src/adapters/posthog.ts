import { setTimeout as delay } from 'node:timers/promises'
import { dashedUuid, uuidv7Hex } from '#lib/ids.ts'
import { readText } from '#lib/read-text.ts'
import type { Secret } from '#lib/secret.ts'

const QUEUE_MAX = 1_000
const BATCH_MAX = 100
const SEND_MS_MAX = 5_000
const STOP_MS_MAX = 2_000
const ANSWER_BYTES_MAX = 65_536

export interface PosthogOptions {
  apiKey: Secret
  /** https://us.i.posthog.com, for one. */
  host: string
  /** How long events are collected before they are sent together. */
  everyMs: number
  /** Events that never arrive, and why. */
  onLost: (events: number, why: string) => void
}

interface Captured {
  event: string
  userId: string
  properties?: Readonly<Record<string, string | number | boolean>>
}

/**
 * Events for PostHog, best effort: collected in a bounded queue, sent in batches behind everybody's back, lost when PostHog is
 * away or slow. Nothing waits for it but a stop, and that not for long.
 */
export function createPosthog(options: PosthogOptions) {
  const { apiKey, onLost } = options
  const url = new URL('/batch/', options.host)
  const queue: object[] = []
  const closing = new AbortController()
  let overflowed = 0

  async function send(batch: readonly object[], signal: AbortSignal): Promise<void> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ api_key: apiKey.reveal(), batch }),
        redirect: 'error',
        signal,
      })
      if (response.body !== null) await readText(response.body, ANSWER_BYTES_MAX)
      if (!response.ok) onLost(batch.length, `PostHog answered ${response.status}`)
    } catch {
      onLost(batch.length, 'PostHog did not answer')
    }
  }

  async function flush(msMax: number): Promise<void> {
    const lateAt = performance.now() + msMax
    while (queue.length > 0 && performance.now() < lateAt) {
      const left = Math.max(1, Math.ceil(lateAt - performance.now()))
      await send(queue.splice(0, BATCH_MAX), AbortSignal.timeout(left))
    }
    if (overflowed > 0) onLost(overflowed, 'too many events at once')
    overflowed = 0
  }

  const sending = (async () => {
    while (!closing.signal.aborted) {
      await delay(options.everyMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
      if (!closing.signal.aborted) await flush(SEND_MS_MAX)
    }
  })()

  return {
    capture({ event, userId, properties }: Captured): void {
      if (queue.length >= QUEUE_MAX || closing.signal.aborted) {
        overflowed += 1
        return
      }
      queue.push({
        event,
        uuid: dashedUuid(uuidv7Hex()),
        timestamp: new Date().toISOString(),
        // Without the last one PostHog would look up where this server stands and say that people live there.
        properties: { ...properties, distinct_id: userId, $geoip_disable: true },
      })
    },

    /** Sends what is left, within two seconds. */
    async close(): Promise<void> {
      closing.abort()
      const late = delay(STOP_MS_MAX, undefined, { ref: false })
      await Promise.race([sending.then(() => flush(STOP_MS_MAX)), late])
    },
  }
}
