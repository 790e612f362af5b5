import { connect, type Socket } from 'node:net'
import { createResponseParser, type ResponseSummary } from './response-parser.ts'

/** Times are milliseconds of `performance.now()`. */
export interface Exchange {
  /** When the request was due; in a closed loop, when it was sent. */
  intendedMs: number
  sentMs: number
  firstByteMs: number
}

export type ConnectionError = 'connect' | 'closed' | 'timeout' | 'not_http'

const READ_BYTES = 64 * 1024

/** All connections of a generator read into one buffer: a piece is parsed before the next one arrives. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)

export type Connection = ReturnType<typeof openConnection>

/** One keep-alive connection that carries one exchange at a time. After `failed` it is dead. */
export function openConnection(
  target: { host: string; port: number },
  on: {
    ready(connection: Connection): void
    answered(exchange: Exchange, summary: ResponseSummary, connection: Connection): void
    failed(error: ConnectionError, exchange: Exchange | undefined, connection: Connection): void
  },
) {
  let exchange: Exchange | undefined
  let connected = false
  let dead = false

  const parser = createResponseParser({
    firstBodyByte() {
      if (exchange !== undefined) exchange.firstByteMs = performance.now()
    },
    response(summary) {
      const ended = exchange
      exchange = undefined
      if (!summary.reusable) {
        dead = true
        socket.destroy()
      }
      if (ended !== undefined) on.answered(ended, summary, connection)
    },
  })

  const socket: Socket = connect({
    ...target,
    noDelay: true,
    onread: { buffer: readBuffer, callback: (length) => read(length) },
  })
  socket.on('connect', () => {
    connected = true
    on.ready(connection)
  })
  // An error is always followed by 'close', which reports it.
  socket.on('error', () => {})
  socket.on('end', () => parser.end())
  socket.on('close', () => fail(connected ? 'closed' : 'connect'))

  function read(length: number): boolean {
    try {
      parser.push(readBuffer, length)
    } catch {
      fail('not_http')
    }
    return true
  }

  function fail(error: ConnectionError): void {
    if (dead) return
    dead = true
    socket.destroy()
    const lost = exchange
    exchange = undefined
    on.failed(error, lost, connection)
  }

  const connection = {
    /** Sends a whole request that was serialised before. */
    send(request: Buffer, intendedMs: number, nowMs: number): void {
      exchange = { intendedMs, sentMs: nowMs, firstByteMs: 0 }
      socket.write(request)
    },
    isDead: () => dead,
    /** Fails the exchange when it was sent before `beforeMs`. */
    expire(beforeMs: number): void {
      if (exchange !== undefined && exchange.sentMs < beforeMs) fail('timeout')
    },
    close(): void {
      dead = true
      socket.destroy()
    },
  }
  return connection
}
