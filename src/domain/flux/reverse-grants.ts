import { hash } from 'node:crypto'
import { type Db, transaction } from '#db/pool.ts'
import { recordAct } from '#domain/audit-trail.ts'
import { REASON_CHARS_MAX, requirePlainText } from '#domain/plain-text.ts'
import { lockWallets } from '#domain/wallets.ts'
import { assert } from '#lib/assert.ts'
import { uuidFromName } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'

/** What was taken back from one person's wallet. */
export interface Reversal {
  projectId: string
  grantId: string
  /** Nano-dollars; 0 where it was spent, or is held by running calls: asking again may find more. */
  takenBackNanos: bigint
}

const CHUNK = 100

export function createGrantReversals(deps: { db: Db; slot: { current(): { slot: number } } }) {
  const { db, slot } = deps
  return {
    /**
     * Takes back what is left of every grant of a batch; never what was spent or what a running call holds. Each grant once:
     * a second request takes back only where there was nothing to take before. Throws AppError: not_found, body_invalid.
     */
    async reverse(batchId: string, input: { reason: string; actor: string }): Promise<Reversal[]> {
      requirePlainText(input.reason, 'reason', REASON_CHARS_MAX)
      const { rows: batches } = await db.query('select 1 from flux_grant_batch where id = $1', [batchId])
      if (batches.length === 0) throw new AppError('not_found', { message: 'No grant has this id.' })
      // Before its many commits: whatever comes of it, it was asked for.
      await recordAct(db, {
        actor: input.actor,
        action: 'flux_grant.reverse',
        subject: batchId,
        after: { reason: input.reason },
      })
      const reversals: Reversal[] = []
      let after = 0n
      for (;;) {
        const { rows } = await db.query<{ projectId: string; walletId: bigint; ref: string }>(
          `select r.project_id as "projectId", p.wallet_id as "walletId", replace(r.ref::text, '-', '') as ref
           from flux_grant_recipient r join project p on p.id = r.project_id
           where r.batch_id = $1 and p.wallet_id > $2 order by p.wallet_id limit $3`,
          [batchId, after, CHUNK],
        )
        const last = rows.at(-1)
        if (last === undefined) return reversals
        reversals.push(...(await reverseChunk(batchId, rows, input)))
        after = last.walletId
      }
    },
  }

  /** In one commit. */
  async function reverseChunk(
    batchId: string,
    grants: readonly { projectId: string; walletId: bigint; ref: string }[],
    input: { reason: string; actor: string },
  ): Promise<Reversal[]> {
    return transaction(db, async (tx) => {
      await lockWallets(
        tx,
        grants.map(({ walletId }) => walletId),
      )
      const reversals: Reversal[] = []
      for (const { projectId, ref } of grants) {
        const own = uuidFromName('grant reversal', ref)
        const { rows } = await tx.query<{ status: string; amount: bigint }>(
          'select status, amount from reverse_grant($1, $2, $3, $4, $5, $6)',
          [slot.current().slot, own, ref, input.reason, input.actor, hash('sha256', ref, 'buffer')],
        )
        const [row] = rows
        assert(
          row !== undefined && ['reversed', 'already', 'nothing'].includes(row.status),
          'a recorded grant has its lot',
        )
        if (row.status === 'reversed')
          await tx.query('update flux_grant_recipient set taken_back = $3 where batch_id = $1 and project_id = $2', [
            ...[batchId, projectId, own],
          ])
        reversals.push({ projectId, grantId: `grt_${ref}`, takenBackNanos: row.amount })
      }
      return reversals
    })
  }
}

export type GrantReversals = ReturnType<typeof createGrantReversals>
