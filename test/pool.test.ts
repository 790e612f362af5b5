import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { createPool } from '#db/pool.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { until } from '#test/support/until.ts'

let database: TestDatabase
before(async () => {
  database = await createTestDatabase({ migrated: false, poolMax: 1 })
})
after(() => database.close())

test('an idle connection that breaks is told without the connection and its secrets, and replaced', async () => {
  const told: Error[] = []
  const pool = createPool({ connection: database.connection, poolMax: 1 }, (error) => told.push(error))
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  await database.db.query('select pg_terminate_backend($1)', [rows[0]?.pid])
  await until('it is told', () => told.length > 0)
  assert.doesNotMatch(inspect(told, { depth: 10 }), /secretKey|connectionParameters/)
  assert.equal((await pool.query('select 1')).rowCount, 1)
  await pool.end()
  assert.equal(told.length, 1)
})
