import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Scope } from '#domain/scopes.ts'
import { ADMIN_KEY, createTestGateway, type TestGateway } from '#test/support/gateway.ts'
import { insertUser, openSession } from '#test/support/people.ts'

// Who may call what. A cell is the status that a caller must get; `ok` is every answer but 401 and 403, so a route may say
// that what was sent is wrong. Members are signed in and name the project of the row's routes; so does who is no member.
const matrix = `
              nobody wrong | banned bannedKey | inference ingest read admin | unverified person personKey operator operatorKey | viewer editor owner stranger | adminKey
public        ok     ok    | ok     ok        | ok        ok     ok   ok    | ok         ok     ok        ok       ok          | ok     ok     ok    ok       | ok
operators     401    401   | 403    401       | 401       401    401  401   | 403        403    403       ok       ok          | 403    403    403   403      | ok
inference     401    401   | 403    401       | ok        403    403  403   | ok         ok     ok        ok       ok          | 403    403    403   403      | 401
ingest        401    401   | 403    401       | 403       ok     403  403   | ok         ok     ok        ok       ok          | 403    403    403   403      | 401
clean         401    401   | 403    401       | 403       403    403  ok    | ok         ok     ok        ok       ok          | 403    403    403   403      | 401
read          401    401   | 403    401       | 403       403    ok   403   | ok         ok     ok        ok       ok          | ok     ok     ok    403      | 401
usage         401    401   | 403    401       | 403       403    ok   403   | ok         ok     ok        ok       ok          | ok     ok     ok    403      | ok
keys          401    401   | 403    401       | 403       403    403  ok    | ok         ok     ok        ok       ok          | 403    ok     ok    403      | 401
personal      401    401   | 403    401       | 403       403    403  403   | ok         ok     ok        ok       ok          | 403    403    403   403      | 401
signedIn      401    401   | 403    401       | 403       403    403  403   | ok         ok     403       ok       403         | ok     ok     ok    ok       | 401
viewers       401    401   | 403    401       | 403       403    403  403   | 404        404    403       404      403         | ok     ok     ok    404      | 401
owners        401    401   | 403    401       | 403       403    403  403   | 404        404    403       404      403         | 403    403    ok    404      | 401
`

/** Which row each route goes by. A route that is not here fails the test: decide who may call it. */
const rules: Record<string, readonly string[]> = {
  public: [
    ...['GET /', 'GET /livez', 'GET /readyz', 'GET /metrics', 'GET /health', 'GET /api/auth/providers'],
    ...['GET /receipts/public-keys.json', 'GET /receipts/key-manifest.json'],
    ...['GET /receipts/public-key.pem', 'GET /receipts/public-key.jwk', 'GET /api/v1/receipts/public-key.pem'],
    ...['GET /api/v1/receipts/public-key.jwk', 'GET /api/v1/receipts/public-keys.json'],
    ...['GET /log/checkpoint', 'GET /log/witnessed-checkpoint', 'GET /log/vkey', 'GET /log/proof/inclusion'],
    ...['GET /log/proof/consistency', 'GET /registry', 'GET /registry.json', 'GET /registry/manifest.json'],
    ...['GET /registry/v/{version}/registry.json', 'GET /registry/{provider}/models.json'],
    ...['GET /registry/{provider}/v/{version}/models.json'],
    ...['POST /api/v1/receipts', 'POST /api/v1/receipts/issue', 'POST /api/v1/receipts/verify'],
    // Stripe's events are signed; nothing is sold in this test.
    ...['GET /api/v1/stripe/packages', 'GET /api/v1/stripe/plans', 'POST /api/v1/stripe/webhook'],
    // Without an upgrade there is nothing; who may speak is tested where the socket is.
    'GET /api/v1/audio/speech/ws',
  ],
  inference: [
    ...['POST /v1/chat/completions', 'POST /v1/responses', 'POST /v1/messages', 'POST /v1/completions'],
    ...['POST /v1/embeddings', 'POST /api/v1/openai/chat/completions', 'POST /api/v1/openai/chat/completion'],
    ...['POST /v1/messages/count_tokens', 'POST /v1/route:explain', 'GET /v1/models', 'GET /v1/models/{id}'],
    ...['POST /v1/audio/speech', 'POST /v1/audio/transcriptions', 'POST /v1/audio/translations'],
    ...['GET /v1/audio/voices', 'GET /v1/audio/models', 'POST /api/v1/audio/speech', 'GET /api/v1/audio/voices'],
    ...['GET /api/v1/audio/models', 'GET /api/v1/audio/voices/streaming', 'GET /api/v1/audio/models/streaming'],
    'POST /api/v1/audio/transcriptions/stream',
  ],
  ingest: [
    ...['POST /api/v1/log', 'POST /api/v1/logs:batch', 'POST /api/v1/conversations/log', 'POST /api/v1/conversations'],
    ...['PATCH /api/v1/conversations/{id}', 'PUT /api/v1/conversations/{id}'],
    ...['POST /api/v1/conversations/{id}/messages/batch', 'POST /api/v1/receipts/generate'],
  ],
  clean: ['DELETE /api/v1/conversations/old-messages'],
  read: [
    ...[
      'GET /v1/wallet',
      'GET /v1/budgets',
      'GET /v1/receipts',
      'GET /v1/receipts/{id}',
      'GET /v1/receipts/{id}/proof',
    ],
    ...['GET /v1/requests/{id}', 'GET /v1/statements', 'GET /v1/statements/{day}', 'GET /v1/documents/{id}/proof'],
    ...['GET /api/v1/receipts', 'GET /api/v1/receipts/uncertified', 'POST /api/v1/receipts/preview'],
    ...['GET /api/v1/receipts/{receipt_id}', 'GET /api/v1/receipts/{receipt_id}/logs'],
    ...['GET /api/v1/receipts/{receipt_id}/entries/{log_id}', 'GET /api/v1/conversations'],
    ...['GET /api/v1/conversations/{id}', 'GET /api/v1/conversations/{id}/messages'],
  ],
  usage: ['GET /api/v1/stats', 'GET /api/v1/logs', 'GET /api/v1/logs/export'],
  keys: [
    ...['GET /v1/keys', 'POST /v1/keys', 'GET /v1/keys/{id}', 'DELETE /v1/keys/{id}', 'POST /v1/keys/{id}/rotate'],
  ],
  personal: [
    ...['GET /api/v1/flux', 'GET /api/v1/flux/stats', 'GET /api/v1/flux/lots', 'GET /api/v1/flux/history'],
    'GET /api/v1/flux/history.csv',
    ...['GET /api/v1/flux/alert', 'PUT /api/v1/flux/alert'],
    ...['GET /api/v1/stripe/orders', 'GET /api/v1/stripe/invoices', 'GET /api/v1/stripe/subscriptions'],
    ...['POST /api/v1/stripe/checkout', 'POST /api/v1/stripe/portal'],
    ...['GET /api/v1/stripe/auto-top-up', 'PUT /api/v1/stripe/auto-top-up'],
  ],
  signedIn: [
    ...['GET /api/v1/projects', 'POST /api/v1/projects', 'GET /api/v1/invitations'],
    ...['POST /api/v1/invitations/{id}/accept', 'DELETE /api/v1/invitations/{id}'],
  ],
  viewers: [...['GET /api/v1/projects/{id}', 'GET /api/v1/projects/{id}/members', 'POST /api/v1/projects/{id}/leave']],
  owners: [
    ...['PATCH /api/v1/projects/{id}/members/{userId}', 'DELETE /api/v1/projects/{id}/members/{userId}'],
    ...['GET /api/v1/projects/{id}/invitations', 'POST /api/v1/projects/{id}/invitations'],
    'DELETE /api/v1/projects/{id}/invitations/{invitationId}',
  ],
  operators: [
    ...['GET /api/admin/audit', 'GET /api/admin/audit-events', 'GET /api/admin/events', 'POST /api/admin/refunds'],
    ...['GET /api/admin/projects', 'POST /api/admin/projects', 'GET /api/admin/projects/{id}'],
    ...['PATCH /api/admin/projects/{id}', 'POST /api/admin/projects/{id}/grants'],
    ...['GET /api/admin/projects/{id}/members', 'PUT /api/admin/projects/{id}/members/{userId}'],
    'DELETE /api/admin/projects/{id}/members/{userId}',
    ...['GET /api/admin/users', 'GET /api/admin/users/{id}', 'POST /api/admin/users/{id}/ban'],
    ...['POST /api/admin/users/{id}/unban', 'POST /api/admin/users/{id}/sign-out'],
    ...['GET /api/admin/projects/{id}/keys', 'POST /api/admin/projects/{id}/keys'],
    ...['POST /api/admin/keys/{id}/rotate', 'DELETE /api/admin/keys/{id}'],
    ...['GET /api/admin/projects/{id}/allowed-models', 'PUT /api/admin/projects/{id}/allowed-models'],
    ...['GET /api/admin/keys/{id}/allowed-models', 'PUT /api/admin/keys/{id}/allowed-models'],
    ...['GET /api/admin/projects/{id}/rate-limits', 'PUT /api/admin/projects/{id}/rate-limits'],
    ...['GET /api/admin/keys/{id}/rate-limits', 'PUT /api/admin/keys/{id}/rate-limits'],
    ...['GET /api/admin/projects/{id}/budgets', 'POST /api/admin/projects/{id}/budgets'],
    ...['GET /api/admin/projects/{id}/budgets/{budgetId}', 'PATCH /api/admin/projects/{id}/budgets/{budgetId}'],
    ...['GET /api/admin/flux-grants', 'POST /api/admin/flux-grants', 'GET /api/admin/flux-grants/{id}'],
    'POST /api/admin/flux-grants/{id}/reverse',
    ...['GET /api/admin/router', 'PUT /api/admin/router', 'POST /api/admin/router:plan'],
    ...['POST /api/admin/router:rollback', 'GET /api/admin/router/versions'],
    ...['GET /api/admin/router/versions/{version}', 'GET /api/admin/config/router', 'POST /api/admin/config/router'],
    ...['GET /api/admin/settings', 'PUT /api/admin/settings', 'GET /api/admin/settings/{key}'],
    'PUT /api/admin/settings/{key}',
    ...['GET /api/admin/webhooks', 'POST /api/admin/webhooks', 'GET /api/admin/webhooks/{id}'],
    ...['PATCH /api/admin/webhooks/{id}', 'DELETE /api/admin/webhooks/{id}', 'POST /api/admin/webhooks/{id}/test'],
    ...['POST /api/admin/webhooks/{id}/rotate-secret', 'GET /api/admin/webhooks/{id}/deliveries'],
    'POST /api/admin/webhook-deliveries/{id}/resend',
  ],
}

const words = (line: string) => line.split(/[\s|]+/).filter((word) => word !== '')
const [head = '', ...body] = matrix.split('\n').filter((line) => line.trim() !== '')
const names = words(head)
const expected = new Map(
  body.map((line) => {
    const [rule = '', ...cells] = words(line)
    assert.equal(cells.length, names.length, `the row ${rule} has a cell for every caller`)
    return [rule, cells] as const
  }),
)

let gateway: TestGateway
let callers: Record<string, { secret?: string; project?: string }>
let projectId: string
let memberIds: Record<string, string>

before(async () => {
  gateway = await createTestGateway({
    env: {
      BETTER_AUTH_SECRET: 'a-secret-of-the-tests-long-enough-for-anybody',
      API_SERVER_URL: 'http://gateway.example',
      ADMIN_EMAILS: 'operator@example.com',
    },
  })
  const { db, app } = gateway
  projectId = (await app.projects.create({ name: 'of a team' })).id
  const elsewhere = (await app.projects.create({ name: 'of others' })).id
  const key = async (id: string, scopes: readonly Scope[]) =>
    (await app.keys.create({ projectId: id, name: 'x', scopes })).secret
  const person = async (name: string, options = {}) => {
    const { id } = await insertUser(db, `${name}@example.com`, options)
    return { id, secret: await openSession(db, id) }
  }
  const ownKey = async ({ id, secret }: { id: string; secret: string }) => {
    // The first call opens the personal project.
    assert.equal((await ask('GET /v1/wallet', { secret })).status, 200)
    const { rows } = await db.query('select id from project where user_id = $1', [id])
    return key(rows[0].id, ['inference', 'ingest', 'read', 'admin'])
  }
  const [unverified, somebody, operator, banned] = await Promise.all([
    person('unverified', { verified: false }),
    person('person'),
    person('operator'),
    person('banned'),
  ])
  const bannedKey = await ownKey(banned)
  await db.query('update auth_user set banned = true where id = $1', [banned.id])
  const [viewer, editor, owner, stranger] = await Promise.all(
    ['viewer', 'editor', 'owner', 'stranger'].map((n) => person(n)),
  )
  assert(viewer && editor && owner && stranger)
  memberIds = { viewer: viewer.id, editor: editor.id, owner: owner.id }
  await db.query(`insert into project_member (project_id, user_id, role) values ($1, $2, 'owner')`, [
    elsewhere,
    stranger.id,
  ])
  callers = {
    nobody: {},
    wrong: { secret: 'fg_key_wrong' },
    banned,
    bannedKey: { secret: bannedKey },
    inference: { secret: await key(projectId, ['inference']) },
    ingest: { secret: await key(projectId, ['ingest']) },
    read: { secret: await key(projectId, ['read']) },
    admin: { secret: await key(projectId, ['admin']) },
    unverified,
    person: somebody,
    personKey: { secret: await ownKey(somebody) },
    operator,
    operatorKey: { secret: await ownKey(operator) },
    viewer: { ...viewer, project: projectId },
    editor: { ...editor, project: projectId },
    owner: { ...owner, project: projectId },
    stranger: { ...stranger, project: projectId },
    adminKey: { secret: ADMIN_KEY },
  }
})
after(() => gateway.close())

async function ask(
  line: string,
  caller: { secret?: string; project?: string },
): Promise<{ status: number; text: string }> {
  const [method = '', path = ''] = line.split(' ')
  // A body that nothing accepts: whoever may call is told so, and nothing is done.
  const isWriting = ['POST', 'PUT', 'PATCH'].includes(method)
  const response = await fetch(gateway.url + path, {
    method,
    headers: {
      ...(caller.secret !== undefined && { authorization: `Bearer ${caller.secret}` }),
      ...(caller.project !== undefined && { 'x-fluxgate-project': caller.project }),
      ...(isWriting && { 'content-type': 'application/json' }),
    },
    ...(isWriting && { body: '{"nothing":true}' }),
  })
  return { status: response.status, text: (await response.text()).slice(0, 200) }
}

/** Whoever has left is back. */
async function join(): Promise<void> {
  await gateway.db.query(
    `insert into project_member (project_id, user_id, role) select $1, id, role from unnest($2::text[], $3::text[]) m (id, role)
     on conflict do nothing`,
    [projectId, Object.values(memberIds), Object.keys(memberIds)],
  )
}

test('every documented route has its rule, and no rule is about nothing', async () => {
  const document = (await (await fetch(`${gateway.url}/openapi.json`)).json()) as { paths: Record<string, object> }
  const documented = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  )
  assert.deepEqual(Object.values(rules).flat().toSorted(), documented.toSorted())
  assert.deepEqual(Object.keys(rules).toSorted(), [...expected.keys()].toSorted())
  assert.deepEqual(Object.keys(callers).toSorted(), names.toSorted())
})

for (const [rule, routes] of Object.entries(rules))
  test(`${rule}: ${routes.length} routes as ${names.length} callers`, async () => {
    const wrong: string[] = []
    for (const route of routes) {
      await join()
      const own = route.startsWith('GET /api/v1/projects') || route.includes(' /api/v1/projects/')
      const line = route.replace('{id}', own ? projectId : 'none').replaceAll(/\{\w+\}/g, 'none')
      // A few at a time: some routes admit no more at once.
      const waiting = [...names.entries()]
      const worker = async () => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const [index, name] = next
          const { status, text } = await ask(line, callers[name] ?? {})
          const cell = expected.get(rule)?.[index]
          const isServed = ![401, 403, 500, 503].includes(status) || text.includes('_NOT_CONFIGURED')
          if (cell === 'ok' ? !isServed : status !== Number(cell))
            wrong.push(`${route} as ${name}: ${status} in place of ${cell}: ${text}`)
        }
      }
      await Promise.all([worker(), worker(), worker()])
    }
    assert.deepEqual(wrong, [])
  })

test('the same for HEAD, and for addresses with a slash at their end', async () => {
  await join()
  for (const [line, name, status] of [
    ['GET /api/v1/stats/', 'viewer', 200],
    ['GET /api/v1/stats/', 'stranger', 403],
    ['HEAD /api/v1/stats', 'viewer', 200],
    ['HEAD /v1/wallet', 'viewer', 200],
    ['HEAD /v1/wallet', 'stranger', 403],
    ['HEAD /v1/keys', 'viewer', 403],
    ['HEAD /v1/keys', 'editor', 200],
    ['POST /api/v1/log/', 'owner', 403],
    // An older address of conversations, which is not documented.
    ['GET /conversations', 'owner', 403],
  ] as const)
    assert.equal((await ask(line, callers[name] ?? {})).status, status, `${line} as ${name}`)
})
