// Proofs of inclusion that verify offline: https://c2sp.org/tlog-proof.

import { type Bytes, HASH_BYTES, hashLeafBytes, rootFromPath } from '#billing/merkle-path.ts'
import { decodeBase64 } from '#lib/base64.ts'
import { sameBytes } from './check-consistency.ts'
import { type CheckpointVerdict, decodeHash, isDecimal, type LogPolicy, verifyCheckpoint } from './checkpoint.ts'
import { NOTE_CHARS_MAX, TlogFormatError } from './note.ts'

const HEADER = 'c2sp.org/tlog-proof@v1'
const PATH_MAX = 63
const PROOF_CHARS_MAX = NOTE_CHARS_MAX + 131_072

export interface TlogProof {
  index: number
  /** Base64 of sibling hashes, from the leaf up. */
  path: readonly string[]
  /** The signed checkpoint, byte for byte. */
  checkpoint: string
  /** Base64 of whatever came with the proof. Nothing vouches for it. */
  extra?: string
}

export function encodeTlogProof({ index, path, checkpoint, extra }: TlogProof): string {
  const extraLine = extra === undefined ? '' : `extra ${extra}\n`
  return `${HEADER}\n${extraLine}index ${index}\n${path.map((hash) => `${hash}\n`).join('')}\n${checkpoint}`
}

/** Reads a proof to the letter. The checkpoint is only cut out: verifyCheckpoint reads it. Throws TlogFormatError. */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > PROOF_CHARS_MAX) throw new TlogFormatError(`a proof is longer than ${PROOF_CHARS_MAX} characters`)
  const end = text.indexOf('\n\n')
  if (end < 0) throw new TlogFormatError('a proof has no blank line before its checkpoint')
  const lines = text.slice(0, end).split('\n')
  if (lines.shift() !== HEADER) throw new TlogFormatError(`a proof does not begin with ${HEADER}`)
  const extra = lines[0]?.startsWith('extra ') === true ? lines.shift()?.slice('extra '.length) : undefined
  if (extra !== undefined && decodeBase64(extra) === undefined) throw new TlogFormatError('extra data is not Base64')
  const digits = /^index (.+)$/.exec(lines.shift() ?? '')?.[1] ?? ''
  if (!isDecimal(digits)) throw new TlogFormatError('the index of a proof is not a decimal number below 2^53')
  if (lines.length > PATH_MAX) throw new TlogFormatError(`a proof has more than ${PATH_MAX} hashes`)
  for (const line of lines) decodeHash(line)
  return {
    index: Number(digits),
    path: lines,
    checkpoint: text.slice(end + 2),
    ...(extra !== undefined && { extra }),
  }
}

/** What a proof shows; `problem` says what is wrong with it and is absent when nothing is. */
export type TlogProofVerdict =
  | {
      ok: true
      index: number
      checkpoint: CheckpointVerdict['checkpoint']
      cosignatures: CheckpointVerdict['cosignatures']
    }
  | { ok: false; problem: string }

/**
 * Whether the proof shows that the log has this leaf, under a checkpoint that the policy accepts. For a batch of receipts the leaf is
 * its 32-byte root. Never throws, whatever it is given.
 */
export async function verifyTlogProof(text: string, leaf: Uint8Array, policy: LogPolicy): Promise<TlogProofVerdict> {
  try {
    const proof = parseTlogProof(text)
    const verdict = await verifyCheckpoint(proof.checkpoint, policy)
    if (verdict.problem !== undefined) return { ok: false, problem: verdict.problem }
    const { checkpoint, cosignatures } = verdict
    const root = await rootOf(proof, leaf, checkpoint.size)
    const place = `leaf ${proof.index} of ${checkpoint.size}`
    if (root === undefined) return { ok: false, problem: `a path of ${proof.path.length} hashes does not fit ${place}` }
    if (!sameBytes(root, decodeHash(checkpoint.root)))
      return { ok: false, problem: `${place} does not lead to the root of the checkpoint` }
    return { ok: true, index: proof.index, checkpoint, cosignatures }
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : 'the proof cannot be checked' }
  }
}

async function rootOf(proof: TlogProof, data: Uint8Array, size: number): Promise<Bytes | undefined> {
  if (data.byteLength !== HASH_BYTES) throw new TlogFormatError('a leaf of this log is 32 bytes')
  const leaf = await hashLeafBytes(data)
  return rootFromPath({ leaf, index: proof.index, size, path: proof.path.map(decodeHash) })
}
