import { decodeBase64 } from '#lib/base64.ts'
import { HASH_BYTES } from './merkle-path.ts'
import type { Receipt } from './receipt.ts'

const BATCH_RECEIPTS_MAX = 65_536

/** Levels of the largest batch: a longer path is refused before anything is hashed. */
const PATH_NODES_MAX = 16
const SIGNATURE_BYTES = 64

/** Where a receipt stands in its batch, and the signature over the batch. Bytes are standard Base64 with padding. */
export interface BatchProof {
  id: string
  key_id: string
  /** Receipts in the batch. */
  n: number
  /** Sibling hashes from the leaf up to the root, nearest first. */
  path: readonly string[]
  /** Place of this receipt, from 0. */
  pos: number
  root: string
  sig: string
}

/** What `GET /v1/receipts/{id}` answers: all that is needed offline, but for the public keys. */
export interface ReceiptBundle {
  receipt: Receipt
  batch: BatchProof
}

/** Why something is not a batch proof. The message names the field. */
class BatchFormatError extends Error {
  override readonly name = 'BatchFormatError'
  readonly field: string

  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

/** The bytes that the signature of a batch covers. `root` is Base64. */
export function batchStatement(batch: { id: string; n: number; root: string }): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`fluxgate-batch/2\n${batch.id}\n${batch.n}\n${batch.root}\n`)
}

/** The JSON of a bundle from the stored text of its receipt, which is passed on byte for byte. */
export function encodeBundle(receiptText: string, proof: BatchProof): string {
  return `{"batch":${encodeProof(proof)},"receipt":${receiptText}}`
}

/** The same for a signed document that is no receipt: its member is called `document`. */
export function encodeDocumentBundle(documentText: string, proof: BatchProof): string {
  return `{"batch":${encodeProof(proof)},"document":${documentText}}`
}

function encodeProof({ id, key_id, n, path, pos, root, sig }: BatchProof): string {
  return JSON.stringify({ id, key_id, n, path, pos, root, sig })
}

/** Checks the `batch` member of a bundle to the letter. Throws BatchFormatError. Does not check what it proves. */
export function parseBatchProof(value: unknown): BatchProof {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BatchFormatError('batch', 'batch is not an object')
  }
  const names = Object.keys(value).sort().join()
  if (names !== 'id,key_id,n,path,pos,root,sig') {
    throw new BatchFormatError('batch', 'batch does not have exactly the fields id, key_id, n, path, pos, root, sig')
  }
  const { id, key_id, n, path, pos, root, sig } = { ...value } as Record<keyof BatchProof, unknown>
  const size = integer(n, 'n', 1, BATCH_RECEIPTS_MAX)
  return {
    id: matching(id, 'id', /^[A-Za-z0-9_-]{1,64}$/),
    key_id: matching(key_id, 'key_id', /^rk_[0-9a-f]{16}$/),
    n: size,
    path: parsePath(path),
    pos: integer(pos, 'pos', 0, size - 1),
    root: bytes(root, 'root', HASH_BYTES),
    sig: bytes(sig, 'sig', SIGNATURE_BYTES),
  }
}

function parsePath(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > PATH_NODES_MAX) {
    throw new BatchFormatError('path', `batch.path is not a list of at most ${PATH_NODES_MAX} hashes`)
  }
  return value.map((node: unknown) => bytes(node, 'path', HASH_BYTES))
}

function matching(value: unknown, name: string, shape: RegExp): string {
  if (typeof value === 'string' && shape.test(value)) return value
  throw new BatchFormatError(name, `batch.${name} does not match ${shape.source}`)
}

function integer(value: unknown, name: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new BatchFormatError(name, `batch.${name} is not an integer from ${min} to ${max}`)
}

function bytes(value: unknown, name: string, length: number): string {
  if (typeof value === 'string' && decodeBase64(value)?.byteLength === length) return value
  throw new BatchFormatError(name, `batch.${name} is not the Base64 of ${length} bytes`)
}
