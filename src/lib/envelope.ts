import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'

const MASTER_KEY_BYTES = 32

const VERSION = 'v1'
const IV_BYTES = 12
const TAG_BYTES = 16
const AES_KEY_BYTES = 32
/** Longest text that is looked at: room for a key of 16 KiB. */
const ENVELOPE_CHARS_MAX = 24_000
const SALT = 'llm-router-v1'
const INFO = 'provider-key-encryption'

/** What an envelope is tied to: opened under another model or another key id, it is a forgery. */
export interface EnvelopeBinding {
  modelName: string
  /** Without `|`, which separates the two. */
  keyEntryId: string
}

export interface EnvelopeKeys {
  current: KeyObject
  /** Opens what was sealed before the last rotation; nothing is sealed with it. */
  previous: KeyObject | undefined
}

/** Why an envelope cannot be opened. The message repeats nothing of the envelope. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError'
}

/** The AES key of a master key. It prints as nothing, and the caller may overwrite the master key afterwards. */
export function deriveEnvelopeKey(masterKey: Uint8Array): KeyObject {
  if (masterKey.byteLength !== MASTER_KEY_BYTES) throw new RangeError(`a master key is ${MASTER_KEY_BYTES} bytes`)
  const bytes = Buffer.from(hkdfSync('sha256', masterKey, SALT, INFO, AES_KEY_BYTES))
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

/**
 * Seals a key as `v1.<iv>.<ciphertext>.<tag>`, each part Base64url without padding, with AES-256-GCM. Overwrites `plaintext`
 * with zeros, also when it throws. Throws EnvelopeError for an empty text and for a binding that would be ambiguous.
 */
export function sealEnvelope(key: KeyObject, binding: EnvelopeBinding, plaintext: Uint8Array): string {
  try {
    if (plaintext.byteLength === 0) throw new EnvelopeError('there is nothing to seal')
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
    cipher.setAAD(aad(binding))
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
    return [VERSION, ...[iv, ciphertext, cipher.getAuthTag()].map((part) => part.toString('base64url'))].join('.')
  } finally {
    plaintext.fill(0)
  }
}

/**
 * Opens an envelope with the current key, else with the previous one, and says which. The caller overwrites the buffer when
 * done. Throws EnvelopeError.
 */
export function openEnvelope(
  keys: EnvelopeKeys,
  binding: EnvelopeBinding,
  envelope: string,
): { plaintext: Buffer; openedWith: keyof EnvelopeKeys } {
  const parts = parseEnvelope(envelope)
  const bound = aad(binding)
  try {
    return { plaintext: decrypt(keys.current, bound, parts), openedWith: 'current' }
  } catch (error) {
    if (keys.previous === undefined) throw refused(error)
    try {
      return { plaintext: decrypt(keys.previous, bound, parts), openedWith: 'previous' }
    } catch {
      throw refused(error) // What the current key says: the previous one is about to go.
    }
  }
}

/** The name of a key in logs and metrics: the first 8 hex digits of its SHA-256. */
export function keyIdFromPlaintext(plaintext: string | Uint8Array): string {
  return hash('sha256', plaintext, 'hex').slice(0, 8)
}

interface Parts {
  iv: Buffer
  ciphertext: Buffer
  tag: Buffer
}

function parseEnvelope(envelope: string): Parts {
  if (envelope.length > ENVELOPE_CHARS_MAX)
    throw new EnvelopeError(`invalid envelope ciphertext format: longer than ${ENVELOPE_CHARS_MAX} characters`)
  const parts = envelope.split('.')
  const [version, iv, ciphertext, tag] = parts
  if (parts.length !== 4 || iv === undefined || ciphertext === undefined || tag === undefined)
    throw new EnvelopeError('invalid envelope ciphertext format: expected 4 parts')
  if (version !== VERSION) throw new EnvelopeError(`unknown envelope version: expected ${VERSION}`)
  const bytes = {
    iv: decode(iv, 'the iv'),
    ciphertext: decode(ciphertext, 'the ciphertext'),
    tag: decode(tag, 'the tag'),
  }
  if (bytes.iv.byteLength !== IV_BYTES) throw new EnvelopeError(`the iv must be ${IV_BYTES} bytes`)
  if (bytes.tag.byteLength !== TAG_BYTES) throw new EnvelopeError(`the tag must be ${TAG_BYTES} bytes`)
  if (bytes.ciphertext.byteLength === 0) throw new EnvelopeError('the ciphertext is empty')
  return bytes
}

/** Each value has one spelling: another one of the same bytes is refused. */
function decode(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw new EnvelopeError(`${what} is not Base64url without padding`)
  return bytes
}

function decrypt(key: KeyObject, bound: Buffer, { iv, ciphertext, tag }: Parts): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(bound)
  decipher.setAuthTag(tag)
  const plaintext = decipher.update(ciphertext)
  try {
    decipher.final() // GCM has nothing left to give here: this only checks the tag.
  } catch (error) {
    plaintext.fill(0)
    throw error
  }
  return plaintext
}

function aad({ modelName, keyEntryId }: EnvelopeBinding): Buffer {
  if (keyEntryId.includes('|')) throw new EnvelopeError("a key id may not contain '|'")
  return Buffer.from(`${modelName}|${keyEntryId}`, 'utf8')
}

function refused(cause: unknown): EnvelopeError {
  return new EnvelopeError('the envelope does not open: another master key, another model or key id, or damage', {
    cause,
  })
}
