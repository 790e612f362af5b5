import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeMessagesError, messagesErrorType } from './anthropic-errors.ts'

for (const [status, type] of [
  [400, 'invalid_request_error'],
  [401, 'authentication_error'],
  [402, 'billing_error'],
  [403, 'permission_error'],
  [404, 'not_found_error'],
  [405, 'invalid_request_error'],
  [408, 'timeout_error'],
  [409, 'conflict_error'],
  [413, 'request_too_large'],
  [415, 'invalid_request_error'],
  [429, 'rate_limit_error'],
  [500, 'api_error'],
  [502, 'api_error'],
  [503, 'overloaded_error'],
  [504, 'timeout_error'],
  [529, 'overloaded_error'],
] as const) {
  test(`status ${status} is ${type}`, () => assert.equal(messagesErrorType(status), type))
}

test('an error has its type by status, our code beside it, and the id of the request', () => {
  assert.deepEqual(
    encodeMessagesError(
      { message: 'No.', type: 'insufficient_quota', code: 'insufficient_quota', param: 'max_tokens', status: 402 },
      'req_1',
    ),
    {
      type: 'error',
      error: {
        type: 'billing_error',
        message: 'No.',
        details: { error_code: 'insufficient_quota', param: 'max_tokens' },
      },
      request_id: 'req_1',
    },
  )
  assert.deepEqual(
    encodeMessagesError({ message: 'No.', type: 'server_error', code: null, param: null, status: 500 }, null),
    { type: 'error', error: { type: 'api_error', message: 'No.' }, request_id: null },
  )
})
