// The verifier of llmring-server, written from its rules and without a line of ours: 1. the thirteen members, 2. the time as
// Python's isoformat(), 3. RFC 8785, 4. Ed25519 with the one configured key.
import { createPublicKey, verify } from 'node:crypto'

const SIGNED =
  'receipt_id timestamp alias profile lock_digest provider model prompt_tokens completion_tokens total_tokens input_cost output_cost total_cost'.split(
    ' ',
  )

/** What an unmodified llmring makes of a receipt as it came over the wire. Every exception is false. */
export function llmringVerifies(wire: string, publicKeyB64url: string): boolean {
  try {
    const parsed = JSON.parse(wire) as Record<string, string | number>
    const pairs = SIGNED.sort().map((name) => {
      const value = parsed[name]
      if (value === undefined) throw new Error(`${name} is missing`)
      return `${JSON.stringify(name)}:${JSON.stringify(name === 'timestamp' ? pythonIsoformat(String(value)) : value)}`
    })
    const [scheme, text = ''] = String(parsed.signature).split(':')
    if (scheme !== 'ed25519') return false
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKeyB64url }, format: 'jwk' })
    return verify(null, Buffer.from(`{${pairs.join(',')}}`, 'utf8'), key, Buffer.from(text, 'base64url'))
  } catch {
    return false
  }
}

function pythonIsoformat(text: string): string {
  const [, seconds, fraction = '', zone] = /^(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? []
  const micros = fraction.slice(0, 6).padEnd(6, '0')
  return `${seconds}${Number(micros) === 0 ? '' : `.${micros}`}${zone === 'Z' ? '+00:00' : zone}`
}
