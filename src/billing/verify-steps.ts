import { decodeBase64, decodeBase64Url } from '#lib/base64.ts'
import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { type BatchProof, batchStatement } from './batch.ts'
import { hashLeaf, rootFromPath } from './merkle-path.ts'
import { keyValidAt, parseReceiptKeys, type ReceiptKey } from './receipt-keys.ts'

/** `reached` is false when the step depends on one that failed; `ok` is false then too. */
export interface VerifyStep<Name extends string = string> {
  name: Name
  ok: boolean
  reached: boolean
  detail: string
}

export type KeyLookup = { key: ReceiptKey } | { problem: string }

/** The key that a batch names, in a keys document as parsed JSON. */
export async function findKey(keys: unknown, proof: BatchProof | undefined): Promise<KeyLookup> {
  try {
    const document = await parseReceiptKeys(parseCanonicalJson(canonicalJson(keys)))
    const key = document.keys.find((candidate) => candidate.key_id === proof?.key_id)
    return key === undefined ? { problem: `no key is named ${proof?.key_id}` } : { key }
  } catch (error) {
    return { problem: `the keys document is not usable: ${messageOf(error)}` }
  }
}

/** Whether the canonical text is the leaf at its place in the batch. */
export async function checkPath(text: string | undefined, batch: BatchProof | undefined): Promise<VerifyStep<'path'>> {
  if (text === undefined || batch === undefined) return notReached('path', 'there is no text and batch to compare')
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

export async function checkSignature(
  proof: BatchProof | undefined,
  lookup: KeyLookup,
): Promise<VerifyStep<'signature'>> {
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

/** `witnessedAt` is when witnesses had seen the batch in the log: what a revoked key signed before its end stays good. */
export function checkKey(
  batch: BatchProof | undefined,
  lookup: KeyLookup,
  { issuedAt, witnessedAt }: { issuedAt: string | undefined; witnessedAt?: string | undefined },
): VerifyStep<'key'> {
  if (batch === undefined) return notReached('key', 'the batch is not readable')
  if ('problem' in lookup) return failed('key', lookup.problem)
  if (issuedAt === undefined) return notReached('key', 'there is no time to compare')
  const { ok, detail } = keyValidAt(lookup.key, issuedAt, witnessedAt)
  return { name: 'key', ok, reached: true, detail }
}

export function passed<Name extends string>(name: Name, detail: string): VerifyStep<Name> {
  return { name, ok: true, reached: true, detail }
}

export function failed<Name extends string>(name: Name, detail: string): VerifyStep<Name> {
  return { name, ok: false, reached: true, detail }
}

export function notReached<Name extends string>(name: Name, why: string): VerifyStep<Name> {
  return { name, ok: false, reached: false, detail: `not reached: ${why}` }
}

/** The getters of a hostile object can throw anything, even something that throws when it is looked at. */
export function messageOf(error: unknown): string {
  try {
    if (error instanceof Error) return String(error.message)
  } catch {
    // It says nothing that is worth repeating.
  }
  return 'unknown failure'
}

function decoded(bytes: Uint8Array<ArrayBuffer> | undefined): Uint8Array<ArrayBuffer> {
  if (bytes === undefined) throw new Error('bytes are not strict Base64')
  return bytes
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index])
}
