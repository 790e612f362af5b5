import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestDatabase } from '#test/support/database.ts'
import { claimTestSlot } from '#test/support/slot.ts'

test('test databases are migrated, separate and gone after close', async () => {
  const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()])
  const slot = await claimTestSlot(one.db)
  assert.deepEqual(slot.current(), { slot: 1, epoch: 1n })
  const { rows } = await other.db.query('select * from gateway_slot')
  assert.equal(rows.length, 0)
  await one.close()

  const { rows: left } = await other.db.query('select 1 from pg_database where datname = $1', [one.name])
  assert.equal(left.length, 0)
  await other.close()
})
