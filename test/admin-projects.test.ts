import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const POST = 'POST /api/admin/projects'
const LIST = 'GET /api/admin/projects'
const GET = 'GET /api/admin/projects/{id}'

test('POST /api/admin/projects 201: a project has a public id and an empty wallet', async () => {
  const { status, body } = await api.call(POST, { body: { name: 'production' } })
  assert.equal(status, 201)
  assert.match(body.id, /^prj_[a-z2-7]{20}$/)
  assert.match(body.account, /^acc_[0-9a-f]{32}$/)
  const wallet = (await api.call(`GET /api/admin/projects/${body.id}`)).body.wallet
  assert.deepEqual(
    [wallet.posted_nanousd, wallet.held_nanousd, wallet.available_nanousd, wallet.available_flux, wallet.lots],
    ['0', '0', '0', '0', []],
  )
})

for (const [what, body, message, param] of [
  ['without a name', {}, "'name' is required.", 'name'],
  ['with an empty name', { name: '' }, "'name' must not have fewer than 1 characters.", 'name'],
  [
    'with a name of 101 characters',
    { name: 'x'.repeat(101) },
    "'name' must not have more than 100 characters.",
    'name',
  ],
  ['with a number as its name', { name: 7 }, "'name' must be string.", 'name'],
  ['with a field that is not known', { name: 'x', nmae: 'y' }, "'nmae' is not a known field.", 'nmae'],
  [
    'with a line feed in its name',
    { name: 'a\nb' },
    "'name' must be 1 to 100 characters without control characters.",
    'name',
  ],
  [
    'with a NUL in its name',
    { name: 'a\0b' },
    "'name' must be 1 to 100 characters without control characters.",
    'name',
  ],
  ['that is a list', [], 'The body must be object.', null],
  ['that is null', 'null', 'The body must be object.', null],
] as const) {
  test(`POST /api/admin/projects 400: a body ${what}`, async () => {
    const answer = await api.call(POST, { body })
    assert.equal(answer.status, 400)
    assert.equal(answer.headers['x-should-retry'], 'false')
    const { details, ...error } = answer.body.error
    assert.deepEqual(error, { message, type: 'invalid_request_error', param, code: 'body_invalid' })
    if (details !== undefined) assert.equal(details[0].path, param ?? '')
  })
}

test('POST /api/admin/projects 409: a name that is taken', async () => {
  await api.call(POST, { body: { name: 'taken' } })
  const { status, body } = await api.call(POST, { body: { name: 'taken' } })
  assert.deepEqual([status, body.error.code, body.error.param], [409, 'name_taken', 'name'])
})

test('GET /api/admin/projects 200: every project once, by name, page by page', async () => {
  for (let n = 0; n < 7; n += 1) await api.call(POST, { body: { name: `page ${n}` } })
  const names: string[] = []
  let after = ''
  for (;;) {
    const { status, body } = await api.call(`GET /api/admin/projects?limit=3${after}`)
    assert.equal(status, 200)
    names.push(...body.data.map((project: { name: string }) => project.name))
    if (!body.has_more) break
    assert.equal(body.data.length, 3)
    after = `&after=${encodeURIComponent(body.next_after)}`
  }
  const { rows } = await api.database.db.query('select name from project order by name')
  assert.deepEqual(
    names,
    rows.map((row) => row.name),
  )
})

for (const query of [
  'limit=0',
  'limit=101',
  'limit=abc',
  'limit=',
  'limit=1.5',
  'limit=true',
  'limit=1&limit=2',
  'page=2',
]) {
  test(`GET /api/admin/projects 400: ?${query}`, async () => {
    const { status, body } = await api.call(`GET /api/admin/projects?${query}`)
    assert.deepEqual([status, body.error.code, body.error.param], [400, 'body_invalid', query.split('=')[0]])
  })
}

test('GET /api/admin/projects/{id} 200: the wallet in nano-dollars and in Flux', async () => {
  const { projectId } = await api.openProject('rich', 5_000_000_500n)
  const { status, body } = await api.call(`GET /api/admin/projects/${projectId}`)
  assert.equal(status, 200)
  assert.equal(body.wallet.posted_nanousd, '5000000500')
  assert.equal(body.wallet.available_flux, '5000.0005')
  assert.equal(body.wallet.lots.length, 1)
})

test('GET /api/admin/projects/{id} 404: no such project', async () => {
  for (const id of ['prj_aaaaaaaaaaaaaaaaaaaa', 'production', '%00', "x'--"]) {
    const { status, body } = await api.call(`GET /api/admin/projects/${id}`)
    assert.deepEqual([status, body.error.code], [404, 'not_found'])
  }
})

test('PATCH /api/admin/projects/{id} 200: another name and description; id, account, keys and calls stay', async () => {
  const { projectId, account, secret } = await api.openProject('old name', 10_000n)
  const line = `PATCH /api/admin/projects/${projectId}`
  const renamed = await api.call(line, { body: { name: 'new name', description: 'everything for customers' } })
  assert.equal(renamed.status, 200)
  assert.deepEqual(
    [renamed.body.id, renamed.body.account, renamed.body.name, renamed.body.description],
    [projectId, account, 'new name', 'everything for customers'],
  )
  assert.deepEqual((await api.call(line, { body: { name: 'new name' } })).body, renamed.body, 'the same name again')
  assert.equal((await api.call(line, { body: { description: null } })).body.description, null)
  assert.equal((await api.call('GET /v1/wallet', { key: secret })).body.available_nanousd, '10000')
  assert.equal((await api.call(POST, { body: { name: 'old name', description: 'free again' } })).status, 201)
})

for (const [what, body] of [
  ['nothing to change', {}],
  ['an empty name', { name: '' }],
  ['a name that is null', { name: null }],
  ['a tab in its name', { name: 'a\tb' }],
  ['an empty description', { description: '' }],
  ['a description of 501 characters', { description: 'x'.repeat(501) }],
  ['a field that is not known', { name: 'x', wallet_id: '1' }],
] as const) {
  test(`PATCH /api/admin/projects/{id} 400: ${what}`, async () => {
    const { projectId } = await api.openProject(`400 ${what}`)
    const answer = await api.call(`PATCH /api/admin/projects/${projectId}`, { body })
    assert.deepEqual([answer.status, answer.body.error.code], [400, 'body_invalid'])
  })
}

test('PATCH /api/admin/projects/{id} 404 and 409: no such project, a name in use', async () => {
  const { projectId } = await api.openProject('one of two')
  await api.openProject('two of two')
  const body = { name: 'two of two' }
  assert.equal((await api.call('PATCH /api/admin/projects/prj_aaaaaaaaaaaaaaaaaaaa', { body })).status, 404)
  const { status, body: answer } = await api.call(`PATCH /api/admin/projects/${projectId}`, { body })
  assert.deepEqual([status, answer.error.code, answer.error.param], [409, 'name_taken', 'name'])
})

testSharedRefusals(() => api, { line: POST, body: { name: 'refused' } })
testSharedRefusals(() => api, { line: 'PATCH /api/admin/projects/prj_x', body: { name: 'refused' } })
testSharedRefusals(() => api, { line: LIST })
testSharedRefusals(() => api, { line: 'GET /api/admin/projects/prj_x' })

test('the admin key is also accepted as X-API-Key', async () => {
  const { status } = await api.call(LIST, { key: null, headers: { 'x-api-key': 'the-admin-key-of-the-tests' } })
  assert.equal(status, 200)
  const basic = await api.call(LIST, { key: null, headers: { authorization: 'Basic eDp5' } })
  assert.equal(basic.status, 401)
})

test('every documented status was met', () => api.expectEveryStatus(POST, LIST, GET, 'PATCH /api/admin/projects/{id}'))
