import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { transaction } from '#db/pool.ts'
import { importLegacyKey, PinnedKeyError } from '#domain/keys.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

let api: TestApi
let projectId: string
before(async () => {
  api = await createTestApi()
  projectId = (await api.openProject('legacy')).projectId
})
after(() => api.close())

const sha256 = (text: string) => createHash('sha256').update(text).digest()
const bring = (input: Parameters<typeof importLegacyKey>[1]) =>
  transaction(api.database.db, (tx) => importLegacyKey(tx, input))

const raw = [
  ['as llmring made them', 'llmr_pk_0123456789abcdef0123456789abcdef', 'cdef'],
  ['of one character', 'x', ''],
  ['of every visible character', Array.from({ length: 94 }, (_, n) => String.fromCharCode(33 + n)).join(''), '{|}~'],
  ['of 255 characters', 'k'.repeat(255), 'kkkk'],
] as const
for (const [what, secret, hint] of raw) {
  test(`a raw key ${what} goes on authenticating in each header`, async () => {
    const key = await bring({ projectId, name: 'brought along', secret })
    assert.deepEqual([key.legacy, key.hint, key.scopes], [true, hint, ['inference', 'ingest', 'read']])
    for (const headers of [
      { authorization: `Bearer ${secret}` },
      { 'x-api-key': secret },
      { 'x-project-key': secret },
      { 'x-api-key': secret, authorization: `Bearer ${secret}` },
      { 'x-api-key': `  ${secret} ` },
    ]) {
      const { status, body } = await api.call('GET /v1/keys/current', { key: null, headers })
      assert.deepEqual([status, body.id], [200, key.id])
    }
    const { rows } = await api.database.db.query('select * from api_key where id = $1', [key.id])
    if (secret.length > 4) assert(!JSON.stringify(rows).includes(secret))
  })
}

test('a key of which only the SHA-256 is known authenticates with what was hashed', async () => {
  const key = await bring({ projectId, name: 'hashed elsewhere', sha256: sha256('only-its-hash-is-known') })
  assert.equal(key.hint, '')
  const { body } = await api.call('GET /v1/keys/current', { key: 'only-its-hash-is-known' })
  assert.equal(body.id, key.id)
})

test('a key that is brought along again is the same key, and one that was revoked stays so', async () => {
  const first = await bring({ projectId, name: 'twice', secret: ' twice-the-same ' })
  const again = await bring({ projectId, name: 'other name', sha256: sha256('twice-the-same') })
  assert.deepEqual(again, first)
  await api.deps.keys.revoke(first.id)
  assert.notEqual((await bring({ projectId, name: 'twice', secret: 'twice-the-same' })).revokedAt, null)
  assert.equal((await api.call('GET /v1/wallet', { key: 'twice-the-same' })).status, 401)
})

test('a key of another project is not taken from it, and the error does not tell the secret', async () => {
  const secret = 'of-two-projects-at-once'
  await bring({ projectId, name: 'mine', secret })
  const other = await api.openProject('other')
  await assert.rejects(bring({ projectId: other.projectId, name: 'mine too', secret }), (error: Error) => {
    assert(error instanceof PinnedKeyError && !error.message.includes(secret))
    return true
  })
})

for (const [what, secret] of [
  ['an empty key', ''],
  ['blanks', '   '],
  ['a key with a blank inside', 'a b'],
  ['a key of 256 characters', 'k'.repeat(256)],
  ['a key that is not ASCII', 'schlüssel'],
  ['a key with a control character', 'a\u0000b'],
] as const) {
  test(`${what} could not be sent in a header and is not brought along`, async () => {
    await assert.rejects(bring({ projectId, name: 'not a key', secret }), PinnedKeyError)
  })
}

test('a legacy key is rotated like any other: history stays, the new secret is of our making', async () => {
  const old = await bring({ projectId, name: 'to be replaced', secret: 'the-old-llmring-key' })
  const { status, body } = await api.call(`POST /api/admin/keys/${old.id}/rotate`, { body: {} })
  assert.deepEqual([status, body.legacy, body.replaced.legacy, body.project_id], [201, false, true, projectId])
  assert.match(body.secret, /^fg_key_/)
  for (const key of ['the-old-llmring-key', body.secret])
    assert.equal((await api.call('GET /v1/wallet', { key })).status, 200)
})
