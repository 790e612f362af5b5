import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  type CallOptions,
  createTestGateway,
  type Json,
  ONE_USD,
  type Reply,
  type TestGateway,
} from '#test/support/gateway.ts'

// The same failures on every address, each in the shape that its clients know.

let gateway: TestGateway
let key: string
let poor: string
before(async () => {
  gateway = await createTestGateway({ env: { BODY_BYTES_MAX: '20000', TOTAL_TIMEOUT_MS: '1000' } })
  key = (await gateway.openProject(ONE_USD)).secret
  poor = (await gateway.openProject(0n)).secret
})
after(async () => {
  await gateway.expectNothingHeld()
  await gateway.close()
})

type Shape = 'openai' | 'anthropic' | 'airi'

interface Address {
  path: string
  shape: Shape
  body: Json
  /** Costs nothing. */
  free?: boolean
}

const MESSAGES = [{ role: 'user', content: 'Hello' }]
const addresses: Address[] = [
  { path: '/v1/chat/completions', shape: 'openai', body: { model: 'sim/echo', messages: MESSAGES } },
  { path: '/v1/responses', shape: 'openai', body: { model: 'sim/echo', input: 'Hello' } },
  { path: '/v1/completions', shape: 'openai', body: { model: 'sim/echo', prompt: 'Hello', max_tokens: 50 } },
  { path: '/v1/embeddings', shape: 'openai', body: { model: 'sim/embed', input: 'Hello' } },
  { path: '/v1/messages', shape: 'anthropic', body: { model: 'sim/echo', max_tokens: 50, messages: MESSAGES } },
  {
    path: '/v1/messages/count_tokens',
    shape: 'anthropic',
    body: { model: 'sim/echo', messages: MESSAGES },
    free: true,
  },
  { path: '/api/v1/openai/chat/completions', shape: 'airi', body: { model: 'sim/echo', messages: MESSAGES } },
  { path: '/api/v1/openai/chat/completion', shape: 'airi', body: { model: 'sim/echo', messages: MESSAGES } },
]

interface Failure {
  name: string
  /** The request that fails, made from a good one. */
  body?: (good: Json) => unknown
  call?: () => CallOptions
  sim?: Json
  /** Only where something is charged. */
  charged?: true
  openai: [status: number, code: string]
  anthropic: [status: number, type: string]
  airi: [status: number, error: string, message?: string]
}

const failures: Failure[] = [
  {
    name: 'malformed JSON',
    body: () => '{"model":',
    openai: [400, 'body_malformed'],
    anthropic: [400, 'invalid_request_error'],
    airi: [400, 'BAD_REQUEST'],
  },
  {
    name: 'a member of the wrong type',
    body: (good) => ({ ...good, messages: 5, input: 5, prompt: {} }),
    openai: [400, 'body_invalid'],
    anthropic: [400, 'invalid_request_error'],
    airi: [400, 'BAD_REQUEST'],
  },
  {
    name: 'no key',
    call: () => ({ key: null }),
    openai: [401, 'invalid_api_key'],
    anthropic: [401, 'authentication_error'],
    airi: [401, 'UNAUTHORIZED'],
  },
  {
    name: 'a key of nobody',
    call: () => ({ key: null, headers: { 'x-api-key': 'fg_key_of_nobody' } }),
    openai: [401, 'invalid_api_key'],
    anthropic: [401, 'authentication_error'],
    airi: [401, 'UNAUTHORIZED'],
  },
  {
    name: 'an empty wallet',
    call: () => ({ key: poor }),
    charged: true,
    openai: [402, 'insufficient_quota'],
    anthropic: [402, 'billing_error'],
    airi: [402, 'PAYMENT_REQUIRED', 'Insufficient flux'],
  },
  {
    name: 'an unknown model',
    body: (good) => ({ ...good, model: 'nothing' }),
    openai: [404, 'model_not_found'],
    anthropic: [404, 'not_found_error'],
    airi: [400, 'BAD_REQUEST', 'unknown_model'],
  },
  {
    name: 'another method',
    call: () => ({ method: 'PUT' }),
    openai: [405, 'method_not_allowed'],
    anthropic: [405, 'invalid_request_error'],
    airi: [405, 'METHOD_NOT_ALLOWED'],
  },
  {
    name: 'a body that is too large',
    body: (good) => ({ ...good, more: 'x'.repeat(20_000) }),
    openai: [413, 'body_too_large'],
    anthropic: [413, 'request_too_large'],
    airi: [413, 'PAYLOAD_TOO_LARGE'],
  },
  {
    name: 'a body that is no JSON by its type',
    call: () => ({ headers: { 'content-type': 'text/plain' } }),
    openai: [415, 'media_type_unsupported'],
    anthropic: [415, 'invalid_request_error'],
    airi: [415, 'UNSUPPORTED_MEDIA_TYPE'],
  },
  {
    name: 'a limited rate',
    sim: { status: 429, retry_after: '7' },
    openai: [429, 'rate_limit_exceeded'],
    anthropic: [429, 'rate_limit_error'],
    airi: [503, 'SERVICE_UNAVAILABLE', 'Upstream rate-limited'],
  },
  {
    name: 'a credential that the provider refuses',
    sim: { status: 401 },
    openai: [502, 'upstream_credential'],
    anthropic: [502, 'api_error'],
    airi: [502, 'BAD_GATEWAY', 'Upstream unavailable'],
  },
  {
    name: 'a provider that is down',
    sim: { status: 503 },
    openai: [502, 'upstream_failed'],
    anthropic: [502, 'api_error'],
    airi: [502, 'BAD_GATEWAY', 'Upstream unavailable'],
  },
  {
    name: 'a provider that answers with a page',
    sim: { html_error: true },
    openai: [502, 'upstream_failed'],
    anthropic: [502, 'api_error'],
    airi: [502, 'BAD_GATEWAY', 'Upstream unavailable'],
  },
  {
    name: 'a connection that breaks',
    sim: { reset: true },
    openai: [502, 'upstream_failed'],
    anthropic: [502, 'api_error'],
    airi: [504, 'GATEWAY_TIMEOUT', 'Upstream timeout'],
  },
  {
    name: 'a provider that is silent',
    sim: { no_response: true },
    charged: true,
    openai: [504, 'upstream_timeout'],
    anthropic: [504, 'timeout_error'],
    airi: [504, 'GATEWAY_TIMEOUT', 'Upstream timeout'],
  },
]

const check: Record<Shape, (reply: Reply, failure: Failure) => void> = {
  openai({ json, headers }, { openai: [, code] }) {
    assert.deepEqual(Object.keys(json), ['error'])
    assert.deepEqual(Object.keys(json.error).toSorted(), ['code', 'message', 'param', 'type'])
    assert.equal(json.error.code, code)
    assert.equal(headers['request-id'], undefined)
  },
  anthropic({ json, headers }, { anthropic: [, type] }) {
    assert.equal(json.type, 'error')
    assert.equal(json.error.type, type)
    assert.equal(json.request_id, headers['request-id'])
    assert.equal(headers['request-id'], headers['x-request-id'])
  },
  airi({ json }, { airi: [, error, message] }) {
    assert.equal(json.error, error)
    if (message !== undefined) assert.equal(json.message, message)
  },
}

for (const address of addresses)
  describe(address.path, () => {
    const streams = 'messages' in address.body && !address.free ? [false, true] : [false]
    for (const failure of failures) {
      if (failure.charged && address.free) continue
      test(failure.name, async () => {
        for (const stream of streams) {
          const good = { ...address.body, ...(stream && { stream }), ...(failure.sim && { sim: failure.sim }) }
          const body = failure.body === undefined ? good : failure.body(good)
          const reply = await gateway.chat(body, { key, path: address.path, ...failure.call?.() })
          const [status] = failure[address.shape]
          assert.equal(reply.status, status, reply.text)
          assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
          assert.match(String(reply.headers['x-request-id']), /^req_[0-9a-f]{32}$/)
          assert.match(String(reply.headers['x-should-retry']), /^(true|false)$/)
          const message = reply.json.message ?? reply.json.error.message
          assert(typeof message === 'string' && message.length > 10)
          assert.doesNotMatch(reply.text, /simulator|<html|127\.0\.0\.1/i, 'nothing is told of the provider')
          check[address.shape](reply, failure)
          if (failure.sim?.retry_after !== undefined) assert.equal(reply.headers['retry-after'], '7')
        }
      })
    }
  })

test("a caller's own fault is told in the provider's words, in the client's shape", async () => {
  const sim = {
    status: 422,
    error: { message: 'no such voice', type: 'invalid_request_error', param: 'voice', code: 'v' },
  }
  for (const { path, shape, body } of addresses) {
    const { status, json } = await gateway.chat({ ...body, sim }, { key, path })
    assert.equal(status, 422)
    switch (shape) {
      case 'openai':
        assert.deepEqual(json, { error: sim.error })
        break
      case 'anthropic':
        assert.equal(json.error.type, 'invalid_request_error')
        assert.equal(json.error.message, 'no such voice')
        break
      case 'airi':
        assert.equal(json.message, 'no such voice')
    }
  }
})

test('a key may be sent as a bearer or as x-api-key everywhere', async () => {
  for (const { path, body } of addresses) {
    assert.equal((await gateway.chat(body, { key, path })).status, 200)
    const headers = { 'x-api-key': key, 'anthropic-version': '2023-06-01' }
    assert.equal((await gateway.chat(body, { key: null, path, headers })).status, 200)
  }
})
