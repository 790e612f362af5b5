import { decodeBase64Url } from '#lib/base64.ts'
import { atOffset, type IsoTime, isoformat, parseIsoTime } from '#lib/iso-time.ts'

/** The thirteen members of a receipt that llmring-server signs, and that its verifiers look at. Costs are dollars. */
export interface LlmringReceipt {
  receipt_id: string
  timestamp: string
  alias: string
  profile: string
  lock_digest: string
  provider: string
  model: string
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  input_cost: number
  output_cost: number
  total_cost: number
}

export const llmringMembers = [
  'receipt_id',
  'timestamp',
  'alias',
  'profile',
  'lock_digest',
  'provider',
  'model',
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'input_cost',
  'output_cost',
  'total_cost',
] as const satisfies readonly (keyof LlmringReceipt)[]

const sorted = [...llmringMembers].sort()

/**
 * The bytes that are signed, as text: RFC 8785 with the numbers of ECMAScript, over exactly the thirteen members. Throws
 * RangeError for what has no such text: a lone surrogate, a number that is not finite.
 */
export function llmringText(receipt: LlmringReceipt): string {
  return `{${sorted.map((name) => `"${name}":${valueText(receipt[name])}`).join()}}`
}

function valueText(value: string | number): string {
  const canHave = typeof value === 'string' ? value.isWellFormed() : Number.isFinite(value)
  if (!canHave) throw new RangeError('a receipt holds no lone surrogate and no infinite number')
  // JSON.stringify prints numbers as ECMAScript does, -0 as 0, and escapes no more of a text than RFC 8785.
  return JSON.stringify(value)
}

/**
 * The texts of a timestamp that may have been signed. On the wire a receipt says `…Z`; signed is what Python's isoformat()
 * prints, `…+00:00`. All of them are the same instant. Empty for what is no time.
 */
export function signedTimestamps(timestamp: string): string[] {
  const time = parseIsoTime(timestamp)
  if (time === undefined) return []
  // A time without a zone is UTC by the rule of this system, and may have been signed without one.
  const forms: IsoTime[] = [atOffset(time, 0), time]
  return [...new Set(forms.flatMap((form) => isoformat(form) ?? []))]
}

/** A key that may have signed. */
export interface LlmringKey {
  key_id: string
  /** 32 raw bytes. */
  public_key: Uint8Array<ArrayBuffer>
  revoked: boolean
}

export interface LlmringVerdict {
  valid: boolean
  /** Whose signature it is, also when the key was revoked. */
  key_id?: string
  detail: string
}

/** Whether one of the keys signed the thirteen members. `signature` is `ed25519:` and Base64url. Never throws. */
export async function verifyLlmringReceipt(
  receipt: LlmringReceipt,
  signature: string | undefined,
  keys: readonly LlmringKey[],
): Promise<LlmringVerdict> {
  const bytes = signatureBytes(signature)
  if (bytes === undefined)
    return { valid: false, detail: 'the signature is not ed25519: and the Base64url of 64 bytes' }
  for (const timestamp of signedTimestamps(receipt.timestamp)) {
    for (const key of keys) {
      if (!(await isSignedBy(key, { ...receipt, timestamp }, bytes))) continue
      const { key_id } = key
      if (key.revoked) return { valid: false, key_id, detail: `${key_id} signed it, and was revoked` }
      return { valid: true, key_id, detail: `${key_id} signed the thirteen members` }
    }
  }
  return { valid: false, detail: `none of ${keys.length} keys signed these thirteen members` }
}

async function isSignedBy(
  key: LlmringKey,
  receipt: LlmringReceipt,
  signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    const text = new TextEncoder().encode(llmringText(receipt))
    const imported = await crypto.subtle.importKey('raw', key.public_key, 'Ed25519', false, ['verify'])
    return await crypto.subtle.verify('Ed25519', imported, signature, text)
  } catch {
    // No text, or a public key that is no point on the curve: nobody signed it with that.
    return false
  }
}

function signatureBytes(signature: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  const [, text] = /^ed25519:([A-Za-z0-9_-]{86})(?:==)?$/.exec(signature ?? '') ?? []
  return text === undefined ? undefined : decodeBase64Url(text)
}
