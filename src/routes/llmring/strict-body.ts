import { Readable } from 'node:stream'
import { parseStrictJson } from '#lib/strict-json.ts'
import { AppError } from '#src/errors.ts'

/**
 * A preParsing hook that refuses JSON which parsers read differently: a key twice, a lone surrogate. What is verified is
 * then what everybody reads. Throws AppError: body_malformed, body_too_large.
 */
export async function requireStrictJson(_request: unknown, _reply: unknown, payload: AsyncIterable<Uint8Array>) {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of payload) {
    bytes += chunk.byteLength
    if (bytes > STRICT_BODY_BYTES_MAX) throw new AppError('body_too_large')
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  try {
    parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(body), STRICT_BODY_BYTES_MAX, { fractions: true })
  } catch (cause) {
    throw new AppError('body_malformed', { message: cause instanceof Error ? cause.message : 'not JSON', cause })
  }
  return Readable.from([body], { objectMode: false })
}

/** The longest bundle, with white space. */
const STRICT_BODY_BYTES_MAX = 1_048_576
