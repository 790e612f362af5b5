import type { IncomingMessage } from 'node:http'
import { AppError } from '#src/errors.ts'
import type { Protocol } from '#wire/protocol.ts'
import { admit } from './admit.ts'
import { authenticate } from './authenticate.ts'
import type { Call, Exchange } from './call.ts'
import { voidCall } from './finish-call.ts'
import { forwardedHeaders } from './forwarded-headers.ts'
import type { Gateway } from './gateway.ts'
import { interpret, isStrict } from './interpret.ts'
import { replayOutcome } from './keep-outcome.ts'
import { readBody } from './read-body.ts'
import { readIdempotency, readLabels } from './read-call-headers.ts'
import { readTextRequest } from './read-text-request.ts'
import { relayStream } from './relay-stream.ts'
import { relayWhole } from './relay-whole.ts'
import { withBodyBudget } from './with-body-budget.ts'

/** How a route speaks with its clients. */
export interface TextRoute {
  protocol: Protocol
  /** Whether a request without a model means `auto`. */
  autoModel?: boolean
}

/**
 * The life of one call for text; docs/request-path.md draws it with every way out. Throws AppError while nothing has been
 * sent to the client. However it ends, a call that was admitted is settled exactly once.
 */
export async function handleText(
  gateway: Gateway,
  req: IncomingMessage,
  exchange: Exchange,
  options: TextRoute,
): Promise<void> {
  await withBodyBudget(gateway, (onBytes) => handle(gateway, req, exchange, options, onBytes))
}

async function handle(
  gateway: Gateway,
  req: IncomingMessage,
  exchange: Exchange,
  options: TextRoute,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const key = await authenticate(gateway, req)
  const labels = readLabels(req)
  const idempotency = readIdempotency(req)
  exchange.forwarded = forwardedHeaders(req, options.protocol)
  const request = readTextRequest(options, await readBody(gateway, req, onBytes))
  const resolved = gateway.routes.resolve(request.model, request.protocol)
  const { route, interpreters } = interpret(request, resolved, exchange, isStrict(req))

  const leaveModel = gateway.dispatcher.enterModel(route)
  try {
    const call = await admit(gateway, { exchange, key, labels, request, interpreters, route, idempotency })
    if ('body' in call) {
      replayOutcome(gateway, exchange, call)
      return
    }
    if (exchange.res.destroyed) {
      await voidCall(gateway, call, undefined, 'client_abort')
      return
    }
    try {
      await settled(gateway, call, request.stream ? relayStream(gateway, call) : relayWhole(gateway, call))
    } finally {
      call.dispatch.close()
    }
  } finally {
    leaveModel()
  }
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
