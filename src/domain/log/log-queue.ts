import type { Db } from '#db/pool.ts'

/** Counted no further: a queue of this length is told as this. */
const QUEUE_COUNTED_MAX = 10_000

export interface LogQueue {
  /** Batches that wait, at most 10,000. */
  depth: number
  /** How long the first of them has waited; 0 when none does. */
  ageMs: number
}

export async function readQueue(db: Db): Promise<LogQueue> {
  const { rows } = await db.query<{ depth: bigint; ageMs: number }>(
    `select (select count(*) from (select 1 from log_queue limit $1) q) as depth,
            coalesce((select extract(epoch from clock_timestamp() - queued_at) * 1000 from log_queue order by seq limit 1), 0)::float8
              as "ageMs"`,
    [QUEUE_COUNTED_MAX],
  )
  const [row] = rows
  return { depth: Number(row?.depth ?? 0), ageMs: Math.max(0, row?.ageMs ?? 0) }
}
