// Checkpoints: https://c2sp.org/tlog-checkpoint. What a log says of itself: its name, its size, its root.

import type { Bytes } from '#billing/merkle-path.ts'
import { decodeBase64 } from '#lib/base64.ts'
import { parseNote, type SignedNote, TlogFormatError } from './note.ts'
import { isSize } from './tree-shape.ts'
import { type NoteVerdict, type VerifierKey, verifyNote } from './verifier-key.ts'

export interface Checkpoint {
  origin: string
  size: number
  /** Base64 of 32 bytes. */
  root: string
  /** Lines of no meaning here. Ours have none. */
  extensions: readonly string[]
}

/** The text of a checkpoint, before it is signed. */
export function encodeCheckpoint({ origin, size, root }: Omit<Checkpoint, 'extensions'>): string {
  return `${origin}\n${size}\n${root}\n`
}

/** Reads the text of a note as a checkpoint. Throws TlogFormatError. */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n')
  const [origin = '', digits = '', root = '', ...rest] = lines
  const extensions = rest.slice(0, -1)
  if (rest.at(-1) !== '' || origin === '' || extensions.includes(''))
    throw new TlogFormatError('a checkpoint is not at least three lines, none of them empty')
  if (!isDecimal(digits)) throw new TlogFormatError('the size of a checkpoint is not a decimal number below 2^53')
  if (decodeBase64(root)?.byteLength !== 32)
    throw new TlogFormatError('the root of a checkpoint is not Base64 of 32 bytes')
  return { origin, size: Number(digits), root, extensions }
}

/** The 32 bytes of a root or of a line of a proof. Throws TlogFormatError. */
export function decodeHash(base64: string): Bytes {
  const bytes = decodeBase64(base64)
  if (bytes?.byteLength !== 32) throw new TlogFormatError('a hash is not Base64 of 32 bytes')
  return bytes
}

/** Digits without a leading zero, below 2^53. */
export function isDecimal(text: string): boolean {
  return /^(?:0|[1-9]\d{0,15})$/.test(text) && isSize(Number(text))
}

/** Whose word a verifier takes. */
export interface LogPolicy {
  /** The log's own key. Its name is the origin. */
  log: VerifierKey
  /** Witnesses that are known, and how many of them have to have cosigned. */
  witnesses: readonly VerifierKey[]
  quorum: number
}

/** `problem` is absent when the policy is met. Cosignatures are those that verify, with their Unix seconds. */
export interface CheckpointVerdict {
  checkpoint: Checkpoint
  note: SignedNote
  cosignatures: readonly { name: string; time: number }[]
  problem?: string
}

/**
 * Reads a signed checkpoint and checks its origin, the log's signature and those of known witnesses. Throws TlogFormatError for what
 * is no checkpoint at all.
 */
export async function verifyCheckpoint(text: string, policy: LogPolicy): Promise<CheckpointVerdict> {
  const note = parseNote(text)
  const checkpoint = parseCheckpoint(note.text)
  const cosignatures: { name: string; time: number }[] = []
  const answer = (problem?: string) => ({ checkpoint, note, cosignatures, ...(problem !== undefined && { problem }) })
  if (checkpoint.origin !== policy.log.name)
    return answer(`the checkpoint is of the log ${checkpoint.origin}, not of ${policy.log.name}`)
  const byLog = await verifyNote(note, policy.log)
  if (byLog.state !== 'good') return answer(describe(byLog, policy.log))
  for (const witness of distinct(policy.witnesses)) {
    const verdict = await verifyNote(note, witness)
    if (verdict.state === 'bad') return answer(describe(verdict, witness))
    if (verdict.state === 'good') cosignatures.push({ name: witness.name, time: verdict.time ?? 0 })
  }
  return cosignatures.length < policy.quorum
    ? answer(`${cosignatures.length} of the known witnesses cosigned, ${policy.quorum} have to`)
    : answer()
}

/** One key that is listed twice is one witness. */
function distinct(keys: readonly VerifierKey[]): VerifierKey[] {
  const byKey = new Map(keys.map((key) => [key.publicKey.join(), key]))
  return [...byKey.values()]
}

function describe({ state }: NoteVerdict, { name, keyId }: VerifierKey): string {
  return state === 'absent'
    ? `there is no signature of ${name} (key ${keyId})`
    : `the signature of ${name} (key ${keyId}) does not verify`
}
