import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
let projectId: string
before(async () => {
  api = await createTestApi()
  projectId = (await api.openProject('keys')).projectId
})
after(() => api.close())

const NOBODY = '/api/admin/projects/prj_aaaaaaaaaaaaaaaaaaaa/keys'
const keysOf = (id: string) => `/api/admin/projects/${id}/keys`

test('POST …/keys 201: the secret is shown once and works', async () => {
  const { status, body } = await api.call(`POST ${keysOf(projectId)}`, { body: { name: 'laptop' } })
  assert.equal(status, 201)
  assert.match(body.secret, /^fg_key_[a-z2-7]{40}$/)
  assert.equal(body.hint, body.secret.slice(-4))
  assert.equal((await api.call('GET /v1/wallet', { key: body.secret })).status, 200)

  const list = await api.call(`GET ${keysOf(projectId)}`)
  assert(!list.text.includes(body.secret) && !api.log.text().includes(body.secret))
  assert(list.body.data.every((key: object) => !('secret' in key) && !('hash' in key)))
})

test('POST …/keys 201: a key with an expiry says so', async () => {
  const expires_at = new Date(Date.now() + 3_600_000).toISOString()
  const { status, body } = await api.call(`POST ${keysOf(projectId)}`, { body: { name: 'short', expires_at } })
  assert.deepEqual([status, body.expires_at], [201, expires_at])
})

for (const [what, body, param] of [
  ['without a name', {}, 'name'],
  ['that expired yesterday', { name: 'x', expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
  ['that expires on 30 February', { name: 'x', expires_at: '2099-02-30T00:00:00Z' }, 'expires_at'],
  ['that expires at a time without a zone', { name: 'x', expires_at: '2099-01-01T00:00:00' }, 'expires_at'],
  ['with a scope that does not exist', { name: 'x', scopes: ['root'] }, 'scopes.0'],
  ['without any scope', { name: 'x', scopes: [] }, 'scopes'],
  ['with a scope twice', { name: 'x', scopes: ['read', 'read'] }, 'scopes'],
  ['that brings its own secret', { name: 'x', secret: 'fg_key_mine' }, 'secret'],
] as const) {
  test(`POST …/keys 400: a key ${what}`, async () => {
    const answer = await api.call(`POST ${keysOf(projectId)}`, { body })
    assert.deepEqual([answer.status, answer.body.error.code, answer.body.error.param], [400, 'body_invalid', param])
  })
}

test('POST …/keys 201: the scopes that were asked for, or all but admin', async () => {
  const plain = await api.call(`POST ${keysOf(projectId)}`, { body: { name: 'plain' } })
  assert.deepEqual(plain.body.scopes, ['inference', 'ingest', 'read'])
  const { body } = await api.call(`POST ${keysOf(projectId)}`, { body: { name: 'some', scopes: ['admin', 'read'] } })
  assert.deepEqual(body.scopes, ['admin', 'read'])
})

test('POST …/keys 409: a thousand keys that work are enough; one that is revoked makes room', async () => {
  const { projectId: id, keyId } = await api.openProject('full')
  await api.database.db.query(
    `insert into api_key (id, project_id, name, hash, hint)
     select 'key_full' || lpad(n::text, 16, '0'), $1, 'n', sha256(('full' || n)::bytea), '' from generate_series(1, 999) n`,
    [id],
  )
  for (const line of [`POST ${keysOf(id)}`, `POST /api/admin/keys/${keyId}/rotate`]) {
    const { status, body } = await api.call(line, { body: line.includes('rotate') ? {} : { name: 'one more' } })
    assert.deepEqual([status, body.error.code], [409, 'too_many_keys'])
  }
  await api.call(`DELETE /api/admin/keys/${keyId}`)
  assert.equal((await api.call(`POST ${keysOf(id)}`, { body: { name: 'in its place' } })).status, 201)
})

test('POST …/keys 404: no such project', async () => {
  const { status, body } = await api.call(`POST ${NOBODY}`, { body: { name: 'x' } })
  assert.deepEqual([status, body.error.code], [404, 'not_found'])
})

test('GET …/keys 200: every key of the project once, oldest first, page by page', async () => {
  const { projectId: id } = await api.openProject('pages')
  for (let n = 0; n < 4; n += 1) await api.call(`POST ${keysOf(id)}`, { body: { name: `key ${n}` } })
  const names: string[] = []
  let after = ''
  for (;;) {
    const { status, body } = await api.call(`GET ${keysOf(id)}?limit=2${after}`)
    assert.equal(status, 200)
    names.push(...body.data.map((key: { name: string }) => key.name))
    if (!body.has_more) break
    after = `&after=${body.next_after}`
  }
  assert.deepEqual(names, ['pages', 'key 0', 'key 1', 'key 2', 'key 3'])
})

test('GET …/keys 400 and 404: a bad page, no such project', async () => {
  assert.equal((await api.call(`GET ${keysOf(projectId)}?limit=1000`)).status, 400)
  assert.equal((await api.call(`GET ${NOBODY}`)).status, 404)
})

test('DELETE /api/admin/keys/{id} 200: the key stops working within a second, and a second time changes nothing', async () => {
  const { keyId, secret } = await api.openProject('revoking')
  assert.equal((await api.call('GET /v1/wallet', { key: secret })).status, 200)

  const first = await api.call(`DELETE /api/admin/keys/${keyId}`)
  assert.equal(first.status, 200)
  assert.notEqual(first.body.revoked_at, null)
  const deadline = Date.now() + 1_000
  while ((await api.call('GET /v1/wallet', { key: secret })).status !== 401)
    assert(Date.now() < deadline, 'refused in time')

  const again = await api.call(`DELETE /api/admin/keys/${keyId}`)
  assert.deepEqual([again.status, again.body], [200, first.body])
})

test('DELETE /api/admin/keys/{id} 404: no such key', async () => {
  for (const id of ['key_aaaaaaaaaaaaaaaaaaaa', projectId, '%00'])
    assert.equal((await api.call(`DELETE /api/admin/keys/${id}`)).status, 404)
})

const rotationOf = (id: string) => `POST /api/admin/keys/${id}/rotate`

test('POST …/rotate 201: a new key takes over; the old one works for the overlap', async () => {
  const { keyId, secret, projectId: id } = await api.openProject('rotating')
  const { status, body } = await api.call(rotationOf(keyId), { body: { overlap_seconds: 3_600 } })
  assert.equal(status, 201)
  assert.deepEqual(
    [body.project_id, body.name, body.scopes, body.expires_at, body.rotated_to],
    [id, 'rotating', ['inference', 'ingest', 'read'], null, null],
  )
  assert.deepEqual([body.replaced.id, body.replaced.rotated_to, body.replaced.revoked_at], [keyId, body.id, null])
  const leftMs = Date.parse(body.replaced.expires_at) - Date.now()
  assert(leftMs > 3_500_000 && leftMs <= 3_605_000, 'the old key has an hour left')
  for (const key of [secret, body.secret]) assert.equal((await api.call('GET /v1/wallet', { key })).status, 200)
  assert(!api.log.text().includes(body.secret))
})

test('POST …/rotate 201: a day of overlap unless said otherwise', async () => {
  const { keyId } = await api.openProject('by default')
  const { body } = await api.call(rotationOf(keyId), { body: {} })
  const leftMs = Date.parse(body.replaced.expires_at) - Date.now()
  assert(leftMs > 86_300_000 && leftMs <= 86_405_000)
})

test('POST …/rotate 201: without overlap the old key ends at once', async () => {
  const { keyId, secret } = await api.openProject('at once')
  assert.equal((await api.call('GET /v1/wallet', { key: secret })).status, 200)
  const { body } = await api.call(rotationOf(keyId), { body: { overlap_seconds: 0 } })
  const deadline = Date.now() + 1_000
  while ((await api.call('GET /v1/wallet', { key: secret })).status !== 401)
    assert(Date.now() < deadline, 'refused in time')
  assert.equal((await api.call('GET /v1/wallet', { key: body.secret })).status, 200)
})

test('POST …/rotate 201: an overlap never makes a key live longer; the new one lives as long as the old was made for', async () => {
  const { projectId: id } = await api.openProject('expiring')
  const expires_at = new Date(Date.now() + 600_000).toISOString()
  const old = (await api.call(`POST ${keysOf(id)}`, { body: { name: 'ten minutes', expires_at, scopes: ['read'] } }))
    .body
  const { body } = await api.call(rotationOf(old.id), { body: {} })
  assert.equal(body.replaced.expires_at, expires_at)
  assert.deepEqual(body.scopes, ['read'])
  const lifeMs = Date.parse(body.expires_at) - Date.parse(body.created_at)
  assert(Math.abs(lifeMs - 600_000) < 5_000, `${lifeMs} ms`)
  const forEver = await api.call(rotationOf(body.id), { body: { expires_at: null } })
  assert.equal(forEver.body.expires_at, null)
})

for (const [what, body, param] of [
  ['of more than 30 days', { overlap_seconds: 2_592_001 }, 'overlap_seconds'],
  ['of less than nothing', { overlap_seconds: -1 }, 'overlap_seconds'],
  ['of half a second', { overlap_seconds: 0.5 }, 'overlap_seconds'],
  ['to a key that has expired', { expires_at: '2020-01-01T00:00:00Z' }, 'expires_at'],
  ['with a secret', { secret: 'fg_key_mine' }, 'secret'],
] as const) {
  test(`POST …/rotate 400: a rotation ${what} changes nothing`, async () => {
    const { keyId, secret } = await api.openProject(`400 ${what}`)
    const answer = await api.call(rotationOf(keyId), { body })
    assert.deepEqual([answer.status, answer.body.error.code, answer.body.error.param], [400, 'body_invalid', param])
    assert.equal((await api.call('GET /v1/keys/current', { key: secret })).body.rotated_to, null)
  })
}

test('POST …/rotate 404: no such key', async () => {
  assert.equal((await api.call(rotationOf('key_aaaaaaaaaaaaaaaaaaaa'), { body: {} })).status, 404)
})

test('POST …/rotate 409: a key that was revoked, has expired or was rotated', async () => {
  const { keyId, projectId: id } = await api.openProject('ended')
  await api.call(rotationOf(keyId), { body: {} })
  const { key: revoked } = await api.deps.keys.create({ projectId: id, name: 'revoked' })
  await api.deps.keys.revoke(revoked.id)
  const { key: expired } = await api.deps.keys.create({ projectId: id, name: 'expired' })
  await api.database.db.query(`update api_key set expires_at = now() - interval '1 second' where id = $1`, [expired.id])
  for (const ended of [keyId, revoked.id, expired.id]) {
    const { status, body } = await api.call(rotationOf(ended), { body: {} })
    assert.deepEqual([status, body.error.code], [409, 'key_not_rotatable'])
  }
})

test('of many rotations of one key at once exactly one wins, and no key is left over', async () => {
  const { keyId, projectId: id } = await api.openProject('raced')
  // All of the pool's connections are open, so that none has a head start.
  const { db } = api.database
  await Promise.all(Array.from({ length: 10 }, () => db.query('select pg_sleep(0.2)')))
  const all = await Promise.allSettled(Array.from({ length: 30 }, () => api.deps.keys.rotate(keyId, {})))
  const refused = all.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []))
  assert.deepEqual(refused, Array(29).fill('key_not_rotatable'))
  const { body } = await api.call(`GET ${keysOf(id)}`)
  assert.equal(body.data.length, 2)
  assert.equal(body.data[0].rotated_to, body.data[1].id)
})

test('a rotation that races a revocation leaves no way in through the old key', async () => {
  const { projectId: id } = await api.openProject('both')
  for (let n = 0; n < 10; n += 1) {
    const { key, secret } = await api.deps.keys.create({ projectId: id, name: `both ${n}` })
    const [rotated] = await Promise.all([
      api.call(rotationOf(key.id), { body: {} }),
      api.call(`DELETE /api/admin/keys/${key.id}`),
    ])
    assert(rotated.status === 201 || rotated.status === 409)
    assert.notEqual((await api.deps.keys.get(key.id)).revokedAt, null)
    const deadline = Date.now() + 1_000
    while ((await api.call('GET /v1/wallet', { key: secret })).status !== 401) assert(Date.now() < deadline)
  }
})

testSharedRefusals(() => api, { line: 'POST /api/admin/projects/prj_x/keys', body: { name: 'refused' } })
testSharedRefusals(() => api, { line: 'POST /api/admin/keys/key_x/rotate', body: {} })
testSharedRefusals(() => api, { line: 'GET /api/admin/projects/prj_x/keys' })
testSharedRefusals(() => api, { line: 'DELETE /api/admin/keys/key_x' })

test('every documented status was met', () =>
  api.expectEveryStatus(
    'POST /api/admin/projects/{id}/keys',
    'GET /api/admin/projects/{id}/keys',
    'POST /api/admin/keys/{id}/rotate',
    'DELETE /api/admin/keys/{id}',
  ))
