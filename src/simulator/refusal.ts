/** An answer that is an error: status, extra headers and the body with its type. */
export interface Refusal {
  status: number
  contentType: string
  headers: readonly string[]
  body: string
}

/** OpenAI's error object, as its SDKs read it. */
export interface ErrorObject {
  message: string
  type: string
  param: string | null
  code: string | null
}

/** A refusal in OpenAI's shape. `headers` are names and values in turn. */
export function refuse(status: number, error: ErrorObject | Record<string, unknown>, headers: string[] = []): Refusal {
  return { status, contentType: 'application/json', headers, body: JSON.stringify({ error }) }
}

/** A refusal because the request itself is wrong. */
export function badRequest(message: string, param: string | null, code: string | null = null): Refusal {
  return refuse(400, { message, type: 'invalid_request_error', param, code })
}

/** The page a proxy in front of a provider answers with: not JSON, and not for a client's eyes. */
export function htmlRefusal(status: number): Refusal {
  const body = `<html>\r\n<head><title>${status} Bad Gateway</title></head>\r\n<body>\r\n<center><h1>${status} Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`
  return { status, contentType: 'text/html', headers: [], body }
}

/** What OpenAI says with a status when nobody told the simulator what to say. */
export function defaultError(status: number): ErrorObject {
  const known = errors[status]
  if (known !== undefined) return known
  return status >= 500
    ? { message: 'The simulator was told to fail.', type: 'server_error', param: null, code: null }
    : { message: 'The simulator was told to refuse.', type: 'invalid_request_error', param: null, code: null }
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
