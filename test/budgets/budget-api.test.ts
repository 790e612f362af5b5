import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createBudgetWatch } from '#domain/budgets/budget-watch.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'
import { openPerson } from '#test/support/people.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const LIST = (id: string) => `/api/admin/projects/${id}/budgets`
const good = { name: 'all', limit_nanousd: '1000000', period: 'month' }

for (const route of [
  { line: `GET ${LIST('prj_aaaaaaaaaaaaaaaaaaaa')}` },
  { line: `POST ${LIST('prj_aaaaaaaaaaaaaaaaaaaa')}`, body: good },
  { line: `GET ${LIST('prj_aaaaaaaaaaaaaaaaaaaa')}/bud_1` },
  { line: `PATCH ${LIST('prj_aaaaaaaaaaaaaaaaaaaa')}/bud_1`, body: { name: 'x' } },
  { line: 'GET /v1/budgets', key: 'client', scope: 'read' } as const,
])
  testSharedRefusals(() => api, route)

async function create(projectId: string, more: Record<string, unknown> = {}) {
  const answer = await api.call(`POST ${LIST(projectId)}`, { body: { ...good, ...more } })
  assert.equal(answer.status, 201, answer.text)
  return answer.body
}

test('a budget is made, shown, changed and switched off; what was spent stays', async () => {
  const key = await api.openProject('shown', 10_000_000n)
  await api.till.charge(key, 4_000n)
  const made = await create(key.projectId, { time_zone: 'Europe/Berlin', warn_percent: [50] })
  assert.deepEqual(
    [made.limit_nanousd, made.spent_nanousd, made.remaining_nanousd, made.time_zone, made.active],
    ['1000000', '4000', '996000', 'Europe/Berlin', true],
  )
  assert(Date.parse(made.period_start) <= Date.now() && Date.parse(made.period_end) > Date.now())
  await api.till.charge(key, 6_000n)
  const path = `${LIST(key.projectId)}/${made.id}`
  const { body: edited } = await api.call(`PATCH ${path}`, { body: { name: 'renamed', limit_nanousd: '9000' } })
  assert.deepEqual([edited.name, edited.spent_nanousd, edited.remaining_nanousd], ['renamed', '10000', '0'])
  const { body: off } = await api.call(`PATCH ${path}`, { body: { active: false } })
  assert.deepEqual([off.active, off.spent_nanousd], [false, '10000'])
  await api.till.charge(key, 5_000n)
  assert.equal((await api.call(`GET ${path}`)).body.spent_nanousd, '10000')
  assert.deepEqual((await api.call(`GET ${LIST(key.projectId)}`)).body.data.length, 1)
  const { rows } = await api.database.db.query(
    `select action, before is null as fresh from audit_event where subject = $1 order by at`,
    [made.id.slice(4)],
  )
  assert.deepEqual(
    rows.map(({ action }) => action),
    ['budget.create', 'budget.update', 'budget.update'],
  )
})

test('a budget begins with what matching calls were charged in its period, as far as records tell', async () => {
  const key = await api.openProject('opening', 10_000_000n)
  await api.till.charge(key, 3_000n, { context: { aliasName: 'mine' } })
  await api.till.charge(key, 2_000n)
  const spent = async (more: Record<string, unknown>) => (await create(key.projectId, more)).spent_nanousd
  assert.equal(await spent({ name: 'a', alias: 'mine' }), '3000')
  assert.equal(await spent({ name: 'k', key_id: key.keyId }), '5000')
  assert.equal(await spent({ name: 'o', key_id: 'key_of_another' }), '0')
  assert.equal(await spent({ name: 't', tag: 'mine' }), '0')
  assert.equal(await spent({ name: 'e', period: 'total' }), '5000')
})

test(`POST ${LIST('{id}')} 400, 404, 409: what a budget cannot be`, async () => {
  const { projectId } = await api.openProject('refused')
  for (const bad of [
    ...[
      { name: '' },
      { limit_nanousd: '-1' },
      { limit_nanousd: 5 },
      { limit_nanousd: '999999999999999999999' },
      { period: 'year' },
    ],
    ...[
      { time_zone: 'Mars/Olympus' },
      { time_zone: '' },
      { warn_percent: [0] },
      { warn_percent: [50, 50] },
      { tag: '' },
      { spent: '0' },
    ],
  ]) {
    const { status, body } = await api.call(`POST ${LIST(projectId)}`, { body: { ...good, ...bad } })
    assert.deepEqual([status, body.error?.code], [400, 'body_invalid'], JSON.stringify(bad))
  }
  assert.equal((await api.call(`POST ${LIST('prj_aaaaaaaaaaaaaaaaaaaa')}`, { body: good })).status, 404)
  await create(projectId)
  const taken = await api.call(`POST ${LIST(projectId)}`, { body: good })
  assert.deepEqual([taken.status, taken.body.error.code], [409, 'name_taken'])
  const other = await api.openProject('other')
  const { id } = await create(other.projectId)
  assert.equal((await api.call(`GET ${LIST(projectId)}/${id}`)).status, 404)
  assert.equal((await api.call(`PATCH ${LIST(projectId)}/${id}`, { body: { active: false } })).status, 404)
})

test('a project has at most a hundred budgets', async () => {
  const { projectId, walletId } = await api.openProject('many')
  await api.database.db.query(
    `insert into budget (wallet_id, name, limit_nanos, period, time_zone, warn_percent)
     select $1, 'b' || n, 5, 'day', 'UTC', '{}' from generate_series(1, 99) n`,
    [walletId],
  )
  await create(projectId, { name: 'the last' })
  const { status, body } = await api.call(`POST ${LIST(projectId)}`, { body: { ...good, name: 'one more' } })
  assert.deepEqual([status, body.error.code], [409, 'too_many_budgets'])
})

test('GET /v1/budgets: those that calls of this key may count under', async () => {
  const key = await api.openProject('client')
  await create(key.projectId, { name: 'all' })
  await create(key.projectId, { name: 'mine', key_id: key.keyId })
  await create(key.projectId, { name: 'of another', key_id: 'key_of_another' })
  const off = await create(key.projectId, { name: 'off' })
  await api.call(`PATCH ${LIST(key.projectId)}/${off.id}`, { body: { active: false } })
  const { body } = await api.call('GET /v1/budgets', { key: key.secret })
  assert.deepEqual(
    body.data.map(({ name }: { name: string }) => name),
    ['all', 'mine'],
  )
})

test('each threshold is told once in a period, whichever of many gateways looks, with a mail to the owner', async () => {
  const mails: string[] = []
  const person = await openPerson({ db: api.database.db, ...api.deps }, 'owner@example.com', { nanos: 10_000_000n })
  const { id } = await create(person.projectId, { name: 'watched', limit_nanousd: '10000' })
  const watches = Array.from({ length: 5 }, () =>
    createBudgetWatch({
      ...{ db: api.database.db, everyMs: 600_000, fluxNanousd: 1_000_000n },
      sendMail: async (to, template, data) => {
        mails.push(`${to} ${template} ${'percent' in data ? data.percent : ''}`)
      },
      onError: (error) => assert.fail(String(error)),
    }),
  )
  const look = async () => (await Promise.all(watches.map((watch) => watch.look()))).reduce((sum, n) => sum + n, 0)
  await api.till.charge(person, 7_000n)
  assert.equal(await look(), 0)
  await api.till.charge(person, 1_000n)
  assert.equal(await look(), 1)
  await api.till.charge(person, 2_000n)
  assert.equal(await look(), 1)
  await api.call(`PATCH ${LIST(person.projectId)}/${id}`, { body: { limit_nanousd: '10001' } })
  assert.equal(await look(), 0)
  assert.deepEqual(mails, ['owner@example.com budget_threshold 80', 'owner@example.com budget_threshold 100'])
  const { rows } = await api.database.db.query(
    `select type, data::json ->> 'threshold_percent' as percent from operator_event order by at`,
  )
  assert.deepEqual(
    rows.map(({ type, percent }) => [type, percent]),
    [
      ['budget.threshold_reached', '80'],
      ['budget.exhausted', '100'],
    ],
  )
  await Promise.all(watches.map((watch) => watch.close()))
})
