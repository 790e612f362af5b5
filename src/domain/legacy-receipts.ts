import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type LlmringReceipt, llmringMembers, llmringText } from '#billing/llmring-receipt.ts'
import type { Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { atOffset, type IsoTime, isoformat, parseIsoTime } from '#lib/iso-time.ts'
import { type LegacyReceiptKey, readLegacyReceiptKeys } from './legacy-receipt-keys.ts'

// Receipts that llmring-server signed. Its databases do not keep the bytes that were signed, and its timestamps went through
// the zones of two programs on their way: the bytes are found again by trying, and then kept.

const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

/** Every offset between a stored and a signed clock that a zone on Earth can cause, the likely ones first. */
const shiftsMinutes: readonly number[] = Array.from({ length: 14 * 4 + 1 }, (_, quarter) => quarter * 15)
  .flatMap((minutes) => (minutes === 0 ? [0] : [minutes, -minutes]))
  .sort((left, right) => Number(left % 60 !== 0) - Number(right % 60 !== 0))

export interface LegacyReceipt {
  projectId: string
  /** The thirteen members as the database of llmring-server has them; the timestamp with or without a zone. */
  receipt: LlmringReceipt
  /** `ed25519:…`, as it is stored. */
  signature: string
  /** Members that stood beside them and were never signed: receipt_type, batch_summary, description, tags, … */
  unsigned: Readonly<Record<string, unknown>>
  /** What the last receipts were shifted by: tried first. */
  shiftMinutes?: number | undefined
}

export interface ImportedReceipt {
  /** `differs`: another receipt with this id is here already, and stays. */
  status: 'imported' | 'present' | 'differs'
  /** Whose signature it is; null when none of the known keys made it in any zone. */
  keyId: string | null
  /** How far the stored timestamp is from the signed one. */
  shiftMinutes: number
}

/**
 * Keeps a receipt of llmring-server with the exact bytes that were signed, whatever zone its server, its database or this
 * program lives in. One that verifies with no known key in any zone is kept as it is stored, without a key. Keys have to be
 * added before: a receipt never changes afterwards. Safe to repeat.
 */
export async function importLegacyReceipt(tx: Tx, input: LegacyReceipt): Promise<ImportedReceipt> {
  const { receipt, signature, projectId } = input
  const stored = parseIsoTime(receipt.timestamp)
  if (stored === undefined) throw new RangeError(`the timestamp of ${receipt.receipt_id} cannot be read`)
  const found = findSigned(input, stored, verifyingKeys(await readLegacyReceiptKeys(tx)))
  const timestamp = isoformat(atOffset(stored, 0))
  assert(timestamp !== undefined, 'a time that was read can be printed')
  const payload = found?.payload ?? llmringText({ ...receipt, timestamp })
  const { rowCount } = await tx.query(
    `insert into legacy_receipt (receipt_id, project_id, payload, signature, key_id, unsigned, alias_name, model_used, issued_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9::timestamptz) on conflict (receipt_id) do nothing`,
    [
      receipt.receipt_id,
      projectId,
      payload,
      signature,
      found?.keyId ?? null,
      JSON.stringify(input.unsigned),
      receipt.alias,
      receipt.model,
      found?.issuedAt ?? timestamp,
    ],
  )
  const result = { keyId: found?.keyId ?? null, shiftMinutes: found?.shiftMinutes ?? 0 }
  if (rowCount === 1) return { status: 'imported', ...result }
  const { rows } = await tx.query<{ same: boolean }>(
    `select project_id = $2 and payload = $3 and signature = $4 as same from legacy_receipt where receipt_id = $1`,
    [receipt.receipt_id, projectId, payload, signature],
  )
  return { status: rows[0]?.same === true ? 'present' : 'differs', ...result }
}

interface Found {
  payload: string
  keyId: string
  /** An instant that PostgreSQL reads. */
  issuedAt: string
  shiftMinutes: number
}

interface VerifyingKey {
  keyId: string
  key: KeyObject
}

function findSigned(input: LegacyReceipt, stored: IsoTime, keys: readonly VerifyingKey[]): Found | undefined {
  const signature = Buffer.from(input.signature.replace(/^ed25519:/, ''), 'base64url')
  if (!input.signature.startsWith('ed25519:') || signature.byteLength !== 64) return undefined
  const { shiftMinutes: hint } = input
  const shifts = hint === undefined ? shiftsMinutes : [hint, ...shiftsMinutes.filter((shift) => shift !== hint)]
  for (const shiftMinutes of shifts) {
    const instant = atOffset(stored, 0)
    const shifted: IsoTime = { ...instant, wallSeconds: instant.wallSeconds + shiftMinutes * 60 }
    const issuedAt = isoformat(shifted)
    if (issuedAt === undefined) continue
    // Signed in UTC; without a zone; or by a clock of another place, which is the same shift once more.
    const forms = [shifted, { ...shifted, offsetMinutes: null }, { ...shifted, offsetMinutes: shiftMinutes }]
    for (const [index, form] of forms.entries()) {
      const timestamp = isoformat(form)
      if (timestamp === undefined) continue
      const payload = llmringText({ ...input.receipt, timestamp })
      const signer = keys.find(({ key }) => verify(null, Buffer.from(payload), key, signature))
      if (signer === undefined) continue
      const real = index === 2 ? isoformat(instant) : issuedAt
      return { payload, keyId: signer.keyId, issuedAt: real ?? issuedAt, shiftMinutes }
    }
  }
  return undefined
}

function verifyingKeys(keys: readonly LegacyReceiptKey[]): VerifyingKey[] {
  return keys.map(({ keyId, publicKey }) => ({
    keyId,
    key: createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' }),
  }))
}

/** The thirteen members that a kept payload states, as it states them. */
export function membersOfPayload(payload: string): LlmringReceipt {
  const members = JSON.parse(payload) as LlmringReceipt
  assert(
    llmringMembers.every((name) => Object.hasOwn(members, name)),
    'a kept payload has the thirteen members',
  )
  return members
}
