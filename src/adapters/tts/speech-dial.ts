import { WebSocket } from 'ws'

export interface SpeechLine {
  send(data: string | Buffer): void
  /** Bytes that the other side has not taken in. */
  waiting(): number
  pause(): void
  resume(): void
  close(): void
  /** Without a farewell. */
  drop(): void
}

export interface SpeechLineHandler {
  onOpen(): void
  onMessage(data: Buffer, isBinary: boolean): void
  /** Once. `status`: of a handshake that was refused. */
  onClose(how: { fault: 'connect' | 'reset' | 'cut' | 'refused'; status?: number }): void
}

/** The longest message of an upstream: some seconds of plain samples. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024

/** Opens a WebSocket to a vendor. Redirects are not followed. */
export function dialSpeech(
  to: { url: string; headers: Readonly<Record<string, string>>; connectTimeoutMs: number },
  handler: SpeechLineHandler,
): SpeechLine {
  const socket = new WebSocket(to.url, {
    headers: { ...to.headers },
    handshakeTimeout: to.connectTimeoutMs,
    maxPayload: MESSAGE_BYTES_MAX,
    perMessageDeflate: false,
    followRedirects: false,
  })
  let opened = false
  let over = false

  function close(how: Parameters<SpeechLineHandler['onClose']>[0]): void {
    if (over) return
    over = true
    handler.onClose(how)
  }

  socket.on('open', () => {
    opened = true
    handler.onOpen()
  })
  socket.on('message', (data, isBinary) => {
    if (!over) handler.onMessage(Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer), isBinary)
  })
  socket.on('unexpected-response', (request, response) => {
    response.resume()
    request.destroy()
    close({ fault: 'refused', ...(response.statusCode !== undefined && { status: response.statusCode }) })
  })
  socket.on('error', () => close({ fault: opened ? 'reset' : 'connect' }))
  socket.on('close', () => close({ fault: opened ? 'cut' : 'connect' }))

  return {
    send: (data) => socket.send(data),
    waiting: () => socket.bufferedAmount,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close() {
      over = true
      socket.close()
    },
    drop() {
      over = true
      socket.terminate()
    },
  }
}
