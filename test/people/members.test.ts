import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createPersonDeletion } from '#domain/people/delete-person.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { insertUser, openSession } from '#test/support/people.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const HEADER = 'x-fluxgate-project'

let count = 0
/** Somebody with an account, signed in. */
async function person(options: { verified?: boolean } = {}) {
  const { db } = api.database
  const email = `member${++count}@example.com`
  const { id } = await insertUser(db, email, options)
  return { id, email, key: await openSession(db, id) }
}
type Person = Awaited<ReturnType<typeof person>>

/** A shared project with these people. */
async function team(members: Record<string, Person>, nanos = 0n) {
  const project = await api.openProject(`team ${++count}`, nanos)
  for (const [role, { id }] of Object.entries(members)) {
    const line = `PUT /api/admin/projects/${project.projectId}/members/${id}`
    const answer = await api.call(line, { body: { role: role.replace(/\d/, '') } })
    assert.equal(answer.status, 200, answer.text)
  }
  return project
}

const invite = (by: Person, projectId: string, email: string, role = 'viewer') =>
  api.call(`POST /api/v1/projects/${projectId}/invitations`, { key: by.key, body: { email, role } })

const roles = async (projectId: string) =>
  Object.fromEntries(
    (await api.call(`GET /api/admin/projects/${projectId}/members`)).body.data.map(
      (member: { user_id: string; role: string }) => [member.user_id, member.role],
    ),
  )

const acts = async (projectId: string) =>
  (await api.database.db.query('select actor, action from audit_event where subject = $1 order by at, id', [projectId]))
    .rows

test('an owner asks an address, whoever has verified it joins, and every step is in the trail', async () => {
  const [owner, guest] = [await person(), await person()]
  const { projectId } = await team({ owner })
  const asked = await invite(owner, projectId, guest.email.toUpperCase(), 'editor')
  assert.deepEqual([asked.status, asked.body.email, asked.body.role], [201, guest.email, 'editor'])
  const open = await api.call(`GET /api/v1/projects/${projectId}/invitations`, { key: owner.key })
  assert.deepEqual(
    open.body.data.map(({ id }: { id: string }) => id),
    [asked.body.id],
  )

  const mine = await api.call('GET /api/v1/invitations', { key: guest.key })
  assert.deepEqual([mine.body.data.length, mine.body.data[0].project_id], [1, projectId])
  const accept = `POST /api/v1/invitations/${asked.body.id}/accept`
  const joined = await api.call(accept, { key: guest.key })
  assert.deepEqual([joined.status, joined.body.role], [200, 'editor'])
  assert.equal((await api.call(accept, { key: guest.key })).status, 404)
  assert.deepEqual(await roles(projectId), { [owner.id]: 'owner', [guest.id]: 'editor' })
  const { body } = await api.call('GET /api/v1/projects', { key: guest.key })
  assert.deepEqual(
    new Set(body.data.map((p: { role: string; personal: boolean }) => `${p.role} ${p.personal}`)),
    new Set(['owner true', 'editor false']),
  )
  assert.deepEqual(await acts(projectId), [
    { actor: 'admin', action: 'member.add' },
    { actor: owner.id, action: 'member.invite' },
    { actor: guest.id, action: 'member.join' },
  ])
})

test('asking says nothing about accounts: verified, unverified and unknown addresses are answered alike', async () => {
  const owner = await person()
  const { projectId } = await team({ owner })
  const emails = [(await person()).email, (await person({ verified: false })).email, 'nobody.at.all@example.com']
  const answers = await Promise.all(emails.map((email) => invite(owner, projectId, email)))
  const alike = answers.map(({ status, body }) => ({
    status,
    body: { ...body, id: body.id.length, email: '', created_at: '', expires_at: '' },
  }))
  assert.deepEqual(alike, [alike[0], alike[0], alike[0]])
  assert.equal(alike[0]?.status, 201)
  const again = await invite(owner, projectId, emails[2] ?? '', 'editor')
  assert.deepEqual([again.status, again.body.role], [201, 'editor'])
  const { body } = await api.call(`GET /api/v1/projects/${projectId}/invitations`, { key: owner.key })
  assert.equal(body.data.length, 3, 'asked twice is asked once')
})

test('an invitation is for who has verified the address, while it lasts and while its owner is one', async () => {
  const { db } = api.database
  const [owner, other, guest, unverified] = [
    await person(),
    await person(),
    await person(),
    await person({ verified: false }),
  ]
  const { projectId } = await team({ owner, owner2: other })
  const accept = async (who: Person, id: string) =>
    (await api.call(`POST /api/v1/invitations/${id}/accept`, { key: who.key })).status
  const { id } = (await invite(owner, projectId, guest.email)).body
  assert.equal(await accept(other, id), 404)
  const { id: theirs } = (await invite(owner, projectId, unverified.email)).body
  assert.equal(await accept(unverified, theirs), 404)
  assert.deepEqual((await api.call('GET /api/v1/invitations', { key: unverified.key })).body.data, [])

  await db.query(`update project_invitation set expires_at = now() - interval '1 second' where id = $1`, [id])
  assert.equal(await accept(guest, id), 404)
  const { id: fresh } = (await invite(owner, projectId, guest.email)).body
  // Who is no owner any more could have asked an address of their own.
  const demoted = await api.call(`PATCH /api/v1/projects/${projectId}/members/${owner.id}`, {
    key: other.key,
    body: { role: 'viewer' },
  })
  assert.equal(demoted.status, 200, demoted.text)
  assert.equal(await accept(guest, fresh), 404)
  const { id: last } = (await invite(other, projectId, guest.email)).body
  assert.equal((await api.call(`DELETE /api/v1/invitations/${last}`, { key: guest.key })).status, 204)
  assert.equal(await accept(guest, last), 404)
  const { id: withdrawn } = (await invite(other, projectId, guest.email)).body
  const line = `DELETE /api/v1/projects/${projectId}/invitations/${withdrawn}`
  assert.equal((await api.call(line, { key: other.key })).status, 204)
  assert.equal((await api.call(line, { key: other.key })).status, 404)
  assert.equal(await accept(guest, withdrawn), 404)
  for (const email of ['no address', 'a@b, c@d', 'x@y\n'])
    assert.equal((await invite(other, projectId, email)).status, 400, email)
  assert.equal((await invite(other, projectId, owner.email)).body.error.code, 'already_member')
})

test('a personal project is shared by nobody, operators neither', async () => {
  const [owner, guest] = [await person(), await person()]
  const { body } = await api.call('GET /api/v1/projects', { key: owner.key })
  const [{ id }] = body.data
  assert.deepEqual([body.data.length, body.data[0].personal], [1, true])
  for (const answer of [
    await invite(owner, id, guest.email),
    await api.call(`GET /api/v1/projects/${id}/members`, { key: owner.key }),
    await api.call(`PATCH /api/v1/projects/${id}/members/${owner.id}`, { key: owner.key, body: { role: 'viewer' } }),
    await api.call(`DELETE /api/v1/projects/${id}/members/${owner.id}`, { key: owner.key }),
    await api.call(`POST /api/v1/projects/${id}/leave`, { key: owner.key }),
    await api.call(`PUT /api/admin/projects/${id}/members/${guest.id}`, { body: { role: 'viewer' } }),
    await api.call(`GET /api/admin/projects/${id}/members`),
    await api.call(`DELETE /api/admin/projects/${id}/members/${owner.id}`),
  ])
    assert.deepEqual([answer.status, answer.body.error.code], [409, 'personal_project'])
  assert.equal((await api.call(`GET /api/v1/projects/${id}`, { key: guest.key })).status, 404)
})

test('a project keeps an owner: the last neither leaves, nor is removed, nor becomes less', async () => {
  const [owner, editor] = [await person(), await person()]
  const { projectId } = await team({ owner, editor })
  for (const answer of [
    await api.call(`POST /api/v1/projects/${projectId}/leave`, { key: owner.key }),
    await api.call(`DELETE /api/v1/projects/${projectId}/members/${owner.id}`, { key: owner.key }),
    await api.call(`PATCH /api/v1/projects/${projectId}/members/${owner.id}`, {
      key: owner.key,
      body: { role: 'editor' },
    }),
    await api.call(`PUT /api/admin/projects/${projectId}/members/${owner.id}`, { body: { role: 'viewer' } }),
    await api.call(`DELETE /api/admin/projects/${projectId}/members/${owner.id}`),
  ])
    assert.deepEqual([answer.status, answer.body.error.code], [409, 'last_owner'])
  const patch = `PATCH /api/v1/projects/${projectId}/members/${editor.id}`
  assert.equal((await api.call(patch, { key: owner.key, body: { role: 'owner' } })).status, 200)
  assert.equal((await api.call(`POST /api/v1/projects/${projectId}/leave`, { key: owner.key })).status, 204)
  assert.deepEqual(await roles(projectId), { [editor.id]: 'owner' })
  assert.equal((await api.call(patch, { key: owner.key, body: { role: 'viewer' } })).status, 404)
})

test('owners who leave and remove each other at once never leave a project without one', async (t) => {
  let refused = 0
  for (let round = 0; round < 40; round += 1) {
    const [one, two] = [await person(), await person()]
    const { projectId } = await team({ owner: one, owner2: two })
    const path = `/api/v1/projects/${projectId}`
    const answers = await Promise.all([
      api.call(`POST ${path}/leave`, { key: one.key }),
      round % 2 === 0
        ? api.call(`POST ${path}/leave`, { key: two.key })
        : api.call(`DELETE ${path}/members/${one.id}`, { key: two.key }),
      api.call(`PATCH ${path}/members/${two.id}`, { key: one.key, body: { role: 'viewer' } }),
    ])
    const owners = Object.values(await roles(projectId)).filter((role) => role === 'owner').length
    assert(owners >= 1, `round ${round}: ${answers.map(({ status }) => status)}`)
    refused += answers.filter(({ status }) => status >= 400).length
  }
  assert(refused >= 40)
  t.diagnostic(`${refused} of 120 refused`)
})

test('who is removed reads nothing from the next request on, and keys that they made go on', async () => {
  const [owner, editor] = [await person(), await person()]
  const { projectId } = await team({ owner, editor }, 1_000n)
  const headers = { [HEADER]: projectId }
  const made = await api.call('POST /v1/keys', { key: editor.key, headers, body: { name: 'of the editor' } })
  assert.deepEqual([made.status, made.body.project_id], [201, projectId])
  const wallet = async () => await api.call('GET /v1/wallet', { key: editor.key, headers })
  assert.deepEqual([(await wallet()).status, (await wallet()).body.posted_nanousd], [200, '1000'])
  const removed = await api.call(`DELETE /api/v1/projects/${projectId}/members/${editor.id}`, { key: owner.key })
  assert.equal(removed.status, 204)
  assert.equal((await wallet()).status, 403)
  assert.equal((await api.call(`GET /api/v1/projects/${projectId}`, { key: editor.key })).status, 404)
  assert.equal((await api.call('GET /v1/wallet', { key: made.body.secret })).body.posted_nanousd, '1000')
  const { rows } = await api.database.db.query('select actor from audit_event where subject = $1', [made.body.id])
  assert.deepEqual(rows, [{ actor: editor.id }])
})

test('the project of a member is shown and nothing of another, whichever way it is asked for', async () => {
  const [viewer, stranger] = [await person(), await person()]
  const one = await team({ owner: await person(), viewer }, 100_000n)
  const two = await team({ owner: stranger }, 100_000n)
  await api.till.charge(one, 2_000n)
  await api.till.charge(two, 3_000n)
  const stats = (who: Person, query: string, headers: Record<string, string> = {}) =>
    api.call(`GET /api/v1/stats${query}`, { key: who.key, headers })
  for (const answer of [
    await stats(viewer, '', { [HEADER]: one.projectId }),
    await stats(viewer, `?project=${one.projectId}`),
    await stats(viewer, `?project=${one.projectId}`, { [HEADER]: one.projectId }),
  ])
    assert.deepEqual([answer.status, answer.body.summary.cost_nanousd], [200, '2000'], answer.text)
  for (const answer of [
    await stats(stranger, '', { [HEADER]: one.projectId }),
    await stats(stranger, `?project=${one.projectId}`),
    await stats(stranger, `?project=${one.projectId}`, { [HEADER]: two.projectId }),
    await stats(viewer, '', { [HEADER]: 'prj_none' }),
    await stats(viewer, '?project=%00'),
  ])
    assert.equal(answer.status, 403, answer.text)
  assert.equal((await stats(viewer, '')).body.summary.cost_nanousd, '0', 'without a name it is the personal one')
  const receipts = await api.call('GET /v1/receipts', { key: viewer.key, headers: { [HEADER]: one.projectId } })
  assert.equal(receipts.body.data[0].receipt.charged_nanousd, '2000')
  // A key speaks for its own project.
  const key = (projectId: string) => api.call('GET /v1/wallet', { key: one.secret, headers: { [HEADER]: projectId } })
  assert.deepEqual([(await key(one.projectId)).status, (await key(two.projectId)).status], [200, 403])
})

test('a member sees every budget of the project, a key those that it counts under', async () => {
  const viewer = await person()
  const project = await team({ owner: await person(), viewer })
  const { key: other } = await api.deps.keys.create({ projectId: project.projectId, name: 'other' })
  const budget = { limitNanos: 5n, period: 'day' as const }
  for (const input of [
    { ...budget, name: 'all' },
    { ...budget, name: 'of one', keyId: other.id },
  ])
    await api.deps.budgets.create(project.projectId, input, { actor: 'test' })
  const names = async (key: string, headers: Record<string, string>) =>
    (await api.call('GET /v1/budgets', { key, headers })).body.data.map(({ name }: { name: string }) => name).toSorted()
  assert.deepEqual(await names(viewer.key, { [HEADER]: project.projectId }), ['all', 'of one'])
  assert.deepEqual(await names(project.secret, {}), ['all'])
})

test('people make projects where the setting allows it, under names that are nobody else’s', async () => {
  const [founder, unverified] = [await person(), await person({ verified: false })]
  const create = (who: Person, name: string) => api.call('POST /api/v1/projects', { key: who.key, body: { name } })
  assert.equal((await create(founder, 'too early')).status, 403)
  api.deps.peopleMayCreateProjects = () => true
  try {
    const made = await create(founder, 'a startup')
    assert.deepEqual([made.status, made.body.role, made.body.personal], [201, 'owner', false])
    assert.deepEqual(await roles(made.body.id), { [founder.id]: 'owner' })
    assert.deepEqual(await acts(made.body.id), [
      { actor: founder.id, action: 'project.create' },
      { actor: founder.id, action: 'member.add' },
    ])
    assert.equal((await create(founder, 'a startup')).body.error.code, 'name_taken')
    assert.equal((await create(unverified, 'mine')).status, 403)
    // Who could make it would keep another person from ever having a wallet.
    assert.equal((await create(founder, `user:${unverified.id}`)).status, 400)
    for (let n = 1; n < 20; n += 1) assert.equal((await create(founder, `startup ${n}`)).status, 201)
    assert.equal((await create(founder, 'one more')).body.error.code, 'too_many_projects')
  } finally {
    api.deps.peopleMayCreateProjects = () => false
  }
})

test('a deleted account ends memberships; a project whose last owner that was stays, for operators to find', async () => {
  const { db } = api.database
  const [leaver, editor, guest] = [await person(), await person(), await person()]
  const alone = await team({ owner: leaver, editor })
  const shared = await team({ owner: leaver, owner2: editor })
  await invite(leaver, alone.projectId, 'somebody.else@example.com')
  await invite(editor, shared.projectId, leaver.email.replace('member', 'other'))
  const lost = async () =>
    (await api.call('GET /api/admin/projects?owner=lost')).body.data.map(({ id }: { id: string }) => id)
  assert.deepEqual(await lost(), [])
  const deletion = createPersonDeletion({
    db,
    parts: [],
    everyMs: 3_600_000,
    onError: (error) => assert.fail(String(error)),
  })
  await deletion.run({ id: leaver.id })
  await deletion.close()
  assert.deepEqual(await roles(alone.projectId), { [editor.id]: 'editor' })
  assert.deepEqual(await roles(shared.projectId), { [editor.id]: 'owner' })
  assert.deepEqual(await lost(), [alone.projectId])
  assert.deepEqual((await acts(alone.projectId)).at(-1), { actor: 'system', action: 'project.owner_lost' })
  const { rows } = await db.query('select email from project_invitation where project_id = $1', [alone.projectId])
  assert.deepEqual(rows, [], 'what the owner had asked is off')
  assert.equal((await api.call('GET /v1/keys/current', { key: alone.secret })).status, 200, 'its keys go on')
  assert.equal(
    (await api.call(`PUT /api/admin/projects/${alone.projectId}/members/${guest.id}`, { body: { role: 'owner' } }))
      .status,
    200,
  )
  assert.deepEqual(await lost(), [])
})

test('accounts that are deleted while others leave, join and are banned: nobody waits in vain, and no project is lost', async (t) => {
  const { db } = api.database
  const errors: unknown[] = []
  const deletion = createPersonDeletion({ db, parts: [], everyMs: 3_600_000, onError: (error) => errors.push(error) })
  let lost = 0
  for (let round = 0; round < 15; round += 1) {
    const [one, two, guest] = [await person(), await person(), await person()]
    const { projectId } = await team({ owner: one, owner2: two })
    const { id } = (await invite(one, projectId, guest.email, 'owner')).body
    const answers = await Promise.all([
      api.call(`POST /api/v1/projects/${projectId}/leave`, { key: two.key }),
      api.call(`POST /api/v1/invitations/${id}/accept`, { key: guest.key }),
      api.call(`POST /api/admin/users/${guest.id}/ban`, { body: { reason: 'x' } }),
      api.call(`PUT /api/admin/projects/${projectId}/allowed-models`, { body: { models: ['sim/*'] } }),
      deletion.run({ id: one.id }),
      round % 2 === 0 ? deletion.run({ id: guest.id }) : undefined,
    ])
    for (const answer of answers.filter((one) => one !== undefined))
      assert(answer.status < 500, `round ${round}: ${answer.status} ${answer.text}`)
    const owners = Object.values(await roles(projectId)).filter((role) => role === 'owner').length
    const { rows } = await db.query('select owner_lost_at is not null as lost from project where id = $1', [projectId])
    assert.equal(rows[0].lost, owners === 0, `round ${round}: ${owners} owners`)
    lost += Number(rows[0].lost)
  }
  await deletion.close()
  assert.deepEqual(errors, [])
  t.diagnostic(`${lost} of 15 lost their owner`)
})

test('what was sent to an address goes with its account', async () => {
  const { db } = api.database
  const [owner, guest] = [await person(), await person()]
  const { projectId } = await team({ owner })
  await invite(owner, projectId, guest.email)
  const deletion = createPersonDeletion({
    db,
    parts: [],
    everyMs: 3_600_000,
    onError: (error) => assert.fail(String(error)),
  })
  await deletion.run({ id: guest.id })
  await deletion.close()
  const { rows } = await db.query('select 1 from project_invitation where email = $1', [guest.email])
  assert.deepEqual(rows, [])
})

test('operators add people by id, if their address is verified, and as many as a project may have', async () => {
  const [unverified, late] = [await person({ verified: false }), await person()]
  const { projectId } = await team({})
  const put = (id: string, role = 'viewer') =>
    api.call(`PUT /api/admin/projects/${projectId}/members/${id}`, { body: { role } })
  assert.equal((await put(unverified.id)).status, 404)
  assert.equal((await put('usr_none')).status, 404)
  assert.equal((await put(late.id, 'king')).status, 400)
  assert.equal((await put(late.id)).status, 200)
  assert.equal((await api.call(`DELETE /api/admin/projects/${projectId}/members/${late.id}`)).status, 204)
  await api.database.db.query(
    `with u as (insert into auth_user (id, name, email, email_verified)
                select 'usr_many' || n, 'x', 'many' || n || '@example.com', true from generate_series(1, 200) n returning id)
     insert into project_member (project_id, user_id, role) select $1, id, 'viewer' from u`,
    [projectId],
  )
  assert.equal((await put(late.id)).body.error.code, 'too_many_members')
  assert.equal((await put('usr_many7', 'owner')).status, 200)
  const owner = { id: 'usr_many7', email: '', key: await openSession(api.database.db, 'usr_many7') }
  assert.equal((await invite(owner, projectId, 'x@example.com')).body.error.code, 'too_many_members')
})

test('every status that the document promises of these routes', async () => {
  const away = { key: 'a'.repeat(32) }
  const wrong = { key: null }
  const viewer = await person()
  const owner = await person()
  const { projectId, secret } = await team({ owner, viewer })
  const big = { name: 'x'.repeat(1_100_000), role: 'viewer', email: 'x@example.com' }
  const text = { headers: { 'content-type': 'text/csv' }, body: 'x' }
  const lines = [
    'GET /api/v1/projects',
    'POST /api/v1/projects',
    `GET /api/v1/projects/${projectId}`,
    `GET /api/v1/projects/${projectId}/members`,
    `PATCH /api/v1/projects/${projectId}/members/${viewer.id}`,
    `DELETE /api/v1/projects/${projectId}/members/usr_none`,
    `POST /api/v1/projects/${projectId}/leave`,
    `GET /api/v1/projects/${projectId}/invitations`,
    `POST /api/v1/projects/${projectId}/invitations`,
    `DELETE /api/v1/projects/${projectId}/invitations/inv_none`,
    'GET /api/v1/invitations',
    'POST /api/v1/invitations/inv_none/accept',
    'DELETE /api/v1/invitations/inv_none',
  ]
  for (const line of lines) {
    const writes = /^(POST|PATCH)/.test(line) && !/leave|accept/.test(line)
    const body = writes && { body: { role: 'viewer', email: 'x@example.com', name: 'x', wrong: true } }
    assert.equal((await api.callAway(line, { ...away, ...body })).status, 503, line)
    assert.equal((await api.call(line, { ...wrong, ...body })).status, 401, line)
    assert.equal((await api.call(line, { key: secret, ...body })).status, 403, line)
    if (writes) {
      assert.equal((await api.call(line, { key: owner.key, ...body })).status, 400, line)
      assert.equal((await api.call(line, { key: owner.key, body: big })).status, 413, line)
      assert.equal((await api.call(line, { key: owner.key, ...text })).status, 415, line)
    }
    if (line.includes(projectId)) {
      const { status } = await api.call(line.replace(projectId, 'prj_none'), { key: owner.key, ...body })
      assert.equal(status, 404, line)
    }
  }
  assert.equal((await api.call('GET /api/v1/projects?limit=0', { key: owner.key })).status, 400)
  const again = await invite(owner, projectId, (await person()).email)
  const twice = await api.call(`GET /api/v1/projects/${projectId}`, { key: owner.key })
  assert.deepEqual([again.status, twice.status], [201, 200])
  const guest = await person()
  // Asked under one address, and in by another.
  const { id } = (await invite(owner, projectId, guest.email)).body
  await api.database.db.query('update auth_user set email = $2 where id = $1', [guest.id, 'moved@example.com'])
  await api.call(`PUT /api/admin/projects/${projectId}/members/${guest.id}`, { body: { role: 'viewer' } })
  await api.database.db.query('update auth_user set email = $2 where id = $1', [guest.id, guest.email])
  const accepted = await api.call(`POST /api/v1/invitations/${id}/accept`, { key: guest.key })
  assert.equal(accepted.body.error.code, 'already_member')
  assert.equal((await api.call('DELETE /api/v1/invitations/inv_none', { key: guest.key })).status, 404)
  for (const [line, name] of [
    [`GET /api/v1/projects/${projectId}/members`, 'GET /api/v1/projects/{id}/members'],
    [`DELETE /api/v1/projects/${projectId}/members/${guest.id}`, 'DELETE /api/v1/projects/{id}/members/{userId}'],
  ] as const) {
    assert((await api.call(line, { key: owner.key })).status < 300)
    api.expectEveryStatus(name)
  }
  api.expectEveryStatus(
    ...['GET /api/v1/projects', 'POST /api/v1/projects', 'GET /api/v1/projects/{id}'],
    ...['PATCH /api/v1/projects/{id}/members/{userId}', 'POST /api/v1/projects/{id}/leave'],
    ...['GET /api/v1/projects/{id}/invitations', 'POST /api/v1/projects/{id}/invitations'],
    'DELETE /api/v1/projects/{id}/invitations/{invitationId}',
    ...['GET /api/v1/invitations', 'POST /api/v1/invitations/{id}/accept', 'DELETE /api/v1/invitations/{id}'],
  )
})
