import { byteaArray, textArray } from '#db/array-literal.ts'
import { sqlState } from '#db/failures.ts'
import type { Db, Tx } from '#db/pool.ts'
import { claimedBefore } from '#domain/conversations/conversation-call.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { AppError } from '#src/errors.ts'
import { priceReport } from './price-report.ts'
import { type Reporter, type Stored, storedColumns, type UsageRow } from './stored-usage.ts'

const CHECK_VIOLATION = '23514'

/** Adds rows with their part of the roll-up, one statement; what was there before is read instead. */
export async function writeUsage(
  db: Db | Tx,
  reporter: Reporter,
  rows: readonly UsageRow[],
  book: PriceBook,
  written: Map<string, Stored>,
): Promise<void> {
  if (rows.length === 0) return
  const priced = rows.map((row) => ({ ...row, cost: priceReport(book, row.report) }))
  const texts = (of: (row: (typeof priced)[number]) => string | number | bigint | null) =>
    textArray(priced, (row) => {
      const value = of(row)
      return value === null ? null : String(value)
    })
  const statement = {
    name: 'record_usage',
    text: insertion,
    values: [
      reporter.walletId,
      reporter.projectId,
      reporter.keyId,
      book.digest,
      texts(({ id }) => id),
      byteaArray(priced, ({ bodyHash }) => bodyHash),
      texts(({ report }) => report.occurredAt),
      texts(({ report }) => report.provider),
      texts(({ report }) => report.model),
      texts(({ report }) => report.aliasName),
      texts(({ report }) => report.profile),
      texts(({ report }) => report.origin),
      texts(({ report }) => report.idAtOrigin),
      texts(({ report }) => report.inputTokens),
      texts(({ report }) => report.outputTokens),
      texts(({ report }) => report.cachedInputTokens),
      texts(({ report }) => JSON.stringify(report.usage)),
      texts(({ report }) => report.latencyMs),
      texts(({ cost }) => cost.costNanos),
      texts(({ cost }) => cost.status),
      texts(({ report }) => report.reportedCost),
      texts(({ report }) => report.metadata),
      texts(({ report }) => report.conversationId),
    ],
  }
  const { rows: added } = await db.query<Stored>(statement).catch(refuseTooMuch)
  for (const row of added) written.set(row.logId, { ...row, isNew: true })
  const known = rows.filter(({ id }) => !written.has(id)).map(({ id }) => id)
  if (known.length === 0) return
  const { rows: before } = await db.query<Stored>(
    `select ${storedColumns} from reported_log l where l.id = any ($1::uuid[]) and l.project_id = $2`,
    [known, reporter.projectId],
  )
  for (const row of before) written.set(row.logId, { ...row, isNew: false })
  const claims = known.filter((id) => !written.has(id))
  if (claims.length > 0) for (const [id, row] of await claimedBefore(db, claims)) written.set(id, row)
}

/** The sums of a quarter hour are bounded, so that hours can be made of them: nobody consumes as much. */
function refuseTooMuch(error: unknown): never {
  if (sqlState(error) !== CHECK_VIOLATION || Reflect.get(Object(error), 'constraint') !== 'usage_15m_addable')
    throw error
  throw new AppError('body_invalid', {
    message: 'Input should not bring the usage of a quarter hour above 2.3 billion dollars or 2.3e18 tokens',
    cause: error,
  })
}

// One statement, so one commit: a row counts in the roll-up exactly when it was added here. Each step goes by the order of
// its key, so writers that meet wait for each other in one direction; a row of another writer's running transaction is
// waited for, and is then not added twice.
const insertion = `
  with op as (
    select o.*, coalesce(o.told, clock.now) as at, clock.now,
           series_id($1, $2, $3, 2::smallint, provider, model, model, alias, profile, origin) as series
    from unnest($5::uuid[], $6::bytea[], $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
                $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::bigint[], $19::bigint[], $20::text[],
                $21::numeric[], $22::text[], $23::uuid[])
         as o(id, hash, told, provider, model, alias, profile, origin, id_at_origin, tin, tout, cached, usage, latency,
              cost, status, reported, metadata, conversation),
         (select clock_timestamp() as now) clock
  ), l as (
    insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, received_at, provider, model,
                              alias_name, profile, origin, id_at_origin, input_tokens, output_tokens, cached_input_tokens, usage,
                              latency_ms, cost, cost_status, price_book, reported_cost, metadata, conversation_id)
    select id, $1, $2, $3, hash, at, now, provider, model, alias, profile, origin, id_at_origin, tin, tout, cached, usage,
           latency, cost, status, case when cost is not null then $4 end, reported, metadata, conversation
    from op where not exists (select from conversation_call c where c.claimed_by = op.id) order by id
    on conflict (id) do nothing
    returning *
  ), added as (
    select op.* from op join l on l.id = op.id
  ), named as (
    insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
    select distinct on (series) series, $1, $2, $3, 2, provider, model, model, alias, profile, origin
    from added order by series
    on conflict do nothing
  ), rolled as (
    insert into usage_15m as u (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost, unpriced)
    select $1, date_bin('15 minutes', at, '2000-01-01 00:00+00') as bucket, series, count(*), sum(tin), sum(tout), 0, 0,
           coalesce(sum(cost), 0), count(*) filter (where cost is null)
    from added group by 2, 3 order by 2, 3
    on conflict (wallet_id, bucket, series) do update set
      calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
      output_tokens = u.output_tokens + excluded.output_tokens, cost = u.cost + excluded.cost,
      unpriced = u.unpriced + excluded.unpriced
  )
  select ${storedColumns} from l`
