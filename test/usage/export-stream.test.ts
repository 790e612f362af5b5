import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { createLogExports, EXPORTS_MAX } from '#domain/usage/log-export.ts'
import { createUsageLog, type LogQuery, type UsageLog } from '#domain/usage/usage-log.ts'
import { createTestGateway, type TestGateway, type TestProject, until } from '#test/support/gateway.ts'
import { insertManyReports } from './many-reports.ts'

const ROWS = 60_000

let gateway: TestGateway
let project: TestProject
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(0n)
  await insertManyReports(gateway.db, project, ROWS)
})
after(() => gateway.close())

const path = '/api/v1/logs/export?start_date=2026-11-01&end_date=2026-11-23&format=csv'
const openExport = () => gateway.open(undefined, { method: 'GET', path, key: project.secret })

function everything(): LogQuery {
  return {
    filter: { projectId: project.id },
    range: { from: 0n, to: 1_800_000_000_000_000n },
    hasEnd: true,
  }
}

/** The real log, and how many pages of it were asked for. */
function countPages() {
  const log = createUsageLog(gateway)
  let pages = 0
  const counting: UsageLog = {
    page(...query) {
      pages += 1
      return log.page(...query)
    },
  }
  return { counting, pages: () => pages }
}

test('an export has every row once, with its own head and end', async () => {
  const reply = await (await openExport()).all()
  assert.deepEqual([reply.status, reply.whole], [200, true])
  const lines = reply.text.split('\r\n').slice(1, -1)
  assert.equal(lines.length, ROWS)
  assert.equal(new Set(lines.map((line) => line.split(',')[9])).size, ROWS)
})

test('a page reads its index from the cursor on, and nothing else of the table', async () => {
  await gateway.db.query('analyze reported_log')
  const plans: string[] = []
  const db = {
    async query(text: string, values: unknown[]) {
      const { rows } = await gateway.db.query<{ 'QUERY PLAN': string }>(`explain ${text}`, values)
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
      return gateway.db.query(text, values)
    },
  }
  const log = createUsageLog({ db: db as unknown as TestGateway['db'] })
  const { next: after } = await log.page(everything(), { limit: 50 })
  await log.page(everything(), { limit: 50, after })
  await log.page({ ...everything(), filter: { projectId: project.id, alias: 'alias 1' } }, { limit: 50, after })
  assert(plans.length >= 4)
  for (const plan of plans.filter((text) => text.includes('reported_log'))) {
    assert.match(plan, /Index Scan Backward using reported_log_project/)
    assert.doesNotMatch(plan, /Seq Scan on reported_log/)
  }
})

test('a client that reads nothing is not read ahead for, and when it hangs up the reading ends', async () => {
  const { counting, pages } = countPages()
  const exports = createLogExports({ usageLog: counting })
  const file = await exports.open(everything(), 'csv')
  await once(file, 'readable')
  const before = pages()
  assert(before <= 3, `a page or two are ready, not ${before}`)
  // A page makes more than the buffer holds, so nothing else may happen until somebody reads.
  await new Promise((resolve) => setImmediate(resolve))
  assert(pages() <= before + 1)
  file.destroy()
  await once(file, 'close')
  assert.equal(exports.running(), 0)
  assert(pages() <= before + 1)
})

test('a client that takes nothing for too long loses its place', async () => {
  const exports = createLogExports({ usageLog: createUsageLog(gateway), stallMs: 20 })
  const file = await exports.open(everything(), 'ndjson')
  file.read(0) // Makes the first page ready, and takes none of it.
  const [error] = await once(file, 'error')
  assert.match(error.message, /takes nothing/)
  if (!file.closed) await once(file, 'close')
  assert.equal(exports.running(), 0)
})

test('as many exports run as may, the next is told to wait, and one that is hung up on makes room', async () => {
  const open = await Promise.all(Array.from({ length: EXPORTS_MAX }, openExport))
  for (const { status, response } of open) {
    assert.equal(status, 200)
    response.pause()
  }
  const refused = await (await openExport()).all()
  assert.deepEqual([refused.status, refused.json.code], [503, 'overloaded'])
  assert.match(String(refused.headers['retry-after']), /^\d+$/)
  assert.equal(refused.headers['x-should-retry'], 'true')
  open[0]?.hangUp()
  let again = await openExport()
  await until('there is room', async () => {
    if (again.status === 200) return true
    await again.all()
    again = await openExport()
    return again.status === 200
  })
  assert.equal((await again.all()).whole, true)
  for (const one of open) one.hangUp()
})

test('a file that cannot be finished is seen to break off', async () => {
  const started = await openExport()
  assert.equal(started.status, 200)
  started.response.pause()
  await gateway.db.query('alter table reported_log rename to reported_log_away')
  try {
    started.response.resume()
    assert.equal((await started.all()).whole, false)
    const refused = await (await openExport()).all()
    assert.equal(refused.status, 500)
    assert.equal(refused.json.code, 'internal')
  } finally {
    await gateway.db.query('alter table reported_log_away rename to reported_log')
  }
})
