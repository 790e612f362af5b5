import { encodeBundle } from '#billing/batch.ts'
import { inclusionPath } from '#billing/merkle.ts'
import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

export const RECEIPTS_PAGE_MAX = 100

const HASH_BYTES = 32

interface Batch {
  id: string
  keyId: string
  leaves: Buffer[]
  root: Buffer
  sig: Buffer
}

interface LogRow {
  seq: bigint
  pos: number
  receipt: string
  batchId: string
}

/** The reading side of receipts. A bundle is the JSON text that a customer can verify offline: src/billing/batch.ts. */
export function createReceiptLog(deps: { db: Db }) {
  const { db } = deps
  return {
    /** The bundle of one settled call, if the project made it. `requestId` is 32 hex digits. */
    async find(projectId: string, requestId: string): Promise<string | undefined> {
      const { rows } = await db.query<LogRow>(
        `select l.seq, l.pos, l.receipt, l.batch_id as "batchId"
         from request_log l join project p on p.wallet_id = l.wallet_id
         where l.request_id = $1 and p.id = $2`,
        [requestId, projectId],
      )
      const [bundle] = await bundles(db, rows)
      return bundle
    },

    /** The bundles of a project by call number, at most `limit` after the number `after`. */
    async list(
      projectId: string,
      page: { after: bigint; limit: number },
    ): Promise<{ bundles: string[]; hasMore: boolean; last: bigint | null }> {
      assert(page.limit >= 1 && page.limit <= RECEIPTS_PAGE_MAX, 'a page has 1 to RECEIPTS_PAGE_MAX receipts')
      const { rows } = await db.query<LogRow>(
        `select l.seq, l.pos, l.receipt, l.batch_id as "batchId" from request_log l
         where l.wallet_id = (select wallet_id from project where id = $1) and l.seq > $2
         order by l.seq limit $3`,
        [projectId, page.after, page.limit + 1],
      )
      const shown = rows.slice(0, page.limit)
      return {
        bundles: await bundles(db, shown),
        hasMore: rows.length > page.limit,
        last: shown.at(-1)?.seq ?? null,
      }
    },
  }
}

export type ReceiptLog = ReturnType<typeof createReceiptLog>

/** The request id in `rcp_…` or `req_…`: one call has one number under both prefixes. Undefined for anything else. */
export function parseReceiptId(text: string): string | undefined {
  return /^(?:rcp|req)_([0-9a-f]{32})$/.exec(text)?.[1]
}

async function bundles(db: Db, rows: LogRow[]): Promise<string[]> {
  const batches = await readBatches(db, [...new Set(rows.map((row) => row.batchId))])
  return rows.map((row) => {
    const batch = batches.get(row.batchId)
    assert(batch !== undefined, 'every settled call has its batch')
    return encodeBundle(row.receipt, {
      id: batch.id,
      key_id: batch.keyId,
      n: batch.leaves.length,
      path: inclusionPath(batch.leaves, row.pos).map((node) => node.toString('base64')),
      pos: row.pos,
      root: batch.root.toString('base64'),
      sig: batch.sig.toString('base64'),
    })
  })
}

async function readBatches(db: Db, ids: string[]): Promise<Map<string, Batch>> {
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
