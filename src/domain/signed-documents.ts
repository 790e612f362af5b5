import { batchStatement, encodeDocumentBundle } from '#billing/batch.ts'
import { leafHash, merkleRoot } from '#billing/merkle.ts'
import type { Db, Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { uuidv7Hex } from '#lib/ids.ts'
import { batchProofs } from './batch-proofs.ts'

// What the operator signs beside receipts of calls. Each document is a leaf of a batch, as a receipt is: one way to sign, one way to
// verify, one public log.

export type DocumentKind = 'certificate' | 'statement' | 'keys'

/** What ids of a kind begin with; 32 hex digits follow. */
export const documentPrefixes: Readonly<Record<DocumentKind, string>> = {
  certificate: 'crt_',
  statement: 'stm_',
  keys: 'kms_',
}

const DOCUMENTS_PER_BATCH_MAX = 1_024

export interface DocumentDraft {
  /** The prefix of its kind and 32 hex digits. */
  id: string
  kind: DocumentKind
  walletId: bigint | null
  projectId: string | null
  /** What it is about, where a wallet has one of each kind: a day. */
  period: string | null
  issuedAt: Date
  /** Canonical JSON (src/lib/canonical-json.ts), at most 256 KiB. */
  document: string
}

export interface DocumentSigner {
  keyId: string
  sign(message: Uint8Array): Buffer
}

/** Signs documents as one batch and stores both. They exist when the caller's transaction commits. */
export async function signDocuments(tx: Tx, signer: DocumentSigner, drafts: readonly DocumentDraft[]): Promise<void> {
  if (drafts.length === 0) return
  assert(drafts.length <= DOCUMENTS_PER_BATCH_MAX, 'a batch of documents is bounded')
  const batchId = uuidv7Hex()
  const leaves = drafts.map(({ document }) => leafHash(document))
  const root = merkleRoot(leaves)
  const sig = signer.sign(batchStatement({ id: batchId, n: leaves.length, root: root.toString('base64') }))
  await tx.query(
    `insert into receipt_batch (batch_id, key_id, leaves, root, sig, settled_at)
     values ($1, $2, $3, $4, $5, clock_timestamp())`,
    [batchId, signer.keyId, Buffer.concat(leaves), root, sig],
  )
  await tx.query(
    `insert into signed_document (id, kind, wallet_id, project_id, period, issued_at, batch_id, pos, document)
     select id, kind, wallet_id, project_id, period, issued_at, $8, n - 1, document
     from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
          with ordinality as d(id, kind, wallet_id, project_id, period, issued_at, document, n)`,
    [
      drafts.map((draft) => draft.id),
      drafts.map((draft) => draft.kind),
      drafts.map((draft) => draft.walletId),
      drafts.map((draft) => draft.projectId),
      drafts.map((draft) => draft.period),
      drafts.map((draft) => draft.issuedAt),
      drafts.map((draft) => draft.document),
      batchId,
    ],
  )
}

/** The bundles of stored documents, `{"batch": …, "document": …}`, in their order: what a customer verifies offline. */
export async function documentBundles(
  db: Db | Tx,
  rows: readonly { batchId: string; pos: number; document: string }[],
): Promise<string[]> {
  const proofs = await batchProofs(db, rows)
  return rows.map(({ document }, index) => {
    const proof = proofs[index]
    assert(proof !== undefined, 'every document has its proof')
    return encodeDocumentBundle(document, proof)
  })
}
