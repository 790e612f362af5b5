import { plainArray, textArray } from '#db/array-literal.ts'
import type { Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import type { Repair, ReportedUsage } from './usage-row.ts'

/** A row with its owner here. */
export interface OwnedUsage {
  usage: ReportedUsage
  projectId: string
  keyId: string
  repairs: readonly Repair[]
  sourceId: string
}

/** A row that is kept as it was, outside of the usage. */
export interface Quarantined {
  sourceId: string
  reason: string
  projectId: string | null
  input: string | null
  output: string | null
  cost: string | null
  row: unknown
}

interface Place {
  importName: string
  relation: string
}

/** Writes reported usage with its roll-up and the notes of its repairs. None of the ids may be in use. */
export async function insertReported(tx: Tx, place: Place, rows: readonly OwnedUsage[]): Promise<void> {
  if (rows.length === 0) return
  const texts = (of: (row: OwnedUsage) => string | null) => textArray(rows, of)
  const numbers = (of: (row: OwnedUsage) => bigint | string | null) => plainArray(rows, (row) => of(row) ?? 'NULL')
  // The order of the upserts is that of every other writer, so that two of them never wait for each other in a ring.
  const { rowCount } = await tx.query({
    name: 'import_reported',
    text: `with op as (
       select o.*, p.wallet_id
       from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                   $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[], $16::bigint[], $17::text[],
                   $18::numeric[], $19::text[], $20::uuid[])
            as o(id, project_id, key_id, at, provider, model, alias_name, profile, origin, id_at_origin, tin, tout, cached, usage,
                 latency, cost, cost_status, reported_cost, metadata, conversation_id)
       join project p on p.id = o.project_id
     ), log as (
       insert into reported_log (id, wallet_id, project_id, key_id, body_hash, occurred_at, received_at, provider, model, alias_name,
                                 profile, origin, id_at_origin, input_tokens, output_tokens, cached_input_tokens, usage, latency_ms,
                                 cost, cost_status, reported_cost, metadata, conversation_id, imported_from)
       select id, wallet_id, project_id, key_id, '', at, at, provider, model, alias_name, profile, origin, id_at_origin, tin, tout,
              cached, usage, latency, cost, cost_status, reported_cost, metadata, conversation_id, $21
       from op
       returning id
     ), named as (
       select op.*, series_id(wallet_id, project_id, key_id, 2::smallint, provider, model, model, alias_name, profile, origin) as series
       from op
     ), series as (
       insert into usage_series (id, wallet_id, project_id, key_id, source, provider, model, model_used, alias_name, profile, origin)
       select distinct on (series) series, wallet_id, project_id, key_id, 2, provider, model, model, alias_name, profile, origin
       from named order by series
       on conflict do nothing
     ), rolled as (
       insert into usage_15m as u (wallet_id, bucket, series, calls, input_tokens, output_tokens, charged, absorbed, cost, unpriced)
       select wallet_id, date_bin('15 minutes', at, '2000-01-01 00:00+00') as bucket, series, count(*), sum(tin), sum(tout), 0, 0,
              coalesce(sum(cost), 0), count(*) filter (where cost is null)
       from named group by 1, 2, 3 order by 1, 2, 3
       on conflict (wallet_id, bucket, series) do update set
         calls = u.calls + excluded.calls, input_tokens = u.input_tokens + excluded.input_tokens,
         output_tokens = u.output_tokens + excluded.output_tokens, cost = u.cost + excluded.cost,
         unpriced = u.unpriced + excluded.unpriced
     )
     select id from log`,
    values: [
      plainArray(rows, (row) => row.usage.id),
      texts((row) => row.projectId),
      texts((row) => row.keyId),
      texts((row) => row.usage.at),
      texts((row) => row.usage.provider),
      texts((row) => row.usage.model),
      texts((row) => row.usage.alias),
      texts((row) => row.usage.profile),
      texts((row) => row.usage.origin),
      texts((row) => row.usage.idAtOrigin),
      numbers((row) => row.usage.input),
      numbers((row) => row.usage.output),
      numbers((row) => row.usage.cached),
      texts((row) => row.usage.usage),
      numbers((row) => row.usage.latency),
      numbers((row) => row.usage.costNanos),
      texts((row) => row.usage.costStatus),
      numbers((row) => row.usage.reportedCost),
      texts((row) => row.usage.metadata),
      numbers((row) => row.usage.conversationId),
      place.importName,
    ],
  })
  assert(rowCount === rows.length, 'every row was written')
  await insertRepairs(
    tx,
    place,
    rows.flatMap(({ sourceId, repairs }) => repairs.map((repair) => ({ sourceId, ...repair }))),
  )
}

async function insertRepairs(tx: Tx, place: Place, rows: readonly (Repair & { sourceId: string })[]): Promise<void> {
  if (rows.length === 0) return
  await tx.query(
    `insert into import_repair (import, relation, source_id, what, original)
     select $1, $2, id, what, original from unnest($3::text[], $4::text[], $5::text[]) as o(id, what, original)`,
    [
      place.importName,
      place.relation,
      textArray(rows, (row) => row.sourceId),
      textArray(rows, (row) => row.what),
      textArray(rows, (row) => row.original),
    ],
  )
}

export async function insertQuarantined(tx: Tx, place: Place, rows: readonly Quarantined[]): Promise<void> {
  if (rows.length === 0) return
  await tx.query(
    `insert into import_quarantine (import, relation, source_id, reason, project_id, input_tokens, output_tokens, cost, row)
     select $1, $2, id, reason, project, tin, tout, cost, row
     from unnest($3::text[], $4::text[], $5::text[], $6::numeric[], $7::numeric[], $8::numeric[], $9::text[])
          as o(id, reason, project, tin, tout, cost, row)`,
    [
      place.importName,
      place.relation,
      textArray(rows, (row) => row.sourceId),
      textArray(rows, (row) => row.reason),
      textArray(rows, (row) => row.projectId),
      plainArray(rows, (row) => row.input ?? 'NULL'),
      plainArray(rows, (row) => row.output ?? 'NULL'),
      plainArray(rows, (row) => row.cost ?? 'NULL'),
      textArray(rows, (row) => JSON.stringify(row.row)),
    ],
  )
}
