import { type Db, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { emitOperatorEvent } from './operator-events.ts'

const CROSSINGS_MAX = 500

/**
 * Tells of wallets that have fallen below their project's threshold since the last look, once until they were found at or
 * above it again. What is held counts as there: only what is spent is gone. One process looks at a time. Returns how many
 * were told.
 */
export async function lookForLowWallets(db: Db): Promise<number> {
  return transaction(db, async (tx) => {
    const { rows: lock } = await tx.query<{ mine: boolean }>(
      `select pg_try_advisory_xact_lock(hashtext('fluxgate low wallets')) as mine`,
    )
    if (!lock[0]?.mine) return 0
    const { rows } = await tx.query<{
      id: string
      account: string
      posted: bigint
      threshold: bigint
      since: string | null
    }>(
      `with crossed as (
         select p.id, w.account, w.posted, p.low_since is null as down
         from project p join wallet w on w.id = p.wallet_id
         where p.low_balance_nanousd is not null and (w.posted < p.low_balance_nanousd) <> (p.low_since is not null)
         order by p.id limit $1 for no key update of p skip locked
       )
       update project p set low_since = case when c.down then clock_timestamp() end
       from crossed c where c.id = p.id
       returning p.id, c.account, c.posted, p.low_balance_nanousd as threshold,
         to_char(p.low_since, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as since`,
      [CROSSINGS_MAX],
    )
    const low = rows.filter(({ since }) => since !== null)
    for (const { id, account, posted, threshold, since } of low) {
      assert(since !== null, 'those without were filtered out')
      await emitOperatorEvent(tx, {
        type: 'wallet.low',
        once: [id, since],
        data: {
          project_id: id,
          account,
          balance_nanousd: posted.toString(),
          threshold_nanousd: threshold.toString(),
        },
      })
    }
    return low.length
  })
}
