// Signed notes: https://c2sp.org/signed-note. Text, a blank line, and one line for each signature. Nothing here verifies one.

import { decodeBase64 } from '#lib/base64.ts'

export const NOTE_CHARS_MAX = 65_536
/** The specification asks for 16 at least. */
const SIGNATURES_MAX = 64
const KEY_ID_BYTES = 4

/** One line below a note. The name and the id together say which key; the bytes mean what its algorithm says. */
export interface NoteSignature {
  name: string
  /** Eight lower-case hex digits. */
  keyId: string
  bytes: Uint8Array<ArrayBuffer>
}

export interface SignedNote {
  /** With its last line feed: exactly what signatures cover. */
  text: string
  signatures: readonly NoteSignature[]
}

/** Why a text is no note, vkey, checkpoint or proof. */
export class TlogFormatError extends Error {
  override readonly name = 'TlogFormatError'
}

/** Reads a note to the letter. Throws TlogFormatError. */
export function parseNote(note: string): SignedNote {
  if (note.length > NOTE_CHARS_MAX) throw new TlogFormatError(`a note is longer than ${NOTE_CHARS_MAX} characters`)
  if (!note.isWellFormed() || hasControls(note))
    throw new TlogFormatError('a note has characters that no note may have')
  const blank = note.lastIndexOf('\n\n')
  if (blank < 0 || !note.endsWith('\n')) throw new TlogFormatError('a note does not end in a block of signatures')
  const lines = note.slice(blank + 2, -1).split('\n')
  if (lines.length > SIGNATURES_MAX) throw new TlogFormatError(`a note has more than ${SIGNATURES_MAX} signatures`)
  return { text: note.slice(0, blank + 1), signatures: lines.map(parseSignatureLine) }
}

/** The note of a text that ends in a line feed. `signatureLines` end in one too. */
export function encodeNote(text: string, signatureLines: readonly string[]): string {
  if (!text.endsWith('\n') || hasControls(text) || !text.isWellFormed() || signatureLines.length === 0)
    throw new TlogFormatError('this is no text of a note')
  return `${text}\n${signatureLines.join('')}`
}

/** `— NAME BASE64` and a line feed. */
export function encodeSignatureLine({ name, keyId, bytes }: NoteSignature): string {
  if (!isKeyName(name)) throw new TlogFormatError('a key name is empty or has a space or a plus')
  const id = [0, 2, 4, 6].map((at) => String.fromCharCode(Number.parseInt(keyId.slice(at, at + 2), 16))).join('')
  return `— ${name} ${btoa(id + Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))}\n`
}

/** Reads one line without its line feed. Throws TlogFormatError. */
export function parseSignatureLine(line: string): NoteSignature {
  const [, name = '', base64 = ''] = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? []
  const raw = decodeBase64(base64)
  if (!isKeyName(name) || raw === undefined || raw.byteLength <= KEY_ID_BYTES)
    throw new TlogFormatError('a signature line of a note is not a dash, a name and Base64')
  return { name, keyId: hex(raw.subarray(0, KEY_ID_BYTES)), bytes: raw.slice(KEY_ID_BYTES) }
}

/** What may stand before a signature: not empty, without any Unicode space and without a plus. */
export function isKeyName(name: string): boolean {
  return name !== '' && !/[\s\u0085+]/u.test(name) && name.isWellFormed() && !hasControls(name)
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Characters below a space other than the line feed. */
function hasControls(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    if (unit < 0x20 && unit !== 0x0a) return true
  }
  return false
}
