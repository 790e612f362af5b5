import { type Db, within } from '#db/pool.ts'

/** One rule, over books of any size. */
const RULE_MS_MAX = 30 * 60_000

export interface AuditReport {
  ok: boolean
  checkedAt: string
  invariants: { name: string; checked: number; bad: number }[]
}

/**
 * Recomputes the books from their postings. All invariants look at one snapshot, so a running gateway does not disturb
 * them. Every `bad` must be zero.
 */
export async function auditLedger(db: Db): Promise<AuditReport> {
  const client = await db.connect()
  let failed: Error | undefined
  try {
    await client.query('begin isolation level repeatable read read only')
    await client.query(`set local statement_timeout = ${RULE_MS_MAX}`)
    const report: AuditReport = { ok: true, checkedAt: new Date().toISOString(), invariants: [] }
    for (const [name, sql] of Object.entries(invariants)) {
      const { rows } = await client.query<{ checked: bigint; bad: bigint }>(within(RULE_MS_MAX, sql))
      const [row] = rows
      if (row === undefined) throw new Error(`the invariant "${name}" returns one row`)
      report.invariants.push({ name, checked: Number(row.checked), bad: Number(row.bad) })
      report.ok &&= row.bad === 0n
    }
    await client.query('commit')
    return report
  } catch (error) {
    failed = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    client.release(failed)
  }
}

// A provider may name its model with a NUL, which JSON can spell and jsonb cannot hold: one such receipt would end every
// audit. Only an escape that is not itself escaped is meant.
const receiptJson = `case when position('\\u0000' in l.receipt) = 0 then l.receipt
  else regexp_replace(l.receipt, '(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', '\\1\\\\ufffd', 'g') end`

// Each query counts the rows it looked at and those that break the rule named before it.
const invariants = {
  'the sum of debits is the sum of credits, per asset': `
    select count(*) as checked, count(*) filter (where debits <> credits) as bad
    from (select asset, sum(debits) as debits, sum(credits) as credits from account group by asset) a`,

  'the counters of an account are the sums of its transfers': `
    select count(*) as checked,
           count(*) filter (where a.debits <> coalesce(d.s, 0) or a.credits <> coalesce(c.s, 0)) as bad
    from account a
    left join (select debit as id, sum(amount) as s from transfer group by 1) d on d.id = a.id
    left join (select credit as id, sum(amount) as s from transfer group by 1) c on c.id = a.id`,

  'what a wallet has posted is the sum of its lots': `
    select count(*) as checked, count(*) filter (where w.posted <> coalesce(l.s, 0)) as bad
    from wallet w
    left join (select wallet_id, sum(credits - debits) as s from account where kind = 1 group by 1) l on l.wallet_id = w.id`,

  'what a wallet holds is the sum of its open holds': `
    select count(*) as checked, count(*) filter (where w.held <> coalesce(h.s, 0)) as bad
    from wallet w left join (select wallet_id, sum(amount) as s from hold group by 1) h on h.wallet_id = w.id`,

  'a wallet never spends below zero': `
    select count(*) as checked, count(*) filter (where posted < held or held < 0) as bad from wallet`,

  'a lot with money left is open': `
    select count(*) as checked, count(*) filter (where credits > debits and not open) as bad from account where kind = 1`,

  'call numbers 1 to n of a wallet are each one open hold or one record': `
    select count(*) as checked,
           count(*) filter (where w.seq <> coalesce(x.calls, 0) or w.seq <> coalesce(x.numbers, 0)
                               or w.seq <> coalesce(x.last, 0)) as bad
    from wallet w left join (
      select wallet_id, count(*) as calls, count(distinct seq) as numbers, max(seq) as last
      from (select wallet_id, seq from hold union all select wallet_id, seq from request_log) s group by 1) x
    on x.wallet_id = w.id`,

  'no call is both open and settled': `
    select count(*) as checked, count(l.request_id) as bad
    from hold h left join request_log l on l.request_id = h.request_id`,

  'what a call was charged is the sum of its charge transfers': `
    select count(*) as checked, count(*) filter (where l.charged <> coalesce(t.s, 0)) as bad
    from request_log l
    left join (select ref, sum(amount) as s from transfer where code = 10 group by 1) t on t.ref = l.request_id`,

  'charges are taken from lots of the wallet that made the call': `
    select count(*) as checked, count(*) filter (where a.wallet_id is distinct from l.wallet_id or a.kind <> 1) as bad
    from transfer t join request_log l on l.request_id = t.ref join account a on a.id = t.debit where t.code = 10`,

  'every charge transfer has its record': `
    select count(*) as checked, count(*) filter (where l.request_id is null) as bad
    from transfer t left join request_log l on l.request_id = t.ref where t.code = 10`,

  'refunds are never more than was charged': `
    select count(*) as checked, count(*) filter (where l.charged is null or r.s > l.charged) as bad
    from (select reverses, sum(amount) as s from transfer where code = 11 group by 1) r
    left join request_log l on l.request_id = r.reverses`,

  'what was taken back of a grant is never more than it was': `
    select count(*) as checked, count(*) filter (where g.amount is null or r.s > g.amount) as bad
    from (select reverses, sum(amount) as s from transfer where code = 12 group by 1) r
    left join transfer g on g.ref = r.reverses and g.leg = 0 and g.code = 2`,

  'a budget has spent what its calls were charged': `
    select count(*) as checked, count(*) filter (where u.spent <> u.opening + coalesce(c.s, 0)) as bad
    from budget_usage u
    left join (select budget_id, period_start, sum(charged) as s from budget_charge group by 1, 2) c using (budget_id, period_start)`,

  'a budget holds what its open calls hold': `
    select count(*) as checked, count(*) filter (where u.held <> coalesce(h.s, 0)) as bad
    from budget_usage u
    left join (select x.id, x.start, sum(h.amount) as s from hold h cross join unnest(h.budgets, h.budget_periods) as x(id, start)
               group by 1, 2) h on h.id = u.budget_id and h.start = u.period_start`,

  'what a call took of a budget is what it was charged': `
    select count(*) as checked, count(*) filter (where l.charged is distinct from c.charged) as bad
    from budget_charge c left join request_log l on l.request_id = c.request_id`,

  'every grant and refund says why': `
    select count(*) as checked, count(*) filter (where a.amount is distinct from t.s) as bad
    from (select ref, sum(amount) as s from transfer where code in (1, 2, 11, 12, 13, 15, 16) group by 1) t
    full join adjustment a on a.ref = t.ref`,

  'every payment has its credit, and what was taken back of it is in the books': `
    select count(*) as checked, count(*) filter (where
      t.amount is distinct from p.amount or t.credit is distinct from p.lot_id or c.kind is distinct from 3::smallint
      or p.reversed <> coalesce(r.taken, 0)) as bad
    from payment p left join transfer t on t.ref = p.ref and t.leg = 0 and t.code = 1 left join account c on c.id = t.debit
    left join (
      select reverses, sum(case when code in (13, 14, 19) then amount else -amount end) as taken
      from transfer where code in (13, 14, 16, 17, 19) group by 1) r on r.reverses = p.ref`,

  'every top-up has its payment': `
    select count(*) as checked, count(*) filter (where p.id is null) as bad
    from transfer t left join payment p on p.ref = t.ref where t.code = 1`,

  'what customers owe is what their payments say': `
    select count(*) as checked, count(*) filter (where coalesce(a.s, 0) <> coalesce(p.s, 0)) as bad
    from (select asset, sum(debits - credits) as s from account where kind = 8 group by 1) a
    full join (select w.asset, sum(p.owed) as s from payment p join wallet w on w.id = p.wallet_id group by 1) p on p.asset = a.asset`,

  'a wallet that owes is frozen': `
    select count(*) as checked, count(*) filter (where not w.frozen) as bad
    from wallet w where exists (select 1 from payment p where p.wallet_id = w.id and p.owed > 0)`,

  'a receipt says what its record says': `
    select count(*) as checked, count(*) filter (where
      (r->>'receipt_id') is distinct from 'rcp_' || replace(l.request_id::text, '-', '')
      or (r->>'seq')::bigint is distinct from l.seq
      or (r->>'charged_nanousd')::bigint is distinct from l.charged
      or (r->>'absorbed_nanousd')::bigint is distinct from l.absorbed
      or (r->>'account') is distinct from w.account
      or (r->>'key_id') is distinct from l.key_id
      or (r->>'project_key') is distinct from coalesce(l.project_id, r->>'project_key')
      or (r->>'alias_name') is distinct from l.alias_name
      or (r->>'model') is distinct from l.model) as bad
    from request_log l join wallet w on w.id = l.wallet_id cross join lateral (select ${receiptJson}::jsonb as r) x`,

  'a receipt is the leaf that its batch signed': `
    select count(*) as checked, count(*) filter (where
      sha256('\\x00'::bytea || convert_to(l.receipt, 'UTF8')) is distinct from substring(b.leaves from l.pos * 32 + 1 for 32)) as bad
    from request_log l left join receipt_batch b on b.batch_id = l.batch_id`,

  'a batch has one record for each leaf': `
    select count(*) as checked, count(*) filter (where length(b.leaves) / 32 <> coalesce(l.n, 0)) as bad
    from receipt_batch b left join (
      select batch_id, count(*) as n from (select batch_id from request_log union all select batch_id from signed_document) r
      group by 1) l on l.batch_id = b.batch_id`,

  'a signed document is the leaf that its batch signed': `
    select count(*) as checked, count(*) filter (where
      sha256('\\x00'::bytea || convert_to(d.document, 'UTF8')) is distinct from substring(b.leaves from d.pos * 32 + 1 for 32)) as bad
    from signed_document d left join receipt_batch b on b.batch_id = d.batch_id`,

  'statements of a wallet go on where the one before ended': `
    select count(*) as checked, count(*) filter (where opening <> coalesce(closed, 0) or total <> coalesce(before, 0) + receipts
                                                    or total + open <> highest or highest < coalesce(highest_before, 0)) as bad
    from (select opening, total, receipts, open, highest, lag(closing) over w as closed, lag(total) over w as before,
                 lag(highest) over w as highest_before
          from (select wallet_id, period, (s->>'opening_nanousd')::bigint as opening, (s->>'closing_nanousd')::bigint as closing,
                       (s->>'receipts_total')::bigint as total, (s->'receipts'->>'count')::bigint as receipts,
                       (s->'open'->>'count')::bigint as open, (s->>'highest')::bigint as highest
                from (select wallet_id, period, document::jsonb as s from signed_document where kind = 'statement') d) f
          window w as (partition by wallet_id order by period)) x`,

  'a statement says what the books say of its day': `
    select count(*) as checked, count(*) filter (where
      (d.s->>'account') is distinct from w.account
      or (d.s->>'day') is distinct from d.period
      or (d.s->>'granted_nanousd')::bigint <> coalesce(t.granted, 0) or (d.s->>'refunded_nanousd')::bigint <> coalesce(t.refunded, 0)
      or (d.s->>'expired_nanousd')::bigint <> coalesce(t.expired, 0) or (d.s->>'charged_nanousd')::bigint <> coalesce(t.charged, 0)
      or (d.s->>'adjusted_nanousd')::bigint <> coalesce(t.adjusted, 0)
      or (d.s->>'closing_nanousd')::bigint - (d.s->>'opening_nanousd')::bigint <> coalesce(t.moved, 0)
      or (d.s->'receipts'->>'count')::bigint <> coalesce(l.n, 0)) as bad
    from (select wallet_id, period, document::jsonb as s from signed_document where kind = 'statement') d
    join wallet w on w.id = d.wallet_id
    left join (
      select a.wallet_id, to_char(t.at, 'YYYY-MM-DD') as period,
             sum(case when t.credit = a.id then t.amount else -t.amount end) as moved,
             sum(t.amount) filter (where t.code in (1, 2)) as granted, sum(t.amount) filter (where t.code = 11) as refunded,
             sum(t.amount) filter (where t.code = 3) as expired, sum(t.amount) filter (where t.code = 10) as charged,
             sum(case when t.credit = a.id then t.amount else -t.amount end) filter (where t.code not in (1, 2, 3, 10, 11)) as adjusted
      from transfer t join account a on a.id in (t.debit, t.credit) and a.kind = 1 group by 1, 2) t
      on t.wallet_id = d.wallet_id and t.period = d.period
    left join (select wallet_id, to_char(settled_at, 'YYYY-MM-DD') as period, count(*) as n from request_log group by 1, 2) l
      on l.wallet_id = d.wallet_id and l.period = d.period`,

  'a certificate says what the logs on it say, and each of them once': `
    select count(*) as checked, count(*) filter (where
      (d.document::jsonb->'entries'->>'n')::bigint is distinct from x.n or c.entries is distinct from x.n
      or x.last is distinct from x.n - 1 or x.strangers > 0
      or (t->>'calls')::bigint is distinct from x.n
      or (t->>'input_tokens')::numeric is distinct from x.i or (t->>'output_tokens')::numeric is distinct from x.o
      or (t->>'cost_nanousd')::numeric is distinct from x.k or (t->>'unpriced')::bigint is distinct from x.u) as bad
    from signed_document d cross join lateral (select d.document::jsonb->'totals' as t) y
    left join certificate c on c.document_id = d.id and c.project_id = d.project_id
    left join (
      select l.document_id, count(*) as n, max(l.pos) as last, sum(r.input_tokens) as i, sum(r.output_tokens) as o,
             coalesce(sum(r.cost), 0) as k, count(*) filter (where r.cost is null) as u,
             count(*) filter (where r.project_id is distinct from s.project_id) as strangers
      from certified_log l join reported_log r on r.id = l.log_id join signed_document s on s.id = l.document_id
      group by 1) x on x.document_id = d.id
    where d.kind = 'certificate'`,

  'usage that was reported is never charged': `
    select count(*) as checked, count(*) filter (where t.ref is not null) as bad
    from reported_log l left join transfer t on t.ref = l.id`,

  'every batch was signed with a key that was published': `
    select count(*) as checked, count(*) filter (where k.key_id is null) as bad
    from receipt_batch b left join receipt_key k on k.key_id = b.key_id`,

  'every batch is in the public log or waits for it, once': `
    select count(*) as checked, count(*) filter (where coalesce(l.n, 0) + coalesce(q.n, 0) <> 1) as bad
    from receipt_batch b
    left join (select batch_id, count(*) as n from log_leaf join log_head using (log_id) where ended_at is null group by 1) l using (batch_id)
    left join (select batch_id, count(*) as n from log_queue group by 1) q using (batch_id)`,

  'the leaves of a log are the roots of its batches, from 0 to its size': `
    select count(*) as checked, count(*) filter (where l.root is distinct from b.root or l.idx <> l.place or l.idx >= h.size) as bad
    from (select *, row_number() over (partition by log_id order by idx) - 1 as place from log_leaf) l
    join log_head h using (log_id) left join receipt_batch b using (batch_id)`,

  'provider costs are posted once per batch': `
    select count(*) as checked, count(*) filter (where coalesce(l.s, 0) <> coalesce(t.s, 0)) as bad
    from (select batch_id, sum(cost) as s from request_log group by 1) l
    full join (select ref, sum(amount) as s from transfer where code = 20 group by 1) t on t.ref = l.batch_id`,

  'the roll-up is the sum of the records': `
    select count(*) as checked, count(*) filter (where (u.c, u.i, u.o, u.s, u.a, u.k, u.n) is distinct from (l.c, l.i, l.o, l.s, l.a, l.k, l.n)) as bad
    from (select bucket, series, calls c, input_tokens i, output_tokens o, charged s, absorbed a, cost k, unpriced n from usage_15m) u
    full join (
      select date_bin('15 minutes', at, '2000-01-01 00:00+00') as bucket, series, count(*) c, sum(input_tokens) i, sum(output_tokens) o,
             sum(charged) s, sum(absorbed) a, sum(cost) k, sum(unpriced) n
      from (select settled_at as at, series_id(wallet_id, project_id, key_id, 1::smallint, provider, model, model_used, alias_name,
                                               profile, origin) as series,
                   input_tokens, output_tokens, charged, absorbed, cost, 0 as unpriced from request_log
            union all
            select occurred_at, series_id(wallet_id, project_id, key_id, 2::smallint, provider, model, model, alias_name, profile, origin),
                   input_tokens, output_tokens, 0, 0, coalesce(cost, 0), (cost is null)::int from reported_log) r
      group by 1, 2) l using (bucket, series)`,

  'the hours of the roll-up are the sums of its quarters': `
    select count(*) as checked, count(*) filter (where (h.c, h.i, h.o, h.s, h.k, h.n) is distinct from (q.c, q.i, q.o, q.s, q.k, q.n)) as bad
    from (select wallet_id, hour, series, calls c, input_tokens i, output_tokens o, charged s, cost k, unpriced n from usage_1h) h
    full join (
      select wallet_id, date_bin('1 hour', bucket, '2000-01-01 00:00+00') as hour, series, sum(calls) c, sum(input_tokens) i,
             sum(output_tokens) o, sum(charged) s, sum(cost) k, sum(unpriced) n
      from usage_15m where bucket < (select until from usage_fold) group by 1, 2, 3) q using (wallet_id, hour, series)`,

  'a series is named by its labels': `
    select count(*) as checked, count(*) filter (where id <> series_id(wallet_id, project_id, key_id, source, provider, model,
                                                                      model_used, alias_name, profile, origin)) as bad
    from usage_series`,
} as const
