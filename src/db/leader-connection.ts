import type pg from 'pg'
import { connectLane } from './pool.ts'

/** A leader that says nothing for this long is ended by the server: it hangs, and others are waiting. */
const IDLE_MAX = '10s'
const QUERY_MS_MAX = 20_000

/**
 * Leadership among all processes of a database: whoever has the advisory lock of this name, on a connection of its own that does all
 * of the leader's work, so that both are lost together. It has to be asked for every few seconds, also by the leader.
 */
export function createLeaderConnection(
  connection: pg.ClientConfig,
  options: { name: string; onLost: (error: Error) => void },
) {
  let current: Promise<pg.Client> | undefined
  let leading = false

  async function open(): Promise<pg.Client> {
    const client = await connectLane({ ...connection, query_timeout: QUERY_MS_MAX }, (error) => {
      if (current !== undefined) options.onLost(error)
      drop()
    })
    await client.query(`set idle_session_timeout = '${IDLE_MAX}'`)
    return client
  }

  function drop(): void {
    const last = current
    current = undefined
    leading = false
    // What a server that is gone does not take note of must not keep us.
    last?.then((client) => client.connection.stream.destroy()).catch(() => undefined)
  }

  return {
    get leading() {
      return leading
    },

    /** The leader's connection, or undefined while another process leads. */
    async lead(): Promise<pg.Client | undefined> {
      current ??= open()
      try {
        const client = await current
        if (leading) return client
        const { rows } = await client.query<{ locked: boolean }>(
          'select pg_try_advisory_lock(hashtext($1)) as locked',
          [options.name],
        )
        leading = rows[0]?.locked === true
        return leading ? client : undefined
      } catch (error) {
        drop()
        throw error
      }
    },

    /** After a failure the state of the session is unknown: it is not used again. */
    abandon: drop,

    async close(): Promise<void> {
      const last = current
      current = undefined
      leading = false
      const client = await last?.catch(() => undefined)
      if (client === undefined) return
      const gone = setTimeout(() => client.connection.stream.destroy(), 1_000)
      await client.end().catch(() => undefined)
      clearTimeout(gone)
    },
  }
}
