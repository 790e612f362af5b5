import { type BatchProof, encodeBundle, encodeDocumentBundle } from '#billing/batch.ts'
import { type Certificate, parseCertificate } from '#billing/certificate.ts'
import { type LlmringView, viewOfCertificate, viewOfReceipt } from '#billing/llmring-profile.ts'
import {
  type LlmringKey,
  type LlmringReceipt,
  llmringMembers,
  llmringText,
  verifyLlmringReceipt,
} from '#billing/llmring-receipt.ts'
import type { Receipt } from '#billing/receipt.ts'
import { membersOfPayload } from '#domain/legacy-receipts.ts'
import type { DocumentSigner } from '#domain/signed-documents.ts'

// What clients of llmring get for a receipt: its thirteen members and a signature over them, made when it is asked for, and
// beside them what the signed document says.

/** A stored receipt or certificate: the text that was hashed. */
export interface SignedText {
  kind: 'gateway' | 'certificate'
  text: string
}

export interface StoredLegacyReceipt {
  payload: string
  signature: string
  keyId: string | null
  unsigned: string
  aliasName: string | null
  modelUsed: string | null
  projectId: string
}

export type ReceiptView = Record<string, unknown>

/** The view of what was signed. The thirteen members follow from it, so the signature over them says nothing new. */
export function signedView({ kind, text }: SignedText, signer: DocumentSigner): ReceiptView {
  const { fields, display } = viewOf({ kind, text })
  const signature = signer.sign(Buffer.from(llmringText(fields))).toString('base64url')
  return { ...fields, signature: `ed25519:${signature}`, key_id: signer.keyId, ...display }
}

function viewOf({ kind, text }: SignedText): LlmringView {
  const document: unknown = JSON.parse(text)
  return kind === 'gateway' ? viewOfReceipt(document as Receipt) : viewOfCertificate(document as Certificate)
}

/** The bundle that verifies offline, as parsed JSON. */
export function bundleOf({ kind, text }: SignedText, proof: BatchProof): unknown {
  return JSON.parse(kind === 'gateway' ? encodeBundle(text, proof) : encodeDocumentBundle(text, proof))
}

/** Members that a receipt of llmring-server may have beside its payload; it signed none of them. */
const legacyUnsigned = ['receipt_type', 'batch_summary', 'description', 'tags'] as const

/** A receipt of llmring-server in its old shape. `valid` is checked against the keys that are known, over the kept bytes. */
export async function legacyView(stored: StoredLegacyReceipt, keys: readonly LlmringKey[]): Promise<ReceiptView> {
  const members = membersOfPayload(stored.payload)
  const beside = JSON.parse(stored.unsigned) as Record<string, unknown>
  const shown = legacyUnsigned.filter((name) => Object.hasOwn(beside, name))
  const key = keys.filter(({ key_id }) => key_id === stored.keyId)
  const verdict = await verifyLlmringReceipt(members, stored.signature, key)
  return {
    ...pick(members),
    signature: stored.signature,
    key_id: stored.keyId,
    ...Object.fromEntries(shown.map((name) => [name, beside[name]])),
    source: 'llmring',
    project_key: stored.projectId,
    alias_name: stored.aliasName,
    model_used: stored.modelUsed,
    valid: verdict.valid,
    signed_payload: stored.payload,
    unsigned: shown,
  }
}

function pick(members: LlmringReceipt): Record<string, unknown> {
  return Object.fromEntries(llmringMembers.map((name) => [name, members[name]]))
}

/** The certificate of a stored text. */
export function certificateOf(text: string): Certificate {
  return parseCertificate(JSON.parse(text))
}
