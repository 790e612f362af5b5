import { decodeBase64Url } from '#lib/base64.ts'
import { isUtcMillis } from '#lib/utc-millis.ts'

export const RECEIPT_KEYS_MAX = 1000

const PUBLIC_KEY_BYTES = 32

/** One public key that signed or signs batches. Times are UTC with milliseconds; `not_after` is exclusive. */
export interface ReceiptKey {
  key_id: string
  /** Base64url of the 32 raw bytes. */
  public_key: string
  algorithm: 'Ed25519'
  format: 'base64url'
  not_before: string
  not_after?: string
  status: 'active' | 'retired' | 'revoked'
  revoked_at?: string
}

/** What `GET /receipts/public-keys.json` answers: every key that ever signed, so that old receipts keep verifying. */
export interface ReceiptKeys {
  keys: readonly ReceiptKey[]
  current_key_id: string
}

/** Why a document is not a list of receipt keys. */
class ReceiptKeysError extends Error {
  override readonly name = 'ReceiptKeysError'
}

/** The name of a key: `rk_` and the first 16 hex digits of the SHA-256 of its 32 raw bytes. */
export async function receiptKeyId(publicKey: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', publicKey))
  return `rk_${Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

/** Checks a keys document to the letter, and that each name belongs to its key. Throws ReceiptKeysError. */
export async function parseReceiptKeys(value: unknown): Promise<ReceiptKeys> {
  const document = record(value, 'the keys document', ['current_key_id', 'keys'], [])
  const { current_key_id, keys } = document
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > RECEIPT_KEYS_MAX) {
    throw new ReceiptKeysError(`keys is not a list of 1 to ${RECEIPT_KEYS_MAX} keys`)
  }
  const parsed: ReceiptKey[] = []
  for (const [index, key] of keys.entries()) parsed.push(await parseKey(key, `keys[${index}]`))
  if (new Set(parsed.map((key) => key.key_id)).size < parsed.length) throw new ReceiptKeysError('a key is listed twice')
  const current = parsed.find((key) => key.key_id === current_key_id)
  if (current?.status !== 'active') throw new ReceiptKeysError('current_key_id does not name an active key')
  return { keys: parsed, current_key_id: current.key_id }
}

/**
 * Whether a key may have signed something of this time. Under a revoked key nothing is good by its date alone: a thief can
 * write any date. `witnessedAt`, when witnesses of the log had seen it, tells what is older than the theft.
 */
export function keyValidAt(key: ReceiptKey, issuedAt: string, witnessedAt?: string): { ok: boolean; detail: string } {
  if (issuedAt < key.not_before) {
    return { ok: false, detail: `${key.key_id} is valid from ${key.not_before}, this is of ${issuedAt}` }
  }
  if (key.not_after !== undefined && issuedAt >= key.not_after) {
    return { ok: false, detail: `${key.key_id} ended at ${key.not_after}, this is of ${issuedAt}` }
  }
  if (key.revoked_at !== undefined) {
    const revoked = `${key.key_id} was revoked at ${key.revoked_at}`
    if (witnessedAt === undefined)
      return {
        ok: false,
        detail: `${revoked}; the date alone cannot show that this is older, witnesses of the log can`,
      }
    if (witnessedAt >= key.revoked_at)
      return { ok: false, detail: `${revoked}; witnesses saw this only by ${witnessedAt}` }
    return { ok: true, detail: `${revoked}; witnesses had seen this by ${witnessedAt}` }
  }
  return { ok: true, detail: `${key.key_id} is ${key.status} and was valid at ${issuedAt}` }
}

async function parseKey(value: unknown, place: string): Promise<ReceiptKey> {
  const mandatory = ['algorithm', 'format', 'key_id', 'not_before', 'public_key', 'status']
  const key = record(value, place, mandatory, ['not_after', 'revoked_at'])
  const { algorithm, format, key_id, not_before, not_after, public_key, revoked_at, status } = key
  if (algorithm !== 'Ed25519') throw new ReceiptKeysError(`${place}.algorithm is not Ed25519`)
  if (format !== 'base64url') throw new ReceiptKeysError(`${place}.format is not base64url`)
  const raw = typeof public_key === 'string' ? decodeBase64Url(public_key) : undefined
  if (typeof public_key !== 'string' || raw?.byteLength !== PUBLIC_KEY_BYTES) {
    throw new ReceiptKeysError(`${place}.public_key is not the Base64url of ${PUBLIC_KEY_BYTES} bytes`)
  }
  const name = await receiptKeyId(raw)
  if (key_id !== name) throw new ReceiptKeysError(`${place}.key_id is not the name of its public key`)
  if (!isUtcMillis(not_before)) throw new ReceiptKeysError(`${place}.not_before is not a UTC time with milliseconds`)
  if (status !== 'active' && status !== 'retired' && status !== 'revoked') {
    throw new ReceiptKeysError(`${place}.status is not active, retired or revoked`)
  }
  const end = optionalTime(not_after, `${place}.not_after`)
  const revoked = optionalTime(revoked_at, `${place}.revoked_at`)
  if (end !== undefined && end <= not_before) throw new ReceiptKeysError(`${place} ends before it begins`)
  if (status === 'retired' && end === undefined) throw new ReceiptKeysError(`${place} is retired without not_after`)
  if ((status === 'revoked') !== (revoked !== undefined)) {
    throw new ReceiptKeysError(`${place} does not have revoked_at exactly when it is revoked`)
  }
  return {
    key_id: name,
    public_key,
    algorithm,
    format,
    not_before,
    ...(end === undefined ? {} : { not_after: end }),
    status,
    ...(revoked === undefined ? {} : { revoked_at: revoked }),
  }
}

function optionalTime(value: unknown, place: string): string | undefined {
  if (value === undefined || isUtcMillis(value)) return value
  throw new ReceiptKeysError(`${place} is not a UTC time with milliseconds`)
}

function record(value: unknown, place: string, mandatory: string[], optional: string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ReceiptKeysError(`${place} is not an object`)
  }
  const copy: Record<string, unknown> = { ...value }
  for (const name of mandatory) {
    if (!Object.hasOwn(copy, name)) throw new ReceiptKeysError(`${place} lacks ${name}`)
  }
  for (const name of Object.keys(copy)) {
    if (!mandatory.includes(name) && !optional.includes(name)) {
      throw new ReceiptKeysError(`${place} has a field that is not known`)
    }
  }
  return copy
}
