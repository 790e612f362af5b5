import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import { type Migration, MigrationError, migrate, readMigrations } from '#db/migrate.ts'
import { createPool, type Db, SCHEMA } from '#db/pool.ts'
import { createTestDatabase } from '#test/support/database.ts'

const closers: (() => Promise<unknown>)[] = []
after(async () => {
  for (const close of closers.reverse()) await close()
})

async function emptyDatabase() {
  const database = await createTestDatabase({ migrated: false })
  closers.push(database.close)
  return database
}

function migration(id: number, sql: string, name = `step_${id}`): Migration {
  return { id, name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

async function history(db: Db): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(`select id from ${SCHEMA}.schema_migration order by id`)
  return rows.map((row) => row.id)
}

const table = migration(1, 'create table thing (id integer primary key)')
const column = migration(2, 'alter table thing add column name text')
const broken = migration(2, 'create table half (id integer); select no_such_function()')

test('many processes may migrate at once: each migration is applied by one of them', async () => {
  const { connection } = await emptyDatabase()
  const migrations = await readMigrations()
  const pools = Array.from({ length: 8 }, () => createPool({ connection, poolMax: 1 }, () => undefined))
  closers.push(() => Promise.all(pools.map((pool) => pool.end())))

  const results = await Promise.all(pools.map((pool) => migrate(pool, migrations)))

  const applied = results.flatMap((result) => result.applied)
  assert.equal(applied.length, migrations.length)
  assert.equal(new Set(applied).size, migrations.length)
  const [db] = pools
  assert(db !== undefined)
  assert.deepEqual(
    await history(db),
    migrations.map(({ id }) => id),
  )
})

test('a migrated database is left alone', async () => {
  const { db } = await emptyDatabase()
  assert.deepEqual(await migrate(db, [table, column]), { applied: ['0001_step_1', '0002_step_2'] })
  assert.deepEqual(await migrate(db, [table, column]), { applied: [] })
})

test('a migration that was applied with other contents is refused', async () => {
  const { db } = await emptyDatabase()
  await migrate(db, [table])
  const edited = migration(1, 'create table thing (id bigint primary key)')
  await assert.rejects(migrate(db, [edited, column]), (error: Error) => {
    assert(error instanceof MigrationError)
    assert.match(error.message, /0001_step_1 was applied with other contents/)
    return true
  })
  assert.deepEqual(await history(db), [1], 'nothing after it is applied')
})

test('a schema newer than this release is refused', async () => {
  const { db } = await emptyDatabase()
  await migrate(db, [table, column])
  await assert.rejects(migrate(db, [table]), /0002_step_2, which this release does not know: start a newer release/)
})

test('a failing migration is rolled back whole and refused, and a mended one goes on from there', async () => {
  const { db } = await emptyDatabase()
  await assert.rejects(migrate(db, [table, broken]), (error: Error) => {
    assert(error instanceof MigrationError)
    assert.match(error.message, /0002_step_2 failed and was rolled back: .*no_such_function/)
    return true
  })
  assert.deepEqual(await history(db), [1])
  const { rows } = await db.query(`select to_regclass('${SCHEMA}.half') as half`)
  assert.deepEqual(rows, [{ half: null }])
  await assert.rejects(migrate(db, [table, broken]), MigrationError, 'the next start meets the same refusal')

  assert.deepEqual(await migrate(db, [table, column]), { applied: ['0002_step_2'] })
})

test('a process that is killed between two migrations leaves the first one applied', async () => {
  const { db } = await emptyDatabase()
  const killing = migration(2, 'select pg_terminate_backend(pg_backend_pid())')
  await assert.rejects(migrate(db, [table, killing]))
  assert.deepEqual(await history(db), [1])
  assert.deepEqual(await migrate(db, [table, column]), { applied: ['0002_step_2'] })
})

test('a migration has half an hour, but waits only seconds for a table in use', async () => {
  const { db } = await emptyDatabase()
  const settings = `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock`
  await migrate(db, [migration(1, `create table limits as ${settings}`)])
  const { rows } = await db.query('select statement, lock from limits')
  assert.deepEqual(rows, [{ statement: '30min', lock: '10s' }])
})
