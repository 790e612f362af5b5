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
  '/api/admin/projects/prj_aaaaaaaaaaaaaaaaaaaa/rate-limits',
  '/api/admin/keys/key_aaaaaaaaaaaaaaaaaaaa/rate-limits',
]
for (const path of paths) {
  testSharedRefusals(() => api, { line: `GET ${path}` })
  testSharedRefusals(() => api, { line: `PUT ${path}`, body: { limits: null } })
  test(`${path} 404: of nobody`, async () => {
    assert.equal((await api.call(`GET ${path}`)).status, 404)
    assert.equal((await api.call(`PUT ${path}`, { body: { limits: null } })).status, 404)
  })
}

test('limits are set, shown, refused when they are none, and taken away', async () => {
  const { projectId, keyId } = await api.openProject('limited')
  for (const path of [`/api/admin/projects/${projectId}/rate-limits`, `/api/admin/keys/${keyId}/rate-limits`]) {
    assert.equal((await api.call(`GET ${path}`)).body.limits, null)
    const limits = { requestsPerMinute: 60, tokensPerMinute: 100_000, concurrentCalls: 5 }
    const set = await api.call(`PUT ${path}`, { body: { limits } })
    assert.deepEqual([set.status, set.body.limits], [200, limits])
    assert.deepEqual((await api.call(`GET ${path}`)).body.limits, limits)
    for (const wrong of [
      ...[{}, [], 'x', 5, { requestsPerMinute: 0 }, { requestsPerMinute: 1.5 }, { requestsPerMinute: '5' }],
      ...[{ requestsPerHour: 5 }, { tokensPerMinute: -1 }, { concurrentCalls: 1e12 }, { requestsPerMinute: null }],
    ])
      assert.equal((await api.call(`PUT ${path}`, { body: { limits: wrong } })).status, 400, JSON.stringify(wrong))
    assert.deepEqual((await api.call(`GET ${path}`)).body.limits, limits)
    assert.equal((await api.call(`PUT ${path}`, { body: { limits: null } })).body.limits, null)
  }
})

test('every documented status was met', () => {
  api.expectEveryStatus(
    ...['projects', 'keys'].flatMap((kind) =>
      ['GET', 'PUT'].map((method) => `${method} /api/admin/${kind}/{id}/rate-limits`),
    ),
  )
})
