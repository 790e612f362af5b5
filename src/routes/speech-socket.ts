import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { handleSpeechSocket } from '#gateway/speech/handle-speech-socket.ts'
import { sessionEndOf } from '#gateway/speech/session-refusal.ts'
import type { SpeechGateway } from '#gateway/speech/speech.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'

const PATH = '/api/v1/audio/speech/ws'
/** Offered beside another protocol, it carries a key where a browser can send no header: `fluxgate-key.<key>`. */
const KEY_PROTOCOL = 'fluxgate-key.'
const FRAME_BYTES_MAX = 64 * 1024
/** Sockets that have not shown a key yet. */
const STRANGERS_MAX = 500
/** How long the other side may take to say goodbye. */
const GOODBYE_MS = 2_000

/** Streaming speech over WebSocket. Keys are never logged: not the address, not the protocols. */
export function createSpeechSocket(gateway: SpeechGateway) {
  const { openCalls, log, metrics } = gateway
  let strangers = 0
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
    // Known protocols are for the client to choose; a key is never sent back.
    handleProtocols: (protocols) => [...protocols].find((name) => !name.startsWith(KEY_PROTOCOL)) ?? false,
  })

  async function serve(socket: WebSocket, req: IncomingMessage): Promise<void> {
    const exchange = { id: uuidv7Hex(), startedAt: performance.now(), dropped: [] }
    let isStranger = true
    strangers += 1
    const known = () => {
      if (isStranger) strangers -= 1
      isStranger = false
    }
    let entered = false
    try {
      openCalls.enter()
      entered = true
      if (strangers > STRANGERS_MAX) throw new AppError('overloaded')
      await handleSpeechSocket(gateway, socket, { exchange, token: tokenOf(req), onAuthenticated: known })
      close(socket, 1000, '')
    } catch (error) {
      const end = sessionEndOf(error)
      const fields = { request: `req_${exchange.id}`, code: end.code ?? 'unauthorized' }
      if (end.code === 'internal_error') log.error({ ...fields, err: error }, 'a session failed')
      else log.info(fields, 'session refused')
      if (end.code !== undefined)
        socket.send(JSON.stringify({ event: 'error', code: end.code, message: end.message }), () => undefined)
      close(socket, end.close, end.code ?? end.message)
    } finally {
      known()
      if (entered) openCalls.leave()
      metrics.requests.inc({ route: PATH, status: 101 })
    }
  }

  return {
    /** Takes over a connection that asks for this address; false for any other. */
    upgrade(req: IncomingMessage, connection: Duplex, head: Buffer): boolean {
      const { pathname } = new URL(req.url ?? '/', 'http://gateway')
      if (pathname !== PATH) return false
      server.handleUpgrade(req, connection, head, (socket) => {
        serve(socket, req).catch((error: unknown) => {
          log.error({ err: error }, 'a session could not be ended')
          socket.terminate()
        })
      })
      return true
    },

    /** Every session has ended: whoever has not said goodbye is left. */
    close(): void {
      for (const socket of server.clients) socket.terminate()
    },
  }
}

function close(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason.slice(0, 100))
  const timer = setTimeout(() => socket.terminate(), GOODBYE_MS)
  socket.once('close', () => clearTimeout(timer))
}

/** The key, where the request shows it: `?token=`, a subprotocol, or as everywhere else. */
function tokenOf(req: IncomingMessage): string | undefined {
  const asked = new URL(req.url ?? '/', 'http://gateway').searchParams.get('token')
  if (asked !== null) return asked
  const offered = String(req.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .find((name) => name.startsWith(KEY_PROTOCOL))
  if (offered !== undefined) return offered.slice(KEY_PROTOCOL.length)
  return /^bearer +(\S+)\s*$/i.exec(req.headers.authorization ?? '')?.[1]
}
