import type { IncomingMessage } from 'node:http'
import { AppError } from '#src/errors.ts'
import { type ChatRequest, isProblem, parseChatRequest } from '#wire/openai-chat-request.ts'
import { parseLabels, type RequestLabels } from '#wire/request-labels.ts'
import { admit } from './admit.ts'
import { authenticate } from './authenticate.ts'
import type { Call, Exchange } from './call.ts'
import { voidCall } from './finish-call.ts'
import type { Gateway } from './gateway.ts'
import { readBody } from './read-body.ts'
import { relayStream } from './relay-stream.ts'
import { relayWhole } from './relay-whole.ts'

/**
 * The life of one chat call; docs/request-path.md draws it with every way out. Throws AppError while nothing has been
 * sent to the client. However it ends, a call that was admitted is settled exactly once.
 */
export async function handleChat(gateway: Gateway, req: IncomingMessage, exchange: Exchange): Promise<void> {
  let bodyBytes = 0
  const onBytes = (bytes: number) => {
    gateway.openCalls.holdBody(bytes)
    bodyBytes += bytes
  }
  try {
    await chat(gateway, req, exchange, onBytes)
  } finally {
    gateway.openCalls.releaseBody(bodyBytes)
  }
}

async function chat(
  gateway: Gateway,
  req: IncomingMessage,
  exchange: Exchange,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const key = await authenticate(gateway, req)
  const labels = readLabels(req)
  const idempotencyKey = readIdempotencyKey(req)
  const request = readChat(await readBody(gateway, req, onBytes))
  const route = gateway.routes.resolve(request.model)

  const call = await admit(gateway, { exchange, key, labels, chat: request, route, idempotencyKey })

  if (exchange.res.destroyed) {
    await voidCall(gateway, call, undefined, 'client_abort')
    return
  }
  await settled(gateway, call, request.stream ? relayStream(gateway, call) : relayWhole(gateway, call))
}

/** A bug while relaying must not leave a hold open until its lease runs out. */
async function settled(gateway: Gateway, call: Call, relaying: Promise<void>): Promise<void> {
  try {
    await relaying
  } catch (error) {
    if (!call.settled) await voidCall(gateway, call, new AppError('internal', { cause: error }))
    throw error
  }
}

function readChat(body: string): ChatRequest {
  let request: ReturnType<typeof parseChatRequest>
  try {
    request = parseChatRequest(body)
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw new AppError('body_malformed', { message: `The body is not valid JSON: ${cause.message.slice(0, 200)}` })
  }
  if (!isProblem(request)) return request
  const { path, message } = request
  throw new AppError('body_invalid', {
    message: path === '' ? `Invalid request: ${message}.` : `Invalid request: '${path}' ${message}.`,
    ...(path !== '' && { param: path }),
  })
}

function readLabels(req: IncomingMessage): RequestLabels {
  const labels = parseLabels(req.headers)
  if ('header' in labels)
    throw new AppError('label_invalid', {
      message: `The header ${labels.header} ${labels.message}.`,
      param: labels.header,
    })
  return labels
}

function readIdempotencyKey(req: IncomingMessage): string | undefined {
  const key = req.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key
  throw new AppError('idempotency_key_invalid', { param: 'Idempotency-Key' })
}
