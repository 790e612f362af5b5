import { badRequest, type ErrorObject, refuse } from './refusal.ts'
import type { Vendor } from './vendor.ts'

/** OpenAI, and everything that imitates it. */
export const openai: Vendor = {
  requestIdHeader: 'x-request-id',

  errorBody: ({ page, error }) => page ?? JSON.stringify({ error }),

  defaultRefusal(status, headers = []) {
    const told = status >= 500 ? 'The simulator was told to fail.' : 'The simulator was told to refuse.'
    const type = status >= 500 ? 'server_error' : 'invalid_request_error'
    return refuse(status, errors[status] ?? { message: told, type, param: null, code: null }, headers)
  },

  contextLength(promptTokens) {
    const message = `This model's maximum context length is 1 token. However, your messages resulted in ${promptTokens} tokens.`
    return badRequest(message, 'messages', 'context_length_exceeded')
  },

  contentFilter: () => badRequest('The prompt was refused by the content filter.', 'prompt', 'content_filter'),

  prefill: () => badRequest('This model does not accept a prefilled assistant message at the end.', 'messages'),
}

const errors: Record<number, ErrorObject> = {
  401: {
    message: 'Incorrect API key provided: sk-sim-1********cret. You can find your API key in your account.',
    type: 'invalid_request_error',
    param: null,
    code: 'invalid_api_key',
  },
  402: {
    message: 'The account behind this key has no funds left.',
    type: 'insufficient_quota',
    param: null,
    code: 'insufficient_quota',
  },
  403: {
    message: 'This key may not use this model.',
    type: 'invalid_request_error',
    param: null,
    code: 'model_not_allowed',
  },
  404: {
    message: 'The model does not exist or you do not have access to it.',
    type: 'invalid_request_error',
    param: null,
    code: 'model_not_found',
  },
  429: {
    message: 'Rate limit reached for requests per minute. Please try again later.',
    type: 'requests',
    param: null,
    code: 'rate_limit_exceeded',
  },
  500: {
    message: 'The server had an error while processing your request. Sorry about that!',
    type: 'server_error',
    param: null,
    code: null,
  },
  503: {
    message: 'The engine is currently overloaded, please try again later.',
    type: 'server_error',
    param: null,
    code: null,
  },
}
