import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { type Dispatcher, Pool } from 'undici'

/** What went wrong below HTTP. */
export type TransportFault = 'connect' | 'reset'

export interface UpstreamRequest {
  origin: string
  path: string
  headers: Record<string, string>
  body: string
}

/**
 * Callbacks in order: onHeaders, onBody*, then exactly one of onEnd and onFault. None comes before post() returns or after
 * abort().
 */
export interface UpstreamHandler {
  onHeaders(status: number, headers: Record<string, string | string[] | undefined>): void
  onBody(chunk: Buffer): void
  onEnd(): void
  onFault(fault: TransportFault, cause: unknown): void
}

export interface UpstreamExchange {
  /** Closes the connection; the provider sees it at once. */
  abort(): void
  pause(): void
  resume(): void
  /** Whether a connection was found and the request is being written to it. */
  sent(): boolean
}

export interface UpstreamHttpOptions {
  /** Sockets per origin: more concurrent calls than this wait for one. */
  connectionsMax: number
  connectTimeoutMs: number
}

/**
 * Sends requests to providers over pooled connections. Knows sockets, nothing of chat or money; waiting times other than
 * connecting are the caller's.
 */
export function createUpstreamHttp(options: UpstreamHttpOptions) {
  const pools = new Map<string, Pool>()

  function poolOf(origin: string): Pool {
    let pool = pools.get(origin)
    if (pool === undefined) {
      pool = new Pool(origin, {
        connections: options.connectionsMax,
        pipelining: 1,
        allowH2: false,
        connect: { timeout: options.connectTimeoutMs },
        headersTimeout: 0,
        bodyTimeout: 0,
        keepAliveTimeout: 30_000,
        keepAliveMaxTimeout: 300_000,
      })
      pools.set(origin, pool)
    }
    return pool
  }

  return {
    post(request: UpstreamRequest, handler: UpstreamHandler): UpstreamExchange {
      let controller: Dispatcher.DispatchController | undefined
      let dispatching = true
      let ended = false
      let body: Decoder = { write: handler.onBody, end: finish }

      function finish(): void {
        if (ended) return
        ended = true
        handler.onEnd()
      }

      function fail(fault: TransportFault, cause: unknown): void {
        if (ended) return
        ended = true
        body.destroy?.()
        // A request that cannot even be started, for a header that HTTP does not allow, fails inside of dispatch().
        if (dispatching) queueMicrotask(() => handler.onFault(fault, cause))
        else handler.onFault(fault, cause)
      }

      poolOf(request.origin).dispatch(
        {
          path: request.path,
          method: 'POST',
          headers: request.headers,
          body: request.body,
        },
        {
          onRequestStart(started) {
            controller = started
            if (ended) started.abort(new Error('aborted by the gateway'))
          },
          onResponseStart(_controller, status, headers) {
            // Early hints and the like: the answer follows.
            if (ended || status < 200) return
            body = decoder(headers['content-encoding'], handler.onBody, finish, (cause) => {
              fail('reset', cause)
              controller?.abort(new Error('undecodable body'))
            })
            if (!ended) handler.onHeaders(status, headers)
          },
          onResponseData(_controller, chunk) {
            if (!ended) body.write(chunk)
          },
          onResponseEnd() {
            if (!ended) body.end()
          },
          onResponseError(_controller, error) {
            fail(isConnectFault(error) ? 'connect' : 'reset', plainError(error))
          },
        },
      )
      dispatching = false

      return {
        abort() {
          if (ended) return
          ended = true
          body.destroy?.()
          controller?.abort(new Error('aborted by the gateway'))
        },
        pause() {
          body.pause?.()
          controller?.pause()
        },
        resume() {
          body.resume?.()
          controller?.resume()
        },
        sent() {
          return controller !== undefined
        },
      }
    },

    async close(): Promise<void> {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
    },
  }
}

export type UpstreamHttp = ReturnType<typeof createUpstreamHttp>

/** The way of a body's bytes to their reader. What holds back bytes of its own can be paused and destroyed. */
interface Decoder {
  write(chunk: Buffer): void
  end(): void
  pause?(): void
  resume?(): void
  destroy?(): void
}

/** We ask for identity; some servers compress all the same. */
function decoder(
  encoding: string | string[] | undefined,
  onBody: (chunk: Buffer) => void,
  onEnd: () => void,
  onError: (cause: unknown) => void,
): Decoder {
  if (encoding === undefined || encoding === 'identity') return { write: onBody, end: onEnd }
  const stream =
    encoding === 'gzip' || encoding === 'x-gzip'
      ? createGunzip()
      : encoding === 'br'
        ? createBrotliDecompress()
        : encoding === 'deflate'
          ? createInflate()
          : undefined
  if (stream === undefined) {
    onError(new Error(`unknown content-encoding ${String(encoding).slice(0, 40)}`))
    return { write: () => undefined, end: () => undefined }
  }
  stream.on('data', onBody).on('end', onEnd).on('error', onError)
  return {
    write: (chunk) => void stream.write(chunk),
    end: () => void stream.end(),
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    destroy: () => void stream.destroy(),
  }
}

/** An error of undici may carry the bytes that it choked on, which are nobody's to log. */
function plainError(error: Error): Error {
  const plain = new Error(error.message)
  return Object.assign(plain, { name: error.name, ...('code' in error && { code: error.code }) })
}

function isConnectFault(error: Error): boolean {
  const code = 'code' in error ? error.code : undefined
  return (
    code === 'UND_ERR_CONNECT_TIMEOUT' ||
    code === 'ECONNREFUSED' ||
    code === 'ENOTFOUND' ||
    code === 'EAI_AGAIN' ||
    code === 'EHOSTUNREACH' ||
    code === 'ENETUNREACH'
  )
}
