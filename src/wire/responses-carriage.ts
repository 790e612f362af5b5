import { isObject, type JsonObject } from './json-values.ts'
import type { TextProtocol } from './neutral.ts'

/** What proves a model's reasoning to the protocol that made it, and to no other. */
export interface ForeignProof {
  origin: TextProtocol
  signature?: string
  encrypted?: string
}

/**
 * Clients of this protocol keep one opaque text per reasoning item and send it back. The proofs of other protocols travel
 * in it under this mark, so that a conversation with tools can go on where the model insists on its own reasoning.
 */
const MARK = 'fluxgate.1.'
const PROOF_CHARS_MAX = 4 * 1024 * 1024

export function packProof(proof: ForeignProof): string {
  return MARK + Buffer.from(JSON.stringify(proof)).toString('base64url')
}

/** Undefined where the text is the provider's own, and where it only looks like ours. */
export function unpackProof(encrypted: string): ForeignProof | undefined {
  if (!encrypted.startsWith(MARK) || encrypted.length > PROOF_CHARS_MAX) return undefined
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(encrypted.slice(MARK.length), 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
  if (!isObject(value) || (value.origin !== 'chat' && value.origin !== 'messages')) return undefined
  return {
    origin: value.origin,
    ...(typeof value.signature === 'string' && { signature: value.signature }),
    ...(typeof value.encrypted === 'string' && { encrypted: value.encrypted }),
  }
}

/** Reasoning that no provider of this protocol can read. */
export function isForeignReasoning(item: JsonObject): boolean {
  return (
    item.type === 'reasoning' && typeof item.encrypted_content === 'string' && item.encrypted_content.startsWith(MARK)
  )
}
