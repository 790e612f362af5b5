import type { ServerResponse } from 'node:http'
import type { StoredOutcome } from '#domain/stored-outcomes.ts'
import { type Exchange, exchangeHeaders, type MeteredCall } from './call.ts'
import { endResponse } from './client-stream.ts'
import type { Gateway } from './gateway.ts'

/** A longer answer is not kept: its receipt is. */
const KEPT_BYTES_MAX = 1024 * 1024

/** Collects what a stream writes, as long as it may be kept. */
export function createRecorder(call: Pick<MeteredCall, 'idempotency'>) {
  let pieces: Buffer[] | undefined = call.idempotency === undefined ? undefined : []
  let bytes = 0
  return {
    add(piece: Buffer): void {
      if (pieces === undefined) return
      bytes += piece.length
      if (bytes > KEPT_BYTES_MAX) pieces = undefined
      else pieces.push(piece)
    },
    /** Undefined: nothing is to be kept, or it was too much. */
    body(): Buffer | undefined {
      return pieces && Buffer.concat(pieces)
    },
  }
}

/** Keeps a settled answer for the same request. That it could not be kept changes nothing for this one. */
export async function keepOutcome(gateway: Gateway, call: MeteredCall, outcome: StoredOutcome): Promise<void> {
  if (call.idempotency === undefined || outcome.body.length > KEPT_BYTES_MAX) return
  try {
    await gateway.outcomes.save(call.requestId, call.idempotency.secret, outcome)
  } catch (error) {
    gateway.log.warn({ err: error, receipt: call.requestId }, 'an answer could not be kept for its idempotency key')
  }
}

/** Answers as the first time, and says so. */
export function replayOutcome(gateway: Gateway, exchange: Exchange, { headers, body }: StoredOutcome): void {
  const { res }: { res: ServerResponse } = exchange
  res.writeHead(200, { ...headers, ...exchangeHeaders(exchange), 'x-fluxgate-replayed': 'true' })
  endResponse(res, body, gateway.timeouts.clientStallMs)
}
