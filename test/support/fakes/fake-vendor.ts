import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** A request as the vendor's own validation sees it. */
export interface FakeRequest {
  method: string
  /** Without the origin. */
  path: string
  query: URLSearchParams
  headers: IncomingHttpHeaders
  body: Buffer
}

/** What a vendor would answer. `speech` goes into the oracle's books when it has left whole. */
export interface FakeAnswer {
  status: number
  headers?: Record<string, string>
  /** Sent one by one. */
  chunks: Buffer[]
  speech?: { text: string; voice: string; format: string; characters: number }
}

/** What goes wrong with the next call. */
export type FakeFailure =
  | { kind: 'status'; status: number; headers?: Record<string, string>; body?: string }
  /** A 2xx that is not what was asked for. */
  | { kind: 'answer'; headers: Record<string, string>; body: string }
  /** The head comes, then nothing. */
  | { kind: 'empty' }
  /** Nothing comes at all. */
  | { kind: 'silent' }
  /** Everything comes, late. */
  | { kind: 'slow'; ms: number }
  /** The first chunk comes, then nothing, or the end of the connection. */
  | { kind: 'stall' }
  | { kind: 'cut' }

interface Delivered {
  text: string
  voice: string
  format: string
  characters: number
  bytes: number
}

const REQUEST_BYTES_MAX = 26 * 1024 * 1024

/** A vendor on loopback: it answers as `answer` says, fails as it is told, and counts what it has delivered. */
export async function startFakeVendor(answer: (request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>, port = 0) {
  const requests: FakeRequest[] = []
  const delivered: Delivered[] = []
  const failures: FakeFailure[] = []
  const sockets = new Set<Socket>()
  let brokenOff = 0

  const server = createServer((incoming, response) => {
    const pieces: Buffer[] = []
    let bytes = 0
    incoming.on('data', (piece: Buffer) => {
      bytes += piece.length
      if (bytes <= REQUEST_BYTES_MAX) pieces.push(piece)
    })
    incoming.on('end', () => {
      const url = new URL(incoming.url ?? '/', 'http://fake')
      const request = {
        method: incoming.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: incoming.headers,
        body: Buffer.concat(pieces),
      }
      requests.push(request)
      const failure = failures.shift()
      const tooLong = bytes > REQUEST_BYTES_MAX
      respond(tooLong ? { kind: 'status', status: 413 } : failure, request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : undefined)
      })
    })
    response.on('close', () => {
      if (!response.writableFinished) brokenOff += 1
    })
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
  })

  async function respond(failure: FakeFailure | undefined, request: FakeRequest, response: ServerResponse) {
    if (failure?.kind === 'silent') return
    if (failure?.kind === 'status') {
      response.writeHead(failure.status, { 'content-type': 'application/json', ...failure.headers })
      response.end(failure.body ?? '')
      return
    }
    if (failure?.kind === 'answer') {
      response.writeHead(200, failure.headers)
      response.end(failure.body)
      return
    }
    const { status, headers, chunks, speech } = await answer(request)
    if (failure?.kind === 'slow') await new Promise((resolve) => setTimeout(resolve, failure.ms))
    if (failure?.kind === 'empty') {
      const { 'content-length': _, ...others } = headers ?? {}
      response.writeHead(status, others)
      response.end()
      return
    }
    response.writeHead(status, headers)
    let bytes = 0
    for (const chunk of chunks) {
      bytes += chunk.length
      if (failure?.kind === 'cut') {
        // What has been written leaves before the connection breaks.
        await new Promise((resolve) => response.write(chunk, resolve))
        response.socket?.destroy()
        return
      }
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')])
      if (response.destroyed || failure?.kind === 'stall') return
      await new Promise(setImmediate)
    }
    response.end()
    if (speech !== undefined) delivered.push({ ...speech, bytes })
  }

  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const bound = (server.address() as AddressInfo).port

  return {
    url: `http://127.0.0.1:${bound}`,
    host: `127.0.0.1:${bound}`,
    /** All that came in, failed or not. */
    requests,
    /** The vendor's books: what it would put on a bill. */
    delivered,
    /** Answers that the other side did not wait for, or that broke off. */
    brokenOff: () => brokenOff,
    /** The next calls fail, one failure each, in this order. */
    failNext(...next: FakeFailure[]): void {
      failures.push(...next)
    },
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

export type FakeVendor = Awaited<ReturnType<typeof startFakeVendor>>

/** What a vendor says, always the same for the same words: 100 bytes a character. */
export function fakeAudio(vendor: string, speech: { text: string; voice: string; format: string }): Buffer {
  const seed = createHash('sha256')
    .update(JSON.stringify([vendor, speech.text, speech.voice, speech.format]))
    .digest()
  const bytes = [...speech.text].length * 100
  return Buffer.concat(Array.from({ length: Math.ceil(bytes / seed.length) }, () => seed)).subarray(0, bytes)
}

/** Audio in four pieces, so that a stream can be told from a whole. */
export function inPieces(audio: Buffer): Buffer[] {
  const size = Math.max(1, Math.ceil(audio.length / 4))
  return Array.from({ length: Math.ceil(audio.length / size) }, (_, index) =>
    audio.subarray(index * size, (index + 1) * size),
  )
}

export function jsonAnswer(status: number, value: unknown, headers: Record<string, string> = {}): FakeAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    chunks: [Buffer.from(JSON.stringify(value))],
  }
}

/** A JSON object, or undefined for anything else. */
export function objectOf(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
