import { encodeBundle } from '#billing/batch.ts'
import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { batchProofs } from './batch-proofs.ts'

export const RECEIPTS_PAGE_MAX = 100

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
  const proofs = await batchProofs(db, rows)
  return rows.map((row, index) => {
    const proof = proofs[index]
    assert(proof !== undefined, 'every settled call has its proof')
    return encodeBundle(row.receipt, proof)
  })
}
