import { decodeBase64, decodeBase64Url } from '#lib/base64.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { logOrigin, ordinal, time } from './document-fields.ts'
import { type Fields, field, optional, pattern } from './fields.ts'
import { parseReceiptKeys, RECEIPT_KEYS_MAX, type ReceiptKey } from './receipt-keys.ts'

export const MANIFEST_VERSION = 'fluxgate-keys/1'

const PUBLIC_KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const LEGACY_KEYS_MAX = 100

/**
 * Which keys sign, as the root key has it: the anchor that a verifier keeps. `root_sig` is Ed25519 over the canonical text of
 * everything else.
 */
export interface KeyManifest {
  v: typeof MANIFEST_VERSION
  log: string
  /** `kms_` and 32 hex digits. */
  document_id: string
  issued_at: string
  /** 1, 2, 3, …: of two manifests the one with the higher number counts. */
  sequence: number
  /** `root_` and the first 16 hex digits of the SHA-256 of the root key. */
  root_key_id: string
  /** Base64url of its 32 raw bytes. Known to the verifier beforehand, or it proves nothing. */
  root_public_key: string
  current_key_id: string
  /** Every key that ever signed, as in public-keys.json. */
  keys: readonly ReceiptKey[]
  /** Public key of the log in the form of a signed note, where there is a log. */
  log_vkey?: string
  /** Keys of another system whose receipts were taken over: nothing new is signed with them. */
  legacy_keys?: readonly LegacyKey[]
  /** Base64 of 64 bytes. */
  root_sig: string
}

/** A key of llmring-server. `public_key` is the Base64url of its 32 raw bytes. */
export interface LegacyKey {
  key_id: string
  public_key: string
}

/** The name of a root key. */
export async function rootKeyId(publicKey: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', publicKey))
  return `root_${Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

export const manifestFields: Fields<KeyManifest> = {
  v: field(MANIFEST_VERSION, (value) => value === MANIFEST_VERSION),
  log: logOrigin,
  document_id: pattern('kms_ and 32 hex digits', /^kms_[0-9a-f]{32}$/),
  issued_at: time,
  sequence: ordinal,
  root_key_id: pattern('root_ and 16 hex digits', /^root_[0-9a-f]{16}$/),
  root_public_key: pattern(`the Base64url of ${PUBLIC_KEY_BYTES} bytes`, /./, isPublicKey),
  current_key_id: pattern('rk_ and 16 hex digits', /^rk_[0-9a-f]{16}$/),
  keys: field(`a list of 1 to ${RECEIPT_KEYS_MAX} keys`, (value) => Array.isArray(value) && value.length > 0),
  log_vkey: optional(pattern('1 to 512 visible ASCII characters', /^[!-~]{1,512}$/)),
  legacy_keys: optional(field(`a list of 1 to ${LEGACY_KEYS_MAX} keys of another system`, isLegacyKeys)),
  root_sig: pattern(
    `the Base64 of ${SIGNATURE_BYTES} bytes`,
    /./,
    (text) => decodeBase64(text)?.byteLength === SIGNATURE_BYTES,
  ),
}

/** What the root key signs. */
export function manifestText(manifest: Omit<KeyManifest, 'root_sig'>): string {
  const { root_sig: _, ...rest } = manifest as KeyManifest
  return canonicalJson(rest)
}

/** Whether the keys in a manifest are as a list of keys has to be, and the root key is named after itself. */
export async function checkManifest(manifest: KeyManifest): Promise<{ ok: boolean; detail: string }> {
  try {
    const { keys } = await parseReceiptKeys({ current_key_id: manifest.current_key_id, keys: manifest.keys })
    if ((await rootKeyId(decoded(manifest.root_public_key))) !== manifest.root_key_id)
      return { ok: false, detail: 'root_key_id is not the name of the root key' }
    return { ok: true, detail: `manifest ${manifest.sequence} of ${manifest.issued_at}, ${keys.length} keys` }
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : 'the keys are not readable' }
  }
}

/**
 * Whether the root key signed the manifest. Without `trusted`, the name of a root key that the verifier knows from elsewhere,
 * only that the manifest agrees with itself.
 */
export async function checkRootSignature(
  manifest: KeyManifest,
  trusted?: string,
): Promise<{ ok: boolean; detail: string }> {
  if (trusted !== undefined && trusted !== manifest.root_key_id)
    return { ok: false, detail: `${manifest.root_key_id} is not the root key that you trust, ${trusted}` }
  const key = await crypto.subtle.importKey('raw', decoded(manifest.root_public_key), 'Ed25519', false, ['verify'])
  const sig = decodeBase64(manifest.root_sig)
  const text = new TextEncoder().encode(manifestText(manifest))
  if (sig === undefined || !(await crypto.subtle.verify('Ed25519', key, sig, text)))
    return { ok: false, detail: `${manifest.root_key_id} did not sign this manifest` }
  const known = trusted === undefined ? '; compare this name with the one that you know' : ''
  return { ok: true, detail: `${manifest.root_key_id} signed manifest ${manifest.sequence}${known}` }
}

function decoded(base64url: string): Uint8Array<ArrayBuffer> {
  const bytes = decodeBase64Url(base64url)
  if (bytes === undefined) throw new Error('bytes are not strict Base64url')
  return bytes
}

function isPublicKey(text: string): boolean {
  return decodeBase64Url(text)?.byteLength === PUBLIC_KEY_BYTES
}

function isLegacyKeys(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > LEGACY_KEYS_MAX) return false
  return value.every((key: unknown) => {
    if (typeof key !== 'object' || key === null || Object.keys(key).sort().join() !== 'key_id,public_key') return false
    const { key_id, public_key } = key as Record<string, unknown>
    return (
      typeof key_id === 'string' &&
      /^[!-~]{1,255}$/.test(key_id) &&
      typeof public_key === 'string' &&
      isPublicKey(public_key)
    )
  })
}
