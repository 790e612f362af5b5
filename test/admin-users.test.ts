import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ADMIN_EMAIL, createTestApi, type TestApi } from '#test/support/http-api.ts'
import { insertUser, openPerson, openSession } from '#test/support/people.ts'
import { until } from '#test/support/until.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const open = (email: string, nanos = 0n) =>
  openPerson({ db: api.database.db, grants: api.deps.grants, keys: api.deps.keys }, email, { nanos })

const acts = async (subject: string) =>
  (
    await api.database.db.query(
      'select actor, action, before, after from audit_event where subject = $1 order by at, id',
      [subject],
    )
  ).rows.map(({ before, after, ...act }) => ({ ...act, before: JSON.parse(before), after: JSON.parse(after) }))

test('GET /api/admin/users: the newest first, page by page, each once, also those of one moment', async () => {
  const { db } = api.database
  await db.query(
    `insert into auth_user (id, name, email, created_at)
     select 'usr_list' || n, 'x', 'list' || n || '@example.com', timestamptz '2020-01-01' + (n / 3) * interval '1 microsecond'
     from generate_series(1, 10) n`,
  )
  const ids: string[] = []
  for (let after = ''; ; ) {
    const { body } = await api.call(`GET /api/admin/users?query=LIST&limit=3${after && `&after=${after}`}`)
    ids.push(...body.data.map(({ id }: { id: string }) => id))
    assert.equal(body.has_more, body.next_after !== null)
    if (!body.has_more) break
    after = body.next_after
  }
  const { rows } = await db.query(`select id from auth_user where email like 'list%' order by created_at desc, id desc`)
  assert.deepEqual(
    ids,
    rows.map(({ id }) => id),
  )
})

test('GET /api/admin/users: by id, by the beginning of an address, and by nothing else', async () => {
  const { id } = await insertUser(api.database.db, 'Needle_1%x@example.com')
  const found = async (query: string) =>
    (await api.call(`GET /api/admin/users?query=${encodeURIComponent(query)}`)).body.data.map(
      (user: { id: string }) => user.id,
    )
  for (const query of [id, 'needle_', 'NEEDLE_1%', 'needle_1%x@example.com'])
    assert.deepEqual(await found(query), [id], query)
  for (const query of ['eedle', 'needle__', 'needle%x', id.slice(0, -1), 'A Person', '\\'])
    assert.deepEqual(await found(query), [], query)
  for (const query of ['query=', 'limit=0', 'limit=101', 'after=nothing', 'after=1_', 'by=name'])
    assert.equal((await api.call(`GET /api/admin/users?${query}`)).status, 400, query)
})

test('GET /api/admin/users/{id}: balance, sessions and projects, also of who has no wallet yet', async () => {
  const person = await open('rich@example.com', 2_500_000n)
  await openSession(api.database.db, person.userId)
  const { projectId } = await api.openProject('a team of theirs')
  await api.call(`PUT /api/admin/projects/${projectId}/members/${person.userId}`, { body: { role: 'editor' } })
  const { status, body } = await api.call(`GET /api/admin/users/${person.userId}`)
  assert.deepEqual(
    [status, body.email, body.email_verified, body.banned, body.sessions, body.flux, body.wallet.posted_nanousd],
    [200, 'rich@example.com', true, false, 1, 2, '2500000'],
  )
  assert.deepEqual(
    body.projects.map(({ id, personal, role }: Record<string, unknown>) => [id, personal, role]),
    [
      [person.projectId, true, 'owner'],
      [projectId, false, 'editor'],
    ],
  )
  const { id } = await insertUser(api.database.db, 'poor@example.com', { verified: false })
  const poor = (await api.call(`GET /api/admin/users/${id}`)).body
  assert.deepEqual(
    [poor.email_verified, poor.sessions, poor.flux, poor.wallet, poor.projects],
    [false, 0, null, null, []],
  )
  const { rows } = await api.database.db.query('select 1 from project where user_id = $1', [id])
  assert.deepEqual(rows, [], 'looking opens no wallet')
})

test('a ban ends sessions and refuses keys everywhere within a second, and unbanning lets in again', async () => {
  const person = await open('trouble@example.com')
  const { db } = api.database
  const token = await openSession(db, person.userId)
  const status = async (key: string) => (await api.call('GET /v1/wallet', { key })).status
  assert.deepEqual([await status(token), await status(person.secret)], [200, 200])
  const line = `POST /api/admin/users/${person.userId}`
  const banned = await api.call(`${line}/ban`, { body: { reason: 'Sends mails to Ada' } })
  assert.deepEqual([banned.status, banned.body.banned, banned.body.ban_reason], [200, true, 'Sends mails to Ada'])
  await until(
    'both are refused',
    async () => (await status(token)) === 401 && (await status(person.secret)) === 401,
    1_000,
  )
  assert.equal((await api.call(`GET /api/admin/users/${person.userId}`)).body.sessions, 0)
  // A session that begins in spite of it.
  assert.equal(await status(await openSession(db, person.userId)), 403)

  const unbanned = await api.call(`${line}/unban`)
  assert.deepEqual([unbanned.body.banned, unbanned.body.ban_reason], [false, null])
  await api.call(`${line}/unban`)
  await until('the key is good again', async () => (await status(person.secret)) === 200, 3_000)
  const on = { banned: true, ban_expires_at: null }
  const off = { banned: false, ban_expires_at: null }
  assert.deepEqual(await acts(person.userId), [
    { actor: 'admin', action: 'user.ban', before: off, after: on },
    { actor: 'admin', action: 'user.unban', before: on, after: off },
  ])
})

test('a ban may end by itself, in the future', async () => {
  const { id } = await insertUser(api.database.db, 'forawhile@example.com')
  const ban = (expires_at: string) => api.call(`POST /api/admin/users/${id}/ban`, { body: { reason: 'x', expires_at } })
  const late = await ban('2020-01-01T00:00:00Z')
  assert.deepEqual([late.status, late.body.error.param], [400, 'expires_at'])
  assert.equal((await api.call(`GET /api/admin/users/${id}`)).body.banned, false)
  const { body } = await ban('2100-01-01T00:00:00Z')
  assert.deepEqual([body.banned, body.ban_expires_at], [true, '2100-01-01T00:00:00.000Z'])
  await api.database.db.query(`update auth_user set ban_expires_at = now() where id = $1`, [id])
  const over = (await api.call(`GET /api/admin/users/${id}`)).body
  assert.deepEqual([over.banned, over.ban_reason, over.ban_expires_at], [false, null, null])
  for (const body of [{}, { reason: '' }, { reason: 'x', until: 'x' }, { reason: 'a\nb' }])
    assert.equal((await api.call(`POST /api/admin/users/${id}/ban`, { body })).status, 400)
})

test('nobody bans themselves', async () => {
  const operator = await open(ADMIN_EMAIL)
  const ban = (key: string) => api.call(`POST /api/admin/users/${operator.userId}/ban`, { key, body: { reason: 'x' } })
  const { status, body } = await ban(operator.secret)
  assert.deepEqual([status, body.error.message], [403, 'Nobody bans themselves.'])
  assert.equal((await api.call(`GET /api/admin/users/${operator.userId}`)).body.banned, false)
  assert.deepEqual(await acts(operator.userId), [])
})

test('signing somebody out ends every session within a second; keys go on', async () => {
  const person = await open('outside@example.com')
  const { db } = api.database
  const tokens = [await openSession(db, person.userId), await openSession(db, person.userId)]
  const status = async (key: string) => (await api.call('GET /v1/wallet', { key })).status
  for (const token of tokens) assert.equal(await status(token), 200)
  const line = `POST /api/admin/users/${person.userId}/sign-out`
  assert.deepEqual((await api.call(line)).body, { object: 'sign_out', sessions: 2 })
  for (const token of tokens) await until('the session is over', async () => (await status(token)) === 401, 1_000)
  assert.equal(await status(person.secret), 200)
  assert.deepEqual((await api.call(line)).body.sessions, 0)
  assert.deepEqual(await acts(person.userId), [
    { actor: 'admin', action: 'user.sign_out', before: { sessions: 2 }, after: { sessions: 0 } },
  ])
})

test('every status that the document promises of these routes', async () => {
  const [one] = (await api.call('GET /api/admin/users?limit=1')).body.data
  const { projectId } = await api.openProject('for statuses')
  const body = { reason: 'x', role: 'viewer' }
  for (const [line, writes] of [
    ['GET /api/admin/users', false],
    ['GET /api/admin/users/none', false],
    ['POST /api/admin/users/none/ban', true],
    ['POST /api/admin/users/none/unban', false],
    ['POST /api/admin/users/none/sign-out', false],
    [`GET /api/admin/projects/prj_none/members`, false],
    [`PUT /api/admin/projects/prj_none/members/${one.id}`, true],
    [`DELETE /api/admin/projects/prj_none/members/${one.id}`, false],
  ] as const) {
    const sent = writes && { body: line.startsWith('PUT') ? { role: 'viewer' } : { reason: body.reason } }
    assert.equal((await api.callAway(line, { ...sent })).status, 503, line)
    assert.equal((await api.call(line, { ...sent, key: null })).status, 401, line)
    assert.equal((await api.call(line, { ...sent, key: await openSession(api.database.db, one.id) })).status, 403, line)
    if (line !== 'GET /api/admin/users') assert.equal((await api.call(line, { ...sent })).status, 404, line)
    if (!writes) continue
    assert.equal((await api.call(line, { body: { wrong: 1 } })).status, 400, line)
    assert.equal((await api.call(line, { body: { reason: 'x'.repeat(1_100_000) } })).status, 413, line)
    assert.equal((await api.call(line, { headers: { 'content-type': 'text/csv' }, body: 'x' })).status, 415, line)
  }
  for (const [method, status] of [
    ['PUT', 200],
    ['GET', 200],
  ] as const) {
    const line = `${method} /api/admin/projects/${projectId}/members${method === 'PUT' ? `/${one.id}` : ''}`
    assert.equal((await api.call(line, method === 'PUT' ? { body: { role: 'viewer' } } : {})).status, status)
  }
  assert.equal((await api.call(`DELETE /api/admin/projects/${projectId}/members/${one.id}`)).status, 204)
  const { projectId: personal } = await open('alone@example.com')
  assert.equal((await api.call(`GET /api/admin/projects/${personal}/members`)).status, 409)
  assert.equal((await api.call(`DELETE /api/admin/projects/${personal}/members/${one.id}`)).status, 409)
  assert.equal(
    (await api.call(`PUT /api/admin/projects/${personal}/members/${one.id}`, { body: { role: 'viewer' } })).status,
    409,
  )
  api.expectEveryStatus(
    ...['GET /api/admin/users', 'GET /api/admin/users/{id}', 'POST /api/admin/users/{id}/ban'],
    ...['POST /api/admin/users/{id}/unban', 'POST /api/admin/users/{id}/sign-out'],
    ...['GET', 'DELETE', 'PUT'].map((m) => `${m} /api/admin/projects/{id}/members${m === 'GET' ? '' : '/{userId}'}`),
  )
})
