import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'
import { testSharedRefusals } from '#test/support/http-refusals.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const paths = [
  '/api/admin/projects/prj_aaaaaaaaaaaaaaaaaaaa/allowed-models',
  '/api/admin/keys/key_aaaaaaaaaaaaaaaaaaaa/allowed-models',
]
for (const path of paths) {
  testSharedRefusals(() => api, { line: `GET ${path}` })
  testSharedRefusals(() => api, { line: `PUT ${path}`, body: { models: null } })
  test(`${path} 404: of nobody`, async () => {
    assert.equal((await api.call(`GET ${path}`)).status, 404)
    assert.equal((await api.call(`PUT ${path}`, { body: { models: null } })).status, 404)
  })
}

test('a list is set, shown, refused when it is none, and taken away', async () => {
  const { projectId, keyId } = await api.openProject('limited')
  for (const path of [`/api/admin/projects/${projectId}/allowed-models`, `/api/admin/keys/${keyId}/allowed-models`]) {
    assert.equal((await api.call(`GET ${path}`)).body.models, null)
    const set = await api.call(`PUT ${path}`, { body: { models: ['a/b', 'c/*'] } })
    assert.deepEqual([set.status, set.body.models], [200, ['a/b', 'c/*']])
    assert.deepEqual((await api.call(`GET ${path}`)).body.models, ['a/b', 'c/*'])
    for (const models of [[], [''], ['a\u0000'], 'a', [1], Array.from({ length: 201 }, (_, n) => `m${n}`)])
      assert.equal((await api.call(`PUT ${path}`, { body: { models } })).status, 400)
    assert.equal((await api.call(`PUT ${path}`, { body: { models: null } })).body.models, null)
  }
})

test('every documented status was met', () => {
  api.expectEveryStatus(
    ...['projects', 'keys'].flatMap((kind) =>
      ['GET', 'PUT'].map((method) => `${method} /api/admin/${kind}/{id}/allowed-models`),
    ),
  )
})
