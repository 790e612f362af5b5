import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

// What all routes of llmring's clients have in common.

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const open = { key: null }

test('GET / 200: what this is, for programs', async () => {
  for (const headers of [{}, { accept: '*/*' }, { accept: 'application/json' }, { accept: 'text/html;q=0, */*' }]) {
    const { status, body, headers: answered } = await api.call('GET /', { ...open, headers })
    assert.deepEqual(
      [status, body, answered.vary],
      [200, { name: 'Fluxgate', version: '0.0.0-test', docs: '/docs', registry: '/registry' }, 'Accept'],
    )
  }
})

test('GET /health 200 and 503: whether the database is there', async () => {
  for (const path of ['/health', '/health/']) {
    const there = await api.call(`GET ${path}`, open)
    const name = { name: 'Fluxgate', version: '0.0.0-test' }
    assert.deepEqual([there.status, there.body], [200, { status: 'healthy', database: 'connected', ...name }])
    const away = await api.callAway(`GET ${path}`, open)
    assert.deepEqual([away.status, away.body], [503, { status: 'unhealthy', database: 'disconnected', ...name }])
  }
})

const aliasLines = [
  'GET /api/v1/aliases/',
  'GET /api/v1/aliases?profile=default',
  'POST /api/v1/aliases/bind',
  'GET /api/v1/aliases/resolve?alias=a&profile=default',
  'GET /api/v1/aliases/summarizer',
  'PUT /api/v1/aliases/summarizer',
  'PATCH /api/v1/aliases/1',
  'DELETE /api/v1/aliases/summarizer/',
  'POST /api/v1/aliases/bulk_upsert?profile=default',
  'POST /api/v1/sync/push',
  'POST /api/v1/sync/pull/',
  'GET /api/v1/sync',
  'GET /api/v1/sync/',
]
for (const line of aliasLines) {
  test(`${line} 410: says where aliases live, with a key and without`, async () => {
    for (const key of [null, 'nobody’s']) {
      const headers = { 'content-type': 'application/json' }
      const { status, body } = await api.call(line, { key: key === null ? null : 'nobody', headers })
      assert.deepEqual([status, body.code], [410, 'aliases_are_local'])
      assert.match(body.detail, /llmring\.lock/)
    }
  })
}

test('OpenAPI lists no route of aliases or of their synchronisation', () => {
  const paths = Object.keys(api.documented.paths)
  assert.deepEqual(
    paths.filter((path) => /alias|sync/i.test(path)),
    [],
  )
})

test('an address of this surface that is nobody’s is 404 with a detail', async () => {
  for (const path of ['/registry/nothing/here', '/api/v1/receipts/a/b/c', '/health/x/y']) {
    const { status, body } = await api.call(`GET ${path}`, open)
    assert.equal(status, 404, path)
    if (path !== '/health/x/y')
      assert.deepEqual(body, { detail: 'There is nothing at this address.', code: 'not_found' })
  }
  const { status, body, headers } = await api.call('DELETE /health', open)
  assert.deepEqual([status, body.code, headers.allow], [405, 'method_not_allowed', 'GET, HEAD'])
})

test('pages of a named origin may call, without cookies; others are told nothing', async () => {
  const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' }
  const asked = await api.call('OPTIONS /api/v1/logs', {
    key: null,
    headers: { origin: 'https://app.example', ...preflight },
  })
  assert.equal(asked.status, 204)
  assert.equal(asked.headers['access-control-allow-origin'], 'https://app.example')
  assert.match(String(asked.headers['access-control-allow-methods']), /PATCH/)
  assert.match(String(asked.headers['access-control-allow-headers']), /x-api-key/)
  assert.equal(asked.headers['access-control-allow-credentials'], undefined)

  const { status, headers } = await api.call('GET /health', { key: null, headers: { origin: 'https://app.example' } })
  assert.deepEqual(
    [status, headers['access-control-allow-origin'], headers.vary],
    [200, 'https://app.example', 'Origin'],
  )
  for (const origin of ['https://evil.example', 'null', 'https://app.example.evil']) {
    const other = await api.call('OPTIONS /api/v1/logs', { key: null, headers: { origin, ...preflight } })
    assert.notEqual(other.status, 204)
    assert.equal(other.headers['access-control-allow-origin'], undefined)
  }
  const admin = await api.call('GET /api/admin/projects', { headers: { origin: 'https://app.example' } })
  assert.equal(admin.headers['access-control-allow-origin'], undefined)
})
