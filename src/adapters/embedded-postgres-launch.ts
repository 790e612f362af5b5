import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { DatabaseAddress, Log } from '#adapters/embedded-postgres.ts'
import type { PostgresBinaries } from '#adapters/embedded-postgres-binaries.ts'
import type { DatabasePlace } from '#adapters/embedded-postgres-place.ts'
import { clearLeftovers, type Endpoint, runServer, type ServerRun } from '#adapters/embedded-postgres-server.ts'

export const DATABASE_NAME = 'fluxgate'

// After a crash the database replays its log, which can take minutes; what takes longer needs a person.
const READY_MS_MAX = 600_000
const READY_POLL_MS = 20
const READY_NEWS_MS = 5_000
const LOCKED_MS_MAX = 30_000
const LOCKED_POLL_MS = 250

const PASSWORD_REFUSED = '28P01'

export interface Server {
  place: DatabasePlace
  binaries: PostgresBinaries
  endpoint: Endpoint
  durable: boolean
  log: Log
  address: DatabaseAddress
}

/**
 * Starts the server and waits until it takes connections. What a killed server left behind is cleared or waited for; the abort
 * signal ends the wait and the server. Throws with the server's last lines when it cannot run.
 */
export async function launchServer(server: Server, signal: AbortSignal): Promise<ServerRun> {
  const deadline = Date.now() + LOCKED_MS_MAX
  for (;;) {
    await clearLeftovers(server.place, server.log)
    const run = runServer(server)
    try {
      const end = await Promise.race([run.exited, untilReady(server, run, signal)])
      if (end === undefined) return run
      const lines = run.lastLines()
      const locked = /lock file|still in use|already in use/i.test(lines)
      if (!locked || Date.now() > deadline) throw new Error(`PostgreSQL did not start (${end}):\n${lines}`)
    } catch (error) {
      await run.stop()
      throw error
    }
    await sleep(LOCKED_POLL_MS, undefined, { signal })
  }
}

async function untilReady(server: Server, run: ServerRun, signal: AbortSignal): Promise<undefined> {
  const startedAt = Date.now()
  let newsAt = startedAt + READY_NEWS_MS
  let ended = false
  void run.exited.then(() => {
    ended = true
  })
  while (!ended) {
    signal.throwIfAborted()
    if (await takesConnections(server.address)) return
    const now = Date.now()
    if (now - startedAt > READY_MS_MAX) {
      throw new Error(`PostgreSQL was not ready after ${READY_MS_MAX} ms:\n${run.lastLines()}`)
    }
    if (now > newsAt) {
      newsAt = now + READY_NEWS_MS
      server.log('info', 'waiting for the database, which may be recovering from a crash', {
        seconds: Math.round((now - startedAt) / 1000),
      })
    }
    await sleep(READY_POLL_MS)
  }
}

// Besides, this makes the database that everything else connects to: the server's own tools do not.
async function takesConnections(address: DatabaseAddress): Promise<boolean> {
  try {
    await withClient({ ...address.connection, database: 'postgres' }, async (client) => {
      const found = await client.query('select from pg_database where datname = $1', [DATABASE_NAME])
      if (found.rowCount === 0) await client.query(`create database ${DATABASE_NAME}`)
    })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === PASSWORD_REFUSED) {
      throw new Error(
        'The database refuses the password in postgres.json. Remove that file: a new password is then set.',
      )
    }
    return false
  }
}

async function withClient(connection: pg.ClientConfig, use: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 5_000 })
  // A server that goes away between two statements reports it here as well; the statement itself fails too.
  client.on('error', () => {})
  try {
    await client.connect()
    await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}
