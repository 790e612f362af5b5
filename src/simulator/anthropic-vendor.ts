import { badRequest, type Refusal, refuse } from './refusal.ts'
import type { Vendor } from './vendor.ts'

const types: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

const words: Readonly<Record<number, string>> = {
  401: 'invalid x-api-key: sk-sim-1********cret',
  402: 'Your credit balance is too low to access the API.',
  403: 'Your API key does not have permission to use the specified resource.',
  404: 'The requested resource could not be found.',
  429: 'This request would exceed the rate limit of your organization.',
  500: 'Internal server error',
  529: 'Overloaded',
}

/** Anthropic: the status decides what kind of error it is. */
export const anthropic: Vendor = {
  requestIdHeader: 'request-id',

  errorBody: (refusal, requestId) =>
    refusal.page ?? JSON.stringify({ type: 'error', error: anthropicError(refusal), request_id: requestId }),

  defaultRefusal(status, headers = []) {
    const told = status >= 500 ? 'The simulator was told to fail.' : 'The simulator was told to refuse.'
    return refuse(status, { message: words[status] ?? told, type: typeOf(status), param: null, code: null }, headers)
  },

  contextLength: (promptTokens) => badRequest(`prompt is too long: ${promptTokens} tokens > 1 maximum`, null),

  contentFilter: () => badRequest('Output blocked by content filtering policy', null),

  prefill: () =>
    badRequest(
      'This model does not support assistant message prefill. The conversation must end with a user message.',
      null,
    ),
}

/** What stands under `error`, also inside of a stream. */
export function anthropicError({ status, error, verbatim }: Refusal): Record<string, unknown> {
  return verbatim ? { ...error } : { type: typeOf(status), message: error.message }
}

function typeOf(status: number): string {
  return types[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
}
