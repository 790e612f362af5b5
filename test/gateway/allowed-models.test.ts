import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createAllowedModels } from '#domain/allowed-models.ts'
import { createTestGateway, type Json, ONE_USD, type TestGateway } from '#test/support/gateway.ts'
import { until } from '#test/support/until.ts'

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const by = { actor: 'test' }
const CHAT = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 10 }

async function open() {
  const { id: projectId } = await gateway.app.projects.create({ name: `project ${Math.random()}` })
  const { key, secret } = await gateway.app.keys.create({ projectId, name: 'k' })
  await gateway.app.grants.grant({
    ...{ projectId, amountNanos: ONE_USD, reason: 'a test', actor: 'test', idempotencyKey: 'first' },
  })
  return { projectId, keyId: key.id, secret, models: createAllowedModels({ db: gateway.db }) }
}

const call = async (key: string, model: string, path = '/v1/chat/completions') =>
  gateway.chat({ ...CHAT, model }, { key, path })

test('a model that is not in the list is 403 in the words of each family, and nobody is asked', async () => {
  const { projectId, secret, models } = await open()
  await models.set({ kind: 'project', id: projectId }, ['sim/echo'], by)
  await until('the list holds', async () => (await call(secret, 'sim/large')).status === 403, 2_000)
  const asked = gateway.oracle.totals().all.calls
  const { json, headers } = await call(secret, 'sim/large')
  assert.deepEqual(
    [json.error.code, json.error.type, headers['x-should-retry']],
    ['model_not_allowed', 'permission_error', 'false'],
  )
  assert.equal((await call(secret, 'sim/large', '/v1/messages')).json.error.type, 'permission_error')
  assert.equal((await call(secret, 'sim/large', '/api/v1/openai/chat/completions')).json.error, 'FORBIDDEN')
  for (const path of ['/v1/route:explain', '/v1/messages/count_tokens', '/v1/responses'])
    assert.equal(
      (await gateway.chat({ ...CHAT, input: 'hi', model: 'sim/large' }, { key: secret, path })).status,
      403,
      path,
    )
  assert.equal(gateway.oracle.totals().all.calls, asked)
  assert.equal((await call(secret, 'sim/echo')).status, 200)
})

test('the list of the key and that of the project both count, and the models that are listed are those', async () => {
  const { projectId, keyId, secret, models } = await open()
  await models.set({ kind: 'project', id: projectId }, ['sim/*'], by)
  await models.set({ kind: 'key', id: keyId }, ['sim/echo', 'openai/gpt-4o'], by)
  const list = async (): Promise<string[]> =>
    (await gateway.chat(undefined, { method: 'GET', path: '/v1/models', key: secret })).json.data.map(
      ({ id }: Json) => id,
    )
  await until('both hold', async () => (await list()).join() === 'sim/echo', 2_000)
  const one = await gateway.chat(undefined, { method: 'GET', path: '/v1/models/sim%2Flarge', key: secret })
  assert(one.status === 403 || one.status === 404)
  await models.set({ kind: 'key', id: keyId }, null, by)
  await until('the key may use more', async () => (await list()).length > 1, 2_000)
})

test('a rotated key hands its list on', async () => {
  const { keyId, secret, models } = await open()
  await models.set({ kind: 'key', id: keyId }, ['sim/echo'], by)
  const { secret: fresh } = await gateway.app.keys.rotate(keyId, {})
  assert.equal((await call(fresh, 'sim/echo')).status, 200)
  await until('the list holds', async () => (await call(fresh, 'sim/large')).status === 403, 2_000)
  await until('for the old key too', async () => (await call(secret, 'sim/large')).status === 403, 2_000)
})
