import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

export const UNSPEECH_KEY = 'unspeech-key-0000000000000001'

/** How a session of the fake goes. Without one it is as it should be. */
export interface UnspeechPlan {
  /** Refuses the handshake. */
  status?: number
  /** Nothing comes after the start, or an error. */
  start?: 'silent' | 'error' | 'close'
  /** After so many text frames. */
  cutAfter?: number
  errorAfter?: number
  /** What the session says it has spoken; undefined is the truth, null is nothing. */
  usage?: unknown
  /** Of one piece of audio. */
  audioBytes?: number
}

/** unspeech over WebSocket: counts what it was given to say. */
export async function startFakeUnspeech() {
  const plans: UnspeechPlan[] = []
  const sessions: { frames: Record<string, unknown>[]; characters: number; closed: boolean; key: string }[] = []
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json')
    const { searchParams } = new URL(request.url ?? '/', 'http://fake')
    response.end(JSON.stringify({ voices: [{ id: 'zh_female', name: 'Female', model: searchParams.get('model') }] }))
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, connection, head) => {
    const plan = plans.shift() ?? {}
    const key = String(request.headers.authorization ?? '').replace('Bearer ', '')
    const status = plan.status ?? (key.startsWith(UNSPEECH_KEY) ? undefined : 401)
    if (status !== undefined) {
      sessions.push({ frames: [], characters: 0, closed: true, key })
      connection.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
      return
    }
    sockets.handleUpgrade(request, connection, head, (socket) => serve(socket, plan, key))
  })

  function serve(socket: WebSocket, plan: UnspeechPlan, key: string): void {
    const session = { frames: [] as Record<string, unknown>[], characters: 0, closed: false, key }
    sessions.push(session)
    let texts = 0
    const say = (frame: object) => socket.send(JSON.stringify(frame))
    socket.on('close', () => {
      session.closed = true
    })
    socket.on('error', () => undefined)
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as Record<string, unknown>
      session.frames.push(frame)
      if (frame.event === 'start') {
        if (plan.start === 'close') socket.close()
        else if (plan.start === 'error') say({ event: 'error', payload: { code: 'bad_voice', message: 'no' } })
        else if (plan.start === undefined) say({ event: 'session.started', session_id: 's1' })
      } else if (frame.event === 'text') {
        texts += 1
        session.characters += [...String(frame.text)].length
        say({ event: 'sentence.start', payload: { text: frame.text } })
        socket.send(Buffer.alloc(plan.audioBytes ?? 100, 7))
        if (texts === plan.cutAfter) socket.terminate()
        if (texts === plan.errorAfter) say({ event: 'error', payload: { code: 'vendor_gone', message: 'sorry' } })
      } else if (frame.event === 'finish') {
        const usage = plan.usage === undefined ? { text_words: session.characters } : plan.usage
        say({ event: 'session.finished', payload: usage === null ? {} : { usage } })
        socket.close()
      } else if (frame.event === 'cancel') socket.close()
    })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `ws://127.0.0.1:${port}/api/tts`,
    /** Every dial, refused or not. */
    sessions,
    planNext: (...next: UnspeechPlan[]) => void plans.push(...next),
    async close(): Promise<void> {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
