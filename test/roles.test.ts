import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auditLedger } from '#domain/audit.ts'
import { defaultScopes, type Scope, scopes } from '#domain/scopes.ts'
import { deliveryId as shown } from '#domain/webhooks/deliveries.ts'
import { ADMIN_EMAIL, ADMIN_KEY, createTestApi, type TestApi } from '#test/support/http-api.ts'
import { insertUser, openPerson, openSession } from '#test/support/people.ts'

let api: TestApi
let callers: Record<string, string | null>
before(async () => {
  api = await createTestApi()
  const people = { db: api.database.db, ...api.deps }
  const person = async (email: string, granted?: readonly Scope[]) =>
    (await openPerson(people, email, granted && { scopes: granted })).secret
  const operator = await openPerson(people, ADMIN_EMAIL)
  const { secret: weak } = await api.deps.keys.create({
    projectId: operator.projectId,
    name: 'weak',
    scopes: defaultScopes,
  })
  const project = await api.openProject('of a team')
  const { secret: strong } = await api.deps.keys.create({ projectId: project.projectId, name: 'all', scopes })
  callers = {
    nobody: null,
    'a wrong key': 'fg_key_wrong',
    'the key of a project': project.secret,
    'the key of a project with every scope': strong,
    'a person': await person('somebody@example.com'),
    'an operator by a key without the scope admin': weak,
    'an operator by a key': operator.secret,
    'the admin key': ADMIN_KEY,
  }
})
after(() => api.close())

const expected: Record<string, number | 'served'> = {
  nobody: 401,
  'a wrong key': 401,
  'the key of a project': 401,
  'the key of a project with every scope': 401,
  'a person': 403,
  'an operator by a key without the scope admin': 403,
  'an operator by a key': 'served',
  'the admin key': 'served',
}

/** Every documented route below a prefix, as `GET /api/admin/x/prj_none`. */
function routesBelow(prefix: string): string[] {
  return Object.entries(api.documented.paths)
    .filter(([path]) => path.startsWith(prefix))
    .flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, 'none')}`),
    )
}

test('every admin route serves operators, and nobody else', async (t) => {
  const routes = routesBelow('/api/admin/')
  assert(routes.length >= 25)
  let cells = 0
  for (const line of routes)
    for (const [who, status] of Object.entries(expected)) {
      // A body that nothing accepts: whoever may call is told so, and nothing is done.
      const body = line.startsWith('GET') || line.startsWith('DELETE') ? undefined : { nothing: true }
      const answer = await api.call(line, { key: callers[who] ?? null, ...(body && { body }) })
      const label = `${line} as ${who}: ${answer.status} ${answer.text.slice(0, 200)}`
      if (status === 'served') assert(answer.status !== 401 && answer.status !== 403, label)
      else assert.equal(answer.status, status, label)
      cells += 1
    }
  t.diagnostic(`${cells} cells`)
})

test('an operator is one by the address that is verified now, and not banned', async () => {
  const { db } = api.database
  const status = async () =>
    (await api.call('GET /api/admin/projects', { key: callers['an operator by a key'] ?? null })).status
  assert.equal(await status(), 200)
  await db.query('update auth_user set email_verified = false where email = $1', [ADMIN_EMAIL])
  assert.equal(await status(), 403)
  await db.query('update auth_user set email_verified = true, email = $2 where email = $1', [
    ADMIN_EMAIL,
    'other@example.com',
  ])
  assert.equal(await status(), 403)
  await db.query('update auth_user set email = $1 where email = $2', [ADMIN_EMAIL, 'other@example.com'])
  assert.equal(await status(), 200)
})

let people = 0
const somebody = async () => (await insertUser(api.database.db, `somebody${++people}@example.com`)).id

async function openWebhook(): Promise<string> {
  const input = { url: 'https://hooks.example/b' }
  return (await api.deps.webhooks.create(input as never, { actor: 'test' })).endpoint.id
}

/** How each writing route succeeds, and what it is called in the trail; null for one that writes nothing. */
const acts: Record<
  string,
  { action: string | null; send: () => Promise<{ line: string; body?: unknown; headers?: Record<string, string> }> }
> = {
  'POST /api/admin/projects': {
    action: 'project.create',
    send: async () => ({ line: 'POST /api/admin/projects', body: { name: 'made here' } }),
  },
  'PATCH /api/admin/projects/{id}': {
    action: 'project.update',
    send: async () => ({
      line: `PATCH /api/admin/projects/${(await api.openProject('patched')).projectId}`,
      body: { description: 'new' },
    }),
  },
  'POST /api/admin/projects/{id}/keys': {
    action: 'key.create',
    send: async () => ({
      line: `POST /api/admin/projects/${(await api.openProject('keyed')).projectId}/keys`,
      body: { name: 'k' },
    }),
  },
  'POST /api/admin/keys/{id}/rotate': {
    action: 'key.rotate',
    send: async () => ({ line: `POST /api/admin/keys/${(await api.openProject('rotated')).keyId}/rotate`, body: {} }),
  },
  'DELETE /api/admin/keys/{id}': {
    action: 'key.revoke',
    send: async () => ({ line: `DELETE /api/admin/keys/${(await api.openProject('revoked')).keyId}` }),
  },
  'POST /api/admin/projects/{id}/grants': {
    action: 'grant.create',
    send: async () => ({
      line: `POST /api/admin/projects/${(await api.openProject('granted')).projectId}/grants`,
      body: { amount_nanousd: '5', reason: 'a gift' },
      headers: { 'idempotency-key': 'one' },
    }),
  },
  'POST /api/admin/refunds': {
    action: 'refund.create',
    async send() {
      const key = await api.openProject('refunded', 10_000n)
      return {
        line: 'POST /api/admin/refunds',
        body: { receipt_id: `rcp_${await api.till.charge(key, 1_000n)}`, reason: 'slow' },
        headers: { 'idempotency-key': 'refund' },
      }
    },
  },
  'POST /api/admin/projects/{id}/budgets': {
    action: 'budget.create',
    send: async () => ({
      line: `POST /api/admin/projects/${(await api.openProject('budgeted')).projectId}/budgets`,
      body: { name: 'b', limit_nanousd: '5', period: 'day' },
    }),
  },
  'PATCH /api/admin/projects/{id}/budgets/{budgetId}': {
    action: 'budget.update',
    async send() {
      const { projectId } = await api.openProject('budget edited')
      const input = { name: 'b', limitNanos: 5n, period: 'day' } as const
      const { id } = await api.deps.budgets.create(projectId, input, { actor: 'test' })
      return { line: `PATCH /api/admin/projects/${projectId}/budgets/bud_${id}`, body: { active: false } }
    },
  },
  'POST /api/admin/flux-grants': {
    action: 'flux_grant.create',
    send: async () => ({
      line: 'POST /api/admin/flux-grants',
      body: { description: 'x', amount: 1, emails: ['somebody@example.com'] },
    }),
  },
  'POST /api/admin/flux-grants/{id}/reverse': {
    action: 'flux_grant.reverse',
    async send() {
      const input = { description: 'x', amount: 1, emails: ['somebody@example.com'], actor: 'test' }
      const { batchId } = await api.deps.fluxGrants.grant(input)
      return { line: `POST /api/admin/flux-grants/${batchId}/reverse`, body: { reason: 'x' } }
    },
  },
  'PUT /api/admin/projects/{id}/members/{userId}': {
    action: 'member.add',
    send: async () => ({
      line: `PUT /api/admin/projects/${(await api.openProject('joined')).projectId}/members/${await somebody()}`,
      body: { role: 'viewer' },
    }),
  },
  'DELETE /api/admin/projects/{id}/members/{userId}': {
    action: 'member.remove',
    async send() {
      const { projectId } = await api.openProject('left')
      const userId = await somebody()
      await api.deps.members.put(projectId, userId, 'viewer', { actor: 'test' })
      return { line: `DELETE /api/admin/projects/${projectId}/members/${userId}` }
    },
  },
  'POST /api/admin/users/{id}/ban': {
    action: 'user.ban',
    send: async () => ({ line: `POST /api/admin/users/${await somebody()}/ban`, body: { reason: 'x@example.com' } }),
  },
  'POST /api/admin/users/{id}/unban': {
    action: 'user.unban',
    async send() {
      const userId = await somebody()
      await api.deps.userAdmin.ban(userId, { reason: 'x' }, { actor: 'test' })
      return { line: `POST /api/admin/users/${userId}/unban` }
    },
  },
  'POST /api/admin/users/{id}/sign-out': {
    action: 'user.sign_out',
    async send() {
      const userId = await somebody()
      await openSession(api.database.db, userId)
      return { line: `POST /api/admin/users/${userId}/sign-out` }
    },
  },
  'PUT /api/admin/router': {
    action: 'router.apply',
    send: async () => ({
      line: 'PUT /api/admin/router',
      headers: { 'if-match': (await api.deps.router.show()).etag },
      body: { config: { llm: { models: {} } }, reason: 'x' },
    }),
  },
  'POST /api/admin/router:plan': {
    action: null,
    send: async () => ({ line: 'POST /api/admin/router:plan', body: { config: {} } }),
  },
  'POST /api/admin/router:rollback': {
    action: 'router.rollback',
    async send() {
      const config = (name: string) => ({
        llm: { models: { [name]: { upstreams: [{ baseURL: 'https://a.example/v1' }] } } },
      })
      const first = await api.deps.router.apply({ config: config('a'), author: 'test', reason: 'x' })
      await api.deps.router.apply({ config: config('b'), author: 'test', reason: 'x' })
      return {
        line: 'POST /api/admin/router:rollback',
        headers: { 'if-match': (await api.deps.router.show()).etag },
        body: { version: first.version.version, reason: 'x' },
      }
    },
  },
  'POST /api/admin/config/router': {
    action: 'router.apply',
    send: async () => ({
      line: 'POST /api/admin/config/router',
      body: {
        slices: [
          { kind: 'openrouter', modelName: 'm', plaintextKey: 'sk-or-secret-of-the-test', overrideModel: 'a/b' },
        ],
      },
    }),
  },
  'PUT /api/admin/projects/{id}/allowed-models': {
    action: 'project.allow_models',
    send: async () => ({
      line: `PUT /api/admin/projects/${(await api.openProject('limited')).projectId}/allowed-models`,
      body: { models: ['sim/*'] },
    }),
  },
  'PUT /api/admin/keys/{id}/allowed-models': {
    action: 'key.allow_models',
    send: async () => ({
      line: `PUT /api/admin/keys/${(await api.openProject('limited key')).keyId}/allowed-models`,
      body: { models: null },
    }),
  },
  'PUT /api/admin/projects/{id}/rate-limits': {
    action: 'project.limit_rates',
    send: async () => ({
      line: `PUT /api/admin/projects/${(await api.openProject('rated')).projectId}/rate-limits`,
      body: { limits: { requestsPerMinute: 5 } },
    }),
  },
  'PUT /api/admin/keys/{id}/rate-limits': {
    action: 'key.limit_rates',
    send: async () => ({
      line: `PUT /api/admin/keys/${(await api.openProject('rated key')).keyId}/rate-limits`,
      body: { limits: null },
    }),
  },
  'POST /api/admin/webhooks': {
    action: 'webhook.create',
    send: async () => ({ line: 'POST /api/admin/webhooks', body: { url: 'https://hooks.example/a' } }),
  },
  'PATCH /api/admin/webhooks/{id}': {
    action: 'webhook.update',
    send: async () => ({ line: `PATCH /api/admin/webhooks/${await openWebhook()}`, body: { description: 'x' } }),
  },
  'DELETE /api/admin/webhooks/{id}': {
    action: 'webhook.delete',
    send: async () => ({ line: `DELETE /api/admin/webhooks/${await openWebhook()}` }),
  },
  'POST /api/admin/webhooks/{id}/rotate-secret': {
    action: 'webhook.rotate_secret',
    send: async () => ({ line: `POST /api/admin/webhooks/${await openWebhook()}/rotate-secret`, body: {} }),
  },
  'POST /api/admin/webhooks/{id}/test': {
    action: 'webhook.test',
    send: async () => ({ line: `POST /api/admin/webhooks/${await openWebhook()}/test` }),
  },
  'POST /api/admin/webhook-deliveries/{id}/resend': {
    action: 'webhook.resend',
    async send() {
      const { deliveryId } = await api.deps.webhooks.test(await openWebhook(), { actor: 'test' })
      await api.database.db.query("update webhook_delivery set state = 'failed' where id = $1", [deliveryId])
      return { line: `POST /api/admin/webhook-deliveries/${shown(deliveryId)}/resend` }
    },
  },
  'PUT /api/admin/settings': {
    action: 'settings.set',
    send: async () => ({ line: 'PUT /api/admin/settings', body: { values: { FLUX_PER_REQUEST: 7 }, reason: 'x' } }),
  },
  'PUT /api/admin/settings/{key}': {
    action: 'settings.set',
    send: async () => ({ line: 'PUT /api/admin/settings/FLUX_PER_REQUEST', body: { value: 8, reason: 'x' } }),
  },
}

const actIds = async (): Promise<string[]> =>
  (await api.database.db.query('select id from audit_event')).rows.map(({ id }) => id)

test('every writing admin route leaves one act that names who did it, and nothing secret', async (t) => {
  const writing = Object.entries(api.documented.paths).flatMap(([path, methods]) =>
    path.startsWith('/api/admin/')
      ? Object.keys(methods)
          .filter((m) => m !== 'get')
          .map((m) => `${m.toUpperCase()} ${path}`)
      : [],
  )
  assert.deepEqual(writing.toSorted(), Object.keys(acts).toSorted())
  const { userId } = (
    await api.database.db.query('select id as "userId" from auth_user where email = $1', [ADMIN_EMAIL])
  ).rows[0]
  for (const [route, { action, send }] of Object.entries(acts)) {
    const { line, ...sent } = await send()
    const known = await actIds()
    const answer = await api.call(line, { ...sent, key: callers['an operator by a key'] ?? null })
    assert(answer.status < 300, `${route}: ${answer.status} ${answer.text}`)
    const { rows } = await api.database.db.query(
      'select actor, action, before, after, request_id from audit_event where id <> all ($1)',
      [known],
    )
    assert.deepEqual(
      rows.map((row) => [row.action, row.actor]),
      action === null ? [] : [[action, userId]],
      route,
    )
    assert.doesNotMatch(JSON.stringify(rows), /fg_key_|sk-or-secret|@example\.com/, route)
    // The same again does nothing, so it is no act.
    if (sent.headers?.['idempotency-key'] !== undefined) {
      await api.call(line, { ...sent, key: callers['an operator by a key'] ?? null })
      assert.equal((await actIds()).length, known.length + 1, route)
    }
  }
  t.diagnostic(`${writing.length} routes`)
})

test('what cannot be written down is not done', async () => {
  const { db } = api.database
  const project = await api.openProject('undone', 5_000n)
  const userId = await somebody()
  await openSession(db, userId)
  const count = async () =>
    (
      await db.query(
        `select (select count(*) from project) as projects, (select count(*) from project_member) as members,
                (select count(*) from auth_user where banned) as banned, (select count(*) from auth_session) as sessions, (select count(*) from api_key where revoked_at is null) as keys,
                (select count(*) from adjustment) as adjustments, (select count(*) from setting) as settings,
                (select count(*) from router_config) as configs, (select count(*) from budget) as budgets`,
      )
    ).rows[0]
  const before = await count()
  await db.query(
    `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no room'; end $$;
     create trigger refuse before insert on audit_event for each row execute function refuse()`,
  )
  try {
    for (const [line, body] of [
      ['POST /api/admin/projects', { name: 'never' }],
      [`POST /api/admin/projects/${project.projectId}/keys`, { name: 'never' }],
      [`DELETE /api/admin/keys/${project.keyId}`, undefined],
      [`PUT /api/admin/projects/${project.projectId}/members/${userId}`, { role: 'viewer' }],
      [`POST /api/admin/users/${userId}/ban`, { reason: 'never' }],
      [`POST /api/admin/users/${userId}/sign-out`, undefined],
      [`POST /api/admin/projects/${project.projectId}/grants`, { amount_nanousd: '5', reason: 'never' }],
      [`POST /api/admin/projects/${project.projectId}/budgets`, { name: 'never', limit_nanousd: '1', period: 'day' }],
      ['PUT /api/admin/settings', { values: { FLUX_PER_REQUEST: 99 }, reason: 'never' }],
      [
        'PUT /api/admin/router',
        {
          config: { llm: { models: { never: { upstreams: [{ baseURL: 'https://a.example/v1' }] } } } },
          reason: 'never',
        },
      ],
    ] as const) {
      const { app } = api
      const [method, url] = line.split(' ')
      const response = await app.inject({
        method: method as 'POST',
        url: url ?? '',
        headers: {
          authorization: `Bearer ${ADMIN_KEY}`,
          'idempotency-key': 'never',
          'if-match': (await api.deps.router.show()).etag,
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { payload: JSON.stringify(body) }),
      })
      assert(response.statusCode >= 500, `${line}: ${response.statusCode}`)
    }
  } finally {
    await db.query('drop trigger refuse on audit_event; drop function refuse()')
  }
  assert.deepEqual(await count(), before)
  assert.deepEqual(
    (await auditLedger(db)).invariants.filter(({ bad }) => bad > 0),
    [],
  )
})

test('GET /api/admin/audit-events: newest first, page by page, by who, what and when', async () => {
  const ids: string[] = []
  for (let after = ''; ; ) {
    const { body } = await api.call(`GET /api/admin/audit-events?limit=7${after && `&after=${after}`}`)
    ids.push(...body.data.map(({ id }: { id: string }) => id))
    if (!body.has_more) break
    after = body.next_after
  }
  const { rows } = await api.database.db.query('select id from audit_event order by at desc, id desc')
  assert.deepEqual(
    ids,
    rows.map(({ id }) => id),
  )
  const { body } = await api.call('GET /api/admin/audit-events?action=key.revoke')
  assert(body.data.length > 0)
  for (const act of body.data)
    assert.deepEqual([act.action, typeof act.before, act.after.revoked_at !== null], ['key.revoke', 'object', true])
  const later = await api.call('GET /api/admin/audit-events?from=2100-01-01T00:00:00Z')
  assert.deepEqual(later.body.data, [])
  assert.equal((await api.call('GET /api/admin/audit-events?nothing=1')).status, 400)
})

test('acts are neither changed nor deleted', async () => {
  for (const statement of [`update audit_event set actor = 'x'`, 'delete from audit_event', 'truncate audit_event'])
    await assert.rejects(api.database.db.query(statement), /append-only/)
})
