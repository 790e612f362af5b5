import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { deriveEnvelopeKey, sealEnvelope } from '#lib/envelope.ts'
import { ADMIN_KEY, createTestGateway, type Json, ONE_USD, type TestGateway, until } from '#test/support/gateway.ts'
import { upstreamOf } from '#test/support/protocol-models.ts'
import { createRawUpstream, httpAnswer, type RawUpstream } from '#test/support/raw-upstream.ts'
import { replaceCiphertext } from '#test/support/routed-models.ts'
import { putRouterConfig } from '#test/support/router-config.ts'
import { chat as speaker } from '#test/support/speakers/chat.ts'

// AIRI's own addresses: chat, with models that an operator names and errors that its clients know.

let gateway: TestGateway
before(async () => {
  gateway = await createTestGateway()
})
after(() => gateway.close())

const PATHS = ['/api/v1/openai/chat/completions', '/api/v1/openai/chat/completion'] as const
const MESSAGES = [{ role: 'user', content: 'What does a ledger know?' }]

async function ask(body: Json, path: string = PATHS[0]) {
  const project = await gateway.openProject(ONE_USD)
  return { project, reply: await gateway.chat({ messages: MESSAGES, ...body }, { key: project.secret, path }) }
}

async function setDefault(value: string | null): Promise<void> {
  const response = await fetch(`${gateway.url}/api/admin/settings/DEFAULT_CHAT_MODEL`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ value, reason: 'a test' }),
  })
  assert.equal(response.status, 200, await response.text())
}

test('without a default, `auto` and no model at all are CONFIG_NOT_SET', async () => {
  for (const body of [{}, { model: 'auto' }, { model: '' }, { model: null }]) {
    const { project, reply } = await ask(body)
    assert.equal(reply.status, 503, reply.text)
    assert.equal(reply.json.error, 'CONFIG_NOT_SET')
    await project.settled(0)
  }
})

test('`auto` and no model at all are the default of the settings, then that of the document', async () => {
  const models = {
    first: { upstreams: [upstreamOf(gateway, 'chat')] },
    second: { upstreams: [upstreamOf(gateway, 'messages')] },
  }
  await putRouterConfig(gateway.url, { llm: { models } })
  await setDefault('first')
  await until('the setting is heard', async () => (await ask({})).reply.status === 200)
  for (const path of PATHS)
    for (const body of [{}, { model: 'auto' }, { model: '' }, { model: null }, { model: 'auto', stream: true }]) {
      const { project, reply } = await ask(body, path)
      assert.equal(reply.status, 200, reply.text)
      assert.equal(reply.headers['x-fluxgate-model'], 'first')
      const [receipt] = await project.settled(1)
      assert(receipt !== undefined)
      assert.equal(gateway.seen(receipt)[0]?.protocol, 'chat')
    }
  await putRouterConfig(gateway.url, { llm: { models }, defaults: { chatModel: 'second' } })
  const { reply } = await ask({ stream: true, stream_options: { include_usage: true } })
  assert.equal(reply.headers['x-fluxgate-model'], 'second')
  const said = speaker.readStream(reply.text)
  assert(!('message' in said))
  assert.match(said.text, /What does a ledger know\?$/)
})

for (const model of ['nothing', 'constructor', '__proto__', 'toString', 'hasOwnProperty'])
  test(`an unknown model is 400 and names those that are known: ${model}`, async () => {
    const project = await gateway.openProject(ONE_USD)
    const { status, json } = await gateway.chat(`{"model":"${model}","messages":[{"role":"user","content":"Hi"}]}`, {
      key: project.secret,
      path: PATHS[0],
    })
    assert.equal(status, 400)
    assert.equal(json.error, 'BAD_REQUEST')
    assert.equal(json.message, 'unknown_model')
    assert.equal(json.details.requested, model)
    assert(Array.isArray(json.details.available) && json.details.available.includes('sim/echo'))
    await project.settled(0)
  })

test('a model that is no text is refused, not coerced', async () => {
  for (const model of [['sim/echo'], { a: 1 }, 5, true]) {
    const { reply } = await ask({ model })
    assert.equal(reply.status, 400)
    assert.equal(reply.json.error, 'BAD_REQUEST')
  }
})

describe('when all upstreams fail, the last one decides', () => {
  let upstream: RawUpstream
  before(async () => {
    upstream = await createRawUpstream((socket, { head }) => {
      const [, status = ''] = /^POST \/(\w+)/.exec(head) ?? []
      if (status === 'reset') socket.destroy()
      else socket.write(httpAnswer('{}', {}, `${status} Of Some Kind`))
    })
  })
  after(() => upstream.close())

  for (const [first, last, status, error, message, keys = ['1']] of [
    [500, 429, 503, 'SERVICE_UNAVAILABLE', 'Upstream rate-limited'],
    [429, 500, 502, 'BAD_GATEWAY', 'Upstream unavailable'],
    ['reset', 401, 502, 'BAD_GATEWAY', 'Upstream unavailable'],
    [500, 'reset', 504, 'GATEWAY_TIMEOUT', 'Upstream timeout'],
    [403, 401, 502, 'BAD_GATEWAY', 'Upstream unavailable', ['1', '2']],
  ] as const)
    test(`${first}, then ${last}`, async () => {
      const name = `${first}-${last}`
      const upstreams = [first, last].map((fault) => ({
        id: `u-${fault}`,
        ...upstreamOf(gateway, 'chat', { baseURL: `${upstream.url}/${fault}/${name}` }),
        keys: keys.map((number) => ({ id: `${fault}-${number}`, plaintextKey: `sk-${name}-${fault}-${number}` })),
        headerTemplate: 'Bearer {KEY}',
      }))
      await putRouterConfig(gateway.url, { llm: { models: { [name]: { upstreams } } } })
      const { project, reply } = await ask({ model: name })
      assert.equal(reply.status, status, reply.text)
      const { triedKeys, triedUpstreams, lastStatusCode } = reply.json.details
      assert.deepEqual(reply.json, { error, message, details: { triedKeys, triedUpstreams, lastStatusCode } })
      assert.equal(lastStatusCode, last === 'reset' ? null : last)
      assert.equal(triedUpstreams, 2)
      assert.equal(triedKeys, 2 * keys.length)
      const [receipt] = await project.settled(1)
      assert.equal(receipt?.outcome, 'void')
    })
})

test('an upstream that cannot be connected to is 504 as well', async () => {
  const upstream = upstreamOf(gateway, 'chat', { baseURL: 'http://127.0.0.1:1' })
  await putRouterConfig(gateway.url, { llm: { models: { away: { upstreams: [upstream] } } } })
  for (const stream of [false, true]) {
    const { reply } = await ask({ model: 'away', stream })
    assert.equal(reply.status, 504)
    assert.equal(reply.json.message, 'Upstream timeout')
    const openai = await gateway.chat(
      { model: 'away', stream, messages: MESSAGES },
      { key: (await gateway.openProject(ONE_USD)).secret },
    )
    assert.equal(openai.status, 502)
    assert.equal(openai.json.error.code, 'upstream_failed')
  }
})

test('a key that cannot be opened is DECRYPT_FAILED', async () => {
  const upstream = { ...upstreamOf(gateway, 'chat'), keys: [{ id: 'k', plaintextKey: 'sk-lost' }] }
  await putRouterConfig(gateway.url, { llm: { models: { sealed: { upstreams: [upstream] } } } })
  // As if the master key had been lost since.
  const stranger = deriveEnvelopeKey(Buffer.alloc(32, 99))
  const ciphertext = sealEnvelope(stranger, { modelName: 'sealed', keyEntryId: 'k' }, Buffer.from('sk-lost'))
  await replaceCiphertext(gateway, 'k', ciphertext)
  const { project, reply } = await ask({ model: 'sealed' })
  assert.equal(reply.status, 503, reply.text)
  assert.equal(reply.json.error, 'DECRYPT_FAILED')
  assert.equal(reply.json.details.modelName, 'sealed')
  await project.settled(0)
})
