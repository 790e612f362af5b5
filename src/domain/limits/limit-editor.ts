import { type Db, transaction } from '#db/pool.ts'
import { type Actor, recordAct } from '#domain/audit-trail.ts'
import { AppError } from '#src/errors.ts'
import type { RateLimit } from './rate-limit.ts'

const subjects = {
  project: { table: 'project', name: 'project' },
  key: { table: 'api_key', name: 'key' },
} as const

/** Whose limits. */
export interface LimitOwner {
  kind: keyof typeof subjects
  id: string
}

/** Limits of single keys and projects, in place of those of the settings. */
export function createLimitEditor({ db }: { db: Db }) {
  return {
    /** Null: those of the settings. Throws AppError not_found. */
    async get({ kind, id }: LimitOwner): Promise<RateLimit | null> {
      const { table, name } = subjects[kind]
      const { rows } = await db.query<{ limits: string | null }>(
        `select rate_limits as limits from ${table} where id = $1`,
        [id],
      )
      return parse(rows[0], name)
    },

    /** Holds everywhere within a second. Throws AppError not_found. */
    async set({ kind, id }: LimitOwner, limits: RateLimit | null, by: Actor): Promise<void> {
      const { table, name } = subjects[kind]
      await transaction(db, async (tx) => {
        // Changes of keys wait for each other before they lock anything, here as everywhere.
        await tx.query(`select pg_advisory_xact_lock(hashtextextended(current_schema() || '.key_change', 0))`)
        const { rows } = await tx.query<{ limits: string | null }>(
          `select rate_limits as limits from ${table} where id = $1 for update`,
          [id],
        )
        const before = parse(rows[0], name)
        await tx.query(`update ${table} set rate_limits = $2 where id = $1`, [
          id,
          limits === null ? null : JSON.stringify(limits),
        ])
        await recordAct(tx, {
          ...{ ...by, action: `${name}.limit_rates`, subject: id },
          before: { limits: before },
          after: { limits },
        })
      })
    },
  }
}

export type LimitEditor = ReturnType<typeof createLimitEditor>

function parse(row: { limits: string | null } | undefined, name: string): RateLimit | null {
  if (row === undefined) throw new AppError('not_found', { message: `No ${name} has this id.` })
  return row.limits === null ? null : (JSON.parse(row.limits) as RateLimit)
}
