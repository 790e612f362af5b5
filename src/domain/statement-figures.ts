import { createMerkleRoot } from '#billing/merkle.ts'
import { NUMBER_RANGES_MAX, type NumberRanges, toRanges } from '#billing/number-ranges.ts'
import type { Statement } from '#billing/statement.ts'
import type { Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

// Reads what a statement says, in one snapshot and each figure by two ways: a statement that does not agree with itself is
// never signed. What settled on a day goes by settled_at, what moved by the time of its transfer, both of the database.

const RECEIPTS_AT_ONCE = 5_000
/** A call that ends later than this is told by the next statement that knows of it. */
const LATE_CALLS = '3 hours'

/** One UTC day as the database knows it: `start` and `end` are timestamps, `day` is `2026-12-01`. */
export interface StatementDay {
  day: string
  start: string
  end: string
}

interface WalletRow {
  walletId: bigint
  account: string
  /** Projects that ever charged it and those that do now; null is one that was not kept. */
  projects: (string | null)[]
  posted: bigint
  granted: bigint
  refunded: bigint
  expired: bigint
  adjusted: bigint
  charged: bigint
  calls: bigint
  /** What the balance grew by from the end of the day to now. */
  movedSince: bigint
  /** Numbers of the calls that are open now. */
  open: bigint[]
  openStarted: boolean[]
  before: string | null
}

export type StatementFigures = Omit<Statement, 'v' | 'log' | 'document_id' | 'issued_at'> & { walletId: bigint }

/** What the books say of these wallets before anything of the day is read of their calls. */
export async function readWallets(tx: Tx, day: StatementDay, walletIds: readonly bigint[]): Promise<WalletRow[]> {
  const { rows } = await tx.query<WalletRow>(walletsQuery, [walletIds, day.start, day.end, day.day])
  return rows
}

/** Throws InvariantError when the books do not agree with themselves or with the statement before. */
export async function readFigures(tx: Tx, day: StatementDay, wallet: WalletRow): Promise<StatementFigures> {
  const before = wallet.before === null ? undefined : (JSON.parse(wallet.before) as Statement)
  const closing = wallet.posted - wallet.movedSince
  const { granted, charged, refunded, expired, adjusted } = wallet
  const opening = closing - granted + charged - refunded + expired - adjusted
  assert(opening === BigInt(before?.closing_nanousd ?? 0), 'a day opens with what the day before closed with')

  const settled = await readSettled(tx, day, wallet)
  assert(BigInt(settled.count) === wallet.calls, 'the roll-up has as many calls as there are records')
  assert(settled.charged === charged, 'the records of a day charge what its roll-up says')

  const { highest, open } = await readOpen(tx, day, wallet, Math.max(before?.highest ?? 0, settled.last))
  const total = (before?.receipts_total ?? 0) + settled.count
  assert(open.length === highest - total, 'numbers up to the highest are receipts or open')
  const openRanges = toRanges(open)
  return {
    walletId: wallet.walletId,
    account: wallet.account,
    // By code units, as canonical JSON sorts.
    project_keys: wallet.projects.filter((id) => id !== null).sort(),
    day: day.day,
    opening_nanousd: opening.toString(),
    granted_nanousd: granted.toString(),
    charged_nanousd: charged.toString(),
    refunded_nanousd: refunded.toString(),
    expired_nanousd: expired.toString(),
    adjusted_nanousd: adjusted.toString(),
    closing_nanousd: closing.toString(),
    receipts:
      settled.count === 0
        ? { count: 0 }
        : {
            count: settled.count,
            first: settled.first,
            last: settled.last,
            root: settled.root.toString('base64'),
            ...listed(settled.ranges),
          },
    receipts_total: total,
    highest,
    open: { count: open.length, ...listed(openRanges) },
  }
}

function listed(numbers: NumberRanges): { numbers?: NumberRanges } {
  return numbers.length === 0 || numbers.length > NUMBER_RANGES_MAX ? {} : { numbers }
}

/** The calls that were settled on the day, by number. */
async function readSettled(tx: Tx, day: StatementDay, { walletId, projects }: WalletRow) {
  const tree = createMerkleRoot()
  const numbers: number[] = []
  let charged = 0n
  await tx.query(
    `declare settled no scroll cursor for
     select l.seq, l.charged, sha256('\\x00'::bytea || convert_to(l.receipt, 'UTF8')) as leaf
     from ${recordsOf('$1', '$2')} l where l.settled_at >= $3 and l.settled_at < $4 order by l.seq`,
    [walletId, projects, day.start, day.end],
  )
  for (;;) {
    const { rows } = await tx.query<{ seq: bigint; charged: bigint; leaf: Buffer }>(
      `fetch ${RECEIPTS_AT_ONCE} from settled`,
    )
    for (const row of rows) {
      tree.push(row.leaf)
      numbers.push(Number(row.seq))
      charged += row.charged
    }
    if (rows.length < RECEIPTS_AT_ONCE) break
  }
  await tx.query('close settled')
  return {
    count: numbers.length,
    charged,
    root: tree.root(),
    first: numbers.at(0) ?? 0,
    last: numbers.at(-1) ?? 0,
    ranges: toRanges(numbers),
  }
}

/** The highest number to account for, at least `known`, and those up to it that had no receipt when the day ended. */
async function readOpen(tx: Tx, day: StatementDay, wallet: WalletRow, known: number) {
  const { walletId, projects, open, openStarted } = wallet
  const { rows: late } = await tx.query<{ seq: bigint | null }>(
    `select max(l.seq) as seq from ${recordsOf('$1', '$2')} l
     where l.settled_at >= $3 and l.settled_at < $3::timestamptz + interval '${LATE_CALLS}' and l.started_at < $3`,
    [walletId, projects, day.end],
  )
  const started = open.filter((_, index) => openStarted[index])
  const highest = Math.max(known, Number(late[0]?.seq ?? 0), ...started.map(Number))
  const { rows } = await tx.query<{ seq: bigint }>(
    `select l.seq from ${recordsOf('$1', '$2')} l where l.settled_at >= $3 and l.seq <= $4`,
    [walletId, projects, day.end, highest],
  )
  const numbers = [...rows.map(({ seq }) => Number(seq)), ...open.map(Number).filter((seq) => seq <= highest)]
  return { highest, open: numbers.sort((a, b) => a - b) }
}

/** The records of a wallet by way of the index on project and time. Null is found apart: it equals nothing. */
function recordsOf(wallet: string, projects: string): string {
  const columns = 'seq, charged, receipt, started_at, settled_at'
  return `(select ${columns} from request_log where wallet_id = ${wallet} and project_id = any (${projects}::text[])
           union all
           select ${columns} from request_log where wallet_id = ${wallet} and project_id is null
                                                and array_position(${projects}::text[], null) is not null)`
}

const dayBefore = `(
  select d.document from signed_document d
  where d.kind = 'statement' and d.wallet_id = w.id and d.period < $4 order by d.period desc limit 1)`

// Charges are in the roll-up, everything else that moved is found by its time.
const walletsQuery = `
  with moved as (
    select a.wallet_id, t.code, t.at >= $3 as later, (case when t.credit = a.id then t.amount else -t.amount end) as amount
    from transfer t join account a on a.id in (t.debit, t.credit) and a.kind = 1
    where t.code not in (10, 20) and t.at >= $2 and a.wallet_id = any ($1)
  ), called as (
    select u.wallet_id, u.bucket >= $3 as later, u.charged, u.calls
    from usage_15m u join usage_series s on s.id = u.series
    where s.source = 1 and u.wallet_id = any ($1) and u.bucket >= $2
  ), m as (
    select wallet_id,
           coalesce(sum(amount) filter (where not later and code in (1, 2)), 0)::bigint as granted,
           coalesce(sum(amount) filter (where not later and code = 11), 0)::bigint as refunded,
           coalesce(-sum(amount) filter (where not later and code = 3), 0)::bigint as expired,
           coalesce(sum(amount) filter (where not later and code not in (1, 2, 3, 11)), 0)::bigint as adjusted,
           coalesce(sum(amount) filter (where later), 0)::bigint as since
    from moved group by wallet_id
  ), c as (
    select wallet_id, coalesce(sum(charged) filter (where not later), 0)::bigint as charged,
           coalesce(sum(calls) filter (where not later), 0)::bigint as calls,
           coalesce(sum(charged) filter (where later), 0)::bigint as since
    from called group by wallet_id
  ), h as (
    select wallet_id, array_agg(seq order by seq) as open, array_agg(created_at < $3 order by seq) as started
    from hold where wallet_id = any ($1) group by wallet_id
  )
  select w.id as "walletId", w.account, w.posted,
         coalesce(m.granted, 0) as granted, coalesce(m.refunded, 0) as refunded, coalesce(m.expired, 0) as expired,
         coalesce(m.adjusted, 0) as adjusted, coalesce(c.charged, 0) as charged, coalesce(c.calls, 0) as calls,
         coalesce(m.since, 0) - coalesce(c.since, 0) as "movedSince",
         coalesce(h.open, '{}') as open, coalesce(h.started, '{}') as "openStarted",
         array(select s.project_id from usage_series s where s.wallet_id = w.id and s.source = 1
               union select p.id from project p where p.wallet_id = w.id) as projects,
         ${dayBefore} as before
  from wallet w left join m on m.wallet_id = w.id left join c on c.wallet_id = w.id left join h on h.wallet_id = w.id
  where w.id = any ($1) order by w.id`
