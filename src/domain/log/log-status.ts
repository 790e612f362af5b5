import type { Db } from '#db/pool.ts'
import { type LogHead, readHead } from './log-head.ts'
import { type LogQueue, readQueue } from './log-queue.ts'

export interface LogStatus {
  head: LogHead
  /** Of the last checkpoint. */
  signedAt: Date
  queue: LogQueue
  witnesses: { witness: string; size: number; at: Date }[]
  /** How long the oldest checkpoint has waited that is larger than every one that was cosigned; 0 when none does. */
  unwitnessedMs: number
}

/** What the database says of the log that it keeps; undefined before there is one. */
export async function readLogStatus(db: Db): Promise<LogStatus | undefined> {
  const head = await readHead(db)
  if (head === undefined) return undefined
  const { rows: witnesses } = await db.query<{ witness: string; size: bigint; at: Date }>(
    `select distinct on (witness) witness, size, at from log_cosignature where log_id = $1 order by witness, size desc`,
    [head.logId],
  )
  const { rows } = await db.query<{ signedAt: Date; unwitnessedMs: number }>(
    `select (select at from log_checkpoint where log_id = $1 and size = $2) as "signedAt",
            coalesce((select extract(epoch from clock_timestamp() - at) * 1000 from log_checkpoint
                      where log_id = $1 and size > $3 order by size limit 1), 0)::float8 as "unwitnessedMs"`,
    [head.logId, head.size, witnesses.reduce((most, { size }) => (size > most ? size : most), 0n)],
  )
  return {
    head,
    signedAt: rows[0]?.signedAt ?? new Date(0),
    queue: await readQueue(db),
    witnesses: witnesses.map((row) => ({ ...row, size: Number(row.size) })),
    unwitnessedMs: rows[0]?.unwitnessedMs ?? 0,
  }
}
