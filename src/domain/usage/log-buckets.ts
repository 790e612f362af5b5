import type { Db } from '#db/pool.ts'
import { createConditions, seriesConditions, type UsageFilter } from './usage-filter.ts'
import type { LogWindow } from './usage-log.ts'

/** A quarter hour in which a project has entries of one kind that a filter lets pass. */
export interface LogBucket {
  bucket: Date
  projectId: string | null
  source: number
}

const BUCKET_MS = 900_000
/** The first look back; each further one is four times as long. */
const LOOK_MS_MIN = 4 * BUCKET_MS
const LOOK_FACTOR = 4

/**
 * The youngest quarter hours of a window that hold so many entries, or all of them when there are fewer. The roll-ups are
 * written in the commit of each record, so no bucket that holds something is missing. Those at the ends of the window may
 * lie outside of it in part: their entries are not counted on.
 */
export async function findBuckets(
  db: Db,
  filter: UsageFilter,
  window: LogWindow,
  needed: number,
): Promise<LogBucket[]> {
  const fromMs = Date.parse(window.from)
  const endsMs = [window.to, window.after?.occurredAt].flatMap((text) => (text === undefined ? [] : [Date.parse(text)]))
  const endMs = endsMs.length === 0 ? undefined : Math.min(...endsMs)
  const found: LogBucket[] = []
  let certain = 0
  // Without an end, the first look takes in whatever lies in the future.
  let high = endMs === undefined ? undefined : floor(endMs) + BUCKET_MS
  let look = LOOK_MS_MIN
  do {
    const low = Math.max(floor(fromMs), (high ?? floor(Date.now())) - look)
    for (const { calls, ...bucket } of await readBuckets(db, filter, low, high)) {
      // Buckets come youngest first; one that begins a new quarter hour is not needed any more.
      if (certain >= needed && bucket.bucket.getTime() !== found.at(-1)?.bucket.getTime()) return found
      found.push(bucket)
      const startMs = bucket.bucket.getTime()
      if (startMs >= fromMs && (endMs === undefined || startMs + BUCKET_MS <= endMs)) certain += Number(calls)
    }
    high = low
    look *= LOOK_FACTOR
  } while (certain < needed && high > floor(fromMs))
  return found
}

async function readBuckets(
  db: Db,
  filter: UsageFilter,
  lowMs: number,
  highMs: number | undefined,
): Promise<(LogBucket & { calls: bigint })[]> {
  const conditions = createConditions()
  const { add, values } = conditions
  const low = add(new Date(lowMs))
  const below = highMs === undefined ? '' : `and u.bucket < ${add(new Date(highMs))}`
  const wallets =
    filter.projectId === undefined ? '' : 'and u.wallet_id = any (array(select distinct wallet_id from series))'
  const { rows } = await db.query<LogBucket & { calls: bigint }>(
    `with series as materialized (
       select s.id, s.wallet_id, s.project_id, s.source from usage_series s where ${seriesConditions(filter, conditions)}
     )
     select u.bucket, s.project_id as "projectId", s.source, sum(u.calls)::bigint as calls
     from usage_15m u join series s on s.id = u.series
     where u.bucket >= ${low} ${below} ${wallets}
     group by 1, 2, 3 order by 1 desc`,
    values,
  )
  return rows
}

function floor(ms: number): number {
  return Math.floor(ms / BUCKET_MS) * BUCKET_MS
}
