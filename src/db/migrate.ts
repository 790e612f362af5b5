import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { assert } from '#lib/assert.ts'
import { type Db, SCHEMA, transaction, within } from './pool.ts'

export interface Migration {
  id: number
  name: string
  sql: string
  checksum: string
}

/** What stops a start: the message says which migration and what to do. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
}

const STATEMENT_MS_MAX = 30 * 60_000
const TABLE_LOCK_TIMEOUT = '10s'

const folder = fileURLToPath(new URL('./migrations/', import.meta.url))

/** Reads NNNN_words.sql files in order; gaps and other names are refused. */
export async function readMigrations(from = folder): Promise<Migration[]> {
  const names = (await readdir(from)).sort()
  return Promise.all(
    names.map(async (file, index) => {
      const [, number, name] = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file) ?? []
      assert(number !== undefined && name !== undefined, `${file} is named NNNN_words.sql`)
      assert(Number(number) === index + 1, `${file} follows the previous migration without a gap`)
      const sql = await readFile(`${from}/${file}`, 'utf8')
      return { id: Number(number), name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

/**
 * Brings the schema up to `migrations`, each in a transaction of its own. Safe to run from many processes at once: one
 * works, the others wait. Refuses a schema that is newer than this code or whose history differs from it.
 */
export async function migrate(db: Db, migrations: Migration[]): Promise<{ applied: string[] }> {
  const applied: string[] = []
  for (;;) {
    const next = await transaction(db, async (tx) => {
      // The pool's limits are made for requests. Waiting for another migrator may take as long as its work does, but a
      // change that waits for a table blocks everybody behind it, so that wait stays short.
      await tx.query(`set local statement_timeout = ${STATEMENT_MS_MAX}`)
      await tx.query(`set local lock_timeout = ${STATEMENT_MS_MAX}`)
      await tx.query(
        within(STATEMENT_MS_MAX, {
          text: 'select pg_advisory_xact_lock(hashtext($1))',
          values: [`${SCHEMA} migrations`],
        }),
      )
      await tx.query(`set local lock_timeout = '${TABLE_LOCK_TIMEOUT}'`)
      await tx.query(`create schema if not exists ${SCHEMA}`)
      await tx.query(`create table if not exists ${SCHEMA}.schema_migration (
        id integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`)
      const { rows } = await tx.query<{ id: number; name: string; checksum: string }>(
        `select id, name, checksum from ${SCHEMA}.schema_migration order by id`,
      )
      checkHistory(rows, migrations)
      const migration = migrations[rows.length]
      if (migration === undefined) return undefined
      try {
        await tx.query(within(STATEMENT_MS_MAX, migration.sql))
      } catch (cause) {
        throw new MigrationError(`migration ${label(migration)} failed and was rolled back: ${String(cause)}`, {
          cause,
        })
      }
      await tx.query(`insert into ${SCHEMA}.schema_migration (id, name, checksum) values ($1, $2, $3)`, [
        migration.id,
        migration.name,
        migration.checksum,
      ])
      return migration
    })
    if (next === undefined) return { applied }
    applied.push(label(next))
  }
}

function checkHistory(rows: { id: number; name: string; checksum: string }[], migrations: Migration[]): void {
  for (const row of rows) {
    const known = migrations.find((migration) => migration.id === row.id)
    if (known === undefined)
      throw new MigrationError(
        `the database has migration ${label(row)}, which this release does not know: start a newer release`,
      )
    if (known.checksum !== row.checksum)
      throw new MigrationError(`migration ${label(row)} was applied with other contents than this release has`)
  }
}

function label(migration: { id: number; name: string }): string {
  return `${String(migration.id).padStart(4, '0')}_${migration.name}`
}
