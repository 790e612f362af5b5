import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { foldUsage } from '#domain/usage/usage-folder.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { reportUsage } from '#test/support/reported-usage.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const HOUR_MS = 3_600_000
const REPORT = 'POST /api/v1/log'
const report = { model: 'gpt-4o-mini', provider: 'openai', input_tokens: 1000, output_tokens: 200 }

async function hoursOf(projectId: string): Promise<number> {
  const { rows } = await api.database.db.query(
    'select coalesce(sum(u.calls), 0)::int as n from usage_1h u join usage_series s on s.id = u.series where s.project_id = $1',
    [projectId],
  )
  return rows[0].n
}

test('a step of folding ends with the hour in which it has enough, however many labels there are', async () => {
  const { secret } = await api.openProject('many labels')
  const by = await api.deps.keyring.authenticate(secret)
  const start = Date.UTC(2026, 0, 1)
  const at = (hour: number) => new Date(start + hour * HOUR_MS).toISOString()
  const calls = [0, 1, 5].flatMap((hour) => ['a', 'b', 'c'].map((alias) => ({ alias, occurredAt: at(hour) })))
  await api.database.db.query(`update usage_fold set until = '2025-12-31 00:00+00'`)
  await reportUsage(api.database.db, by, calls)
  const ends: number[] = []
  for (const _step of calls) {
    await foldUsage(api.database.db, 2)
    ends.push(await hoursOf(by.projectId))
  }
  assert.deepEqual(ends.slice(0, 4), [3, 6, 9, 9])
})

test('POST /api/v1/log 422: no report brings a quarter hour where its hour cannot be added', async () => {
  const { secret, projectId } = await api.openProject('too much')
  const timestamp = '2026-02-01T00:00:00Z'
  await api.call(REPORT, { key: secret, body: { ...report, timestamp } })
  const { db } = api.database
  const ofProject = 'where series in (select id from usage_series where project_id = $1)'
  await db.query(`update usage_15m set cost = 2305843009213693951 ${ofProject}`, [projectId])
  const { status, body } = await api.call(REPORT, { key: secret, body: { ...report, timestamp } })
  assert.deepEqual([status, body.code], [422, 'body_invalid'])
  await db.query(`update usage_15m set cost = 270000 ${ofProject}`, [projectId])
})
