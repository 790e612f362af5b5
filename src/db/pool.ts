import pg from 'pg'
import { isConnectionError } from './failures.ts'

/** The schema that holds everything of ours; a database may be shared with others. */
export const SCHEMA = 'fluxgate'

export type Db = pg.Pool
export type Tx = pg.ClientBase

export interface DatabaseOptions {
  connection: pg.ClientConfig
  poolMax: number
  /** How long a query may go unanswered before the network counts as silent; for ever when absent. See `within`. */
  queryMsMax?: number
}

const INT8 = 20

// Money and counters are BIGINT: a JavaScript number would round above 2^53.
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? BigInt : pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser'],
}

const settings = {
  search_path: SCHEMA,
  timezone: 'UTC',
  application_name: 'fluxgate',
  client_min_messages: 'warning',
}

function withSettings(connection: pg.ClientConfig, extra: Record<string, string>): pg.ClientConfig {
  const all = { ...settings, ...extra }
  const options = Object.entries(all).map(([name, value]) => `-c ${name}=${value}`)
  return {
    ...connection,
    types,
    options: [connection.options, ...options].filter(Boolean).join(' '),
    connectionTimeoutMillis: connection.connectionTimeoutMillis ?? 5_000,
    // A server that is gone without a word is noticed in half a minute, not in the two hours of Linux.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  }
}

/** A bounded pool for everything but the hot path. An idle connection that dies is replaced, never fatal. */
export function createPool(options: DatabaseOptions, onIdleError: (error: Error) => void): Db {
  const pool = new pg.Pool({
    ...withSettings(options.connection, {
      statement_timeout: '60s',
      lock_timeout: '10s',
      idle_in_transaction_session_timeout: '30s',
      // A page of the log takes a millisecond, and compiling its plan, which PostgreSQL deems dear, took sixty.
      jit: 'off',
    }),
    max: options.poolMax,
    ...(options.queryMsMax !== undefined && { query_timeout: options.queryMsMax }),
    idleTimeoutMillis: 30_000,
  })
  pool.on('error', (error) => {
    // A server that stops may be faster than our own good-bye.
    if (pool.ending) return
    // The whole connection hangs on it, with the secret that cancels its queries: nothing to be logged.
    delete (error as { client?: unknown }).client
    onIdleError(error)
  })
  return pool
}

/**
 * One connection for one lane of the ledger. Plans are generic from the first call on: the array parameters are then
 * estimated small, so every batch size uses indexes, and nothing is planned twice.
 */
export async function connectLane(
  connection: pg.ClientConfig,
  onError: (error: Error) => void,
  applicationName = settings.application_name,
): Promise<pg.Client> {
  const client = new pg.Client(
    withSettings(connection, {
      application_name: applicationName,
      plan_cache_mode: 'force_generic_plan',
      // Plans are made once, often while tables are young and look small. These costs make every row that is read dear
      // beside every index probe, so that no plan reads a table from end to end, now or when it has grown.
      enable_seqscan: 'off',
      enable_mergejoin: 'off',
      random_page_cost: '1',
      cpu_tuple_cost: '1',
      cpu_index_tuple_cost: '0.5',
      statement_timeout: '15s',
      lock_timeout: '10s',
      idle_in_transaction_session_timeout: '15s',
      jit: 'off',
    }),
  )
  client.on('error', onError)
  await client.connect()
  return client
}

/** A query with its own limit for how long it may go unanswered: longer than the pool's for much work, shorter to notice sooner. */
export function within(msMax: number, query: string | pg.QueryConfig): pg.QueryConfig {
  return Object.assign({ query_timeout: msMax }, typeof query === 'string' ? { text: query } : query)
}

/** Runs `work` in one transaction; rolls back when it throws. */
export async function transaction<T>(db: Db, work: (tx: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await db.connect()
  let broken: Error | undefined
  const onError = (error: Error) => {
    broken = error
  }
  client.on('error', onError)
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    // Nobody is there to be told of a rollback: hanging up is one.
    if (isConnectionError(error)) broken = error
    else
      await client.query('rollback').catch((cause: Error) => {
        broken = cause
      })
    throw error
  } finally {
    client.off('error', onError)
    client.release(broken)
  }
}
