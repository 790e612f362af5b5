import { type Db, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { AppError } from '#src/errors.ts'
import { beginLog, lockHeads, readHead } from './log-head.ts'
import type { LogSigner } from './log-signer.ts'

const REQUEUE_MS_MAX = '30min'

/**
 * Ends the log of this database and begins another one under another name, with every batch that was ever signed in its queue. The old one
 * stays in the database as it is, never to be continued. Throws AppError name_taken for a name that a log had before.
 */
export async function restartLog(
  db: Db,
  signer: LogSigner,
  reason: string,
): Promise<{ ended: { origin: string; size: number } | undefined; queued: number }> {
  return transaction(db, async (tx) => {
    await tx.query(`set local statement_timeout = '${REQUEUE_MS_MAX}'`)
    await lockHeads(tx)
    const { rowCount } = await tx.query('select 1 from log_head where origin = $1', [signer.key.name])
    if (rowCount !== 0)
      throw new AppError('name_taken', {
        message: `There is or was a log of the name ${signer.key.name}: choose another one.`,
      })
    const ended = await readHead(tx)
    await tx.query('update log_head set ended_at = clock_timestamp(), end_reason = $1 where ended_at is null', [reason])
    await beginLog(tx, signer)
    await tx.query('delete from log_queue')
    const { rowCount: queued } = await tx.query(
      'insert into log_queue (batch_id) select batch_id from receipt_batch order by settled_at, batch_id',
    )
    await recordAct(tx, {
      ...{ actor: 'cli', action: 'log.restart', subject: signer.key.name },
      ...(ended && { before: { origin: ended.origin, size: ended.size } }),
      after: { queued: queued ?? 0, reason },
    })
    return { ended: ended && { origin: ended.origin, size: ended.size }, queued: queued ?? 0 }
  })
}
