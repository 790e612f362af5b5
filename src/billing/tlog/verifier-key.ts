// Verifier keys ("vkeys") of signed notes, and what they verify: plain Ed25519 notes and timestamped cosignatures.
// https://c2sp.org/signed-note and https://c2sp.org/tlog-cosignature.

import { decodeBase64 } from '#lib/base64.ts'
import { hex, isKeyName, type NoteSignature, type SignedNote, TlogFormatError } from './note.ts'

type Bytes = Uint8Array<ArrayBuffer>

export type KeyType = 'note' | 'cosignature'

const typeBytes: Readonly<Record<KeyType, number>> = { note: 0x01, cosignature: 0x04 }
const PUBLIC_KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const TIME_BYTES = 8
/** The last second of the year 9999: later ones have no text that compares with other times. */
const TIME_MAX = 253_402_300_799

/** Who may have signed: made by parseVerifierKey or verifierKey, so that the id belongs to the rest. */
export interface VerifierKey {
  name: string
  type: KeyType
  publicKey: Bytes
  /** Eight lower-case hex digits. */
  keyId: string
}

/** The key of a name. Throws TlogFormatError for a name that no note may have. */
export async function verifierKey(name: string, type: KeyType, publicKey: Uint8Array): Promise<VerifierKey> {
  if (!isKeyName(name)) throw new TlogFormatError('a key name is empty or has a space or a plus')
  if (publicKey.byteLength !== PUBLIC_KEY_BYTES) throw new TlogFormatError('an Ed25519 public key is 32 bytes')
  const head = new TextEncoder().encode(`${name}\n`)
  const named = new Uint8Array([...head, typeBytes[type], ...publicKey])
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', named))
  return { name, type, publicKey: new Uint8Array(publicKey), keyId: hex(digest.subarray(0, 4)) }
}

/** `NAME+HEX+BASE64`. */
export function encodeVerifierKey({ name, type, publicKey, keyId }: VerifierKey): string {
  const material = [typeBytes[type], ...publicKey].map((byte) => String.fromCharCode(byte)).join('')
  return `${name}+${keyId}+${btoa(material)}`
}

/** Reads a vkey to the letter; its id has to be that of its name and key. Throws TlogFormatError. */
export async function parseVerifierKey(text: string): Promise<VerifierKey> {
  const [, name = '', keyId = '', base64 = ''] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? []
  const material = decodeBase64(base64)
  if (!isKeyName(name) || material === undefined) throw new TlogFormatError('a vkey is not NAME+ID+KEY')
  const type = (Object.keys(typeBytes) as KeyType[]).find((candidate) => typeBytes[candidate] === material[0])
  if (type === undefined) throw new TlogFormatError('a vkey is of an algorithm that is not known here')
  const key = await verifierKey(name, type, material.slice(1))
  if (key.keyId !== keyId) throw new TlogFormatError('the id of a vkey is not that of its name and key')
  return key
}

/** What a key signs: the text of the note, for a cosignature below two lines of its own. `time` is in Unix seconds. */
export function signedBytes(type: KeyType, text: string, time: number): Bytes {
  return new TextEncoder().encode(type === 'note' ? text : `cosignature/v1\ntime ${time}\n${text}`)
}

/** The signature that stands in a note: for a cosignature its time goes before it. */
export function signatureOf(key: VerifierKey, signed: { signature: Uint8Array; time: number }): NoteSignature {
  const { name, keyId, type } = key
  if (type === 'note') return { name, keyId, bytes: new Uint8Array(signed.signature) }
  const bytes = new Uint8Array(TIME_BYTES + signed.signature.byteLength)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(signed.time))
  bytes.set(signed.signature, TIME_BYTES)
  return { name, keyId, bytes }
}

/** `absent`: the note has no line of this key. `time` of a good cosignature, in Unix seconds: the latest that it has. */
export type NoteVerdict = { state: 'good'; time?: number } | { state: 'bad' } | { state: 'absent' }

/**
 * Whether a key signed a note. One bad line among several of the same key makes it bad: such a note is malformed. Throws what WebCrypto
 * throws where it has no Ed25519.
 */
export async function verifyNote(note: SignedNote, key: VerifierKey): Promise<NoteVerdict> {
  const lines = note.signatures.filter(({ name, keyId }) => name === key.name && keyId === key.keyId)
  if (lines.length === 0) return { state: 'absent' }
  let latest: number | undefined
  for (const { bytes } of lines) {
    const time = key.type === 'note' ? 0 : timeOf(bytes)
    const signature = key.type === 'note' ? bytes : bytes.slice(TIME_BYTES)
    if (time === undefined || signature.byteLength !== SIGNATURE_BYTES) return { state: 'bad' }
    if (!(await isSigned(key, signature, signedBytes(key.type, note.text, time)))) return { state: 'bad' }
    latest = Math.max(latest ?? 0, time)
  }
  return key.type === 'note' || latest === undefined ? { state: 'good' } : { state: 'good', time: latest }
}

/** Undefined for a time that no signer can mean: none at all, zero, or after the year 9999. */
function timeOf(bytes: Bytes): number | undefined {
  if (bytes.byteLength < TIME_BYTES) return undefined
  const time = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0))
  return time > 0 && time <= TIME_MAX ? time : undefined
}

async function isSigned(key: VerifierKey, signature: Bytes, message: Bytes): Promise<boolean> {
  const imported = await crypto.subtle.importKey('raw', key.publicKey, 'Ed25519', false, ['verify'])
  return crypto.subtle.verify('Ed25519', imported, signature, message)
}
