import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

export const NLS_ACCOUNT = {
  accessKeyId: 'LTAI-nls-0001',
  accessKeySecret: 'nls-secret-0000000001',
  appKey: 'app-0001',
}

export interface NlsPlan {
  /** Instead of TranscriptionStarted. */
  refuse?: number
  failAfterBytes?: number
  cutAfterBytes?: number
}

/** Alibaba's tokens and sessions: checks signatures by itself, says a sentence for each second. */
export async function startFakeNls() {
  const plans: NlsPlan[] = []
  const sessions: { bytes: number; stopped: boolean; closed: boolean; start: Record<string, unknown> }[] = []
  let tokens = 0
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '/', 'http://fake').search.slice(1)
    const [signed = '', ...rest] = query.split('&')
    const text = `GET&%2F&${encodeURIComponent(rest.join('&'))}`
    const expected = createHmac('sha1', `${NLS_ACCOUNT.accessKeySecret}&`).update(text).digest('base64')
    response.setHeader('content-type', 'application/json')
    if (decodeURIComponent(signed.replace('Signature=', '')) !== expected) {
      response.writeHead(400).end(JSON.stringify({ Code: 'SignatureDoesNotMatch' }))
      return
    }
    tokens += 1
    const Token = { Id: `token-${tokens}`, ExpireTime: Math.floor(Date.now() / 1000) + 3600, UserId: '1' }
    response.end(JSON.stringify({ NlsRequestId: 'x', RequestId: 'y', Token }))
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, connection, head) => {
    const token = new URL(request.url ?? '/', 'http://fake').searchParams.get('token')
    if (!/^token-\d+$/.test(token ?? '')) {
      connection.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, connection, head, (socket) => serve(socket, plans.shift() ?? {}))
  })

  function serve(socket: WebSocket, plan: NlsPlan): void {
    const session = { bytes: 0, stopped: false, closed: false, start: {} as Record<string, unknown> }
    sessions.push(session)
    let told = 0
    const say = (name: string, payload: object = {}, status = 20_000_000) =>
      socket.send(JSON.stringify({ header: { namespace: 'SpeechTranscriber', name, status }, payload }))
    const tell = () => {
      for (; told < Math.floor(session.bytes / 32_000); told += 1) {
        say('TranscriptionResultChanged', { index: told + 1, result: 'Sec' })
        say('SentenceEnd', { index: told + 1, result: `Second ${told + 1}. ` })
      }
    }
    socket.on('close', () => {
      session.closed = true
    })
    socket.on('error', () => undefined)
    socket.on('message', (data, isBinary) => {
      if (isBinary) {
        session.bytes += (data as Buffer).length
        tell()
        if (plan.cutAfterBytes !== undefined && session.bytes >= plan.cutAfterBytes) socket.terminate()
        if (plan.failAfterBytes !== undefined && session.bytes >= plan.failAfterBytes) say('TaskFailed', {}, 50_000_000)
        return
      }
      const { header, payload } = JSON.parse(String(data)) as {
        header: Record<string, string>
        payload?: Record<string, unknown>
      }
      const named = /^[0-9a-f]{32}$/.test(header.message_id ?? '') && /^[0-9a-f]{32}$/.test(header.task_id ?? '')
      if (!named || header.appkey !== NLS_ACCOUNT.appKey) say('TaskFailed', {}, 40_000_002)
      else if (plan.refuse !== undefined) say('TaskFailed', {}, plan.refuse)
      else if (header.name === 'StartTranscription') {
        session.start = payload ?? {}
        say('TranscriptionStarted', { session_id: 's' })
      } else if (header.name === 'StopTranscription') {
        session.stopped = true
        say('TranscriptionCompleted')
      }
    })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `ws://127.0.0.1:${port}/ws/v1`,
    tokenUrl: `http://127.0.0.1:${port}/`,
    sessions,
    tokens: () => tokens,
    planNext: (...next: NlsPlan[]) => void plans.push(...next),
    async close(): Promise<void> {
      for (const socket of sockets.clients) socket.terminate()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
