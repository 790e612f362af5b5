import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'

export const HISTORY_PAGE_MAX = 1_000
/** Deeper pages are reached by cursor, which costs the same at any depth. */
export const HISTORY_OFFSET_MAX = 10_000

type MovementKind = 'charge' | 'grant' | 'refund' | 'expiry' | 'reversal' | 'claw_back' | 'repayment' | 'reinstatement'

/** One line of a wallet's history. */
export interface Movement {
  kind: MovementKind
  /** 32 hex digits: of the call, or of the posting. */
  id: string
  /** ISO 8601 with microseconds. */
  at: string
  /** Nano-dollars, above zero. */
  nanos: bigint
  /** What kind of lot was credited; null for what took away. */
  lot: 'paid' | 'promo' | 'subscription' | 'admin' | null
  reason: string | null
  /** Of a call. */
  call: {
    model: string
    aliasName: string | null
    inputTokens: bigint
    outputTokens: bigint
    outcome: number
  } | null
}

/** Where a page ended. */
export interface HistoryCursor {
  at: string
  id: string
}

interface Row extends Omit<Movement, 'call' | 'lot'> {
  class: number | null
  model: string | null
  aliasName: string | null
  inputTokens: bigint | null
  outputTokens: bigint | null
  outcome: number | null
}

const lots = ['paid', 'promo', 'subscription', 'admin'] as const

export function createFluxHistory(deps: { db: Db }) {
  const { db } = deps
  return {
    /**
     * What moved the balance of a project's wallet, newest first: one line for each call that was charged, each grant,
     * refund, expiry and reversal, and what was taken back of a payment or given again. A page costs the same however long the history is; `offset` is at most
     * HISTORY_OFFSET_MAX.
     */
    async page(
      projectId: string,
      page: { limit: number; after?: HistoryCursor; offset?: number },
    ): Promise<{ movements: Movement[]; hasMore: boolean }> {
      const { limit, after, offset = 0 } = page
      assert(limit >= 1 && limit <= HISTORY_PAGE_MAX, 'a page has 1 to HISTORY_PAGE_MAX lines')
      assert(offset >= 0 && offset <= HISTORY_OFFSET_MAX, 'an offset is 0 to HISTORY_OFFSET_MAX')
      const { rows } = await db.query<Row>(historyQuery, [
        projectId,
        after?.at ?? 'infinity',
        after?.id ?? 'f'.repeat(32),
        limit + 1 + offset,
        offset,
      ])
      return { movements: rows.slice(0, limit).map(toMovement), hasMore: rows.length > limit }
    },

    /** What the balance was right after the last time that it was credited other than by a refund; 0 before the first. */
    async capacity(projectId: string): Promise<bigint> {
      const { rows } = await db.query<{ capacity: bigint }>(capacityQuery, [projectId])
      return rows[0]?.capacity ?? 0n
    },
  }
}

export type FluxHistory = ReturnType<typeof createFluxHistory>

function toMovement(row: Row): Movement {
  const { kind, id, at, nanos, reason, model, aliasName, inputTokens, outputTokens, outcome } = row
  const isCall = model !== null && inputTokens !== null && outputTokens !== null && outcome !== null
  return {
    ...{ kind, id, at, nanos, reason },
    lot: row.class === null ? null : (lots[row.class - 1] ?? null),
    call: isCall ? { model, aliasName, inputTokens, outputTokens, outcome } : null,
  }
}

// Each part stops at the end of the page by itself, through an index, before they are merged.
const hex = (column: string) => `replace(${column}::text, '-', '')`
const historyQuery = `
  with p as (select id, wallet_id from project where id = $1), calls as (
    select l.settled_at as at, l.request_id as ref, 'charge' as kind, l.charged as nanos, null::smallint as class, null as reason,
           l.model, l.alias_name, l.input_tokens, l.output_tokens, l.outcome
    from request_log l
    where l.project_id = $1 and l.charged > 0 and (l.settled_at, l.request_id) < ($2::timestamptz, $3::uuid)
    order by l.settled_at desc, l.request_id desc limit $4
  ), adjusted as (
    select a.created_at as at, a.ref, a.kind, a.amount as nanos,
           (select c.class from transfer t join account c on c.id = t.credit where t.ref = a.ref order by t.leg limit 1) as class,
           a.reason, null, null, null::bigint, null::bigint, null::smallint
    from adjustment a join p on p.wallet_id = a.wallet_id
    where (a.created_at, a.ref) < ($2::timestamptz, $3::uuid)
    order by a.created_at desc, a.ref desc limit $4
  ), expired as (
    select t.at, t.ref, 'expiry', t.amount, null::smallint, null, null, null, null::bigint, null::bigint, null::smallint
    from account a join p on p.wallet_id = a.wallet_id join transfer t on t.debit = a.id and t.code = 3
    where a.kind = 1 and a.expires_at is not null and (t.at, t.ref) < ($2::timestamptz, $3::uuid)
    order by t.at desc, t.ref desc limit $4
  )
  select kind, ${hex('ref')} as id, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, nanos, class, reason,
         model, alias_name as "aliasName", input_tokens as "inputTokens", output_tokens as "outputTokens", outcome
  from (select * from calls union all select * from adjusted union all select * from expired) m
  order by m.at desc, m.ref desc limit $4 - $5::bigint offset $5::bigint`

// Backwards from the balance of now, over what moved since.
const capacityQuery = `
  with p as (select p.id, w.id as wallet_id, w.posted from project p join wallet w on w.id = p.wallet_id where p.id = $1),
  last as (
    select a.created_at as at from adjustment a join p on p.wallet_id = a.wallet_id
    where a.kind = 'grant' order by a.created_at desc, a.ref desc limit 1
  )
  select (p.posted
    + coalesce((select sum(l.charged) from request_log l where l.project_id = p.id and l.settled_at > last.at), 0)
    - coalesce((select sum(case when a.kind in ('reversal', 'claw_back', 'repayment') then -a.amount else a.amount end) from adjustment a
                where a.wallet_id = p.wallet_id and a.created_at > last.at), 0)
    + coalesce((select sum(t.amount) from account a join transfer t on t.debit = a.id and t.code = 3
                where a.wallet_id = p.wallet_id and a.kind = 1 and a.expires_at is not null and t.at > last.at), 0))::bigint as capacity
  from p, last`
