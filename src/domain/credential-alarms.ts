import type { Db } from '#db/pool.ts'
import { emitOperatorEvent } from './operator-events.ts'

/** A provider refuses this often within an hour before it is told: once may be the provider's own mistake. */
const REFUSALS_TOLD = 3
const CREDENTIALS_MAX = 1_000
const QUEUE_MAX = 100
const HOUR_MS = 3_600_000

/** A provider credential that cannot be used, at one moment. */
export interface CredentialFault {
  /** Names it among all; for nobody to see. */
  credential: string
  /** Ids alone: nothing of a key. */
  data: Record<string, string>
  /** `undecryptable` never passes by itself, and is told at the first time. */
  reason: string
}

export interface CredentialAlarmsOptions {
  db: Db
  everyMs: number
  /** Milliseconds since 1970. */
  now?: () => number
  onError: (error: unknown) => void
}

/**
 * Tells operators of credentials that fail, once per credential and hour over all processes. Noting costs a call a look into a
 * map; the database is written to later, and what cannot be written is lost: the next hour tells again.
 */
export function createCredentialAlarms(options: CredentialAlarmsOptions) {
  const { db, now = Date.now } = options
  const counts = new Map<string, number>()
  let queue: { once: [string, string]; data: Record<string, unknown> }[] = []
  let hour = 0
  let writing: Promise<void> | undefined

  async function write(): Promise<void> {
    const batch = queue
    queue = []
    for (const event of batch) await emitOperatorEvent(db, { type: 'credential.failing', ...event })
  }

  /** Writes what was noted; whoever asks while that is under way waits for it. Never throws. */
  function flush(): Promise<void> {
    if (queue.length === 0) return writing ?? Promise.resolve()
    writing ??= write()
      .catch(options.onError)
      .finally(() => {
        writing = undefined
      })
    return writing
  }

  const timer = setInterval(() => void flush(), options.everyMs)
  timer.unref()

  return {
    /** Never throws, never waits. */
    note({ credential, data, reason }: CredentialFault): void {
      const current = Math.floor(now() / HOUR_MS)
      if (current !== hour) {
        hour = current
        counts.clear()
      }
      const count = (counts.get(credential) ?? 0) + 1
      if (count === 1 && counts.size >= CREDENTIALS_MAX) return
      counts.set(credential, count)
      if (count !== (reason === 'undecryptable' ? 1 : REFUSALS_TOLD) || queue.length >= QUEUE_MAX) return
      queue.push({ once: [credential, String(hour)], data: { ...data, reason, failures: count } })
    },

    flush,

    async close(): Promise<void> {
      clearInterval(timer)
      await flush()
      await flush() // What was noted while the first one was under way.
    },
  }
}

export type CredentialAlarms = ReturnType<typeof createCredentialAlarms>
