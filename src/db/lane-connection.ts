import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { NoConnectionError } from './failures.ts'
import { connectLane } from './pool.ts'

/** The server ends a statement of a lane after 15 s. Longer silence means that nobody is there. */
const QUERY_MS_MAX = 20_000

/** How long a farewell may take before the socket is dropped. */
const END_MS_MAX = 1_000

/**
 * A connection that is opened when needed and dropped when it fails: the next query opens a fresh one. Queries on it run
 * one after the other and end in bounded time, also when the network falls silent: `query_timeout` of the connection, or
 * QUERY_MS_MAX.
 */
export function createLaneConnection(connection: pg.ClientConfig, onError: (error: Error) => void) {
  let current: Promise<pg.Client> | undefined

  function open(): Promise<pg.Client> {
    const opening: Promise<pg.Client> = connectLane(
      { ...connection, query_timeout: connection.query_timeout ?? QUERY_MS_MAX },
      (error) => {
        drop(opening)
        onError(error)
      },
    ).catch((cause: unknown) => {
      drop(opening)
      throw new NoConnectionError(cause)
    })
    return opening
  }

  /** Only its own: an old client may report its end long after its successor took over. */
  function drop(client: Promise<pg.Client>): void {
    if (current === client) current = undefined
  }

  return {
    async query<Row extends pg.QueryResultRow>(
      query: pg.QueryConfig,
      isTransient: (error: unknown) => boolean,
    ): Promise<Row[]> {
      current ??= open()
      const used = current
      try {
        const { rows } = await (await used).query<Row>(query)
        return rows
      } catch (error) {
        // After a passing failure the session's state is unknown, so it is not used again.
        if (isTransient(error) && current === used) {
          drop(used)
          used.then(end).catch(() => undefined)
        }
        throw error
      }
    },

    async close(): Promise<void> {
      const last = current
      current = undefined
      await last?.then(end).catch(onError)
    },
  }
}

/** Says goodbye to a server that answers, and hangs up on one that does not. */
async function end(client: pg.Client): Promise<void> {
  const ended = client.end().then(() => true)
  const patience = new AbortController()
  const late = delay(END_MS_MAX, false, { ref: false, signal: patience.signal }).catch(() => false)
  if (!(await Promise.race([ended, late]))) client.connection.stream.destroy()
  patience.abort()
}
