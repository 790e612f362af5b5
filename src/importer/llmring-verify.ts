import type { Db, Tx } from '#db/pool.ts'
import { auditLedger } from '#domain/audit.ts'
import { onSnapshot, readProgress, requirePhase } from './import-run.ts'
import { aliasStorage } from './llmring-contract.ts'
import { countUnfilled } from './llmring-expand.ts'
import type { LlmringContext } from './llmring-import.ts'
import { listOwners, type SourceOwners, sha256 } from './llmring-owners.ts'
import { receiptsDigest } from './llmring-plan.ts'
import { isSigned, receiptRows, type SourceReceipt, type StoredReceipt, saysTheSame } from './llmring-receipts.ts'
import { tableName } from './llmring-shape.ts'
import { unlessBlank, usageRows } from './llmring-sql.ts'
import { readTenants, type Tenants } from './llmring-tenants.ts'
import { idsNotHere } from './llmring-usage.ts'
import { importedTotals, sourceTotals, totalNames } from './source-totals.ts'

const IDS_AT_ONCE = 20_000
const RECEIPTS_AT_ONCE = 500
/** More new rows than this are no tail of a running server: the copy is not done. */
const LATE_MAX = 100_000
const DIFFERENCES_SHOWN = 20

/**
 * Compares the source with what is here, changing neither: every figure on one snapshot of each side. Rows that came in after the copy
 * are told apart, so that everything else is exact while an old server still writes.
 */
export async function verifyLlmring(context: LlmringContext): Promise<void> {
  const { source, target, shape, run, report } = context
  await requirePhase(target, run.name, 'verify', 'backfill')
  const tenants = await readTenants(target, run.name)
  // The source is read first: what the target has beyond it came in between, which no row of usage does.
  await onSnapshot(source.db, async (theirs) => {
    const late = await lateRows(theirs, context)
    const owners = await listOwners(theirs, shape)
    await onSnapshot(target, async (ours) => {
      const expected = await sourceTotals(theirs, shape, run.timeZone, late)
      const found = await importedTotals(ours, run.name, shape)
      for (const name of totalNames) report.check(name, expected[name], found[name])
      report.figure('of the rows in quarantine', found.quarantined)
      await compareGroups(theirs, ours, context, tenants, late)
      await checkReceipts(theirs, ours, context)
      await checkConversations(theirs, context)
      await checkOwners(ours, context, owners, tenants)
    })
    report.check('rows of the source that are not here: what a second run would copy', 0, late.length)
    if (late.length > 0)
      report.note('An old server still writes: run backfill again, or switch, which copies what is left.')
  })
  report.check('rows with an alias and no alias_name, in the source', 0, await unfilled(context))
  await checkBooks(target, report)
  const storage = await aliasStorage(target, source.db, shape)
  report.check('tables, columns and foreign keys that resolve aliases, in Fluxgate', 0, storage.ours)
  if (run.contractedAt === null)
    report.figure('tables, columns and foreign keys that resolve aliases, in the source until contract', storage.theirs)
  else report.check('tables, columns and foreign keys that resolve aliases, in the source', 0, storage.theirs)
}

/** Only where expand was run: elsewhere the source has no such column and needs none. */
async function unfilled({ source, shape }: LlmringContext): Promise<string> {
  return shape.usage.aliasName === undefined ? '0' : countUnfilled(source.db, shape)
}

async function lateRows(theirs: Tx, context: LlmringContext): Promise<string[]> {
  const sql = usageRows(context.shape)
  const late: string[] = []
  for (let last: string | null = null; ; ) {
    const { rows }: { rows: { id: string }[] } = await theirs.query(
      `select ${sql.id}::text as id from ${sql.from.split(' left join ')[0]}
       where $1::text is null or ${sql.id} > $1::${sql.idType} order by ${sql.id} limit $2`,
      [last, IDS_AT_ONCE],
    )
    const ids = rows.map(({ id }) => id)
    late.push(...(await idsNotHere(context.target, context, ids)))
    last = ids.at(-1) ?? null
    if (ids.length < IDS_AT_ONCE || late.length > LATE_MAX) return late
  }
}

interface Group {
  key: string
  figures: string
}

/** Per project, alias and profile, and per project and day: what is on one side only, both ways. */
async function compareGroups(
  theirs: Tx,
  ours: Tx,
  { shape, run, report }: LlmringContext,
  tenants: Tenants,
  late: readonly string[],
): Promise<void> {
  const sql = usageRows(shape)
  const label = `${unlessBlank(sql.alias)} as alias, coalesce(${unlessBlank(sql.profile)}, 'default') as profile`
  const day = `(${sql.at} at time zone 'UTC')::date::text as day`
  const sums = (input: string, output: string, cost: string) =>
    `count(*) as n, trim_scale(sum(${input}::numeric)) as tin, trim_scale(sum(${output}::numeric)) as tout, trim_scale(sum(${cost})) as cost`
  for (const [title, theirParts, ourParts] of [
    ['project, alias and profile', label, 'alias_name as alias, profile'],
    ['project and UTC day', day, `(occurred_at at time zone 'UTC')::date::text as day`],
  ] as const) {
    const names = theirParts === label ? 'alias, profile' : 'day'
    const there = await theirs.query<Record<string, string | null>>(
      `select ${sql.ownerKind} as kind, ${sql.owner} as owner, ${theirParts}, ${sums(sql.input, sql.output, `nullif(${sql.cost}, 'NaN')`)}
       from ${sql.from} where $1::text is not null and not (${sql.id}::text = any ($2::text[])) group by ${theirParts === label ? '1, 2, 3, 4' : '1, 2, 3'}`,
      [run.timeZone, late],
    )
    const quarantined =
      theirParts === label
        ? `case when btrim(row::json ->> 'alias') <> '' then row::json ->> 'alias' end, coalesce(nullif(btrim(row::json ->> 'profile'), ''), 'default')`
        : `((row::json ->> 'at')::timestamptz at time zone 'UTC')::date::text`
    const here = await ours.query<Record<string, string | null>>(
      `select project_id as project, ${names}, ${sums('tin', 'tout', 'cost')} from (
         select project_id, ${ourParts}, input_tokens::numeric as tin, output_tokens::numeric as tout, reported_cost as cost
         from reported_log where imported_from = $1
         union all
         select project_id, ${quarantined}, input_tokens, output_tokens, cost
         from import_quarantine where import = $1 and relation = 'usage_logs') u
       group by project_id, ${names}`,
      [run.name],
    )
    const projects = there.rows.map((row) => ({
      ...row,
      project: tenants.projectOf(row.kind ?? '', sha256(row.owner ?? '')),
    }))
    const expected = mergeGroups(projects.map(toGroup))
    const found = mergeGroups(here.rows.map(toGroup))
    const missing = except(expected, found)
    const surplus = except(found, expected)
    report.figure(`groups by ${title}`, expected.size)
    report.check(`groups by ${title}: in the source and not here`, 0, missing.length)
    report.check(`groups by ${title}: here and not in the source`, 0, surplus.length)
    for (const one of [...missing, ...surplus].slice(0, DIFFERENCES_SHOWN)) report.note(`differs by ${title}: ${one}`)
  }
}

function toGroup(row: Record<string, string | null | undefined>): Group {
  const { project, alias, profile, day, n, tin, tout, cost } = row
  return {
    key: JSON.stringify([project, alias ?? null, profile ?? null, day ?? null]),
    figures: [n, tin, tout, cost ?? '0'].join(' '),
  }
}

/** Two owners of the source may be one project here, so their groups are added. */
function mergeGroups(groups: readonly Group[]): Map<string, string> {
  const merged = new Map<string, string>()
  for (const { key, figures } of groups) {
    const before = merged.get(key)
    merged.set(key, before === undefined ? figures : addFigures(before, figures))
  }
  return merged
}

function addFigures(one: string, other: string): string {
  const others = other.split(' ')
  return one
    .split(' ')
    .map((figure, index) => addDecimals(figure, others[index] ?? '0'))
    .join(' ')
}

function addDecimals(one: string, other: string): string {
  const places = Math.max(...[one, other].map((text) => text.split('.')[1]?.length ?? 0))
  const scaled = (text: string) => {
    const [whole = '0', fraction = ''] = text.split('.')
    return BigInt(whole + fraction.padEnd(places, '0'))
  }
  const sum = scaled(one) + scaled(other)
  if (places === 0) return String(sum)
  const digits = String(sum < 0n ? -sum : sum).padStart(places + 1, '0')
  const text = `${digits.slice(0, -places)}.${digits.slice(-places)}`.replace(/\.?0+$/, '')
  return sum < 0n ? `-${text}` : text
}

function except(one: Map<string, string>, other: Map<string, string>): string[] {
  return [...one].filter(([key, figures]) => other.get(key) !== figures).map(([key, figures]) => `${key} ${figures}`)
}

/** Each receipt says what the source says, in the bytes that its key signed. */
async function checkReceipts(theirs: Tx, ours: Tx, { shape, run, report }: LlmringContext): Promise<void> {
  const sql = receiptRows(shape)
  if (sql === undefined) return
  let [rows, same, named, verified, quarantined] = [0, 0, 0, 0, 0]
  for (let last: string | null = null; ; ) {
    const { rows: page }: { rows: SourceReceipt[] } = await theirs.query(sql, [run.timeZone, last, RECEIPTS_AT_ONCE])
    const { rows: stored } = await ours.query<StoredReceipt & { id: string }>(
      'select receipt_id as id, payload, signature, key_id as "keyId" from legacy_receipt where receipt_id = any ($1)',
      [page.map(({ receiptId }) => receiptId)],
    )
    const here = new Map(stored.map((one) => [one.id, one]))
    const { rows: aside } = await ours.query<{ id: string }>(
      `select source_id as id from import_quarantine where import = $1 and relation = 'receipts' and source_id = any ($2)`,
      [run.name, page.map(({ id }) => id)],
    )
    quarantined += aside.length
    for (const row of page) {
      const found = here.get(row.receiptId)
      rows += 1
      if (found === undefined || !saysTheSame(row, found)) continue
      same += 1
      if (found.keyId === null) continue
      named += 1
      if (await isSigned(ours, found)) verified += 1
    }
    last = page.at(-1)?.id ?? null
    if (page.length < RECEIPTS_AT_ONCE) break
  }
  const digest = await receiptsDigest(theirs, shape)
  const planned = await ours.query<{ report: string }>(
    `select report from import_phase where import = $1 and phase = 'plan'`,
    [run.name],
  )
  report.check('receipts', rows, same + quarantined)
  report.check('receipts that the key they name has signed', named, verified)
  report.figure('receipts that no known key has signed', same - named)
  report.figure('md5 of the receipts in the source', digest.digest)
  const before = figureOf(planned.rows[0]?.report, 'md5 of the receipts')
  const countBefore = figureOf(planned.rows[0]?.report, 'receipts')
  if (before !== undefined && countBefore === digest.count)
    report.check('md5 of the receipts, since plan', before, digest.digest)
}

/** By what was copied, because what was said is deleted here when its time is over. */
async function checkConversations(theirs: Tx, { shape, target, run, report }: LlmringContext): Promise<void> {
  for (const [table, found] of [
    ['conversations', shape.conversations],
    ['messages', shape.messages],
  ] as const) {
    const { pass, copied } = await readProgress(target, run.name, table)
    if (found === undefined || pass === 0) continue
    const { rows } = await theirs.query<{ n: bigint }>(`select count(*) as n from ${tableName(shape, table)}`)
    report.check(table, rows[0]?.n ?? 0n, copied)
  }
}

function figureOf(report: string | undefined, name: string): string | undefined {
  if (report === undefined) return undefined
  const { figures } = JSON.parse(report) as { figures: { name: string; value: string }[] }
  return figures.find((figure) => figure.name === name)?.value
}

/** Every owner has a project and every key leads to it, by the hash that a request is looked up by. */
async function checkOwners(ours: Tx, context: LlmringContext, owners: SourceOwners, tenants: Tenants): Promise<void> {
  const { run, report } = context
  const withProject = owners.owners.filter(({ kind, sourceHash }) => tenants.projectOf(kind, sourceHash) !== undefined)
  report.check('projects', owners.owners.length, withProject.length)
  const usable = owners.keys.filter(({ refused }) => refused === null)
  const { rows } = await ours.query<{ hash: Buffer; project: string; live: boolean }>(
    run.servingSince === null
      ? 'select hash, project_id as project, refused is null as live from import_key where import = $1'
      : `select i.hash, k.project_id as project, k.revoked_at is null and coalesce(k.expires_at > now(), true) as live
         from import_key i join api_key k on k.hash = i.hash where i.import = $1 and i.refused is null`,
    [run.name],
  )
  const found = new Map(rows.map((row) => [row.hash.toString('hex'), row]))
  const leads = usable.filter(({ hash, owner }) => {
    const key = found.get(hash.toString('hex'))
    return key?.live === true && key.project === tenants.projectOf(owner.kind, owner.sourceHash)
  })
  const title =
    run.servingSince === null
      ? 'old headers that will authenticate as their project'
      : 'old headers that authenticate as their project'
  report.check(title, usable.length, leads.length)
  if (owners.keys.length > usable.length)
    report.figure('keys that cannot be carried', owners.keys.length - usable.length)
}

async function checkBooks(target: Db, report: LlmringContext['report']): Promise<void> {
  const { invariants } = await auditLedger(target)
  for (const { name, bad } of invariants.filter((one) => one.bad > 0)) report.check(name, 0, bad)
  const bad = invariants.reduce((sum, one) => sum + one.bad, 0)
  report.check(`rows that break one of the ${invariants.length} invariants of the books`, 0, bad)
}
