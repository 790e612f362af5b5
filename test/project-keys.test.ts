import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Scope } from '#domain/scopes.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

// A project looks after its own keys.

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

async function openAdmin(name: string, scopes: Scope[] = ['admin']) {
  const { projectId } = await api.openProject(name)
  const { key, secret } = await api.deps.keys.create({ projectId, name: 'admin', scopes })
  return { projectId, keyId: key.id, secret }
}

test('GET /v1/keys 200: the keys of the project, and of no other, page by page', async () => {
  const { secret, projectId } = await openAdmin('mine')
  await openAdmin('not mine')
  const first = await api.call('GET /v1/keys?limit=1', { key: secret })
  assert.deepEqual([first.status, first.body.data.length, first.body.has_more], [200, 1, true])
  const rest = await api.call(`GET /v1/keys?after=${first.body.next_after}`, { key: secret })
  const all = [...first.body.data, ...rest.body.data]
  assert.deepEqual(
    all.map((key: { name: string; project_id: string }) => [key.name, key.project_id]),
    [
      ['mine', projectId],
      ['admin', projectId],
    ],
  )
  assert(all.every((key: object) => !('secret' in key) && !('hash' in key)))
})

test('GET /v1/keys 400: a bad page', async () => {
  const { secret } = await openAdmin('bad page')
  assert.equal((await api.call('GET /v1/keys?limit=1000', { key: secret })).status, 400)
})

test('GET /v1/keys/{id} 200: any key may see itself, by id and as current; others take the scope admin', async () => {
  const { secret, projectId } = await openAdmin('looking')
  const plain = await api.deps.keys.create({ projectId, name: 'plain', scopes: ['ingest'] })
  for (const id of ['current', plain.key.id]) {
    const { status, body } = await api.call(`GET /v1/keys/${id}`, { key: plain.secret })
    assert.deepEqual([status, body.id, body.scopes], [200, plain.key.id, ['ingest']])
  }
  assert.equal((await api.call(`GET /v1/keys/${plain.key.id}`, { key: secret })).status, 200)
})

test('POST /v1/keys 201: an admin may give any scope, its own too', async () => {
  const { secret, projectId } = await openAdmin('giving')
  const { status, body } = await api.call('POST /v1/keys', {
    key: secret,
    body: { name: 'new', scopes: ['inference', 'admin'] },
  })
  assert.deepEqual([status, body.project_id, body.scopes], [201, projectId, ['inference', 'admin']])
  assert.equal((await api.call('GET /v1/keys', { key: body.secret })).status, 200)
})

test('POST /v1/keys 400: neither another project nor a secret of its own', async () => {
  const { secret } = await openAdmin('strict')
  for (const body of [{ name: 'x', project_id: 'prj_x' }, { name: 'x', secret: 'y' }, { name: '' }, {}])
    assert.equal((await api.call('POST /v1/keys', { key: secret, body })).status, 400)
})

test('POST /v1/keys/{id}/rotate 201: another key of the project, and the one that asks', async () => {
  const { secret, keyId, projectId } = await openAdmin('turning')
  const plain = await api.deps.keys.create({ projectId, name: 'plain' })
  const other = await api.call(`POST /v1/keys/${plain.key.id}/rotate`, { key: secret, body: { overlap_seconds: 60 } })
  assert.deepEqual([other.status, other.body.replaced.id], [201, plain.key.id])
  const own = await api.call('POST /v1/keys/current/rotate', { key: secret, body: {} })
  assert.deepEqual([own.status, own.body.replaced.id, own.body.scopes], [201, keyId, ['admin']])
  for (const key of [secret, own.body.secret]) assert.equal((await api.call('GET /v1/keys', { key })).status, 200)
})

test('POST /v1/keys/{id}/rotate 400 and 409: a bad overlap, a second time', async () => {
  const { secret } = await openAdmin('again')
  const line = 'POST /v1/keys/current/rotate'
  assert.equal((await api.call(line, { key: secret, body: { overlap_seconds: 1e9 } })).status, 400)
  assert.equal((await api.call(line, { key: secret, body: {} })).status, 201)
  const { status, body } = await api.call(line, { key: secret, body: {} })
  assert.deepEqual([status, body.error.code], [409, 'key_not_rotatable'])
})

test('POST /v1/keys 409: a thousand keys are enough', async () => {
  const { secret, projectId } = await openAdmin('full')
  await api.database.db.query(
    `insert into api_key (id, project_id, name, hash, hint)
     select 'key_mine' || lpad(n::text, 16, '0'), $1, 'n', sha256(('mine' || n)::bytea), '' from generate_series(1, 998) n`,
    [projectId],
  )
  const { status, body } = await api.call('POST /v1/keys', { key: secret, body: { name: 'x' } })
  assert.deepEqual([status, body.error.code], [409, 'too_many_keys'])
})

test('DELETE /v1/keys/{id} 200: revoked within a second, the one that asks too', async () => {
  const { secret, keyId, projectId } = await openAdmin('ending')
  const plain = await api.deps.keys.create({ projectId, name: 'plain' })
  for (const [id, gone] of [
    [plain.key.id, plain.secret],
    [keyId, secret],
  ] as const) {
    const { status, body } = await api.call(`DELETE /v1/keys/${id}`, { key: secret })
    assert.deepEqual([status, body.id], [200, id])
    const deadline = Date.now() + 1_000
    while ((await api.call('GET /v1/keys/current', { key: gone })).status !== 401) assert(Date.now() < deadline)
  }
})

test("another project's keys are not found, whatever is asked of them", async () => {
  const { secret } = await openAdmin('nosy')
  const other = await api.openProject('of others')
  const body = {}
  for (const id of [other.keyId, 'key_aaaaaaaaaaaaaaaaaaaa', '%00']) {
    assert.equal((await api.call(`GET /v1/keys/${id}`, { key: secret })).status, 404)
    assert.equal((await api.call(`POST /v1/keys/${id}/rotate`, { key: secret, body })).status, 404)
    assert.equal((await api.call(`DELETE /v1/keys/${id}`, { key: secret })).status, 404)
  }
  const after = await api.deps.keys.get(other.keyId)
  assert.deepEqual([after.revokedAt, after.rotatedTo, after.expiresAt], [null, null, null])
})

for (const [line, body] of [
  ['GET /v1/keys'],
  ['GET /v1/keys/key_x'],
  ['DELETE /v1/keys/key_x'],
  ['POST /v1/keys', { name: 'refused' }],
  ['POST /v1/keys/key_x/rotate', {}],
] as const)
  testSharedRefusals(() => api, { line, key: 'client', scope: 'admin', ...(body && { body }) })

test('every documented status was met', () =>
  api.expectEveryStatus(
    'GET /v1/keys',
    'GET /v1/keys/{id}',
    'POST /v1/keys',
    'POST /v1/keys/{id}/rotate',
    'DELETE /v1/keys/{id}',
  ))
