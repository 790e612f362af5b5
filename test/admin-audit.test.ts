import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const GET = 'GET /api/admin/audit'

test('GET /api/admin/audit 200: every invariant with its rows, all good', async () => {
  await api.till.charge(await api.openProject('audited', 10_000n), 1_000n)
  const { status, body } = await api.call(GET)
  assert.equal(status, 200)
  assert.equal(body.ok, true)
  assert(body.invariants.length >= 8)
  assert(body.invariants.every((invariant: { bad: number }) => invariant.bad === 0))
})

test('GET /api/admin/audit 200: books that do not balance are reported as such', async () => {
  const { db } = api.database
  await api.openProject('doctored')
  await db.query('update wallet set posted = posted + 1, version = version + 1 where id = (select max(id) from wallet)')
  const { status, body } = await api.call(GET)
  assert.equal(status, 200)
  assert.equal(body.ok, false)
  assert.deepEqual(
    body.invariants.flatMap(({ name, bad }: { name: string; bad: number }) => (bad > 0 ? [[name, bad]] : [])),
    [['what a wallet has posted is the sum of its lots', 1]],
  )
  await db.query('update wallet set posted = posted - 1, version = version + 1 where id = (select max(id) from wallet)')
})

testSharedRefusals(() => api, { line: GET })

test('every documented status was met', () => api.expectEveryStatus(GET))
