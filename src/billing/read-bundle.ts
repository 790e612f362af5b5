import { canonicalJson, parseCanonicalJson } from '#lib/canonical-json.ts'
import { type BatchProof, parseBatchProof } from './batch.ts'
import { isRecord } from './fields.ts'
import { messageOf } from './verify-steps.ts'

/** What could be read of a bundle. */
interface ReadBundle<T> {
  /** Canonical text of what was signed, as far as it has one: it can be hashed even when a field is wrong. */
  text?: string
  signed?: T
  batch?: BatchProof
  /** Why `signed` or `batch` is missing. */
  problem?: string
}

/** Reads `{"batch": …, [member]: …}` as parsed JSON, each half as far as it can be read. Never throws. */
export function readBundle<T>(
  bundle: unknown,
  reading: { member: 'receipt' | 'document'; charsMax: number; parse: (text: string) => T },
): ReadBundle<T> {
  const read: ReadBundle<T> = {}
  const problems: string[] = []
  try {
    const members = snapshot(bundle, reading)
    read.text = canonicalJson(members.signed)
    try {
      // The text, not the member: a receipt that is itself a string is no receipt.
      read.signed = reading.parse(read.text)
    } catch (error) {
      problems.push(messageOf(error))
    }
    read.batch = parseBatchProof(members.batch)
  } catch (error) {
    problems.push(messageOf(error))
  }
  return problems.length === 0 ? read : { ...read, problem: problems.join('; ') }
}

/** A copy that cannot change while it is checked, made of nothing but plain JSON values. */
function snapshot(
  bundle: unknown,
  { member, charsMax }: { member: string; charsMax: number },
): { batch: unknown; signed: unknown } {
  const copy = parseCanonicalJson(canonicalJson(bundle), charsMax)
  if (!isRecord(copy) || Object.keys(copy).join() !== `batch,${member}`)
    throw new Error(`the bundle is not an object of exactly batch and ${member}`)
  return { batch: copy.batch, signed: copy[member] }
}
