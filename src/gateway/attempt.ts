import type { UpstreamExchange, UpstreamHandler, UpstreamHttp } from '#adapters/upstream-http.ts'
import { type Target, withCredential } from './target.ts'
import { faultOfCredential, faultOfStatus, type UpstreamFault } from './upstream-fault.ts'
import type { UpstreamCall } from './upstream-request.ts'

export interface AttemptTimeouts {
  /** From dispatch to the first byte of the body. */
  firstByteMs: number
  /** Between two reads of the body. */
  idleMs: number
}

/** The caller of an attempt. onBody sees the body of a 2xx answer only; exactly one of onEnd and onFault ends it. */
export interface AttemptListener {
  onAnswer(headers: Record<string, string | string[] | undefined>): void
  onBody(chunk: Buffer): void
  onEnd(): void
  onFault(fault: UpstreamFault): void
}

export interface Attempt {
  /** Ends the attempt without a further word to the listener. */
  abort(): void
  pause(): void
  resume(): void
  tick(nowMs: number): void
  /** Whether the request has been given to a connection: from then on the provider may bill it. */
  sent(): boolean
  /** Whether the answer has been read to its end, has failed or was aborted. */
  over(): boolean
}

const ERROR_BODY_BYTES_MAX = 64 * 1024

/** One request to one upstream, with its own deadlines; everything that can go wrong ends as a typed fault. */
export function startAttempt(
  http: UpstreamHttp,
  target: Target,
  request: UpstreamCall,
  timeouts: AttemptTimeouts,
  listener: AttemptListener,
): Attempt {
  let status = 0
  let headers: Record<string, string | string[] | undefined> = {}
  let errorBody: Buffer[] | undefined
  let errorBytes = 0
  let paused = false
  let over = false
  let deadlineMs = performance.now() + timeouts.firstByteMs
  let waitingFor: 'first_byte' | 'idle' = 'first_byte'
  function fault(value: UpstreamFault): void {
    if (over) return
    over = true
    exchange?.abort()
    listener.onFault(value)
  }

  let exchange: UpstreamExchange | undefined
  const { origin, path } = target

  function start(authorization: Record<string, string>): void {
    if (over) return
    const headers = {
      ...target.headers,
      ...authorization,
      ...request.headers,
      'x-client-request-id': request.requestId,
    }
    exchange = http.post({ origin, path, headers, body: request.body }, handler)
    if (paused) exchange.pause()
  }

  const handler: UpstreamHandler = {
    onHeaders(received, receivedHeaders) {
      if (over) return
      status = received
      headers = receivedHeaders
      if (status >= 200 && status < 300) listener.onAnswer(headers)
      else errorBody = []
    },
    onBody(chunk) {
      if (over) return
      deadlineMs = performance.now() + timeouts.idleMs
      waitingFor = 'idle'
      if (errorBody === undefined) {
        listener.onBody(chunk)
        return
      }
      errorBody.push(chunk)
      errorBytes += chunk.length
      if (errorBytes > ERROR_BODY_BYTES_MAX) fault(statusFault())
    },
    onEnd() {
      if (over) return
      if (errorBody !== undefined) {
        fault(statusFault())
        return
      }
      over = true
      listener.onEnd()
    },
    onFault(kind, cause) {
      // Headers of an error and then a broken body: the status says more than the break.
      fault(errorBody === undefined ? { class: 'provider', code: kind, cause } : statusFault())
    },
  }

  try {
    const authorization = target.authorize(request.body)
    if (authorization instanceof Promise) authorization.then(start, (error) => fault(faultOfCredential(error)))
    else start(authorization)
  } catch (error) {
    queueMicrotask(() => fault(faultOfCredential(error)))
  }

  function statusFault(): UpstreamFault {
    const body = Buffer.concat(errorBody ?? []).toString('utf8', 0, ERROR_BODY_BYTES_MAX)
    const value = withCredential(target, (key) => faultOfStatus(status, headers, body, key))
    if (value.class === 'credential') target.rejected()
    return value
  }

  return {
    abort() {
      over = true
      exchange?.abort()
    },
    pause() {
      paused = true
      exchange?.pause()
    },
    resume() {
      paused = false
      deadlineMs = performance.now() + timeouts.idleMs
      exchange?.resume()
    },
    sent() {
      return exchange?.sent() === true
    },
    over() {
      return over
    },
    tick(nowMs) {
      // While we do not read, silence is our own.
      if (!over && !paused && nowMs > deadlineMs)
        fault({ class: 'provider', code: `timeout_${waitingFor}`, timedOut: true })
    },
  }
}
