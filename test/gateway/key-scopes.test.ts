import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Scope, scopes } from '#domain/scopes.ts'
import { createApp } from '#src/app.ts'
import { parseConfig } from '#src/config.ts'
import { openInstallation } from '#src/installation.ts'
import {
  ADMIN_KEY,
  createTestClient,
  createTestGateway,
  type Json,
  ONE_USD,
  type TestGateway,
  type TestProject,
  until,
} from '#test/support/gateway.ts'

let gateway: TestGateway
let project: TestProject
const only = new Map<Scope, string>()
before(async () => {
  gateway = await createTestGateway()
  project = await gateway.openProject(ONE_USD)
  for (const scope of scopes) {
    const { secret } = await gateway.app.keys.create({ projectId: project.id, name: scope, scopes: [scope] })
    only.set(scope, secret)
  }
})
after(() => gateway.close())

const ASK = { model: 'sim/echo', messages: [{ role: 'user', content: 'hi' }] }

/** Every route of the OpenAPI document that takes a client's key, with ids filled in. */
async function clientRoutes(): Promise<string[]> {
  const { json } = await gateway.chat(undefined, { method: 'GET', path: '/openapi.json' })
  return Object.entries<Json>(json.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods)
      .filter(([, { security = [] }]) => security.some((one: object) => 'clientKey' in one))
      .filter(() => !path.endsWith('/ws'))
      .map(([method]) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, 'x')}`),
  )
}

/** The scopes that alone open a route. */
async function opening(route: string): Promise<Scope[]> {
  const [method = '', path = ''] = route.split(' ')
  const open: Scope[] = []
  for (const [scope, key] of only) {
    const { status, text } = await gateway.chat(method === 'POST' ? {} : undefined, { key, method, path })
    assert.notEqual(status, 401, `${route} knows the key`)
    if (status !== 403) open.push(scope)
    else assert.match(text, /lacks the scope '(inference|ingest|read|admin)'/, route)
  }
  return open
}

test('every route takes one scope, and refuses a key without it', async () => {
  const routes = await clientRoutes()
  for (const [route, scope] of [
    ['POST /v1/chat/completions', 'inference'],
    ['POST /v1/messages', 'inference'],
    ['POST /v1/messages/count_tokens', 'inference'],
    ['POST /v1/responses', 'inference'],
    ['POST /v1/embeddings', 'inference'],
    ['POST /v1/audio/speech', 'inference'],
    ['POST /v1/audio/transcriptions', 'inference'],
    ['POST /v1/route:explain', 'inference'],
    ['POST /api/v1/openai/chat/completions', 'inference'],
    ['GET /v1/models', 'inference'],
    ['GET /v1/wallet', 'read'],
    ['GET /v1/receipts', 'read'],
    ['GET /v1/requests/x', 'read'],
    ['GET /v1/keys', 'admin'],
    ['POST /v1/keys', 'admin'],
    ['DELETE /v1/keys/x', 'admin'],
  ] as const) {
    assert(routes.includes(route), `${route} is documented`)
    assert.deepEqual(await opening(route), [scope], route)
  }
  for (const route of routes) assert.equal((await opening(route)).length, 1, `${route} takes exactly one scope`)
})

test('a refusal for want of a scope names it, in the words of each family of clients, and costs nothing', async () => {
  const key = only.get('read') ?? ''
  const before = gateway.oracle.totals().all.calls
  const chat = await gateway.chat(ASK, { key })
  assert.deepEqual([chat.status, chat.json.error.code], [403, 'forbidden'])
  assert.equal(chat.json.error.message, "This key lacks the scope 'inference'.")
  const messages = await gateway.chat({ ...ASK, max_tokens: 9 }, { key, path: '/v1/messages' })
  assert.deepEqual([messages.status, messages.json.error.type], [403, 'permission_error'])
  const airi = await gateway.chat(ASK, { key, path: '/api/v1/openai/chat/completions' })
  assert.deepEqual([airi.status, airi.json.error], [403, 'FORBIDDEN'])
  assert.equal(gateway.oracle.totals().all.calls, before)
  await gateway.expectNothingHeld()
})

test('a key may come in any of three headers, or in several with the same value', async () => {
  const key = project.secret
  for (const headers of [
    { authorization: `Bearer ${key}` },
    { 'x-api-key': key },
    { 'x-project-key': key },
    { 'x-api-key': key, 'x-project-key': key, authorization: `bearer ${key}` },
    { 'x-api-key': '', authorization: `Bearer ${key}` },
    { 'x-api-key': key, authorization: `Basic ${btoa('a proxy:its password')}` },
  ]) {
    assert.equal((await gateway.chat(ASK, { key: null, headers })).status, 200)
    const wallet = await gateway.chat(undefined, { key: null, headers, method: 'GET', path: '/v1/wallet' })
    assert.equal(wallet.status, 200)
  }
})

test('a bearer token wins over keys of other headers, which may be those of a provider, and X-API-Key over X-Project-Key', async () => {
  const key = project.secret
  const requests = [
    ['POST', '/v1/chat/completions'],
    ['POST', '/v1/messages'],
    ['GET', '/v1/models'],
    ['GET', '/v1/wallet'],
  ] as const
  async function statusesOf(headers: Record<string, string>) {
    const statuses: number[] = []
    for (const [method, path] of requests) {
      const body = method === 'GET' ? undefined : { ...ASK, max_tokens: 8 }
      statuses.push((await gateway.chat(body, { key: null, headers, method, path })).status)
    }
    return [...new Set(statuses)]
  }
  const foreign = 'sk-ant-api03-of-somebody-else'
  assert.deepEqual(await statusesOf({ authorization: `Bearer ${key}`, 'x-api-key': foreign }), [200])
  assert.deepEqual(await statusesOf({ authorization: `Bearer ${key}`, 'x-project-key': foreign }), [200])
  assert.deepEqual(await statusesOf({ 'x-api-key': key, 'x-project-key': foreign }), [200])
  for (const headers of [
    { authorization: `Bearer ${foreign}`, 'x-api-key': key },
    { 'x-api-key': foreign, 'x-project-key': key },
    { authorization: 'Bearer', 'x-api-key': key },
    { authorization: `Basic ${btoa('a:b')}` },
  ])
    assert.deepEqual(await statusesOf(headers), [401], JSON.stringify(headers))
  const admin = { method: 'GET', path: '/api/admin/projects' }
  const statusOf = async (bearer: string, other: string) =>
    (await gateway.chat(undefined, { ...admin, key: bearer, headers: { 'x-api-key': other } })).status
  assert.deepEqual([await statusOf(ADMIN_KEY, key), await statusOf(key, ADMIN_KEY)], [200, 401])
})

test('a call that was admitted ends although its key is revoked meanwhile; the next is refused everywhere within a second', async () => {
  const other = await secondGateway()
  try {
    // Nothing is announced: both have to find out for themselves.
    const { rows } = await gateway.db.query(`select pg_get_functiondef('fluxgate.key_changed'::regproc) as text`)
    await gateway.db.query(rows[0].text.replace(/perform pg_notify[^;]*;/, ''))
    const { key, secret } = await gateway.app.keys.create({ projectId: project.id, name: 'revoked meanwhile' })
    const doors = [gateway, other]
    for (const { chat } of doors)
      await until('the key is known', async () => (await chat(ASK, { key: secret })).status === 200, 1_500)

    const running = await gateway.open({ ...ASK, stream: true, sim: { tokens: 40, chunk_ms: 40 } }, { key: secret })
    assert.equal(running.status, 200)
    await gateway.app.keys.revoke(key.id)
    await Promise.all(
      doors.map(({ chat }) => until('refusal', async () => (await chat(ASK, { key: secret })).status === 401, 1_000)),
    )
    const { text, whole } = await running.all()
    assert(whole && text.includes('[DONE]'), 'the running call came to its end')
    await gateway.db.query(rows[0].text)
  } finally {
    await other.close()
  }
  await gateway.expectNothingHeld()
})

/** Another process's worth of gateway on the same database. */
async function secondGateway() {
  const { log } = gateway
  const second = parseConfig({
    DATABASE_URL: gateway.database.url,
    FLUXGATE_ADMIN_KEY: ADMIN_KEY,
    RECEIPT_SIGNING_KEY: gateway.config.RECEIPT_SIGNING_KEY?.reveal(),
    LOG_SIGNING_KEY: gateway.config.LOG_SIGNING_KEY?.reveal(),
    LLM_ROUTER_MASTER_KEY: randomBytes(32).toString('base64'),
    DATA_DIR: await mkdtemp(join(tmpdir(), 'fluxgate-second-')),
    PORT: '0',
    FLUXGATE_SIM_URL: gateway.simulatorUrl,
  })
  const installation = await openInstallation(second, log.log)
  const app = await createApp(second, installation, log.log)
  const { chat } = createTestClient(await app.listen())
  return {
    chat,
    async close() {
      await app.close(1_000)
      await installation.close()
      await rm(second.DATA_DIR, { recursive: true, force: true })
    },
  }
}
