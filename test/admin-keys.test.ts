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
  ['that brings its own secret', { name: 'x', secret: 'fg_key_mine' }, 'secret'],
] as const) {
  test(`POST …/keys 400: a key ${what}`, async () => {
    const answer = await api.call(`POST ${keysOf(projectId)}`, { body })
    assert.deepEqual([answer.status, answer.body.error.code, answer.body.error.param], [400, 'body_invalid', param])
  })
}

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

testSharedRefusals(() => api, { line: 'POST /api/admin/projects/prj_x/keys', body: { name: 'refused' } })
testSharedRefusals(() => api, { line: 'GET /api/admin/projects/prj_x/keys' })
testSharedRefusals(() => api, { line: 'DELETE /api/admin/keys/key_x' })

test('every documented status was met', () =>
  api.expectEveryStatus(
    'POST /api/admin/projects/{id}/keys',
    'GET /api/admin/projects/{id}/keys',
    'DELETE /api/admin/keys/{id}',
  ))
