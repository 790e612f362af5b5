import { migrate, readMigrations } from '#db/migrate.ts'
import type { Db } from '#db/pool.ts'
import { claimSlot } from '#domain/slot.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import type { CliDeps } from './command.ts'

const SLOT_LEASE_MS = 60_000

/** Runs `work` on a database with the schema of this release, and closes it whatever happens. */
export async function withDatabase<T>(deps: CliDeps, work: (db: Db) => Promise<T>): Promise<T> {
  const database = await deps.openDatabase()
  try {
    await migrate(database.db, await readMigrations())
    return await work(database.db)
  } finally {
    await database.close()
  }
}

/** The same for a command that moves money: it writes under a slot of its own, like every gateway. */
export async function withBooks<T>(
  deps: CliDeps,
  work: (books: { db: Db; slot: { current(): { slot: number; epoch: bigint } } }) => Promise<T>,
): Promise<T> {
  return withDatabase(deps, async (db) => {
    const report = (error: unknown) => deps.err.write(`warning: ${String(error)}\n`)
    const slot = await claimSlot({
      db,
      instance: `cli:${uuidv7Hex()}`,
      leaseMs: SLOT_LEASE_MS,
      onLost: ({ slot }) => report(`writer slot ${slot} was lost`),
      onError: report,
    })
    try {
      return await work({ db, slot })
    } finally {
      await slot.release()
    }
  })
}
