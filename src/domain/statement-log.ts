import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { documentBundles } from './signed-documents.ts'

export const STATEMENTS_PAGE_MAX = 100

interface StatementRow {
  period: string
  batchId: string
  pos: number
  document: string
}

/** The reading side of daily statements, each as the text of a bundle that verifies offline. */
export function createStatementLog({ db }: { db: Db }) {
  return {
    /** The statement of one UTC day, `2026-12-01`, of the wallet that a project charges. */
    async find(projectId: string, day: string): Promise<string | undefined> {
      const { rows } = await db.query<StatementRow>(`${select} and d.period = $2`, [projectId, day])
      const [bundle] = await documentBundles(db, rows)
      return bundle
    },

    /** Statements by day, at most `limit` of those after the day `after`. */
    async list(
      projectId: string,
      page: { after: string; limit: number },
    ): Promise<{ bundles: string[]; hasMore: boolean; last: string | null }> {
      assert(page.limit >= 1 && page.limit <= STATEMENTS_PAGE_MAX, 'a page has 1 to STATEMENTS_PAGE_MAX statements')
      const { rows } = await db.query<StatementRow>(`${select} and d.period > $2 order by d.period limit $3`, [
        projectId,
        page.after,
        page.limit + 1,
      ])
      const shown = rows.slice(0, page.limit)
      return {
        bundles: await documentBundles(db, shown),
        hasMore: rows.length > page.limit,
        last: shown.at(-1)?.period ?? null,
      }
    },
  }
}

export type StatementLog = ReturnType<typeof createStatementLog>

const select = `
  select d.period, d.batch_id as "batchId", d.pos, d.document from signed_document d
  where d.kind = 'statement' and d.wallet_id = (select wallet_id from project where id = $1)`
