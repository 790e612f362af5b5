import { type Exchange, exchangeHeaders } from '#gateway/call.ts'
import type { TextRoute } from '#gateway/handle-text.ts'
import { type AppError, errorBody, errorHeaders } from '#src/errors.ts'
import { encodeMessagesError } from '#wire/anthropic-errors.ts'
import { airiError } from './airi-errors.ts'

/** One family of clients: what errors look like to them. */
export interface Surface {
  /** Where these clients read the request's id, beside `x-request-id`. */
  idHeader?: string
  /** Status, body and headers of an error. */
  error(error: AppError, exchange: Exchange): { status: number; body: unknown; headers: Record<string, string> }
}

/** A path that clients ask for text. */
export interface TextPath extends TextRoute {
  surface: Surface
}

export const openai: Surface = {
  error: (error) => ({ status: error.status, body: errorBody(error), headers: failureHeaders(error) }),
}

export const anthropic: Surface = {
  idHeader: 'request-id',
  error(error, exchange) {
    const { message, param, code } = errorBody(error).error
    const { 'x-request-id': id } = exchangeHeaders(exchange)
    const body = encodeMessagesError({ message, type: '', param, code, status: error.status }, id ?? null)
    return { status: error.status, body, headers: failureHeaders(error) }
  },
}

export const airi: Surface = {
  error(error) {
    const { status, body } = airiError(error)
    return { status, body, headers: failureHeaders(error) }
  },
}

export const textPaths = {
  '/v1/chat/completions': { protocol: 'chat', surface: openai },
  '/v1/responses': { protocol: 'responses', surface: openai },
  '/v1/messages': { protocol: 'messages', surface: anthropic },
  '/v1/completions': { protocol: 'completions', surface: openai },
  '/v1/embeddings': { protocol: 'embeddings', surface: openai },
  '/api/v1/openai/chat/completions': { protocol: 'chat', surface: airi, autoModel: true },
  '/api/v1/openai/chat/completion': { protocol: 'chat', surface: airi, autoModel: true },
} satisfies Record<string, TextPath>

/** What clients act upon: whether to try again and when, and how to present a key. */
function failureHeaders(error: AppError): Record<string, string> {
  const again = error.status === 429 || error.status === 503
  const headers = errorHeaders(error)
  return {
    ...(again && headers['x-should-retry'] === 'true' && { 'retry-after': '1' }),
    ...(error.status === 401 && { 'www-authenticate': 'Bearer' }),
    ...headers,
  }
}
