import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { listModels } from './model-list.ts'
import { openai } from './openai-vendor.ts'
import { createOracle } from './oracle.ts'
import { answerOracle } from './oracle-http.ts'
import { type ErrorObject, type Refusal, refuse } from './refusal.ts'
import { findRoute, type Route } from './routes.ts'
import { sendBody } from './send-body.ts'
import { createCalls } from './serve-call.ts'
import type { Vendor } from './vendor.ts'

export interface SimulatorOptions {
  /** When set, a call needs `authorization: Bearer <apiKey>` or `x-api-key: <apiKey>`; by default anything is accepted. */
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
 * An upstream over real HTTP that answers from nothing, in the protocols of OpenAI and Anthropic: deterministic answers, exact
 * usage, and every misbehaviour that docs/simulator.md lists. Its `oracle` counts what it delivered.
 */
export function createSimulator(options: SimulatorOptions = {}) {
  const oracle = createOracle({ capacity: options.oracleCalls ?? ORACLE_CALLS_DEFAULT })
  const serveCall = createCalls({ oracle, chunkMs: options.chunkMs ?? 0 })

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: HEADER_BYTES_MAX }, serve)
  server.maxHeadersCount = HEADERS_MAX

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const { method, url = '', headers } = request
    const route = findRoute(url)
    const vendor = route?.vendor ?? openai
    if (options.apiKey !== undefined && !holdsKey(headers, options.apiKey)) {
      sendRefusal(response, wrongKey(headers.authorization ?? headers['x-api-key']), vendor)
    } else if (route !== undefined) {
      if (method === 'POST') readBody(request, response, route)
      else sendRefusal(response, wrongMethod('POST'), vendor)
    } else if (url === '/v1/models') {
      if (method === 'GET') sendBody(response, 200, listModels(headers['anthropic-version'] !== undefined))
      else sendRefusal(response, wrongMethod('GET'), vendor)
    } else if (options.exposeOracle === true && url.startsWith('/oracle')) {
      const { status, json } = answerOracle(oracle, method, url)
      sendBody(response, status, json)
    } else {
      sendRefusal(response, refuse(404, invalid(`Unknown address: ${method} ${url}`)), vendor)
    }
  }

  /** Hands the whole body to the route, or answers 413. A body that never ends hands over nothing. */
  function readBody(request: IncomingMessage, response: ServerResponse, route: Route): void {
    const reader = route.createReader(request.headers)
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= BODY_BYTES_MAX) reader.push(chunk)
    })
    request.on('end', () => {
      if (bytes > BODY_BYTES_MAX) {
        sendRefusal(response, refuse(413, invalid(`The body is larger than ${BODY_BYTES_MAX} bytes.`)), route.vendor)
        return
      }
      try {
        route.serve(serveCall, request, response, reader.end())
      } catch (error) {
        // A fault of the simulator fails this call, not the process that it is built into.
        const message = `The simulator broke: ${error}`
        if (response.headersSent) response.destroy()
        else sendRefusal(response, refuse(500, { ...invalid(message), type: 'server_error' }), route.vendor)
      }
    })
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

function sendRefusal(response: ServerResponse, refusal: Refusal, vendor: Vendor): void {
  sendBody(response, refusal.status, vendor.errorBody(refusal, 'req-sim'))
}

function holdsKey(headers: IncomingMessage['headers'], apiKey: string): boolean {
  return headers.authorization === `Bearer ${apiKey}` || headers['x-api-key'] === apiKey
}

function wrongMethod(allowed: string): Refusal {
  return refuse(405, invalid(`Only ${allowed} is allowed here.`))
}

/** As OpenAI does, the answer repeats a part of the key: a gateway has to keep it from its clients. */
function wrongKey(given: string | string[] | undefined): Refusal {
  if (given === undefined) return refuse(401, invalid('You did not provide an API key.'))
  const key = String(given).replace(/^Bearer /i, '')
  const shown = key.length < 12 ? '***' : `${key.slice(0, 4)}********${key.slice(-4)}`
  return refuse(401, { ...invalid(`Incorrect API key provided: ${shown}.`), code: 'invalid_api_key' })
}

function invalid(message: string): ErrorObject {
  return { message, type: 'invalid_request_error', param: null, code: null }
}
