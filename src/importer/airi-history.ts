import { textArray } from '#db/array-literal.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { canonicalJson } from '#lib/canonical-json.ts'
import { uuidFromName } from '#lib/ids.ts'
import { type AiriShape, airiTable, airiTime } from './airi-shape.ts'
import type { ImportContext } from './import-phase.ts'
import { onSnapshot, type Progress, readProgress, writeProgress } from './import-run.ts'
import { fingerprintOf, sha256 } from './llmring-owners.ts'
import { openTenants, readTenants, type Tenants } from './llmring-tenants.ts'
import { addCounts } from './report.ts'
import { insertQuarantined, insertReported, type OwnedUsage, type Quarantined } from './reported-batch.ts'
import { convertUsage, dashed } from './usage-row.ts'

export type AiriContext = ImportContext<AiriShape>

/** Opens a project for everybody who has a balance or a history. */
export async function openAiriUsers({ source, target, shape, run }: AiriContext): Promise<Tenants> {
  const { rows } = await onSnapshot(source.db, (tx) =>
    tx.query<{ id: string }>(
      ['user_flux', 'flux_transaction', 'llm_request_log']
        .map((table) => `select user_id as id from ${airiTable(shape, table)}`)
        .join(' union '),
    ),
  )
  const owners = rows.map(({ id }) => ({
    kind: 'project' as const,
    sourceHash: sha256(id),
    fingerprint: fingerprintOf(id),
    name: `${run.name}:${id}`,
  }))
  await openTenants(target, run.name, { owners, keys: [], keysUnreadable: 0 })
  return readTenants(target, run.name)
}

interface Transaction {
  id: string
  userId: string
  type: string
  amount: string
  before: string
  after: string
  requestId: string | null
  description: string | null
  metadata: string | null
  at: string | null
}

/** Keeps flux_transaction as it is. Rows that are here already are passed over. */
export async function copyTransactions(context: AiriContext, batchRows: number): Promise<void> {
  const { shape } = context
  const select = `select id, user_id as "userId", type, amount::text, balance_before::text as before, balance_after::text as after,
    request_id as "requestId", description, metadata::text as metadata, ${airiTime(shape, 'flux_transaction', 'created_at')} as at`
  await copyPages<Transaction>(context, { relation: 'flux_transaction', select, batchRows }, async (tx, rows) => {
    const texts = (of: (row: Transaction) => string | null) => textArray(rows, of)
    const { rowCount } = await tx.query(
      `insert into imported_airi_flux_transaction
         (import, id, user_id, type, amount, balance_before, balance_after, request_id, description, metadata, created_at)
       select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::text[],
                                $10::text[], $11::timestamptz[])
       on conflict (import, id) do nothing`,
      [
        context.run.name,
        texts(({ id }) => id),
        texts(({ userId }) => userId),
        texts(({ type }) => type),
        texts(({ amount }) => amount),
        texts(({ before }) => before),
        texts(({ after }) => after),
        texts(({ requestId }) => requestId),
        texts(({ description }) => description),
        texts(({ metadata }) => metadata),
        texts(({ at }) => at),
      ],
    )
    return { copied: rowCount ?? 0, counts: {} }
  })
}

interface Request {
  id: string
  userId: string
  model: string | null
  status: string | null
  duration: string | null
  flux: string | null
  input: string | null
  output: string | null
  at: string | null
}

/** Keeps llm_request_log as reported usage: what was consumed stands in the metadata, because Flux are no cost of a provider. */
export async function copyRequests(context: AiriContext, tenants: Tenants, batchRows: number): Promise<void> {
  const { shape, run } = context
  const relation = 'llm_request_log'
  const place = { importName: run.name, relation }
  const select = `select id, user_id as "userId", model, status::text, duration_ms::text as duration, flux_consumed::text as flux,
    prompt_tokens::text as input, completion_tokens::text as output, ${airiTime(shape, relation, 'created_at')} as at`
  await copyPages<Request>(context, { relation, select, batchRows }, async (tx, rows) => {
    const kept: OwnedUsage[] = []
    const refused: Quarantined[] = []
    const counts: Record<string, number> = {}
    for (const row of await requestsNotHere(tx, run.name, rows)) {
      const projectId = tenants.projectOf('project', sha256(row.userId))
      assert(projectId !== undefined, 'every user has a project')
      const id = requestId(run.name, row.id)
      const converted = convertUsage(
        {
          id,
          model: row.model,
          provider: 'airi',
          input: row.input ?? '0',
          output: row.output ?? '0',
          cached: null,
          cost: null,
          latency: row.duration,
          origin: null,
          idAtOrigin: row.id,
          metadata: metadataOf(row),
          at: row.at,
          alias: null,
          profile: 'default',
          conversationId: null,
        },
        { importName: run.name, relation, idIsUuid: true, unpriced: 'not_recorded' },
      )
      if (converted.kept !== undefined) {
        kept.push({ usage: converted.kept, projectId, keyId: 'imported', repairs: converted.repairs, sourceId: row.id })
        continue
      }
      const { input, output } = row
      refused.push({ sourceId: row.id, reason: converted.reason, projectId, input, output, cost: null, row })
      counts[converted.reason] = (counts[converted.reason] ?? 0) + 1
    }
    await insertReported(tx, place, kept)
    await insertQuarantined(tx, place, refused)
    return { copied: kept.length + refused.length, counts }
  })
}

function requestId(name: string, id: string): string {
  return dashed(uuidFromName('import', name, 'llm_request_log', id))
}

/** Numbers as texts where they may be large. Without token counts AIRI took a flat price: that is not zero tokens. */
function metadataOf({ status, flux, input, output }: Request): string {
  return canonicalJson({
    ...(flux !== null && { flux_consumed: flux }),
    ...(status !== null && { status: Number(status) }),
    ...((input === null || output === null) && { tokens: 'unknown' }),
  })
}

async function requestsNotHere(tx: Tx, name: string, rows: readonly Request[]): Promise<Request[]> {
  const { rows: here } = await tx.query<{ id: string }>(
    `select id_at_origin as id from reported_log where id = any ($2::uuid[]) and imported_from = $1
     union all select source_id from import_quarantine where import = $1 and relation = 'llm_request_log' and source_id = any ($3::text[])`,
    [name, rows.map(({ id }) => requestId(name, id)), rows.map(({ id }) => id)],
  )
  const known = new Set(here.map(({ id }) => id))
  return rows.filter(({ id }) => !known.has(id))
}

/** Reads a table by ascending id from where the last run stopped, and writes each page with its place in one commit. */
async function copyPages<Row extends { id: string }>(
  { source, target, shape, run }: AiriContext,
  page: { relation: string; select: string; batchRows: number },
  write: (tx: Tx, rows: Row[]) => Promise<{ copied: number; counts: Record<string, number> }>,
): Promise<void> {
  const { relation, select, batchRows } = page
  for (;;) {
    const from = await readProgress(target, run.name, relation)
    const { rows } = await source.db.query<Row>(
      `${select} from ${airiTable(shape, relation)} where $2::text is null or id > $2::text order by id limit $3`,
      [run.timeZone, from.last, batchRows],
    )
    const ended = rows.length < batchRows
    await transaction(target, async (tx) => {
      const { copied, counts } = await write(tx, rows)
      await writeProgress(tx, {
        name: run.name,
        relation,
        from,
        to: nextProgress(from, { ended, last: rows.at(-1)?.id, copied, counts }),
      })
    })
    if (ended) return
  }
}

function nextProgress(
  from: Progress,
  page: { ended: boolean; last: string | undefined; copied: number; counts: Record<string, number> },
): Progress {
  return {
    pass: page.ended ? from.pass + 1 : from.pass,
    last: page.ended ? null : (page.last ?? null),
    copied: from.copied + BigInt(page.copied),
    counts: addCounts(from.counts, page.counts),
  }
}

/** Rows and sums of AIRI's tables, as decimal texts. */
export async function airiTotals(tx: Tx, shape: AiriShape): Promise<Record<string, string>> {
  const table = (name: string) => airiTable(shape, name)
  const { rows } = await tx.query<Record<string, string>>(
    `select (select count(*) from ${table('llm_request_log')})::text as "requests",
            (select coalesce(sum(flux_consumed), 0) from ${table('llm_request_log')})::text as "sum(flux_consumed) of the requests",
            (select coalesce(sum(coalesce(prompt_tokens, 0)::bigint + coalesce(completion_tokens, 0)), 0) from ${table('llm_request_log')})::text as "tokens of the requests",
            (select count(*) from ${table('flux_transaction')})::text as "transactions",
            (select coalesce(sum(amount), 0) from ${table('flux_transaction')})::text as "sum(amount) of the transactions",
            (select coalesce(sum(balance_after::numeric - balance_before), 0) from ${table('flux_transaction')})::text as "sum of what the transactions changed"`,
  )
  return rows[0] ?? {}
}

/** The same of what is here. */
export async function importedAiriTotals(tx: Db | Tx, name: string): Promise<Record<string, string>> {
  const { rows } = await tx.query<Record<string, string>>(
    `with request as (
       select metadata::jsonb ->> 'flux_consumed' as flux, input_tokens::numeric + output_tokens as tokens from reported_log where imported_from = $1
       union all
       select row::jsonb ->> 'flux', coalesce(input_tokens, 0) + coalesce(output_tokens, 0) from import_quarantine
       where import = $1 and relation = 'llm_request_log')
     select (select count(*) from request)::text as "requests",
            (select coalesce(sum(flux::numeric), 0) from request)::text as "sum(flux_consumed) of the requests",
            (select coalesce(sum(tokens), 0) from request)::text as "tokens of the requests",
            count(*)::text as "transactions", coalesce(sum(amount), 0)::text as "sum(amount) of the transactions",
            coalesce(sum(balance_after::numeric - balance_before), 0)::text as "sum of what the transactions changed"
     from imported_airi_flux_transaction where import = $1`,
    [name],
  )
  return rows[0] ?? {}
}
