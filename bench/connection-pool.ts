import { type Connection, type ConnectionError, type Exchange, openConnection } from './load-connection.ts'
import type { ResponseSummary } from './response-parser.ts'

/** Connections that may be opening at once, below the usual listen backlog. */
const CONNECTING_MAX = 100
const RECONNECT_MS = 20

export type ConnectionPool = ReturnType<typeof createConnectionPool>

/** Keeps so many connections to one server: opens them without a rush and replaces those that die. */
export function createConnectionPool(
  target: { host: string; port: number },
  size: number,
  on: {
    /** All connections stand. Called once. */
    filled(): void
    /** A connection that was replaced stands again. */
    refilled(): void
    answered(exchange: Exchange, summary: ResponseSummary): void
    /** `exchange` is what the connection carried, if anything. */
    failed(error: ConnectionError, exchange: Exchange | undefined): void
  },
) {
  const open = new Set<Connection>()
  const idle: Connection[] = []
  let wanted = size
  let connecting = 0
  let filled = false
  let closed = false
  connectMore()

  function connectMore(): void {
    while (!closed && wanted > 0 && connecting < CONNECTING_MAX) {
      wanted -= 1
      connecting += 1
      open.add(openConnection(target, { ready, answered, failed }))
    }
  }

  function ready(connection: Connection): void {
    connecting -= 1
    idle.push(connection)
    connectMore()
    if (filled) on.refilled()
    else if (idle.length === size) {
      filled = true
      on.filled()
    }
  }

  function answered(exchange: Exchange, summary: ResponseSummary, connection: Connection): void {
    if (connection.isDead()) replace(connection)
    else idle.push(connection)
    on.answered(exchange, summary)
  }

  function failed(error: ConnectionError, exchange: Exchange | undefined, connection: Connection): void {
    if (error === 'connect') connecting -= 1
    replace(connection)
    on.failed(error, exchange)
  }

  function replace(connection: Connection): void {
    open.delete(connection)
    wanted += 1
    setTimeout(connectMore, RECONNECT_MS)
  }

  return {
    /** The connection that has been idle longest, so that all of them are used; it is the caller's until it answers. */
    take(): Connection | undefined {
      let connection = idle.shift()
      while (connection?.isDead()) connection = idle.shift()
      return connection
    },

    /** Fails every exchange that was sent before `beforeMs`. */
    expire(beforeMs: number): void {
      for (const connection of open) connection.expire(beforeMs)
    },

    close(): void {
      closed = true
      for (const connection of open) connection.close()
    },
  }
}
