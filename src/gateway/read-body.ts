import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { createBytePile } from '#lib/byte-pile.ts'
import { AppError } from '#src/errors.ts'
import type { Gateway } from './gateway.ts'

/** How long the rest of a refused body is taken in, so that its sender comes to read the answer. */
const REFUSED_BODY_MS = 2_000

/** Commas in JSON. Prose of the longest body has fewer; more are structure that costs far more to read than to send. */
const COMMAS_MAX = 1_000_000
const COMMAS_COUNTED_FROM_BYTES = 2 * COMMAS_MAX
const COMMA = 0x2c

/**
 * The whole body as text. `onBytes` hears of every piece as it comes and may throw to refuse it. Throws AppError:
 * media_type_unsupported, body_too_large, body_malformed, body_invalid, shutting_down, and what onBytes throws.
 */
export function readBody(
  gateway: Pick<Gateway, 'limits' | 'openCalls'>,
  req: IncomingMessage,
  onBytes: (bytes: number) => void,
): Promise<string> {
  const { openCalls } = gateway
  const { bodyBytesMax } = gateway.limits
  const type = req.headers['content-type']
  if (type !== undefined && !/^application\/(?:[\w.-]+\+)?json\b/i.test(type))
    throw new AppError('media_type_unsupported')
  if (req.headers['content-encoding'] !== undefined && req.headers['content-encoding'] !== 'identity')
    throw new AppError('media_type_unsupported', { message: 'The body must not be compressed.' })
  if (Number(req.headers['content-length'] ?? 0) > bodyBytesMax) throw tooLarge(req, bodyBytesMax)
  // A client that left while its key was looked up is not heard of again.
  if (req.destroyed) throw brokenOff()
  return new Promise((resolve, reject) => {
    const pile = createBytePile()
    let bytes = 0
    let refused = false
    const watched = {
      tick: () => undefined,
      cut: () => reject(new AppError('shutting_down', { headers: { connection: 'close' } })),
    }
    openCalls.watch(watched)
    req.on('data', (chunk: Buffer) => {
      const before = bytes
      bytes += chunk.length
      if (refused) return
      if (bytes <= bodyBytesMax) {
        try {
          onBytes(chunk.length)
          pile.add(chunk)
        } catch (error) {
          refused = true
          pile.clear()
          takeInRest(req)
          reject(error)
        }
      } else if (before <= bodyBytesMax) {
        pile.clear()
        reject(tooLarge(req, bodyBytesMax))
      }
    })
    req.on('end', () => {
      openCalls.unwatch(watched)
      const body = pile.joined()
      if (isTooDense(body)) reject(new AppError('body_invalid', { message: 'The body has too many parts.' }))
      else if (isUtf8(body)) resolve(body.toString('utf8'))
      else reject(new AppError('body_malformed', { message: 'The body is not valid UTF-8.' }))
    })
    req.on('error', (cause) => reject(brokenOff(cause)))
    req.on('close', () => {
      openCalls.unwatch(watched)
      if (!req.complete) reject(brokenOff())
    })
  })
}

function brokenOff(cause?: unknown): AppError {
  return new AppError('body_malformed', { message: 'The body broke off.', cause })
}

/** Closing at once would reset the connection while the client still writes, and it would never see why. */
export function takeInRest(req: IncomingMessage): void {
  const timer = setTimeout(() => req.socket.destroy(), REFUSED_BODY_MS)
  req.on('close', () => clearTimeout(timer))
  req.resume()
}

function isTooDense(body: Buffer): boolean {
  if (body.length < COMMAS_COUNTED_FROM_BYTES) return false
  let commas = 0
  for (const byte of body) if (byte === COMMA) commas += 1
  return commas > COMMAS_MAX
}

/** What a client is told whose body is not taken in further. */
export function tooLarge(req: IncomingMessage, bytesMax: number): AppError {
  takeInRest(req)
  return new AppError('body_too_large', { message: `The body is larger than ${bytesMax} bytes.` })
}
