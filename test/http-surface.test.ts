import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { parseReceiptKeys } from '#billing/receipt-keys.ts'
import { createHttpApp } from '#routes/http-app.ts'
import { createTestApi, type TestApi } from '#test/support/http-api.ts'

let api: TestApi
before(async () => {
  api = await createTestApi()
})
after(() => api.close())

const open = { key: null }
const browser = { key: null, headers: { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' } }

test('GET /livez 200: also while the database is away', async () => {
  for (const call of [api.call, api.callAway]) {
    const { status, body } = await call('GET /livez', open)
    assert.deepEqual([status, body], [200, { status: 'ok' }])
  }
})

test('GET /readyz 200 and 503: whether the database is there', async () => {
  const ready = await api.call('GET /readyz', open)
  assert.deepEqual([ready.status, ready.body], [200, { status: 'ready', checks: { database: 'ok' } }])
  const away = await api.callAway('GET /readyz', open)
  assert.deepEqual([away.status, away.body], [503, { status: 'not_ready', checks: { database: 'away' } }])
})

test('GET /metrics 200: text for Prometheus', async () => {
  const { status, headers, text } = await api.call('GET /metrics', open)
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/)
  assert.equal(text, 'fluxgate_up 1\n')
})

test('GET /receipts/public-keys.json 200: cacheable and readable from any origin', async () => {
  const { status, headers, body } = await api.call('GET /receipts/public-keys.json', open)
  assert.equal(status, 200)
  assert.equal(headers['cache-control'], 'public, max-age=300')
  assert.equal(headers['access-control-allow-origin'], '*')
  assert.equal((await parseReceiptKeys(body)).current_key_id, api.till.signer.keyId)
})

test('GET /receipts/public-keys.json 503: the database is away, and nobody caches that', async () => {
  const { status, headers } = await api.callAway('GET /receipts/public-keys.json', open)
  assert.deepEqual([status, headers['cache-control']], [503, 'no-store'])
})

test('GET / 200: a page without anything from elsewhere, under a policy that its style fits', async () => {
  const { status, headers, text } = await api.call('GET /', {
    ...open,
    headers: { ...browser.headers, host: 'gate.example:3000' },
  })
  assert.equal(status, 200)
  assert.match(text, /curl http:\/\/gate\.example:3000\/v1\/chat\/completions/)
  assert(!/src=|@import|https?:\/\/(?!gate)/.test(text))
  const style = createHash('sha256')
    .update(/<style>(.*)<\/style>/.exec(text)?.[1] ?? '')
    .digest('base64')
  assert(String(headers['content-security-policy']).includes(`style-src 'sha256-${style}'`))
})

test('GET / 200: a host that is no host is not repeated', async () => {
  const headers = { ...browser.headers, host: '"><script>alert(1)</script>' }
  const { text } = await api.call('GET /', { ...open, headers })
  assert.match(text, /<h1>/)
  assert(!text.includes('alert'))
})

test('GET /docs 200: a page whose parts all come from here, under a strict policy', async () => {
  for (const path of ['/docs', '/docs/']) {
    const { status, headers, text } = await api.call(`GET ${path}`, open)
    assert.equal(status, 200)
    const policy = String(headers['content-security-policy'])
    assert(policy.includes("script-src 'self'") && policy.includes("default-src 'none'") && !policy.includes('unsafe'))
    assert(!/<script(?![^>]+src=)/.test(text), 'no inline script')
    const links = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link = '']) => new URL(link, `http://x${path}`))
    assert(links.length >= 5)
    for (const link of links) {
      assert.equal(link.host, 'x')
      assert.equal((await api.call(`GET ${link.pathname}`, open)).status, 200, link.pathname)
    }
  }
})

/** Usage, which the operator sees of every project. */
const operatorMayCall = /^\/api\/v1\/(?:stats|logs|logs\/export)$/

test('GET /openapi.json 200: every route and the calls that the gateway serves', async () => {
  const { status, body } = await api.call('GET /openapi.json', open)
  assert.equal(status, 200)
  assert.equal(body.openapi, '3.1.0')
  assert.deepEqual(Object.keys(body.paths).sort(), [
    '/',
    '/api/admin/audit',
    '/api/admin/audit-events',
    '/api/admin/config/router',
    '/api/admin/events',
    '/api/admin/flux-grants',
    '/api/admin/flux-grants/{id}',
    '/api/admin/flux-grants/{id}/reverse',
    '/api/admin/keys/{id}',
    '/api/admin/keys/{id}/allowed-models',
    '/api/admin/keys/{id}/rate-limits',
    '/api/admin/keys/{id}/rotate',
    '/api/admin/projects',
    '/api/admin/projects/{id}',
    '/api/admin/projects/{id}/allowed-models',
    '/api/admin/projects/{id}/budgets',
    '/api/admin/projects/{id}/budgets/{budgetId}',
    '/api/admin/projects/{id}/grants',
    '/api/admin/projects/{id}/keys',
    '/api/admin/projects/{id}/members',
    '/api/admin/projects/{id}/members/{userId}',
    '/api/admin/projects/{id}/rate-limits',
    '/api/admin/refunds',
    '/api/admin/router',
    '/api/admin/router/versions',
    '/api/admin/router/versions/{version}',
    '/api/admin/router:plan',
    '/api/admin/router:rollback',
    '/api/admin/settings',
    '/api/admin/settings/{key}',
    '/api/admin/users',
    '/api/admin/users/{id}',
    '/api/admin/users/{id}/ban',
    '/api/admin/users/{id}/sign-out',
    '/api/admin/users/{id}/unban',
    '/api/admin/webhook-deliveries/{id}/resend',
    '/api/admin/webhooks',
    '/api/admin/webhooks/{id}',
    '/api/admin/webhooks/{id}/deliveries',
    '/api/admin/webhooks/{id}/rotate-secret',
    '/api/admin/webhooks/{id}/test',
    '/api/auth/providers',
    '/api/v1/audio/models',
    '/api/v1/audio/models/streaming',
    '/api/v1/audio/speech',
    '/api/v1/audio/speech/ws',
    '/api/v1/audio/transcriptions/stream',
    '/api/v1/audio/voices',
    '/api/v1/audio/voices/streaming',
    '/api/v1/conversations',
    '/api/v1/conversations/log',
    '/api/v1/conversations/old-messages',
    '/api/v1/conversations/{id}',
    '/api/v1/conversations/{id}/messages',
    '/api/v1/conversations/{id}/messages/batch',
    '/api/v1/flux',
    '/api/v1/flux/alert',
    '/api/v1/flux/history',
    '/api/v1/flux/history.csv',
    '/api/v1/flux/lots',
    '/api/v1/flux/stats',
    '/api/v1/invitations',
    '/api/v1/invitations/{id}',
    '/api/v1/invitations/{id}/accept',
    '/api/v1/log',
    '/api/v1/logs',
    '/api/v1/logs/export',
    '/api/v1/logs:batch',
    '/api/v1/openai/chat/completion',
    '/api/v1/openai/chat/completions',
    '/api/v1/projects',
    '/api/v1/projects/{id}',
    '/api/v1/projects/{id}/invitations',
    '/api/v1/projects/{id}/invitations/{invitationId}',
    '/api/v1/projects/{id}/leave',
    '/api/v1/projects/{id}/members',
    '/api/v1/projects/{id}/members/{userId}',
    '/api/v1/receipts',
    '/api/v1/receipts/generate',
    '/api/v1/receipts/issue',
    '/api/v1/receipts/preview',
    '/api/v1/receipts/public-key.jwk',
    '/api/v1/receipts/public-key.pem',
    '/api/v1/receipts/public-keys.json',
    '/api/v1/receipts/uncertified',
    '/api/v1/receipts/verify',
    '/api/v1/receipts/{receipt_id}',
    '/api/v1/receipts/{receipt_id}/entries/{log_id}',
    '/api/v1/receipts/{receipt_id}/logs',
    '/api/v1/stats',
    '/api/v1/stripe/auto-top-up',
    '/api/v1/stripe/checkout',
    '/api/v1/stripe/invoices',
    '/api/v1/stripe/orders',
    '/api/v1/stripe/packages',
    '/api/v1/stripe/plans',
    '/api/v1/stripe/portal',
    '/api/v1/stripe/subscriptions',
    '/api/v1/stripe/webhook',
    '/health',
    '/livez',
    '/log/checkpoint',
    '/log/proof/consistency',
    '/log/proof/inclusion',
    '/log/vkey',
    '/log/witnessed-checkpoint',
    '/metrics',
    '/readyz',
    '/receipts/key-manifest.json',
    '/receipts/public-key.jwk',
    '/receipts/public-key.pem',
    '/receipts/public-keys.json',
    '/registry',
    '/registry.json',
    '/registry/manifest.json',
    '/registry/v/{version}/registry.json',
    '/registry/{provider}/models.json',
    '/registry/{provider}/v/{version}/models.json',
    '/v1/audio/models',
    '/v1/audio/speech',
    '/v1/audio/transcriptions',
    '/v1/audio/translations',
    '/v1/audio/voices',
    '/v1/budgets',
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/documents/{id}/proof',
    '/v1/embeddings',
    '/v1/keys',
    '/v1/keys/{id}',
    '/v1/keys/{id}/rotate',
    '/v1/messages',
    '/v1/messages/count_tokens',
    '/v1/models',
    '/v1/models/{id}',
    '/v1/receipts',
    '/v1/receipts/{id}',
    '/v1/receipts/{id}/proof',
    '/v1/requests/{id}',
    '/v1/responses',
    '/v1/route:explain',
    '/v1/statements',
    '/v1/statements/{day}',
    '/v1/wallet',
  ])
  const anybodys =
    /^get .*\/receipts\/public-key|^post \/api\/v1\/receipts(?:\/verify|\/issue)?$|\/stripe\/(?:packages|plans|webhook)$/
  for (const [path, item] of Object.entries<Record<string, { security: object[]; summary: string; responses: object }>>(
    body.paths,
  ))
    for (const [method, operation] of Object.entries(item)) {
      const scheme = path.startsWith('/api/admin')
        ? 'adminKey'
        : /^\/(?:api\/)?v1\//.test(path) && !anybodys.test(`${method} ${path}`)
          ? /^\/api\/v1\/(?:flux|stripe|projects|invitations)\b/.test(path)
            ? 'personKey'
            : 'clientKey'
          : undefined
      // Some documents are everybody's, so a key is not always wanted.
      const optional = path.startsWith('/v1/documents/') ? [{}] : []
      const schemes = scheme === undefined ? [] : operatorMayCall.test(path) ? [scheme, 'adminKey'] : [scheme]
      assert.deepEqual(
        operation.security,
        [...optional, ...schemes.map((name) => ({ [name]: [] }))],
        `${method} ${path}`,
      )
      assert(operation.summary && Object.keys(operation.responses).length > 0, `${method} ${path}`)
    }
})

test('an address that is nobody’s is 404 in the shape of the OpenAI API', async () => {
  for (const path of [
    '/nothing',
    '/v1/nothing',
    '/api/admin',
    '/%zz',
    '/docs/static/../../package.json',
    '/..%2f..%2fetc/passwd',
  ]) {
    const { status, body, headers } = await api.call(`GET ${path}`, open)
    assert.equal(status, 404, path)
    assert.deepEqual(body.error, {
      message: 'There is nothing at this address.',
      type: 'invalid_request_error',
      param: null,
      code: 'not_found',
    })
    assert.equal(headers['x-should-retry'], 'false')
  }
})

for (const [line, allow] of [
  ['DELETE /api/admin/projects', 'GET, HEAD, POST'],
  ['PUT /api/admin/projects/prj_x', 'GET, HEAD, PATCH'],
  ['GET /api/admin/keys/key_x', 'DELETE'],
  ['GET /api/admin/refunds', 'POST'],
  ['POST /v1/receipts', 'GET, HEAD'],
  ['POST /readyz', 'GET, HEAD'],
  ['GET /v1/chat/completions', 'POST'],
  ['DELETE /v1/models', 'GET'],
  ['POST /v1/models/sim/echo', 'GET'],
] as const) {
  test(`${line} 405: allow names what the address answers to`, async () => {
    const { status, body, headers } = await api.call(line)
    assert.deepEqual([status, body.error.code, headers.allow], [405, 'method_not_allowed', allow])
  })
}

test('a bug is 500 without a word about it, and its cause is in the log under the same id', async () => {
  const app = createHttpApp({
    ...api.deps,
    audit: async () => {
      throw new Error('a secret detail')
    },
  })
  const { statusCode, headers, body } = await app.inject({
    url: '/api/admin/audit',
    headers: { authorization: 'Bearer the-admin-key-of-the-tests' },
  })
  assert.equal(statusCode, 500)
  assert(!body.includes('secret detail'))
  assert.equal(JSON.parse(body).error.code, 'internal')
  const line = api.log.lines().find((entry) => JSON.stringify(entry).includes('a secret detail'))
  assert.equal(line?.requestId, headers['x-request-id'])
  await app.close()
})

test('every request leaves one line in the log, without keys, queries or bodies', async () => {
  const before = api.log.lines().length
  const { headers } = await api.call('GET /api/admin/projects?after=private', { key: 'a-wrong-key' })
  const lines = api.log.lines().slice(before)
  assert.equal(lines.length, 1)
  const { requestId, method, route, status, error } = lines[0] ?? {}
  assert.deepEqual(
    { requestId, method, route, status, error },
    {
      requestId: headers['x-request-id'],
      method: 'GET',
      route: '/api/admin/projects',
      status: 401,
      error: 'invalid_api_key',
    },
  )
  assert(!JSON.stringify(lines).includes('private') && !JSON.stringify(lines).includes('a-wrong-key'))
})

for (const [what, bytes, status] of [
  ['a request line that is none', 'HELLO\r\n\r\n', 400],
  ['headers of 100 kB', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`, 431],
] as const) {
  test(`${what} is answered with ${status} and closed`, async () => {
    const app = createHttpApp(api.deps)
    const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
    const socket = connect(Number(url.port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', () => undefined)
    socket.write(bytes)
    await once(socket, 'close')
    assert.match(text, new RegExp(`^HTTP/1.1 ${status} `))
    assert.match(text, /x-request-id: req_[0-9a-f]{32}\r\n/)
    assert.equal(JSON.parse(text.split('\r\n\r\n')[1] ?? '').error.code, 'body_malformed')
    await app.close()
  })
}
