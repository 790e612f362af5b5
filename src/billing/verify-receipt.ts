import { decodeBase64, decodeBase64Url } from '#lib/base64.ts'
import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { parseStrictJson } from '#lib/strict-json.ts'
import { type BatchProof, batchStatement, parseBatchProof, type ReceiptBundle } from './batch.ts'
import { checkCharge } from './check-charge.ts'
import { hashLeaf, rootFromPath } from './merkle-path.ts'
import { parseReceipt } from './parse-receipt.ts'
import type { Receipt } from './receipt.ts'
import { keyValidAt, parseReceiptKeys, type ReceiptKey } from './receipt-keys.ts'

export const BUNDLE_CHARS_MAX = 49_152

export type VerifyStepName = 'format' | 'path' | 'signature' | 'key' | 'charge'

/** `reached` is false when the step depends on one that failed; `ok` is false then too. */
interface VerifyStep {
  name: VerifyStepName
  ok: boolean
  reached: boolean
  detail: string
}

/** `ok` only when every step is. `receipt_id` is there when the receipt could be read. */
export interface Verification {
  ok: boolean
  receipt_id?: string
  steps: readonly VerifyStep[]
}

/**
 * Checks one receipt bundle against a keys document, both as parsed JSON. Never throws, whatever it is given. Parsed JSON
 * has already lost repeated keys and the spelling of numbers: with the text at hand, use verifyBundleText.
 */
export async function verifyBundle(bundle: unknown, keys: unknown): Promise<Verification> {
  const read = readBundle(bundle)
  const key = await findKey(keys, read.batch)
  const steps = [
    read.format,
    await checkPath(read),
    await checkSignature(read.batch, key),
    checkKey(read, key),
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
  format: VerifyStep
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

type KeyLookup = { key: ReceiptKey } | { problem: string }

async function findKey(keys: unknown, proof: BatchProof | undefined): Promise<KeyLookup> {
  try {
    const document = await parseReceiptKeys(parseCanonicalJson(canonicalJson(keys)))
    const key = document.keys.find((candidate) => candidate.key_id === proof?.key_id)
    return key === undefined ? { problem: `no key is named ${proof?.key_id}` } : { key }
  } catch (error) {
    return { problem: `the keys document is not usable: ${messageOf(error)}` }
  }
}

async function checkPath({ text, batch }: ReadBundle): Promise<VerifyStep> {
  if (text === undefined || batch === undefined) {
    return notReached('path', 'there is no receipt text and batch to compare')
  }
  try {
    const path = batch.path.map((node) => decoded(decodeBase64(node)))
    const root = await rootFromPath({ leaf: await hashLeaf(text), index: batch.pos, size: batch.n, path })
    const place = `leaf ${batch.pos} of ${batch.n}`
    if (root === undefined) return failed('path', `a path of ${path.length} hashes does not fit ${place}`)
    if (!sameBytes(root, decoded(decodeBase64(batch.root)))) return failed('path', `${place} does not lead to the root`)
    return passed('path', `${place} leads to root ${batch.root}`)
  } catch (error) {
    return failed('path', messageOf(error))
  }
}

async function checkSignature(proof: BatchProof | undefined, lookup: KeyLookup): Promise<VerifyStep> {
  if (proof === undefined) return notReached('signature', 'the batch is not readable')
  if ('problem' in lookup) return notReached('signature', lookup.problem)
  try {
    const raw = decoded(decodeBase64Url(lookup.key.public_key))
    const key = await crypto.subtle.importKey('raw', raw, 'Ed25519', false, ['verify'])
    const ok = await crypto.subtle.verify('Ed25519', key, decoded(decodeBase64(proof.sig)), batchStatement(proof))
    if (!ok) return failed('signature', `${proof.key_id} did not sign batch ${proof.id} of ${proof.n} with this root`)
    return passed('signature', `${proof.key_id} signed batch ${proof.id} of ${proof.n}`)
  } catch (error) {
    // A runtime without Ed25519 lands here, and so does a public key that is no point on the curve.
    return failed('signature', `the signature cannot be checked: ${messageOf(error)}`)
  }
}

function checkKey({ receipt, batch }: ReadBundle, lookup: KeyLookup): VerifyStep {
  if (batch === undefined) return notReached('key', 'the batch is not readable')
  if ('problem' in lookup) return failed('key', lookup.problem)
  if (receipt === undefined) return notReached('key', 'the receipt has no time')
  const { ok, detail } = keyValidAt(lookup.key, receipt.issued_at)
  return { name: 'key', ok, reached: true, detail }
}

function charge(receipt: Receipt): VerifyStep {
  try {
    const { ok, detail } = checkCharge(receipt)
    return { name: 'charge', ok, reached: true, detail }
  } catch (error) {
    return failed('charge', messageOf(error))
  }
}

function passed(name: VerifyStepName, detail: string): VerifyStep {
  return { name, ok: true, reached: true, detail }
}

function failed(name: VerifyStepName, detail: string): VerifyStep {
  return { name, ok: false, reached: true, detail }
}

function notReached(name: VerifyStepName, why: string): VerifyStep {
  return { name, ok: false, reached: false, detail: `not reached: ${why}` }
}

function decoded(bytes: Uint8Array<ArrayBuffer> | undefined): Uint8Array<ArrayBuffer> {
  if (bytes === undefined) throw new Error('bytes are not strict Base64')
  return bytes
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index])
}

/** The getters of a hostile object can throw anything, even something that throws when it is looked at. */
function messageOf(error: unknown): string {
  try {
    if (error instanceof Error) return String(error.message)
  } catch {
    // It says nothing that is worth repeating.
  }
  return 'unknown failure'
}
