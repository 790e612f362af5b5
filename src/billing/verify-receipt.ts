import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { parseBatchProof, type ReceiptBundle } from './batch.ts'
import { checkCharge } from './check-charge.ts'
import { parseReceipt } from './parse-receipt.ts'
import type { Receipt } from './receipt.ts'
import {
  checkKey,
  checkPath,
  checkSignature,
  failed,
  findKey,
  messageOf,
  notReached,
  passed,
  type VerifyStep,
} from './verify-steps.ts'

export const BUNDLE_CHARS_MAX = 49_152

export type VerifyStepName = 'format' | 'path' | 'signature' | 'key' | 'charge'

/** `ok` only when every step is. `receipt_id` is there when the receipt could be read. */
export interface Verification {
  ok: boolean
  receipt_id?: string
  steps: readonly VerifyStep<VerifyStepName>[]
}

/**
 * Checks one receipt bundle against a keys document, both as parsed JSON. Never throws, whatever it is given. Parsed JSON
 * has already lost repeated keys and the spelling of numbers: with the text at hand, use verifyBundleText. `witnessedAt`:
 * checkKey.
 */
export async function verifyBundle(
  bundle: unknown,
  keys: unknown,
  { witnessedAt }: { witnessedAt?: string | undefined } = {},
): Promise<Verification> {
  const read = readBundle(bundle)
  const key = await findKey(keys, read.batch)
  const steps = [
    read.format,
    await checkPath(read.text, read.batch),
    await checkSignature(read.batch, key),
    checkKey(read.batch, key, { issuedAt: read.receipt?.issued_at, witnessedAt }),
    read.receipt === undefined ? notReached('charge', 'the receipt is not readable') : charge(read.receipt),
  ]
  const ok = steps.every((step) => step.ok)
  return read.receipt === undefined ? { ok, steps } : { ok, receipt_id: read.receipt.receipt_id, steps }
}

/** The same for the text of a bundle: also refuses repeated keys and numbers such as 1.0, which parsers read differently. */
export async function verifyBundleText(text: string, keys: unknown): Promise<Verification> {
  let bundle: unknown
  try {
    bundle = parseStrictJson(text, BUNDLE_CHARS_MAX)
  } catch (error) {
    return unreadable(messageOf(error))
  }
  return verifyBundle(bundle, keys)
}

/** The verdict on something that is no JSON of ours. */
export function unreadable(detail: string): Verification {
  const rest = ['path', 'signature', 'key', 'charge'] as const
  const steps = rest.map((name) => notReached(name, 'the bundle is not readable'))
  return { ok: false, steps: [failed('format', detail), ...steps] }
}

/** The members of a bundle that could be read. */
interface ReadBundle extends Partial<ReceiptBundle> {
  format: VerifyStep<'format'>
  /** Canonical text of the receipt, as far as it has one: it can be hashed even when a field is wrong. */
  text?: string
}

function readBundle(bundle: unknown): ReadBundle {
  let members: { batch: unknown; receipt: unknown }
  let text: string
  try {
    members = snapshot(bundle)
    text = canonicalJson(members.receipt)
  } catch (error) {
    return { format: failed('format', messageOf(error)) }
  }
  const read: ReadBundle = { format: failed('format', ''), text }
  const problems: string[] = []
  try {
    // The text, not the member: a receipt that is itself a string is no receipt.
    read.receipt = parseReceipt(text)
  } catch (error) {
    problems.push(messageOf(error))
  }
  try {
    read.batch = parseBatchProof(members.batch)
  } catch (error) {
    problems.push(messageOf(error))
  }
  if (read.receipt === undefined || read.batch === undefined) {
    return { ...read, format: failed('format', problems.join('; ')) }
  }
  const { receipt_id, account, seq, v } = read.receipt
  return { ...read, format: passed('format', `${v} ${receipt_id}, number ${seq} of ${account}`) }
}

/** A copy that cannot change while it is checked, made of nothing but plain JSON values. */
function snapshot(bundle: unknown): { batch: unknown; receipt: unknown } {
  const copy = parseCanonicalJson(canonicalJson(bundle), BUNDLE_CHARS_MAX)
  if (typeof copy !== 'object' || copy === null || Object.keys(copy).join() !== 'batch,receipt') {
    throw new Error('the bundle is not an object of exactly batch and receipt')
  }
  return { batch: Reflect.get(copy, 'batch'), receipt: Reflect.get(copy, 'receipt') }
}

function charge(receipt: Receipt): VerifyStep<'charge'> {
  try {
    const { ok, detail } = checkCharge(receipt)
    return { name: 'charge', ok, reached: true, detail }
  } catch (error) {
    return failed('charge', messageOf(error))
  }
}
