import { decodeBase64Url } from '#lib/base64.ts'

/**
 * Tool calls are named `call_…` in chat and responses, `toolu_…` in messages, and some clients and providers insist on
 * the form they know. The two functions are inverse bijections over all well-formed text, so ids can be swapped without
 * remembering any: what has the plain form swaps its prefix, anything else travels encoded behind ESCAPE.
 */
export function toolIdFromMessages(id: string): string {
  return swap(id, 'toolu_', 'call_')
}

/** The id as the messages protocol takes it: letters, digits, `_` and `-` only. */
export function toolIdForMessages(id: string): string {
  return swap(id, 'call_', 'toolu_')
}

const ESCAPE = 'fgx_'

type Prefix = 'call_' | 'toolu_'

function swap(id: string, from: Prefix, to: Prefix): string {
  if (isPlain(id, from)) return to + id.slice(from.length)
  return escaped(id, from, to) ?? `${to}${ESCAPE}${Buffer.from(id, 'utf8').toString('base64url')}`
}

function isPlain(id: string, prefix: Prefix): boolean {
  return id.startsWith(prefix) && /^[A-Za-z0-9_-]+$/.test(id.slice(prefix.length)) && !id.startsWith(prefix + ESCAPE)
}

/** What `id` carries when the way from `to` to `from` had to encode it; undefined when it never would have. */
function escaped(id: string, from: Prefix, to: Prefix): string | undefined {
  if (!id.startsWith(from + ESCAPE)) return undefined
  const bytes = decodeBase64Url(id.slice(from.length + ESCAPE.length))
  if (bytes === undefined) return undefined
  const inner = utf8(bytes)
  if (inner === undefined || isPlain(inner, to) || escaped(inner, to, from) !== undefined) return undefined
  return inner
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
