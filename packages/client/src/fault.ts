/** Why a call to one model failed, as far as it matters for trying the next one. */
export type Fault =
  | 'rate_limit'
  | 'timeout'
  | 'model_not_found'
  | 'response'
  | 'connection'
  | 'authentication'
  | 'aborted'
  | 'unknown'

const CAUSES_MAX = 8

const byName: Readonly<Record<string, Fault>> = {
  AbortError: 'aborted',
  APIUserAbortError: 'aborted',
  TimeoutError: 'timeout',
  APIConnectionTimeoutError: 'timeout',
  APIConnectionError: 'connection',
  AI_NoSuchModelError: 'model_not_found',
  AI_LoadAPIKeyError: 'authentication',
  AI_InvalidResponseDataError: 'response',
  AI_EmptyResponseBodyError: 'response',
}

const byCode: Readonly<Record<string, Fault>> = {
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  ECONNREFUSED: 'connection',
  ECONNRESET: 'connection',
  ENOTFOUND: 'connection',
  EAI_AGAIN: 'connection',
  EPIPE: 'connection',
  EHOSTUNREACH: 'connection',
  ENETUNREACH: 'connection',
  UND_ERR_SOCKET: 'connection',
}

/**
 * Reads the fault off an error of the OpenAI, Anthropic or AI SDK, of fetch, or of anything else that carries an HTTP status. What is
 * not a failed call, such as a mistake in the program, is `unknown`.
 */
export function faultOf(error: unknown): Fault {
  let current = error
  for (let depth = 0; depth < CAUSES_MAX && current instanceof Error; depth += 1) {
    const found = ofOne(current)
    if (found !== undefined) return found
    // The AI SDK wraps what its own retries ended with.
    current = member(current, 'lastError') ?? current.cause
  }
  return 'unknown'
}

function ofOne(error: Error): Fault | undefined {
  const status = member(error, 'status') ?? member(error, 'statusCode')
  if (typeof status === 'number') return ofStatus(status)
  const code = member(error, 'code')
  const named = find(byName, error.name) ?? find(byName, error.constructor.name)
  return named ?? find(byCode, code) ?? ofMessage(error)
}

/** Names do not survive a minifier, and fetch has none: these messages are what is left. */
function ofMessage(error: Error): Fault | undefined {
  if ('status' in error || 'statusCode' in error) {
    if (/abort/i.test(error.message)) return 'aborted'
    return /timed out/i.test(error.message) ? 'timeout' : 'connection'
  }
  const isFetch = /^(fetch failed|Failed to fetch|Load failed|NetworkError when attempting)/.test(error.message)
  // Node says in the cause what happened; that is more exact.
  return error instanceof TypeError && isFetch && error.cause === undefined ? 'connection' : undefined
}

function ofStatus(status: number): Fault | undefined {
  if (status === 401 || status === 403) return 'authentication'
  if (status === 404) return 'model_not_found'
  if (status === 408 || status === 504) return 'timeout'
  if (status === 429) return 'rate_limit'
  return status >= 400 ? 'response' : undefined
}

function find(table: Readonly<Record<string, Fault>>, key: unknown): Fault | undefined {
  return typeof key === 'string' && Object.hasOwn(table, key) ? table[key] : undefined
}

function member(error: Error, key: string): unknown {
  return Reflect.get(error, key)
}
