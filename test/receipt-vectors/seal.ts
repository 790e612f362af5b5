import type { ReceiptSigner } from '#adapters/receipt-signer.ts'
import { batchStatement } from '#billing/batch.ts'
import { inclusionPath, leafHash, merkleRoot } from '#billing/merkle.ts'
import { canonicalJson } from '#lib/canonical-json.ts'

/** A bundle whose receipt need not be well-formed: forgers can sign too. */
export interface LooseBundle {
  receipt: Record<string, unknown>
  batch: { id: string; key_id: string; n: number; path: string[]; pos: number; root: string; sig: string }
}

/** The same of another document. */
export interface LooseDocumentBundle {
  document: Record<string, unknown>
  batch: LooseBundle['batch']
}

/** Signs receipts as one batch, in their order, whatever they say. */
export function sealBatch(id: string, receipts: readonly object[], signer: ReceiptSigner): LooseBundle[] {
  return seal(id, receipts, signer).map(({ signed, batch }) => ({ receipt: signed, batch }))
}

export function sealDocuments(id: string, documents: readonly object[], signer: ReceiptSigner): LooseDocumentBundle[] {
  return seal(id, documents, signer).map(({ signed, batch }) => ({ document: signed, batch }))
}

function seal(id: string, values: readonly object[], signer: ReceiptSigner) {
  const leaves = values.map((value) => leafHash(canonicalJson(value)))
  const root = merkleRoot(leaves).toString('base64')
  const sig = signer.sign(batchStatement({ id, n: leaves.length, root })).toString('base64')
  return values.map((value, pos) => {
    const path = inclusionPath(leaves, pos).map((node) => node.toString('base64'))
    return { signed: { ...value }, batch: { id, key_id: signer.keyId, n: leaves.length, path, pos, root, sig } }
  })
}

export function sealOne(receipt: object, signer: ReceiptSigner): LooseBundle {
  const [bundle] = sealBatch('0193a5f0-0000-7000-8000-000000000001', [receipt], signer)
  if (bundle === undefined) throw new Error('a batch of one has one bundle')
  return bundle
}
