import type { JsonObject } from './json-values.ts'
import type { ErrorWords } from './protocol.ts'

const types: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

/** The family by which Anthropic's clients tell errors apart. */
export function messagesErrorType(status: number): string {
  return types[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
}

/** An error as Anthropic's clients expect it, also inside a stream. Our own code stands in `details.error_code`. */
export function encodeMessagesError(
  { message, code, param, status }: ErrorWords,
  requestId: string | null,
): JsonObject {
  const details = { ...(code !== null && { error_code: code }), ...(param !== null && { param }) }
  const error = {
    type: messagesErrorType(status),
    message,
    ...(Object.keys(details).length > 0 && { details }),
  }
  return { type: 'error', error, request_id: requestId }
}
