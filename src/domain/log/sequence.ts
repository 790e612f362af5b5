import { extendFrontier, frontierRoot } from '#billing/tlog/frontier.ts'
import { splitHashes } from '#billing/tlog/tile-tree.ts'
import type { Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { LogHaltError, signedRoot } from './log-head.ts'
import type { LogSigner } from './log-signer.ts'

export const LEAVES_PER_COMMIT_MAX = 4_096

/** Where a test may end the process. */
export type SequenceStep = 'locked' | 'read' | 'written' | 'committed'

export interface SequenceOptions {
  signer: LogSigner
  /** What this process has published: the database must not fall behind it. */
  published(): { size: number; root: Buffer } | undefined
  leavesMax?: number
  reached?(step: SequenceStep): void
}

/**
 * Moves what waits in the queue into the log, in one commit: dense indices in the order of the queue, the frontier, the signed
 * checkpoint. Returns how many leaves were added. Throws LogHaltError when this would sign another history than the one that was
 * published.
 */
export async function sequence(tx: Tx, options: SequenceOptions): Promise<number> {
  const { signer, reached = () => undefined, leavesMax = LEAVES_PER_COMMIT_MAX } = options
  await tx.query('begin')
  try {
    const added = await sequenceIn(tx, { ...options, reached, leavesMax })
    await tx.query('commit')
    if (added > 0) reached('committed')
    return added
  } catch (error) {
    await tx.query('rollback').catch(() => undefined)
    throw error
  }

  async function sequenceIn(tx: Tx, { reached, leavesMax, published }: Required<SequenceOptions>): Promise<number> {
    const { rows: heads } = await tx.query<{ logId: number; origin: string; size: bigint; frontier: Buffer }>(
      'select log_id as "logId", origin, size, frontier from log_head where ended_at is null for update',
    )
    const [head] = heads
    if (head?.origin !== signer.key.name)
      throw new LogHaltError(`The log ${signer.key.name} is not kept in this database any more.`)
    reached('locked')
    const size = Number(head.size)
    await checkPublished(tx, { ...head, size }, published())

    const { rows: batches } = await tx.query<{ seq: bigint; id: string; root: Buffer }>(
      `select q.seq, q.batch_id as id, b.root from log_queue q join receipt_batch b on b.batch_id = q.batch_id
       order by q.seq limit $1`,
      [leavesMax],
    )
    if (batches.length === 0) return 0
    reached('read')
    const roots = batches.map((batch) => batch.root)
    const grown = extendFrontier({ size, peaks: splitHashes(head.frontier) }, roots)
    const root = frontierRoot(grown)
    await tx.query(
      `insert into log_leaf (log_id, idx, batch_id, root)
       select $1::smallint, $2::bigint + n - 1, id, root from unnest($3::uuid[], $4::bytea[]) with ordinality as b(id, root, n)`,
      [head.logId, size, batches.map((batch) => batch.id), roots],
    )
    // A size that was signed before with another root is refused by its primary key.
    await tx.query('insert into log_checkpoint (log_id, size, root) values ($1, $2, $3)', [
      head.logId,
      grown.size,
      root,
    ])
    await tx.query(
      `update log_head set size = $2, frontier = $3, root = $4, checkpoint = $5, at = clock_timestamp() where log_id = $1`,
      [head.logId, grown.size, Buffer.concat(grown.peaks), root, signer.checkpoint(grown.size, root)],
    )
    const { rowCount } = await tx.query('delete from log_queue where seq = any ($1)', [batches.map(({ seq }) => seq)])
    assert(rowCount === batches.length, 'what was read under the lock of the head is still in the queue')
    reached('written')
    return batches.length
  }
}

async function checkPublished(
  tx: Tx,
  head: { logId: number; origin: string; size: number },
  published: { size: number; root: Buffer } | undefined,
): Promise<void> {
  if (published === undefined) return
  const signed = published.size <= head.size ? await signedRoot(tx, head, published.size) : undefined
  if (signed?.equals(published.root) !== true) throw forked(head, published)
}

/** The database does not continue what the files say was published. */
export function forked(
  head: { origin: string; size: number },
  published: { size: number; root: Buffer; dir?: string },
): LogHaltError {
  const what =
    published.size > head.size
      ? `the database knows ${head.size} of them`
      : 'the database never signed that root for that size'
  return new LogHaltError(
    `The log ${head.origin} was published with ${published.size} leaves (root ${published.root.toString('base64')}), but ${what}. ` +
      'The database was most likely restored from a backup, so records that were acknowledged are lost. Going on would sign a second ' +
      'history of the log, which everybody who keeps a checkpoint would see as fraud. Restore the newer database if there is one. ' +
      'Otherwise begin a new log under a new name, which says openly what happened: fluxgate log restart --help',
  )
}
