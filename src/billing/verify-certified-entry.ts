import { decodeBase64 } from '#lib/base64.ts'
import type { Certificate } from './certificate.ts'
import { isRecord } from './fields.ts'
import { encodeLogEntry, type LogEntry, parseLogEntry } from './log-entry.ts'
import { HASH_BYTES, hashLeaf, rootFromPath } from './merkle-path.ts'
import { failed, messageOf, notReached, passed, type VerifyStep } from './verify-steps.ts'

/** Levels of the largest tree, and some more: a longer path is refused before anything is hashed. */
const PATH_NODES_MAX = 16

/** What stands beside a certificate in the bundle of one of its entries, as parsed JSON. */
export interface SentEntry {
  entry: unknown
  /** `{"path": […], "pos": n}` */
  inclusion: unknown
  /** The stored text; absent where nobody asks for it. */
  metadata: unknown
}

/** Whether an entry is the leaf that it claims to be of the tree that the certificate names. Never throws. */
export async function verifyCertifiedEntry(
  certificate: Certificate | undefined,
  sent: SentEntry,
): Promise<VerifyStep<'entry'>> {
  if (certificate === undefined) return notReached('entry', 'there is no certificate that is readable')
  try {
    const entry = parseLogEntry(sent.entry)
    await checkMetadata(entry, sent.metadata)
    const { n, root } = certificate.entries
    const { pos, path } = readInclusion(sent.inclusion)
    checkBelongs(entry, certificate, pos)
    const reached = await rootFromPath({ leaf: await hashLeaf(encodeLogEntry(entry)), index: pos, size: n, path })
    if (reached === undefined || !isSame(reached, decodeBase64(root)))
      return failed('entry', `leaf ${pos} of ${n} does not lead to the root of the certificate`)
    return passed('entry', `${entry.log_id} is leaf ${pos} of ${n}`)
  } catch (error) {
    return failed('entry', messageOf(error))
  }
}

/** The root alone would let an operator list other ids than those of the leaves, or the entries of somebody else. */
function checkBelongs(entry: LogEntry, { project_key, entries, start, end }: Certificate, pos: number): void {
  if (entry.project_key !== project_key) throw new Error('the entry is of another project')
  if (entries.log_ids !== undefined && entries.log_ids[pos] !== entry.log_id)
    throw new Error(`the certificate lists another entry as leaf ${pos}`)
  if (entry.occurred_at < start || entry.occurred_at > end)
    throw new Error('the entry lies outside of the time of the certificate')
}

async function checkMetadata(entry: LogEntry, metadata: unknown): Promise<void> {
  if (metadata === undefined) return
  if (typeof metadata !== 'string') throw new Error('metadata is not the text that was stored')
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(metadata)))
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const expected = metadata === '{}' ? undefined : `sha256:${hex}`
  if (entry.metadata_digest !== expected) throw new Error('the metadata are not those of the entry')
}

function readInclusion(value: unknown): { pos: number; path: Uint8Array<ArrayBuffer>[] } {
  if (!isRecord(value) || Object.keys(value).sort().join() !== 'path,pos')
    throw new Error('inclusion is not an object of exactly path and pos')
  const { pos, path } = value
  if (!Number.isSafeInteger(pos) || !Array.isArray(path) || path.length > PATH_NODES_MAX)
    throw new Error('inclusion is not a place and a path')
  const nodes = path.map((node: unknown) => {
    const bytes = typeof node === 'string' ? decodeBase64(node) : undefined
    if (bytes?.byteLength !== HASH_BYTES) throw new Error('a node of the path is not the Base64 of 32 bytes')
    return bytes
  })
  return { pos: Number(pos), path: nodes }
}

function isSame(left: Uint8Array, right: Uint8Array | undefined): boolean {
  return left.length === right?.length && left.every((byte, index) => byte === right[index])
}
