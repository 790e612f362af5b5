import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { connectLane, type Db } from './pool.ts'

const RECONNECT_MS = { first: 100, max: 5_000 }
const PROBE_EVERY_MS = 5_000
const PROBE_MS_MAX = 3_000

export interface ListenerOptions {
  db: Db
  channel: string
  onMessage: (payload: string) => void
  /** Listening begins, at the start and after every interruption: messages before this moment may have been missed. */
  onListening: () => void
  /** Messages are missed from here on, until onListening. */
  onInterrupted: (error: unknown) => void
}

/**
 * Listens to one channel on a connection of its own and connects again when it breaks. A connection that died without a
 * word is noticed by a probe every few seconds.
 */
export function createListener(options: ListenerOptions) {
  const closing = new AbortController()
  const { signal } = closing
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })

  async function listenOnce(): Promise<void> {
    let broken: (error: unknown) => void = () => undefined
    const breaks = new Promise<unknown>((resolve) => {
      broken = resolve
    })
    // A pool keeps its password where a spread does not find it.
    const { password } = options.db.options
    const client = await connectLane({ ...options.db.options, ...(password !== undefined && { password }) }, (error) =>
      broken(error),
    )
    try {
      client.on('end', () => broken(new Error('the listening connection ended')))
      client.on('notification', (message) => options.onMessage(message.payload ?? ''))
      await client.query(`listen ${client.escapeIdentifier(options.channel)}`)
      options.onListening()
      const error = await Promise.race([stopped, breaks, probe(client)])
      if (error !== undefined) throw error
    } finally {
      client.removeAllListeners('notification')
      await client.end().catch(() => undefined)
    }
  }

  /** Resolves with an error when the server does not answer in time. */
  async function probe(client: pg.Client): Promise<unknown> {
    for (;;) {
      await delay(PROBE_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return undefined
      const late = delay(PROBE_MS_MAX, new Error('the listening connection does not answer'), { ref: false })
      const failure = await Promise.race([
        client.query('select 1').then(
          () => undefined,
          (error) => error,
        ),
        late,
      ])
      if (failure !== undefined) return failure
    }
  }

  const done = (async () => {
    let waitMs = RECONNECT_MS.first
    while (!signal.aborted) {
      const startedAt = performance.now()
      try {
        await listenOnce()
      } catch (error) {
        if (!signal.aborted) options.onInterrupted(error)
      }
      if (performance.now() - startedAt > RECONNECT_MS.max) waitMs = RECONNECT_MS.first
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
      waitMs = Math.min(waitMs * 2, RECONNECT_MS.max)
    }
  })()

  return {
    async close(): Promise<void> {
      closing.abort()
      await done
    },
  }
}
