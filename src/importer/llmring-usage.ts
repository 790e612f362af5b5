import { type Db, type Tx, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { type ImportRun, type Progress, readProgress, writeProgress } from './import-run.ts'
import { sha256 } from './llmring-owners.ts'
import type { LlmringShape } from './llmring-shape.ts'
import { usageRows } from './llmring-sql.ts'
import type { Tenants } from './llmring-tenants.ts'
import { addCounts } from './report.ts'
import { insertQuarantined, insertReported, type OwnedUsage, type Quarantined } from './reported-batch.ts'
import { convertUsage, type SourceUsage } from './usage-row.ts'

const RELATION = 'usage_logs'
/** What a row without a cost is called; `reported_log` keeps priced and unpriced apart by it. */
const UNPRICED = 'not_recorded'
/** A later pass only compares ids, so it reads many at once. */
const IDS_AT_ONCE = 20_000

interface OwnedSource extends SourceUsage {
  ownerKind: string
  owner: string
  header: string | null
  keyHash: string | null
}

export interface UsageCopy {
  source: Db
  target: Db
  shape: LlmringShape
  run: ImportRun
  tenants: Tenants
  /** Opens projects for owners that came in meanwhile. */
  reopenTenants(): Promise<Tenants>
  batchRows: number
  /** Told after each commit, with the rows of usage copied so far. */
  onBatch?: (copied: bigint) => void
}

/**
 * Copies rows of usage_logs by ascending id, each batch in one commit with its roll-up and its place. The first pass copies what it
 * reads; every later one only what came in since. May be killed anywhere and run again.
 */
export async function copyUsage(copy: UsageCopy): Promise<void> {
  const sql = usageRows(copy.shape)
  let { tenants } = copy
  for (;;) {
    const from = await readProgress(copy.target, copy.run.name, RELATION)
    const page =
      from.pass === 0 ? await readRows(copy, sql, from.last, copy.batchRows) : await readMissing(copy, sql, from.last)
    const isNew = (row: OwnedSource) => tenants.projectOf(row.ownerKind, sha256(row.owner)) === undefined
    if (page.rows.some(isNew)) tenants = await copy.reopenTenants()
    await transaction(copy.target, (tx) => writePage(tx, { ...copy, tenants }, { from, ...page }))
    copy.onBatch?.(from.copied + BigInt(page.rows.length))
    if (page.ended) return
  }
}

interface Page {
  rows: OwnedSource[]
  last: string | null
  ended: boolean
}

async function readRows(copy: UsageCopy, sql: Sql, after: string | null, limit: number): Promise<Page> {
  const { rows } = await copy.source.query<OwnedSource>(
    `select ${sql.select} from ${sql.from} where $2::text is null or ${sql.id} > $2::${sql.idType} order by ${sql.id} limit $3`,
    [copy.run.timeZone, after, limit],
  )
  const ended = rows.length < limit
  return { rows, last: ended ? null : (rows.at(-1)?.id ?? null), ended }
}

/** Of the next ids those that are not here, at most one batch of them. */
async function readMissing(copy: UsageCopy, sql: Sql, after: string | null): Promise<Page> {
  const { rows: ids } = await copy.source.query<{ id: string }>(
    `select ${sql.id}::text as id from ${sql.from.split(' left join ')[0]}
     where $1::text is null or ${sql.id} > $1::${sql.idType} order by ${sql.id} limit $2`,
    [after, IDS_AT_ONCE],
  )
  const all = ids.map(({ id }) => id)
  const missing = await idsNotHere(copy.target, copy, all)
  const wanted = missing.slice(0, copy.batchRows)
  const cut = missing.length > wanted.length
  const rows = wanted.length === 0 ? [] : await rowsById(copy, sql, wanted)
  const ended = !cut && all.length < IDS_AT_ONCE
  const last = cut ? (wanted.at(-1) ?? null) : (all.at(-1) ?? null)
  return { rows, last: ended ? null : last, ended }
}

async function rowsById(copy: UsageCopy, sql: Sql, ids: string[]): Promise<OwnedSource[]> {
  const { rows } = await copy.source.query<OwnedSource>(
    `select ${sql.select} from ${sql.from} where ${sql.id} = any ($2::text[]::${sql.idType}[]) order by ${sql.id}`,
    [copy.run.timeZone, ids],
  )
  return rows
}

/** Ids of source rows that are neither in the usage nor in quarantine, in the order given. */
export async function idsNotHere(
  db: Db | Tx,
  copy: Pick<UsageCopy, 'run' | 'shape'>,
  sourceIds: readonly string[],
): Promise<string[]> {
  const idIsUuid = copy.shape.usage.id.type === 'uuid'
  const { rows } = await db.query<{ id: string }>(
    idIsUuid
      ? `select o.id from unnest($2::text[]) with ordinality as o(id, n)
         where not exists (select from reported_log l where l.id = o.id::uuid and l.imported_from = $1)
           and not exists (select from import_quarantine q where q.import = $1 and q.relation = $3 and q.source_id = o.id)
         order by o.n`
      : `select o.id from unnest($2::text[]) with ordinality as o(id, n)
         where not exists (select from import_repair r where r.import = $1 and r.relation = $3 and r.source_id = o.id and r.what = 'id_derived')
           and not exists (select from import_quarantine q where q.import = $1 and q.relation = $3 and q.source_id = o.id)
         order by o.n`,
    [copy.run.name, sourceIds, RELATION],
  )
  return rows.map(({ id }) => id)
}

async function writePage(tx: Tx, copy: UsageCopy, page: Page & { from: Progress }): Promise<void> {
  const { run, tenants } = copy
  const place = { importName: run.name, relation: RELATION }
  const missing = new Set(
    await idsNotHere(
      tx,
      copy,
      page.rows.map(({ id }) => id),
    ),
  )
  const kept: OwnedUsage[] = []
  const refused: Quarantined[] = []
  const counts: Record<string, number> = {}
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1
  }
  for (const row of page.rows) {
    if (!missing.has(row.id)) continue
    const projectId = tenants.projectOf(row.ownerKind, sha256(row.owner))
    const converted = convertUsage(row, {
      importName: run.name,
      relation: RELATION,
      idIsUuid: copy.shape.usage.id.type === 'uuid',
      unpriced: UNPRICED,
    })
    assert(projectId !== undefined, 'every owner has a project before its rows are copied')
    if (converted.kept === undefined) {
      refused.push(quarantined(row, converted.reason, projectId))
      count(converted.reason)
      continue
    }
    const keyId = tenants.keyOf(row.header === null ? (row.keyHash ?? undefined) : sha256(row.header).toString('hex'))
    kept.push({ usage: converted.kept, projectId, keyId, repairs: converted.repairs, sourceId: row.id })
    for (const { what } of converted.repairs) count(what)
    for (const what of converted.counted) count(what)
  }
  const taken = await idsTaken(tx, kept)
  for (const row of kept.filter(({ usage }) => taken.has(usage.id))) {
    const source = page.rows.find(({ id }) => id === row.sourceId)
    if (source !== undefined) refused.push(quarantined(source, 'id_taken', row.projectId))
    count('id_taken')
  }
  await insertReported(
    tx,
    place,
    kept.filter(({ usage }) => !taken.has(usage.id)),
  )
  await insertQuarantined(tx, place, refused)
  await writeProgress(tx, {
    name: run.name,
    relation: RELATION,
    from: page.from,
    to: {
      pass: page.ended ? page.from.pass + 1 : page.from.pass,
      last: page.last,
      copied: page.from.copied + BigInt(missing.size),
      counts: addCounts(page.from.counts, counts),
    },
  })
}

/** Ids that a row of somebody else has here. */
async function idsTaken(tx: Tx, rows: readonly OwnedUsage[]): Promise<Set<string>> {
  const { rows: taken } = await tx.query<{ id: string }>('select id from reported_log where id = any ($1::uuid[])', [
    rows.map(({ usage }) => usage.id),
  ])
  return new Set(taken.map(({ id }) => id))
}

/** The row as it was, but for the header of its owner. */
function quarantined(source: OwnedSource, reason: string, projectId: string): Quarantined {
  const { ownerKind, owner, header, keyHash, ...row } = source
  const finite = (text: string | null) => (text !== null && /^-?\d+(\.\d+)?$/.test(text) ? text : null)
  return {
    sourceId: source.id,
    reason,
    projectId,
    input: finite(source.input),
    output: finite(source.output),
    cost: finite(source.cost),
    row,
  }
}

type Sql = ReturnType<typeof usageRows>
