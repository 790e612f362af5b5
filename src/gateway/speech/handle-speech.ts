import type { IncomingMessage } from 'node:http'
import { holdCall } from '#gateway/admit.ts'
import { authenticate } from '#gateway/authenticate.ts'
import { type Exchange, exchangeHeaders } from '#gateway/call.ts'
import { voidCall } from '#gateway/finish-call.ts'
import type { Gateway } from '#gateway/gateway.ts'
import { isStrict } from '#gateway/interpret.ts'
import { replayOutcome } from '#gateway/keep-outcome.ts'
import { parseBody } from '#gateway/parse-body.ts'
import { readBody } from '#gateway/read-body.ts'
import { readIdempotency, readLabels } from '#gateway/read-call-headers.ts'
import { withBodyBudget } from '#gateway/with-body-budget.ts'
import { AppError } from '#src/errors.ts'
import type { SpeechRequest } from '#wire/speech-request.ts'
import type { RequestProblem } from '#wire/text-request.ts'
import { relaySpeech, type SpeechCall } from './relay-speech.ts'
import type { SpeechGateway } from './speech.ts'
import { offerSpeech } from './speech-offers.ts'

/** How a route speaks with its clients. */
export interface SpeechRouteOptions {
  parse: (text: string) => SpeechRequest | RequestProblem
  /** AIRI's words: no price is a service that is not available yet, and a voice that nobody asked for stays silent. */
  airi: boolean
}

/** The life of one call for speech: the same as for text. Throws AppError while nothing has been sent to the client. */
export async function handleSpeech(
  gateway: SpeechGateway,
  req: IncomingMessage,
  exchange: Exchange,
  options: SpeechRouteOptions,
): Promise<void> {
  await withBodyBudget(gateway, (onBytes) => handle(gateway, req, exchange, options, onBytes))
}

async function handle(
  gateway: SpeechGateway,
  req: IncomingMessage,
  exchange: Exchange,
  options: SpeechRouteOptions,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const key = await authenticate(gateway, req)
  const labels = readLabels(req)
  const idempotency = readIdempotency(req)
  const strict = isStrict(req)
  const body = await readBody(gateway, req, onBytes)
  const request = parseBody(options.parse, body)
  const { route, offers, hold } = offer(gateway, request, options, strict)

  const leaveModel = gateway.dispatcher.enterModel(route)
  try {
    const admission = {
      ...{ exchange, key, labels, route, idempotency },
      plan: { amount: hold, floor: hold },
      stream: true,
      fingerprint: `speech\n${body}`,
    }
    const held = await holdCall(gateway, admission).catch((error: unknown) => {
      // A client that speaks by itself must not nag its user for money.
      if (!options.airi || request.airi.trigger !== 'auto') throw error
      if (!(error instanceof AppError) || error.status !== 402) throw error
      return undefined
    })
    if (held === undefined) {
      exchange.res.writeHead(204, exchangeHeaders(exchange)).end()
      return
    }
    if ('body' in held) {
      replayOutcome(gateway, exchange, held)
      return
    }
    const call: SpeechCall = { ...held, exchange, offers, voice: request.voice }
    try {
      await relay(gateway, call)
    } finally {
      call.dispatch.close()
    }
  } finally {
    leaveModel()
  }
}

/** A bug while relaying must not leave a hold open until its lease runs out. */
async function relay(gateway: Gateway, call: SpeechCall): Promise<void> {
  if (call.exchange.res.destroyed) {
    await voidCall(gateway, call, undefined, 'client_abort')
    return
  }
  try {
    await relaySpeech(gateway, call)
  } catch (error) {
    if (!call.settled) await voidCall(gateway, call, new AppError('internal', { cause: error }))
    throw error
  }
}

function offer(gateway: SpeechGateway, request: SpeechRequest, { airi }: SpeechRouteOptions, strict: boolean) {
  const { routes, voices } = gateway.speech
  try {
    return offerSpeech(request, routes.resolve(request.model), { known: voices.known, strict })
  } catch (error) {
    if (!airi || !(error instanceof AppError) || error.code !== 'pricing_missing') throw error
    throw new AppError('config_not_set', { message: 'TTS service is not available yet', cause: error })
  }
}
