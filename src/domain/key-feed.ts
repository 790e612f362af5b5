import type { ClientBase } from 'pg'
import { createListener } from '#db/listener.ts'
import type { Db } from '#db/pool.ts'
import { KEY_CHANNEL } from './keys.ts'

/** What was known of a key at a moment is believed for so long after it: a revocation holds everywhere within a second. */
export const BELIEVED_MS = 900
const ASK_EVERY_MS = 300
/** A longer list of changes is not read: everything is forgotten instead. */
const CHANGES_MAX = 1_000

export interface KeyFeedOptions {
  db: Db
  /** The key with this hex hash has changed. */
  onChanged: (digest: string) => void
  /** Any key may have changed. */
  onUnknown: () => void
  onInterrupted: (error: unknown) => void
}

/**
 * Tells of changes of keys, twice: by LISTEN as soon as they commit, and by asking for those numbered since the last answer
 * every 300 ms, because a notification can be lost on its way. Without an answer nothing that is in memory may be believed.
 */
export function createKeyFeed(options: KeyFeedOptions) {
  let revision: bigint | undefined
  let believedUntil = 0
  const firstHeard = Promise.withResolvers<void>()

  async function ask(client: ClientBase): Promise<void> {
    const askedAt = performance.now()
    const { rows } = await client.query<{ newest: bigint; changed: string[] }>(
      `select coalesce(max(revision), 0) as newest,
         array(select encode(hash, 'hex') from key_change where revision > $1 order by revision limit $2) as changed
       from key_change`,
      [revision ?? 0n, revision === undefined ? 0 : CHANGES_MAX + 1],
    )
    const { newest = 0n, changed = [] } = rows[0] ?? {}
    // Numbers only grow, unless this is another database than before: a copy, or a standby that was behind.
    if (revision === undefined || newest < revision || changed.length > CHANGES_MAX) options.onUnknown()
    else for (const digest of changed) options.onChanged(digest)
    revision = newest
    believedUntil = askedAt + BELIEVED_MS
    firstHeard.resolve()
  }

  const listener = createListener({
    db: options.db,
    channel: KEY_CHANNEL,
    onMessage: options.onChanged,
    onListening() {
      revision = undefined
    },
    onInterrupted: options.onInterrupted,
    heartbeat: { everyMs: ASK_EVERY_MS, msMax: 3_000, beat: ask },
  })

  return {
    /** Until when, by performance.now(), what is in memory is as the database says. */
    believedUntil: (): number => believedUntil,

    /** Resolves once changes are heard for the first time. */
    listening: (): Promise<void> => firstHeard.promise,

    close: (): Promise<void> => listener.close(),
  }
}
