import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { connectLane, type Db } from './pool.ts'

const RECONNECT_MS = { first: 100, max: 5_000 }
const PROBE: Heartbeat = {
  everyMs: 5_000,
  msMax: 3_000,
  async beat(client) {
    await client.query('select 1')
  },
}

/** As pg_stat_activity names these connections: their last query tells nothing, it is the heartbeat's. */
export const LISTENER_NAME = 'fluxgate-listener'

/** What is asked on the listening connection, the first time as soon as it listens; one that fails or is late breaks it. */
interface Heartbeat {
  everyMs: number
  msMax: number
  beat(client: pg.Client): Promise<void>
}

export interface ListenerOptions {
  db: Db
  channel: string
  onMessage: (payload: string) => void
  /** Listening begins, at the start and after every interruption: messages before this moment may have been missed. */
  onListening: () => void
  /** Messages are missed from here on, until onListening. */
  onInterrupted: (error: unknown) => void
  /** By default a question that only shows whether anybody is there, every few seconds. */
  heartbeat?: Heartbeat
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
    const client = await connectLane(
      { ...options.db.options, ...(password !== undefined && { password }) },
      (error) => broken(error),
      LISTENER_NAME,
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

  /** Resolves with an error when a heartbeat fails or does not end in time. */
  async function probe(client: pg.Client): Promise<unknown> {
    const { everyMs, msMax, beat } = options.heartbeat ?? PROBE
    while (!signal.aborted) {
      const over = new AbortController()
      const late = delay(msMax, new Error('the listening connection does not answer'), {
        ref: false,
        signal: over.signal,
      }).catch(() => undefined)
      const failure = await Promise.race([
        beat(client).then(
          () => undefined,
          (error) => error,
        ),
        late,
      ])
      over.abort()
      if (failure !== undefined) return failure
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
    return undefined
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
