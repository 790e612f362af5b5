import { realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { isAbsolute, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DataLock, findLockHolder, lockDataDir } from '#adapters/data-lock.ts'
import { findPostgresBinaries } from '#adapters/embedded-postgres-binaries.ts'
import {
  createDatabaseFiles,
  DATABASE_USER,
  readDatabaseMajor,
  resetPassword,
} from '#adapters/embedded-postgres-init.ts'
import { DATABASE_NAME, launchServer, type Server } from '#adapters/embedded-postgres-launch.ts'
import { findDatabasePlace, readRecord, writeRecord } from '#adapters/embedded-postgres-place.ts'
import { clearLeftovers, type Endpoint, type ServerRun } from '#adapters/embedded-postgres-server.ts'
import { assert } from '#lib/assert.ts'

const SYSTEM_DIR = '/var/lib/fluxgate'
const SOCKET_PORT = 5432
// Linux allows 107 bytes for the path of a socket, macOS 103.
const SOCKET_PATH_BYTES_MAX = 100

const STABLE_MS = 5_000
const BACKOFF_MS_MIN = 200
const BACKOFF_MS_MAX = 5_000
const RESTART_FAILURES_MAX = 10

export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void

export interface DatabaseAddress {
  /** Fits `pg.Pool` and `pg.Client`. The host is the folder of a socket, or 127.0.0.1 where its path would be too long. */
  connection: { host: string; port: number; user: string; password: string; database: string }
  url: string
}

export interface EmbeddedPostgres extends DatabaseAddress {
  /** The process id of the server that runs now, or of the last one while it is being restarted. */
  pid(): number
  /** Stops the server and gives the data directory back. Safe to call again, and while the server is being restarted. */
  stop(): Promise<void>
  /** Resolves when the server is down for good: after `stop`, or after RESTART_FAILURES_MAX failed restarts in a row. */
  exited: Promise<'stopped' | 'gave_up'>
}

export interface EmbeddedPostgresOptions {
  /** Absolute. Created when missing; holds the database, or a link to it where the server's user may not enter. */
  dataDir: string
  log: Log
  /** False only in tests: nothing is flushed to disk. A killed process loses nothing then, a power cut everything. */
  durable?: boolean
  onCrash?: (reason: string) => void
  /** Where root keeps what an unprivileged user must reach. */
  systemDir?: string
  /** The PATH on which to look for an installed server when the npm package is missing. */
  searchPath?: string
}

/**
 * Runs the database of a data directory, creating it on the first start, and restarts it when it dies. Resolves when it takes
 * connections. Throws DataDirInUseError while another living process runs it.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  assert(isAbsolute(options.dataDir), 'a data directory is named by an absolute path')
  const { log, durable = true, systemDir = SYSTEM_DIR, searchPath = '' } = options
  const locks: DataLock[] = [await lockDataDir(options.dataDir, 'postgres')]
  const release = async () => {
    for (const lock of locks) await lock.release()
  }
  try {
    const dataDir = await realpath(options.dataDir)
    const place = await findDatabasePlace({ dataDir, systemDir, log })
    // A database outside can be linked from two data directories.
    if (place.folder !== dataDir) locks.push(await lockDataDir(place.folder, 'postgres'))
    const major = await readDatabaseMajor(place.pgdata)
    const copiesDir = place.account.ids.uid === undefined ? dataDir : systemDir
    const binaries = await findPostgresBinaries({ account: place.account, copiesDir, major, searchPath })
    await clearLeftovers(place, log)
    if (major === undefined) {
      log('info', 'creating the database', { pgdata: place.pgdata, version: binaries.version })
      await createDatabaseFiles({ place, binaries, durable, log })
    } else if (!place.record.initialised) {
      await resetPassword(place, binaries)
    }
    const endpoint = await chooseEndpoint(place.pgdata)
    await writeRecord(dataDir, { ...place.record, initialised: true, ...endpoint })
    const address = addressOf(endpoint, place.record.password)
    const server = { place, binaries, endpoint, durable, log, address }
    const aborter = new AbortController()
    const first = await launchServer(server, aborter.signal)
    return { ...address, ...supervise({ server, first, aborter, release, onCrash: options.onCrash ?? (() => {}) }) }
  } catch (error) {
    await release()
    throw error
  }
}

/** How to reach the database that another living process runs for this data directory, or undefined when none does. */
export async function findEmbeddedPostgres(dataDir: string): Promise<DatabaseAddress | undefined> {
  if ((await findLockHolder(dataDir, 'postgres')) === undefined) return undefined
  const record = await readRecord(dataDir)
  if (record === undefined || record.host === '') return undefined
  return addressOf({ host: record.host, port: record.port }, record.password)
}

// One loop owns the server: whoever wants it stopped aborts the loop and waits for its end.
function supervise(options: {
  server: Server
  first: ServerRun
  aborter: AbortController
  release: () => Promise<void>
  onCrash: (reason: string) => void
}): Pick<EmbeddedPostgres, 'pid' | 'stop' | 'exited'> {
  const { server, aborter, release, onCrash } = options
  const { signal } = aborter
  const { log } = server
  const aborted = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)))
  let run = options.first

  async function watch(): Promise<'stopped' | 'gave_up'> {
    let backoffMs = 0
    for (;;) {
      const readyAt = performance.now()
      const reason = await Promise.race([run.exited, aborted])
      if (reason === undefined) {
        await run.stop()
        return 'stopped'
      }
      backoffMs = performance.now() - readyAt > STABLE_MS ? 0 : nextBackoff(backoffMs)
      log('error', 'the database server ended by itself and is restarted', { pid: run.pid, reason, backoffMs })
      onCrash(reason)
      const next = await relaunch(backoffMs)
      if (next === undefined) return signal.aborted ? 'stopped' : 'gave_up'
      run = next
      log('info', 'the database server runs again', { pid: run.pid })
    }
  }

  async function relaunch(firstBackoffMs: number): Promise<ServerRun | undefined> {
    let backoffMs = firstBackoffMs
    for (let failures = 0; failures < RESTART_FAILURES_MAX; failures += 1) {
      await sleep(backoffMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return undefined
      try {
        return await launchServer(server, signal)
      } catch (error) {
        if (signal.aborted) return undefined
        backoffMs = nextBackoff(backoffMs)
        log('error', 'the database server could not be restarted', {
          error: String(error),
          failures: failures + 1,
          backoffMs,
        })
      }
    }
    return undefined
  }

  const exited = watch().finally(release)
  const stop = async () => {
    aborter.abort()
    await exited
  }
  return { pid: () => run.pid, stop, exited }
}

function nextBackoff(ms: number): number {
  return Math.min(Math.max(BACKOFF_MS_MIN, ms * 2), BACKOFF_MS_MAX)
}

// A socket is reachable by this user only and needs no port. Its path has a limit, so a deep directory gets a loopback port.
async function chooseEndpoint(pgdata: string): Promise<Endpoint> {
  if (Buffer.byteLength(join(pgdata, `.s.PGSQL.${SOCKET_PORT}`)) <= SOCKET_PATH_BYTES_MAX)
    return { host: pgdata, port: SOCKET_PORT }
  return await new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const found = probe.address()
      assert(found !== null && typeof found === 'object', 'a listening server has a port')
      probe.close(() => resolve({ host: '127.0.0.1', port: found.port }))
    })
  })
}

function addressOf(endpoint: Endpoint, password: string): DatabaseAddress {
  const { host, port } = endpoint
  const socket = host.startsWith('/')
  const authority = `${DATABASE_USER}:${password}@${socket ? 'localhost' : host}:${port}`
  return {
    connection: { host, port, user: DATABASE_USER, password, database: DATABASE_NAME },
    url: `postgresql://${authority}/${DATABASE_NAME}${socket ? `?host=${encodeURIComponent(host)}` : ''}`,
  }
}
