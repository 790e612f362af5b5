import type { IncomingMessage } from 'node:http'
import type { Protocol } from '#wire/protocol.ts'
import { codecs } from './codecs.ts'

const FORWARDED_CHARS_MAX = 1_000

/** Headers of a client that pass to upstreams of its own protocol: plain text, short. */
export function forwardedHeaders(req: IncomingMessage, protocol: Protocol): Record<string, string> {
  const forwarded: Record<string, string> = {}
  for (const name of codecs[protocol].forwarded) {
    const value = req.headers[name]
    if (typeof value === 'string' && value.length <= FORWARDED_CHARS_MAX && /^[\x20-\x7e]*$/.test(value))
      forwarded[name] = value
  }
  return forwarded
}
