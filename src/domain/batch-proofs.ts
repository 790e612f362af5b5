import type { BatchProof } from '#billing/batch.ts'
import { inclusionPath } from '#billing/merkle.ts'
import type { Db, Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

const HASH_BYTES = 32

interface Batch {
  id: string
  keyId: string
  leaves: Buffer[]
  root: Buffer
  sig: Buffer
}

/** Where each of these leaves stands in its signed batch, in their order. */
export async function batchProofs(
  db: Db | Tx,
  rows: readonly { batchId: string; pos: number }[],
): Promise<BatchProof[]> {
  const batches = await readBatches(db, [...new Set(rows.map((row) => row.batchId))])
  return rows.map(({ batchId, pos }) => {
    const batch = batches.get(batchId)
    assert(batch !== undefined, 'every leaf has its batch')
    return {
      id: batch.id,
      key_id: batch.keyId,
      n: batch.leaves.length,
      path: inclusionPath(batch.leaves, pos).map((node) => node.toString('base64')),
      pos,
      root: batch.root.toString('base64'),
      sig: batch.sig.toString('base64'),
    }
  })
}

async function readBatches(db: Db | Tx, ids: string[]): Promise<Map<string, Batch>> {
  if (ids.length === 0) return new Map()
  const { rows } = await db.query<{ id: string; keyId: string; leaves: Buffer; root: Buffer; sig: Buffer }>(
    'select batch_id as id, key_id as "keyId", leaves, root, sig from receipt_batch where batch_id = any ($1)',
    [ids],
  )
  // The signature names the batch by its 32 hex digits; the database prints dashes between them.
  return new Map(
    rows.map((row) => [row.id, { ...row, id: row.id.replaceAll('-', ''), leaves: splitLeaves(row.leaves) }]),
  )
}

function splitLeaves(leaves: Buffer): Buffer[] {
  return Array.from({ length: leaves.length / HASH_BYTES }, (_, n) =>
    leaves.subarray(n * HASH_BYTES, (n + 1) * HASH_BYTES),
  )
}
