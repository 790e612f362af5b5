import { setTimeout as delay } from 'node:timers/promises'
import { type Db, within } from '#db/pool.ts'

const ROWS_MAX = 5_000
const QUERY_MS_MAX = 10_000
const KEY_DAYS_KEPT = 30

/** Drops sessions, links, invitations, and tokens and keys of apps whose time is over, some at a time, for as long as the process lives. Any number of gateways may. */
export function createSessionSweeper(options: { db: Db; everyMs: number; onError: (error: unknown) => void }) {
  const { db, everyMs, onError } = options
  const closing = new AbortController()
  const { signal } = closing

  /** Returns how many rows are gone. */
  async function sweep(): Promise<number> {
    let gone = 0
    const tables = [
      'auth_session',
      'auth_verification',
      'oauth_refresh_token',
      'oauth_access_token',
      'project_invitation',
    ]
    for (const table of tables) {
      const { rowCount } = await db.query(
        within(QUERY_MS_MAX, {
          text: `delete from ${table} where id in (select id from ${table} where expires_at < now() order by expires_at limit $1)`,
          values: [ROWS_MAX],
        }),
      )
      gone += rowCount ?? 0
    }
    // What a key signed at last may be shown again for a while, to sign out.
    const { rowCount } = await db.query(
      within(QUERY_MS_MAX, {
        text: `delete from auth_jwk where expires_at < now() - $1 * interval '1 day'`,
        values: [KEY_DAYS_KEPT],
      }),
    )
    return gone + (rowCount ?? 0)
  }

  const sweeping = (async () => {
    while (!signal.aborted) {
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted) await sweep().catch(onError)
    }
  })()

  return {
    sweep,

    async close(): Promise<void> {
      closing.abort()
      await sweeping
    },
  }
}
