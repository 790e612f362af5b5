import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConnection, parseBaseUrl } from './connection.ts'
import { errorOfAnswer, mayRetry, retryAfterMs } from './error-of-answer.ts'

const now = Date.parse('2026-11-22T00:00:00Z')

for (const { name, status, body, headers = {}, want } of [
  {
    name: "the gateway's own",
    status: 401,
    body: { error: { code: 'invalid_api_key', message: 'The API key is missing.' } },
    headers: { 'x-request-id': 'req_1' },
    want: ['invalid_api_key', 'The API key is missing.', 'req_1', false],
  },
  {
    name: "llmring's",
    status: 404,
    body: { detail: 'Not here', code: 'not_found' },
    want: ['not_found', 'Not here', undefined, false],
  },
  {
    name: 'a list of what is wrong',
    status: 422,
    body: { detail: [{ loc: ['body', 'model'], msg: 'Field required' }], code: 'body_invalid' },
    want: ['body_invalid', 'body.model: Field required', undefined, false],
  },
  {
    name: 'of nobody we know',
    status: 502,
    body: '<html>',
    want: ['http_error', 'the server answers 502', undefined, true],
  },
  {
    name: 'a code that is none',
    status: 500,
    body: { code: 'a\nb' },
    want: ['http_error', 'the server answers 500', undefined, true],
  },
]) {
  test(`an error that is ${name}`, async () => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const error = await errorOfAnswer(new Response(text, { status, headers: { ...headers } }), now)
    assert.deepEqual([error.code, error.message, error.requestId, error.retry], want)
    assert.equal(error.status, status)
  })
}

for (const [headers, want] of [
  [{ 'retry-after': '2' }, 2_000],
  [{ 'retry-after': '0.5' }, 500],
  [{ 'retry-after-ms': '150', 'retry-after': '9' }, 150],
  [{ 'retry-after': 'Sun, 22 Nov 2026 00:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Sat, 21 Nov 2026 00:00:00 GMT' }, 0],
  [{ 'retry-after': '31536000' }, 600_000],
  [{ 'retry-after': '-5' }, 0],
  [{ 'retry-after': 'soon' }, undefined],
  [{}, undefined],
] as [Record<string, string>, number | undefined][]) {
  test(`${JSON.stringify(headers)} is a wait of ${want} ms`, () =>
    assert.equal(retryAfterMs(new Headers(headers), now), want))
}

for (const [status, word, want] of [
  [429, null, true],
  [503, null, true],
  [408, null, true],
  [404, null, false],
  [500, 'false', false],
  [409, 'true', true],
  [400, 'perhaps', false],
] as const) {
  test(`${status} with x-should-retry ${word}: ${want}`, () => assert.equal(mayRetry(status, word), want))
}

test('an address without its slash, its /v1, its query and its password', () => {
  assert.equal(parseBaseUrl('https://user:secret@gateway.example/llm/v1/?a=b'), 'https://gateway.example/llm')
  assert.throws(() => parseBaseUrl('file:///etc'), TypeError)
})

test('an aborted call and one that takes too long say so', async () => {
  const hang: typeof fetch = (_url, init) =>
    new Promise((_, reject) => {
      const { signal } = init ?? {}
      if (signal?.aborted) reject(signal.reason)
      signal?.addEventListener('abort', () => reject(signal.reason))
    })
  const connection = createConnection({ baseUrl: 'http://gateway.example', timeoutMs: 5, fetch: hang })
  await assert.rejects(connection.json('/x'), { code: 'request_timeout', retry: true })
  await assert.rejects(connection.json('/x', { signal: AbortSignal.abort() }), {
    code: 'request_aborted',
    retry: false,
  })
})
