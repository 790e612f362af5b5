// What a log asks of a witness: the body of `POST …/add-checkpoint` of https://c2sp.org/tlog-witness.

import { decodeHash, isDecimal } from './checkpoint.ts'
import { NOTE_CHARS_MAX, parseSignatureLine, TlogFormatError } from './note.ts'

const PROOF_MAX = 63
export const ADD_CHECKPOINT_CHARS_MAX = NOTE_CHARS_MAX + 4_096
export const SIZE_TYPE = 'text/x.tlog.size'

export interface AddCheckpoint {
  /** The size that the witness cosigned last, as far as the log knows. */
  oldSize: number
  /** Base64 of the hashes of the consistency proof. */
  proof: readonly string[]
  /** The signed checkpoint, byte for byte. */
  checkpoint: string
}

export function encodeAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): string {
  return `old ${oldSize}\n${proof.map((hash) => `${hash}\n`).join('')}\n${checkpoint}`
}

/** Reads a request to the letter, but for its checkpoint. Throws TlogFormatError. */
export function parseAddCheckpoint(body: string): AddCheckpoint {
  if (body.length > ADD_CHECKPOINT_CHARS_MAX) throw new TlogFormatError('the request is too long')
  const end = body.indexOf('\n\n')
  if (end < 0) throw new TlogFormatError('the request has no blank line before its checkpoint')
  const [first = '', ...proof] = body.slice(0, end).split('\n')
  const digits = /^old (.+)$/.exec(first)?.[1] ?? ''
  if (!isDecimal(digits)) throw new TlogFormatError('the request does not begin with the old size')
  if (proof.length > PROOF_MAX) throw new TlogFormatError(`the request has more than ${PROOF_MAX} hashes`)
  for (const line of proof) decodeHash(line)
  return { oldSize: Number(digits), proof, checkpoint: body.slice(end + 2) }
}

/** The signature lines of a witness's answer, each with its line feed. Throws TlogFormatError. */
export function parseCosignatures(answer: string): string[] {
  if (answer.length > NOTE_CHARS_MAX || !answer.endsWith('\n'))
    throw new TlogFormatError('the answer of a witness is not lines of signatures')
  const lines = answer.slice(0, -1).split('\n')
  for (const line of lines) parseSignatureLine(line)
  return lines.map((line) => `${line}\n`)
}
