import { pino } from 'pino'
import { findEmbeddedPostgres, startEmbeddedPostgres } from '#adapters/embedded-postgres.ts'
import { createPool, type Db } from '#db/pool.ts'
import type { Config } from './config.ts'

/**
 * The configured database for one command: DATABASE_URL, else the embedded server that a gateway runs for this DATA_DIR, else
 * that server started for as long as the command lasts.
 */
export async function openDatabase(config: Config): Promise<{ db: Db; close(): Promise<void> }> {
  const log = pino({ level: 'warn', base: null }, pino.destination(2))
  const pool = (connection: Parameters<typeof createPool>[0]['connection']) =>
    createPool({ connection, poolMax: 4 }, (error) => log.warn({ err: error }, 'a database connection broke'))
  if (config.DATABASE_URL !== undefined) return closeable(pool({ connectionString: config.DATABASE_URL }))
  const running = await findEmbeddedPostgres(config.DATA_DIR)
  if (running !== undefined) return closeable(pool(running.connection))
  const started = await startEmbeddedPostgres({
    dataDir: config.DATA_DIR,
    searchPath: config.searchPath,
    log: (level, message, fields) => log[level](fields, message),
  })
  return closeable(pool(started.connection), () => started.stop())
}

function closeable(db: Db, after: () => Promise<void> = async () => undefined) {
  return {
    db,
    async close() {
      await db.end()
      await after()
    },
  }
}
