import type { LogEntry } from '#billing/log-entry.ts'
import { inclusionPaths } from '#billing/merkle.ts'
import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { readEntries } from './read-entries.ts'

const HASH_BYTES = 32
/** Longer metadata are not listed, only shown with one entry. */
const METADATA_LISTED_BYTES_MAX = 4_096

/** One entry of a certificate, and where it stands in the tree whose root the certificate names. */
export interface CertifiedEntry {
  entry: LogEntry
  /** The stored text of the metadata: what its digest is of. `{}` where there is none; null where it is too long to list. */
  metadata: string | null
  inclusion: {
    /** Its leaf, from 0. */
    pos: number
    /** Base64 of the sibling hashes from the leaf up to the root, nearest first. */
    path: string[]
  }
}

/** Entries of a certificate by their leaves, and how many it has. The caller knows whose certificate it is. */
export async function listCertified(
  db: Db,
  certificateId: string,
  page: { limit: number; offset: number },
): Promise<{ entries: CertifiedEntry[]; total: number }> {
  const tree = await readTree(db, certificateId)
  const picked = tree.logIds.slice(page.offset, page.offset + page.limit)
  return {
    entries: await withProofs(db, tree, { first: page.offset, ids: picked, metadataMax: METADATA_LISTED_BYTES_MAX }),
    total: tree.logIds.length,
  }
}

/** One entry by the id of its log; undefined when the certificate is not about it. */
export async function findCertified(db: Db, certificateId: string, logId: string): Promise<CertifiedEntry | undefined> {
  const tree = await readTree(db, certificateId)
  const pos = tree.logIds.indexOf(logId)
  if (pos < 0) return undefined
  const [entry] = await withProofs(db, tree, { first: pos, ids: [logId], metadataMax: Number.MAX_SAFE_INTEGER })
  return entry
}

interface Tree {
  logIds: string[]
  leaves: Buffer[]
}

/** As they were certified: an entry that was altered since fails alone, and its neighbours still have their proofs. */
async function readTree(db: Db, certificateId: string): Promise<Tree> {
  const { rows } = await db.query<{ ids: string[] | null; leaves: Buffer | null }>(
    `select array_agg(log_id order by pos) as ids, string_agg(leaf, '' order by pos) as leaves
     from certified_log where document_id = $1`,
    [certificateId],
  )
  const { ids = null, leaves = null } = rows[0] ?? {}
  return {
    logIds: ids ?? [],
    leaves: (ids ?? []).map((_, pos) => {
      assert(leaves !== null, 'every entry has its leaf')
      return leaves.subarray(pos * HASH_BYTES, (pos + 1) * HASH_BYTES)
    }),
  }
}

async function withProofs(
  db: Db,
  tree: Tree,
  { first, ids, metadataMax }: { first: number; ids: readonly string[]; metadataMax: number },
): Promise<CertifiedEntry[]> {
  if (ids.length === 0) return []
  const positions = ids.map((_, index) => first + index)
  const paths = inclusionPaths(tree.leaves, positions)
  const entries = new Map((await readEntries(db, ids)).map(({ entry }) => [entry.log_id, entry]))
  const metadata = await readMetadata(db, ids, metadataMax)
  return ids.map((id, index) => {
    const entry = entries.get(id)
    assert(entry !== undefined, 'a log that was certified exists')
    const path = (paths[index] ?? []).map((node) => node.toString('base64'))
    return { entry, metadata: metadata.get(id) ?? null, inclusion: { pos: first + index, path } }
  })
}

/** The stored texts, but for those that are longer. */
export async function readMetadata(
  db: Db,
  ids: readonly string[],
  bytesMax = METADATA_LISTED_BYTES_MAX,
): Promise<Map<string, string>> {
  const { rows } = await db.query<{ id: string; metadata: string }>(
    'select id, metadata from reported_log where id = any ($1::uuid[]) and octet_length(metadata) <= $2::bigint',
    [ids, bytesMax],
  )
  return new Map(rows.map(({ id, metadata }) => [id, metadata]))
}
