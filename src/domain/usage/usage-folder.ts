import type { Db } from '#db/pool.ts'

const FOLD_MS = 10 * 60_000
/** Hours and rows of one transaction: late reports wait for it. */
const HOURS_MAX = 24 * 7
const ROWS_MAX = 200_000

/**
 * Folds quarter hours that are past into hours, now and then: stats are the same before and after, and read less. Any
 * number of processes may do it.
 */
export function createUsageFolder(deps: { db: Db; onError: (error: unknown) => void }) {
  let running: Promise<void> = Promise.resolve()
  let closed = false

  async function fold(): Promise<void> {
    for (let before = 0, until = -1; !closed && before !== until; ) {
      before = until
      until = await foldUsage(deps.db)
    }
  }
  const start = () => {
    running = running.then(fold).catch(deps.onError)
  }
  const timer = setInterval(start, FOLD_MS)
  timer.unref()
  start()

  return {
    async close(): Promise<void> {
      closed = true
      clearInterval(timer)
      await running
    },
  }
}

/** One step. Returns up to when everything is folded, in milliseconds since 1970. */
export async function foldUsage(db: Db, rowsMax = ROWS_MAX): Promise<number> {
  const { rows } = await db.query<{ until: Date }>('select fold_usage($1, $2) as until', [HOURS_MAX, rowsMax])
  return rows[0]?.until.getTime() ?? 0
}
