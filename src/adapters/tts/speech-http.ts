import { pipeline, Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { Agent, type Dispatcher } from 'undici'
import { GuardError } from '#adapters/guarded-fetch.ts'
import { TtsFault } from './adapter.ts'

export interface SpeechHttpOptions {
  /** Sockets per origin: more concurrent calls than this wait for one. */
  connectionsMax: number
  connectTimeoutMs: number
}

export interface SpeechHttpRequest {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  /** A stream is sent as it comes; the headers say how long it is, where that is known. */
  body: string | Readable | undefined
}

export interface SpeechHttpResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  chunks: Chunks
}

/** The body, piece by piece and never empty; `end` of undefined is its end. */
export interface Chunks {
  /** Throws TtsFault, or the caller's reason. Each wait is bounded by the deadline in force. */
  next(): Promise<Buffer | undefined>
  /** From now on each piece has this long, instead of the first byte's time. */
  idle(idleMs: number): void
  close(): void
}

/** HTTP with vendors of speech: knows sockets and time, nothing of voices or money. Redirects are not followed. */
export function createSpeechHttp(options: SpeechHttpOptions) {
  const agent = new Agent({
    connections: options.connectionsMax,
    pipelining: 1,
    allowH2: false,
    connect: { timeout: options.connectTimeoutMs },
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 300_000,
  })

  return {
    /** Resolves with the head of the answer. `firstByteMs` runs on until idle() is called. */
    async send(
      request: SpeechHttpRequest,
      deadline: { signal: AbortSignal; firstByteMs: number; onSent?: (() => void) | undefined },
      dispatcher: Dispatcher = agent,
    ): Promise<SpeechHttpResponse> {
      const { signal } = deadline
      signal.throwIfAborted()
      const late = new AbortController()
      const expire = (code: string) => () => late.abort(new TtsFault({ class: 'provider', code, timedOut: true }))
      let timer: NodeJS.Timeout | undefined = setTimeout(expire('timeout_first_byte'), deadline.firstByteMs)
      const stop = () => {
        clearTimeout(timer)
        timer = undefined
      }
      const fail = (error: unknown): never => {
        stop()
        signal.throwIfAborted()
        if (late.signal.aborted) throw late.signal.reason
        throw transportFault(error)
      }

      let response: Dispatcher.ResponseData
      let body: Readable
      try {
        const url = new URL(request.url)
        response = await dispatcher.request({
          origin: url.origin,
          path: url.pathname + url.search,
          method: request.method,
          ...sentAs(request, deadline.onSent),
          signal: AbortSignal.any([signal, late.signal]),
        })
        body = decoded(response.body, response.headers['content-encoding'])
      } catch (error) {
        return fail(error)
      }

      // Without a listener a connection that breaks between two reads would end the process; next() reports it.
      body.on('error', () => undefined)
      const iterator: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
      let idleMs: number | undefined

      return {
        status: response.statusCode,
        headers: response.headers,
        chunks: {
          async next() {
            if (idleMs !== undefined) timer = setTimeout(expire('timeout_idle'), idleMs)
            try {
              for (;;) {
                const { done, value } = await iterator.next()
                if (done === true) {
                  stop()
                  return undefined
                }
                if (value.length > 0) {
                  if (idleMs !== undefined) stop()
                  return value
                }
              }
            } catch (error) {
              return fail(error)
            }
          },
          idle(ms) {
            stop()
            idleMs = ms
          },
          close() {
            stop()
            body.destroy()
            if (body !== response.body) response.body.destroy()
          },
        },
      }
    },

    async close(): Promise<void> {
      await agent.destroy()
    },
  }
}

export type SpeechHttp = ReturnType<typeof createSpeechHttp>

/** A body that tells when it is taken: undici asks for it once there is a connection. */
function sentAs({ headers, body }: SpeechHttpRequest, onSent: (() => void) | undefined) {
  const all = { 'accept-encoding': 'identity', ...headers }
  if (body === undefined || onSent === undefined) return { headers: all, body: body ?? null }
  if (typeof body !== 'string') {
    const source = body
    async function* passed() {
      onSent?.()
      yield* source
    }
    return { headers: all, body: Readable.from(passed(), { objectMode: false }) }
  }
  const bytes = Buffer.from(body)
  async function* taken() {
    onSent?.()
    yield bytes
  }
  return { headers: { ...all, 'content-length': String(bytes.length) }, body: Readable.from(taken()) }
}

/** We ask for identity; some servers compress all the same. */
function decoded(body: Readable, encoding: string | string[] | undefined): Readable {
  if (encoding === undefined || encoding === 'identity') return body
  const decoder =
    encoding === 'gzip' || encoding === 'x-gzip'
      ? createGunzip()
      : encoding === 'br'
        ? createBrotliDecompress()
        : encoding === 'deflate'
          ? createInflate()
          : undefined
  if (decoder === undefined) {
    body.on('error', () => undefined).destroy()
    throw new TtsFault({ class: 'provider', code: 'content_encoding' })
  }
  // The error reaches the reader through the decoder.
  return pipeline(body, decoder, () => undefined)
}

const connectCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
])

/** An error of undici may carry bytes and headers, which are nobody's to log: its name and message are kept. */
function transportFault(error: unknown): Error {
  if (error instanceof TtsFault) return error
  if (error instanceof GuardError) return new TtsFault({ class: 'provider', code: error.code })
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const cause = error instanceof Error ? Object.assign(new Error(error.message), { name: error.name }) : undefined
  // A header that HTTP does not allow is the operator's, or a key that is none.
  if (code === 'UND_ERR_INVALID_ARG' || error instanceof TypeError)
    return new TtsFault({ class: 'credential', code: 'request_invalid', cause })
  const connect = typeof code === 'string' && connectCodes.has(code)
  return new TtsFault({ class: 'provider', code: connect ? 'connect' : 'reset', cause })
}
