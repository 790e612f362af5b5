import { setTimeout as delay } from 'node:timers/promises'
import { requireDurable, UnsafeDatabaseError } from '#db/durability.ts'
import { migrate, readMigrations } from '#db/migrate.ts'
import { createPool, type Db } from '#db/pool.ts'
import type { Config } from '#src/config.ts'
import type { Parts } from './parts.ts'

const DATABASE_END_MS = 5_000
/** The server ends a statement after 60 s. Longer silence means that nobody is there. */
const QUERY_MS_MAX = 65_000

/** A pool on a database that is durable and migrated. Throws Error with what to do. */
export async function openPool({ config, installation, log, opened }: Parts): Promise<Db> {
  const db = createPool({ connection: installation.connection, poolMax: 10, queryMsMax: QUERY_MS_MAX }, (error) =>
    log.warn({ err: error }, 'an idle database connection broke'),
  )
  opened.defer(() => endPool(db))
  await requireDurable(db).catch((error: unknown) => {
    throw error instanceof UnsafeDatabaseError ? error : unusable(error, config)
  })
  const { applied } = await migrate(db, await readMigrations())
  if (applied.length > 0) log.info({ applied }, 'migrated the database')
  return db
}

/** A query into a silent network never gives its connection back, and the pool would wait for it. */
async function endPool(db: Db): Promise<void> {
  const patience = new AbortController()
  const late = delay(DATABASE_END_MS, undefined, { signal: patience.signal }).catch(() => undefined)
  await Promise.race([db.end(), late])
  patience.abort()
}

/** Says what a person can mend; the driver's own words alone do not. */
function unusable(cause: unknown, config: Config): Error {
  const causes = cause instanceof AggregateError ? cause.errors : [cause]
  const words = causes.map((one) => (one instanceof Error ? one.message : String(one))).join('; ')
  const hint = config.embedded ? '' : ' Check that PostgreSQL runs and that DATABASE_URL is right.'
  return new Error(`The database cannot be used: ${words}.${hint}`, { cause })
}
