import type { Db, Tx } from '#db/pool.ts'
import { AppError } from '#src/errors.ts'

/** One grant, top-up or subscription credit that still has money in it. */
interface Lot {
  id: bigint
  kind: 'paid' | 'promo' | 'subscription' | 'admin'
  /** The lower burns first. */
  priority: number
  expiresAt: Date | null
  restNanos: bigint
}

/** Amounts are nano-dollars. */
export interface Wallet {
  account: string
  postedNanos: bigint
  heldNanos: bigint
  /** What a new call could hold: posted less held, less what is past its expiry and only waits to be written off. */
  availableNanos: bigint
  frozen: boolean
  /** Calls numbered so far: receipts of this account run from 1 to here, but for calls that still run. */
  seq: bigint
  /** In the order in which they burn, at most LOTS_MAX. */
  lots: Lot[]
}

const LOTS_MAX = 1000

export const lotKinds = ['paid', 'promo', 'subscription', 'admin'] as const // The column account.class, from 1.

interface Row {
  account: string
  posted: bigint
  held: bigint
  due: bigint
  frozen: boolean
  seq: bigint
  lotId: bigint | null
  class: number
  priority: number
  expiresAt: Date | null
  rest: bigint
}

export function createWallets(deps: { db: Db }) {
  return {
    /** The wallet that a project charges, as of one moment. Throws AppError not_found. */
    async ofProject(projectId: string): Promise<Wallet> {
      const { rows } = await deps.db.query<Row>(
        `select w.account, w.posted, w.held, w.frozen, w.seq, l.id as "lotId", l.class, l.priority, l.expires_at as "expiresAt",
                l.credits - l.debits as rest,
                coalesce((select sum(d.credits - d.debits) from account d
                          where d.wallet_id = w.id and d.kind = 1 and d.open and d.expires_at <= now()), 0)::bigint as due
         from project p join wallet w on w.id = p.wallet_id
         left join account l on l.wallet_id = w.id and l.kind = 1 and l.open and l.credits > l.debits
         where p.id = $1
         order by l.priority, l.expires_at nulls last, l.id limit $2`,
        [projectId, LOTS_MAX],
      )
      const [wallet] = rows
      if (wallet === undefined) throw new AppError('not_found', { message: 'No project has this id.' })
      const free = wallet.posted - wallet.held
      return {
        account: wallet.account,
        postedNanos: wallet.posted,
        heldNanos: wallet.held,
        availableNanos: free - (wallet.due < free ? wallet.due : free),
        frozen: wallet.frozen,
        seq: wallet.seq,
        lots: rows.flatMap(toLot),
      }
    },
  }
}

export type Wallets = ReturnType<typeof createWallets>

/**
 * Locks the wallets of a transaction that moves money in several, before it moves any: by ascending id, as everybody does. A
 * movement also locks accounts of the writer, so wallets that are locked one by one, even in order, end in a deadlock.
 */
export async function lockWallets(tx: Tx, ids: readonly bigint[]): Promise<void> {
  await tx.query('select 1 from wallet where id = any ($1::bigint[]) order by id for no key update', [ids])
}

function toLot(row: Row): Lot[] {
  if (row.lotId === null) return []
  const kind = lotKinds[row.class - 1]
  if (kind === undefined) throw new Error(`lot ${row.lotId} has the unknown class ${row.class}`)
  return [{ id: row.lotId, kind, priority: row.priority, expiresAt: row.expiresAt, restNanos: row.rest }]
}
