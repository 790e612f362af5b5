import type { IncomingMessage } from 'node:http'
import { holdCall } from '#gateway/admit.ts'
import { authenticate } from '#gateway/authenticate.ts'
import type { Exchange } from '#gateway/call.ts'
import { voidCall } from '#gateway/finish-call.ts'
import { readLabels } from '#gateway/read-call-headers.ts'
import { AppError } from '#src/errors.ts'
import { LIVE_BYTES_PER_SECOND, LIVE_SECONDS_FIRST, liveNanos, relayLive } from './relay-live.ts'
import type { SpeechGateway } from './speech.ts'

/**
 * The life of one call that is heard while its audio comes: 16 kHz, 16 bit, one channel, nothing else. The hold grows with the
 * seconds. Throws AppError while nothing has been sent.
 */
export async function handleLive(gateway: SpeechGateway, req: IncomingMessage, exchange: Exchange): Promise<void> {
  const key = await authenticate(gateway, req)
  const labels = readLabels(req)
  const type = req.headers['content-type'] ?? 'application/octet-stream'
  if (!/^(?:audio\/|application\/octet-stream\b)/i.test(type) || req.headers['content-encoding'] !== undefined)
    throw new AppError('media_type_unsupported', { message: 'The body must be plain samples of 16 kHz and 16 bit.' })
  const asked = new URL(req.url ?? '/', 'http://gateway').searchParams.get('model')
  const route = gateway.speech.live.resolve(asked || undefined)
  const leaveModel = gateway.dispatcher.enterModel(route)
  try {
    const targets = route.targets.map(({ priced }) => priced)
    const held = await holdCall(gateway, {
      ...{ exchange, key, labels, route, idempotency: undefined },
      plan: {
        amount: liveNanos(targets, LIVE_SECONDS_FIRST * LIVE_BYTES_PER_SECOND),
        floor: liveNanos(targets, LIVE_BYTES_PER_SECOND),
      },
      stream: true,
      fingerprint: '',
    })
    if ('body' in held) throw new AppError('internal')
    const call = { ...held, exchange }
    try {
      if (exchange.res.destroyed) await voidCall(gateway, call, undefined, 'client_abort')
      else await relayLive(gateway, req, call)
    } catch (error) {
      if (!call.settled) await voidCall(gateway, call, new AppError('internal', { cause: error }))
      throw error
    } finally {
      call.dispatch.close()
    }
  } finally {
    leaveModel()
  }
}
