import type { Certificate } from '#billing/certificate.ts'
import { type LlmringView, viewOfCertificate, viewOfReceipt } from '#billing/llmring-profile.ts'
import {
  type LlmringKey,
  type LlmringReceipt,
  llmringMembers,
  signedTimestamps,
  verifyLlmringReceipt,
} from '#billing/llmring-receipt.ts'
import { parseReceipt } from '#billing/parse-receipt.ts'
import type { ReceiptKeys } from '#billing/receipt-keys.ts'
import { verifyCertifiedEntry } from '#billing/verify-certified-entry.ts'
import { verifyDocumentBundle } from '#billing/verify-document.ts'
import { verifyBundle } from '#billing/verify-receipt.ts'
import { failed, notReached, passed, type VerifyStep } from '#billing/verify-steps.ts'
import { decodeBase64Url } from '#lib/base64.ts'

export interface ReceiptVerdict {
  receiptId: string | null
  valid: boolean
  /** Whose signature it is. */
  keyId: string | null
  steps: readonly VerifyStep[]
  /** Members that were sent and that no signature covers. */
  unsigned: readonly string[]
}

export interface VerifierKeys {
  /** Of this server. */
  receiptKeys: ReceiptKeys
  /** Of llmring-server, for receipts that it signed. */
  legacy: readonly LlmringKey[]
}

/** The members of an answer of ours, or of llmring-server. */
export interface SentReceipt {
  fields: LlmringReceipt
  signature: string | undefined
  /** All members as they came. */
  members: Readonly<Record<string, unknown>>
}

/**
 * Checks a receipt in the profile of llmring. One that comes with our bundle, as `v2`, has to be exactly what the bundle
 * says, member for member: then everything on it is signed. Without it the signature covers the thirteen members and
 * nothing else, as it always did.
 */
export async function verifySent(
  { fields, signature, members }: SentReceipt,
  keys: VerifierKeys,
): Promise<ReceiptVerdict> {
  // llmring-server signed whatever a client sent: also a receipt with an id of ours.
  const legacy = isOurId(fields.receipt_id) ? [] : keys.legacy
  const profile = await verifyLlmringReceipt(fields, signature, [...profileKeys(keys.receiptKeys), ...legacy])
  const signed: VerifyStep = { name: 'profile', ok: profile.valid, reached: true, detail: profile.detail }
  const keyId = profile.key_id ?? null
  const { v2 } = members
  if (v2 === undefined || v2 === null) {
    const covered = new Set<string>([...llmringMembers, 'signature'])
    const unsigned = Object.keys(members).filter((name) => !covered.has(name) && members[name] !== null)
    return { receiptId: fields.receipt_id, valid: profile.valid, keyId, steps: [signed], unsigned }
  }
  const bundle = await verifyOurs(v2, keys.receiptKeys)
  const display = checkDisplay({ fields, members, keyId }, bundle.view)
  const steps = [signed, ...bundle.steps, display.step]
  return {
    receiptId: fields.receipt_id,
    valid: steps.every((step) => step.ok),
    keyId,
    steps,
    unsigned: display.unsigned,
  }
}

function isOurId(id: string): boolean {
  return /^(?:rcp|crt)_[0-9a-f]{32}$/.test(id)
}

/** Checks a bundle: of a receipt, of a signed document, or of a certificate with one of its entries. */
export async function verifyOurBundle(
  bundle: Readonly<Record<string, unknown>>,
  keys: VerifierKeys,
): Promise<ReceiptVerdict> {
  const { entry, inclusion, metadata, ...rest } = bundle
  const { receiptId, keyId, steps, view } = await verifyOurs(rest, keys.receiptKeys)
  const all =
    entry === undefined
      ? steps
      : [...steps, await verifyCertifiedEntry(view?.certificate, { entry, inclusion, metadata })]
  const known =
    entry === undefined ? Object.keys(bundle).filter((name) => name === 'inclusion' || name === 'metadata') : []
  return { receiptId, keyId, steps: all, valid: all.every((step) => step.ok) && known.length === 0, unsigned: known }
}

interface OurVerification {
  receiptId: string | null
  keyId: string | null
  steps: readonly VerifyStep[]
  view: (LlmringView & { certificate?: Certificate }) | undefined
}

async function verifyOurs(bundle: unknown, keys: ReceiptKeys): Promise<OurVerification> {
  const members = typeof bundle === 'object' && bundle !== null ? (bundle as Record<string, unknown>) : {}
  const keyId = keyIdOf(members.batch)
  if (Object.hasOwn(members, 'document')) {
    const { steps, document_id = null, document } = await verifyDocumentBundle(bundle, keys)
    const certificate = document?.v === 'fluxgate-certificate/1' ? document : undefined
    const view = certificate && { ...viewOfCertificate(certificate), certificate }
    return { receiptId: document_id, keyId, steps, view }
  }
  const { steps, receipt_id = null } = await verifyBundle(bundle, keys)
  const view = receipt_id === null ? undefined : viewOfReceipt(parseReceipt(members.receipt))
  return { receiptId: receipt_id, keyId, steps, view }
}

function keyIdOf(batch: unknown): string | null {
  const id: unknown = typeof batch === 'object' && batch !== null ? Reflect.get(batch, 'key_id') : undefined
  return typeof id === 'string' && id.length <= 100 ? id : null
}

/** Whether every member that was sent is what the signed document says. Members that nobody knows are named. */
function checkDisplay(
  {
    fields,
    members,
    keyId,
  }: { fields: LlmringReceipt; members: Readonly<Record<string, unknown>>; keyId: string | null },
  view: LlmringView | undefined,
): { step: VerifyStep; unsigned: string[] } {
  if (view === undefined) return { step: notReached('display', 'what was signed is not readable'), unsigned: [] }
  const [timestamp] = signedTimestamps(fields.timestamp)
  const sent: Record<string, unknown> = { ...members, ...fields, timestamp }
  const expected: Record<string, unknown> = { ...view.fields, ...view.display, key_id: keyId }
  const known = Object.keys(expected)
  const altered = known.filter((name) => Object.hasOwn(sent, name) && !isSame(sent[name], expected[name]))
  const unsigned = Object.keys(members).filter((name) => ![...known, 'signature', 'v2'].includes(name))
  if (altered.length > 0) return { step: failed('display', `v2 says otherwise: ${altered.join(', ')}`), unsigned }
  return { step: passed('display', 'v2 says the same'), unsigned }
}

/** Parsed JSON that means the same, whatever the order of members. */
function isSame(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return left === right
  if (Array.isArray(left) !== Array.isArray(right)) return false
  const names = Object.keys(left)
  if (names.length !== Object.keys(right).length) return false
  return names.every((name) => Object.hasOwn(right, name) && isSame(Reflect.get(left, name), Reflect.get(right, name)))
}

/**
 * The profile is signed when it is asked for, with the key of that day, whatever the date on the receipt: any key will do that
 * was not revoked.
 */
function profileKeys({ keys }: ReceiptKeys): LlmringKey[] {
  return keys.flatMap(({ key_id, public_key, status }) => {
    const bytes = decodeBase64Url(public_key)
    return bytes === undefined ? [] : [{ key_id, public_key: bytes, revoked: status === 'revoked' }]
  })
}
