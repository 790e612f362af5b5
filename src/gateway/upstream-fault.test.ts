import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorOfFaults, faultOfStatus, parseRetryAfter, providerError, type UpstreamFault } from './upstream-fault.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')

const classes: [status: number, kind: UpstreamFault['class']][] = [
  [302, 'provider'],
  [400, 'caller'],
  [401, 'credential'],
  [402, 'credential'],
  [403, 'credential'],
  [404, 'target'],
  [408, 'target'],
  [409, 'caller'],
  [413, 'caller'],
  [422, 'caller'],
  [429, 'target'],
  [500, 'provider'],
  [502, 'provider'],
  [503, 'provider'],
  [529, 'provider'],
]
for (const [status, kind] of classes)
  test(`a ${status} is the fault of the ${kind}`, () => {
    const fault = faultOfStatus(status, {}, '', undefined)
    assert.deepEqual(fault, { class: kind, code: `status_${status}`, status })
  })

const waits: [name: string, headers: Record<string, string | string[]>, ms: number | undefined][] = [
  ['nothing', {}, undefined],
  ['seconds', { 'retry-after': '7' }, 7_000],
  ['a fraction of a second', { 'retry-after': ' 0.25 ' }, 250],
  ['a date', { 'retry-after': 'Sun, 22 Nov 2026 12:00:30 GMT' }, 30_000],
  ['a date that is past', { 'retry-after': 'Sun, 22 Nov 2026 11:00:00 GMT' }, 0],
  ['milliseconds before seconds', { 'retry-after-ms': '40', 'retry-after': '7' }, 40],
  ['more than an hour', { 'retry-after': '86400' }, 3_600_000],
  ['a negative number', { 'retry-after-ms': '-5' }, 0],
  ['words', { 'retry-after': 'soon' }, undefined],
  ['an empty header', { 'retry-after': '', 'retry-after-ms': '' }, undefined],
  ['milliseconds that are no number', { 'retry-after-ms': 'x', 'retry-after': '1' }, 1_000],
  ['two headers', { 'retry-after': ['2', '9'] }, 2_000],
]
for (const [name, headers, ms] of waits)
  test(`when to try again, given as ${name}`, () => {
    assert.equal(parseRetryAfter(headers, NOW), ms)
  })

const errors: [name: string, body: string, message: string | undefined][] = [
  ["OpenAI's object", '{"error":{"message":"too long","type":"t","param":"messages","code":"c"}}', 'too long'],
  ["Google's list", '[{"error":{"message":"bad","status":"INVALID_ARGUMENT","code":400}}]', 'bad'],
  ['a string', '{"error":"bad"}', 'bad'],
  ['a page', '<html>502</html>', undefined],
  ['an object without an error', '{"detail":"bad"}', undefined],
  ['null', 'null', undefined],
  [
    'a credential in it',
    '{"error":{"message":"Incorrect key: sk-proj-abcDEF123456789."}}',
    'Incorrect key: [redacted].',
  ],
  ['a masked credential', '{"error":{"message":"key sk-sim-1********cret is off"}}', 'key [redacted] is off'],
  ['a name that is no credential', '{"error":{"message":"skip_special_tokens: no"}}', 'skip_special_tokens: no'],
  ['half a surrogate pair', '{"error":{"message":"a\\ud800"}}', 'a\ufffd'],
  ['a novel', JSON.stringify({ error: { message: 'x'.repeat(5_000) } }), 'x'.repeat(2_000)],
]
for (const [name, body, message] of errors)
  test(`what a provider says of a fault: ${name}`, () => {
    assert.equal(providerError(body, undefined)?.message, message)
  })

test('our credential stands in nothing of a provider error, however the body escapes it', () => {
  for (const quoted of ['a+b/c', 'a\\u002bb\\/c', '\\u0061+b\\u002Fc', 'a\\\\u002bb\\\\/c'])
    assert.deepEqual(
      providerError(
        `{"error":{"message":"m ${quoted}","type":"${quoted}","param":"${quoted}","code":"${quoted}"}}`,
        'a+b/c',
      ),
      { message: 'm [redacted]', type: '[redacted]', param: '[redacted]', code: '[redacted]' },
    )
})

test('a credential at the place where a message is cut leaves nothing behind', () => {
  const message = providerError(JSON.stringify({ error: `${'x'.repeat(1_995)}credential` }), 'credential')?.message
  assert.equal(message, `${'x'.repeat(1_995)}[reda`)
})

test('members of a provider error that are no strings are absent', () => {
  assert.deepEqual(providerError('{"error":{"message":"m","type":null,"param":7,"code":400}}', undefined), {
    message: 'm',
    type: 'invalid_request_error',
    param: null,
    code: null,
  })
})

const said = { message: 'too long', type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' }
const fault = (value: Partial<UpstreamFault>): UpstreamFault => ({ class: 'provider', code: 'x', ...value })
const shown: [name: string, faults: UpstreamFault[], code: string, status: number, headers: Record<string, string>][] =
  [
    ['a caller', [fault({ class: 'caller', status: 422, error: said })], 'upstream_rejected', 422, {}],
    [
      'a caller after a broken target',
      [fault({}), fault({ class: 'caller', status: 400 })],
      'upstream_rejected',
      400,
      {},
    ],
    ['credentials', [fault({ class: 'credential' }), fault({ class: 'credential' })], 'upstream_credential', 502, {}],
    ['a credential and a fault', [fault({ class: 'credential' }), fault({})], 'upstream_failed', 502, {}],
    [
      'rates',
      [fault({ class: 'target', status: 429, retryAfterMs: 2_500 })],
      'rate_limit_exceeded',
      429,
      { 'retry-after': '3', 'retry-after-ms': '2500' },
    ],
    [
      'rates without a time',
      [fault({ class: 'target', status: 429 })],
      'rate_limit_exceeded',
      429,
      { 'retry-after': '1' },
    ],
    [
      'the shortest wait of several',
      [fault({ status: 429, retryAfterMs: 4_000 }), fault({ status: 503, retryAfterMs: 9_000 })],
      'upstream_failed',
      502,
      { 'retry-after': '4', 'retry-after-ms': '4000' },
    ],
    ['a timeout', [fault({ timedOut: true })], 'upstream_timeout', 504, {}],
    ['anything else', [fault({ status: 500, error: said })], 'upstream_failed', 502, {}],
  ]
for (const [name, faults, code, status, headers] of shown)
  test(`what the client is told of ${name}`, () => {
    const error = errorOfFaults(faults)
    assert.equal(error.code, code)
    assert.equal(error.status, status)
    assert.deepEqual(error.headers, headers)
    const own = faults.at(-1)?.class === 'caller' && faults.at(-1)?.error !== undefined
    assert.equal(
      error.message.includes(said.message),
      own,
      "only the caller's own fault is told in the provider's words",
    )
    assert.deepEqual(error.upstream, own ? { type: said.type, code: said.code } : undefined)
  })
