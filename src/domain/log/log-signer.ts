import { encodeCheckpoint } from '#billing/tlog/checkpoint.ts'
import { encodeNote, encodeSignatureLine } from '#billing/tlog/note.ts'
import {
  encodeVerifierKey,
  signatureOf,
  signedBytes,
  type VerifierKey,
  verifierKey,
} from '#billing/tlog/verifier-key.ts'

/** A private Ed25519 key. Deterministic: one message has one signature. */
export interface Ed25519Signer {
  /** The 32 raw bytes. */
  publicKey: Buffer
  sign(message: Uint8Array): Buffer
}

export interface LogSigner {
  key: VerifierKey
  /** What others verify with: `NAME+ID+KEY`. */
  vkey: string
  /** The signed checkpoint of a size. The same bytes whenever it is asked for. */
  checkpoint(size: number, root: Buffer): string
}

/** Signs the checkpoints of one log. Throws TlogFormatError for an origin that no note can be signed with. */
export async function createLogSigner(origin: string, signer: Ed25519Signer): Promise<LogSigner> {
  const key = await verifierKey(origin, 'note', signer.publicKey)
  return {
    key,
    vkey: encodeVerifierKey(key),
    checkpoint(size, root) {
      const text = encodeCheckpoint({ origin, size, root: root.toString('base64') })
      const signature = signer.sign(signedBytes('note', text, 0))
      return encodeNote(text, [encodeSignatureLine(signatureOf(key, { signature, time: 0 }))])
    },
  }
}
