import { FluxgateError } from '../errors.ts'
import { errorOfAnswer } from './error-of-answer.ts'

const TIMEOUT_MS = 30_000
const ANSWER_BYTES_MAX = 32 * 1024 * 1024

export interface ConnectionOptions {
  /** Where the gateway is, as in `https://gateway.example`; a `/v1` at its end is not needed and does no harm. */
  baseUrl: string
  /** A key of the gateway. Public addresses need none. */
  apiKey?: string | undefined
  /** How long one request may take, its answer included. 30 seconds unless said otherwise. */
  timeoutMs?: number | undefined
  fetch?: typeof fetch | undefined
}

interface CallOptions {
  method?: 'GET' | 'POST'
  /** Members that are undefined or empty are left out. */
  query?: Readonly<Record<string, string | number | undefined>>
  /** Sent as JSON. A string is JSON already. */
  body?: unknown
  accept?: string
  signal?: AbortSignal | undefined
  /** Public addresses are asked without the key. */
  isPublic?: boolean
}

export interface Connection {
  /** Resolves with an answer of 2xx, its body unread. Throws FluxgateError. `done` ends the time limit. */
  open(path: string, options?: CallOptions): Promise<{ response: Response; done(): void }>
  /** The text of an answer, whole. Throws FluxgateError, also for one of more than `bytesMax`. */
  read(response: Response, bytesMax?: number): Promise<string>
  /** The same in pieces, as they come, of any length. */
  pieces(response: Response): AsyncGenerator<string, void, undefined>
  /** The whole text of the answer. Throws FluxgateError, also for one of more than `bytesMax`. */
  text(path: string, options?: CallOptions & { bytesMax?: number }): Promise<string>
  /** The same, read as JSON. */
  json(path: string, options?: CallOptions & { bytesMax?: number }): Promise<unknown>
}

/** Throws TypeError for an unusable base URL; opens nothing. */
export function createConnection(options: ConnectionOptions): Connection {
  const baseUrl = parseBaseUrl(options.baseUrl)
  const { apiKey, timeoutMs = TIMEOUT_MS } = options
  const send = options.fetch ?? globalThis.fetch

  async function open(path: string, call: CallOptions = {}) {
    const url = new URL(`${baseUrl}${path}`)
    for (const [name, value] of Object.entries(call.query ?? {}))
      if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
    const limit = new AbortController()
    const timer = setTimeout(
      () => limit.abort(new DOMException(`no answer in ${timeoutMs} ms`, 'TimeoutError')),
      timeoutMs,
    )
    const done = () => clearTimeout(timer)
    try {
      const response = await send(url, {
        method: call.method ?? 'GET',
        headers: {
          accept: call.accept ?? 'application/json',
          ...(call.body !== undefined && { 'content-type': 'application/json' }),
          ...(apiKey !== undefined && call.isPublic !== true && { authorization: `Bearer ${apiKey}` }),
        },
        ...(call.body !== undefined && { body: typeof call.body === 'string' ? call.body : JSON.stringify(call.body) }),
        // A redirect could lead from https to http, and the key with it.
        redirect: 'error',
        signal: call.signal === undefined ? limit.signal : AbortSignal.any([call.signal, limit.signal]),
      })
      if (!response.ok) throw await errorOfAnswer(response)
      return { response, done }
    } catch (error) {
      done()
      throw asFluxgateError(error)
    }
  }

  async function text(path: string, call: CallOptions & { bytesMax?: number } = {}): Promise<string> {
    const { response, done } = await open(path, call)
    try {
      return await read(response, call.bytesMax)
    } finally {
      done()
    }
  }

  async function json(path: string, call: CallOptions & { bytesMax?: number } = {}): Promise<unknown> {
    const body = await text(path, call)
    try {
      return JSON.parse(body)
    } catch (cause) {
      throw new FluxgateError('answer_invalid', `${path} does not answer with JSON`, { cause })
    }
  }

  return { open, read, pieces, text, json }
}

/** The address that paths are put behind: http or https, without `/v1`, a slash at its end, or a password. Throws TypeError. */
export function parseBaseUrl(text: string): string {
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new TypeError(`the base URL must be http or https: ${text}`)
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** Reads a body and stops as soon as it is too long. */
async function read(response: Response, bytesMax = ANSWER_BYTES_MAX): Promise<string> {
  let text = ''
  for await (const piece of pieces(response)) {
    text += piece
    if (text.length > bytesMax)
      throw new FluxgateError('answer_too_large', `the answer is longer than ${bytesMax} bytes`)
  }
  return text
}

/** As UTF-8. A reader that stops early ends the answer. */
async function* pieces(response: Response): AsyncGenerator<string, void, undefined> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    for (;;) {
      const { done, value } = await reader.read()
      yield decoder.decode(value, { stream: !done })
      if (done) return
    }
  } catch (error) {
    throw asFluxgateError(error)
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** What fetch throws, by what it means. */
export function asFluxgateError(error: unknown): FluxgateError {
  if (error instanceof FluxgateError) return error
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return new FluxgateError('request_timeout', error.message, { retry: true, cause: error })
  if (error instanceof DOMException && error.name === 'AbortError')
    return new FluxgateError('request_aborted', 'the request was aborted', { cause: error })
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const message = cause instanceof Error ? cause.message || cause.name : String(cause)
  return new FluxgateError('network_failed', `the gateway cannot be reached: ${message}`, { retry: true, cause: error })
}
