import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createChat } from './chat.ts'
import { modelNames } from './chat-request.ts'
import { createOracle } from './oracle.ts'
import { answerOracle } from './oracle-http.ts'
import { type Refusal, refuse } from './refusal.ts'
import { sendJson } from './send-json.ts'

export interface SimulatorOptions {
  /** When set, a call needs `authorization: Bearer <apiKey>`; by default anything is accepted. */
  apiKey?: string
  /** Serves what the oracle counted under `/oracle`. Only for tests and the standalone command. */
  exposeOracle?: boolean
  /** How many calls the oracle holds one by one. */
  oracleCalls?: number
  /** Milliseconds after each chunk of a stream that does not say itself. */
  chunkMs?: number
}

const BODY_BYTES_MAX = 32 * 1024 * 1024
const HEADERS_MAX = 100
const HEADER_BYTES_MAX = 32 * 1024
const ORACLE_CALLS_DEFAULT = 100_000
/** Longer than any client pools a connection, so that the server never closes one that is about to be used. */
const KEEP_ALIVE_MS = 600_000

/**
 * An OpenAI-compatible chat upstream over real HTTP that answers from nothing: deterministic text, exact usage, and
 * every misbehaviour that docs/simulator.md lists. Its `oracle` counts what it delivered.
 */
export function createSimulator(options: SimulatorOptions = {}) {
  const oracle = createOracle({ capacity: options.oracleCalls ?? ORACLE_CALLS_DEFAULT })
  const chat = createChat({ oracle, chunkMs: options.chunkMs ?? 0 })
  const authorization = options.apiKey === undefined ? undefined : `Bearer ${options.apiKey}`

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: HEADER_BYTES_MAX }, serve)
  server.maxHeadersCount = HEADERS_MAX

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const { method, url = '' } = request
    if (authorization !== undefined && request.headers.authorization !== authorization) {
      sendRefusal(response, wrongKey(request.headers.authorization))
    } else if (url === '/v1/chat/completions') {
      if (method === 'POST') readBody(request, response, chat)
      else sendRefusal(response, wrongMethod('POST'))
    } else if (url === '/v1/models') {
      if (method === 'GET') sendJson(response, 200, MODELS_BODY)
      else sendRefusal(response, wrongMethod('GET'))
    } else if (options.exposeOracle === true && url.startsWith('/oracle')) {
      const { status, json } = answerOracle(oracle, method, url)
      sendJson(response, status, json)
    } else {
      sendRefusal(response, refuse(404, invalid(`Unknown address: ${method} ${url}`)))
    }
  }

  return {
    oracle,

    /** Starts to serve, by default on a free loopback port. `url` has no path; an SDK's base URL is `url + '/v1'`. */
    listen({ host = '127.0.0.1', port = 0 } = {}): Promise<{ url: string; port: number }> {
      return new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, host, () => {
          server.off('error', reject)
          const bound = (server.address() as AddressInfo).port
          resolve({ url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`, port: bound })
        })
      })
    },

    /** Stops at once: open answers are cut. Safe to call twice, and before `listen`. */
    close(): Promise<void> {
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

/** Hands over the whole body, or answers 413. A body that never ends hands over nothing. */
function readBody(request: IncomingMessage, response: ServerResponse, use: ReturnType<typeof createChat>): void {
  const chunks: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk)
  })
  request.on('end', () => {
    if (bytes > BODY_BYTES_MAX) {
      sendRefusal(response, refuse(413, invalid(`The body is larger than ${BODY_BYTES_MAX} bytes.`)))
      return
    }
    const [first] = chunks
    const whole = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks)
    try {
      use(request, response, whole.toString())
    } catch (error) {
      // A fault of the simulator fails this call, not the process that it is built into.
      const failure = refuse(500, {
        message: `The simulator broke: ${error}`,
        type: 'server_error',
        param: null,
        code: null,
      })
      if (response.headersSent) response.destroy()
      else sendRefusal(response, failure)
    }
  })
}

function sendRefusal(response: ServerResponse, refusal: Refusal): void {
  sendJson(response, refusal.status, refusal.body)
}

function wrongMethod(allowed: string): Refusal {
  return refuse(405, invalid(`Only ${allowed} is allowed here.`))
}

/** As OpenAI does, the answer repeats a part of the key: a gateway has to keep it from its clients. */
function wrongKey(given: string | undefined): Refusal {
  if (given === undefined) return refuse(401, invalid('You did not provide an API key.'))
  const key = given.replace(/^Bearer /i, '')
  const shown = key.length < 12 ? '***' : `${key.slice(0, 4)}********${key.slice(-4)}`
  return refuse(401, { ...invalid(`Incorrect API key provided: ${shown}.`), code: 'invalid_api_key' })
}

function invalid(message: string): { message: string; type: string; param: null; code: string | null } {
  return { message, type: 'invalid_request_error', param: null, code: null }
}

const MODELS_BODY = JSON.stringify({
  object: 'list',
  data: modelNames.map((id) => ({ id, object: 'model', created: 1_767_225_600, owned_by: 'fluxgate-simulator' })),
})
