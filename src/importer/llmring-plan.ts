import type { Tx } from '#db/pool.ts'
import { onSnapshot } from './import-run.ts'
import type { LlmringContext } from './llmring-import.ts'
import { listOwners } from './llmring-owners.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { columnOf, textOf, unlessBlank, usageRows } from './llmring-sql.ts'
import { digestOfBindings, exportLockfiles, readBindings } from './lockfile-export.ts'
import { sourceTotals } from './source-totals.ts'

/** Looks at the source and changes nothing in it. With a folder, writes its aliases to lockfiles. */
export async function planLlmring(context: LlmringContext, lockfiles: string | undefined): Promise<void> {
  const { source, shape, run, report } = context
  const found = await onSnapshot(source.db, async (tx) => ({
    totals: await sourceTotals(tx, shape, run.timeZone),
    owners: await listOwners(tx, shape),
    bindings: await readBindings(tx, shape),
    peculiar: await peculiarities(tx, shape, run.timeZone),
    unresolved: await unresolvedAliases(tx, shape),
    receipts: await receiptsDigest(tx, shape),
    others: await countOthers(tx, shape),
  }))
  for (const [name, value] of Object.entries(found.totals)) report.figure(name, value)
  for (const [name, value] of Object.entries(found.peculiar)) report.figure(name, value)
  report.figure('projects to be made', found.owners.owners.length)
  report.figure('keys to be made', found.owners.keys.filter(({ refused }) => refused === null).length)
  for (const [reason, keys] of Map.groupBy(found.owners.keys, ({ refused }) => refused))
    if (reason !== null) report.figure(`keys that cannot be carried: ${reason}`, keys.length)
  if (found.owners.keysUnreadable > 0)
    report.figure('keys that cannot be carried: neither the key nor its SHA-256 is stored', found.owners.keysUnreadable)
  report.figure('receipts', found.receipts.count)
  report.figure('md5 of the receipts', found.receipts.digest)
  report.figure('alias bindings', found.bindings.length)
  report.figure('sha256 of the alias bindings', digestOfBindings(found.bindings))
  for (const [name, value] of Object.entries(found.unresolved)) report.figure(name, value)
  for (const { table, rows } of found.others) report.figure(`rows that are not carried: ${table}`, rows)
  if (shape.usage.aliasId !== undefined)
    report.note(
      'alias_id gives the name that an alias has today: what a renamed one was called when a call was made cannot be recovered.',
    )
  if (lockfiles === undefined) {
    if (found.bindings.length > 0)
      report.note(
        'The alias bindings are not exported yet: run plan with --lockfiles DIR. contract refuses to drop them before.',
      )
    return
  }
  const exported = await exportLockfiles(lockfiles, found.bindings, run.name)
  report.figure('alias bindings exported', exported.bindings)
  report.figure('sha256 of the exported bindings', exported.digest)
  for (const { name, bindings } of exported.files) report.figure(`bindings in ${name}`, bindings)
  report.check('alias bindings read back from the lockfiles', found.bindings.length, sum(exported.files))
  for (const problem of exported.problems) report.note(`kept as it is, and the client will say so: ${problem}`)
}

function sum(files: readonly { bindings: number }[]): number {
  return files.reduce((total, { bindings }) => total + bindings, 0)
}

/** What deserves a look before the copy. */
async function peculiarities(tx: Tx, shape: LlmringShape, zone: string): Promise<Record<string, string>> {
  const { usage } = shape
  const at = columnOf('u', usage.at)
  const wall = (shift: string) => `((${at} at time zone $1::text) ${shift}) at time zone $1::text`
  // A wall clock shows an hour twice when it is set back, and never an hour when it is set forward.
  const doubtful =
    usage.at.type === 'timestamp'
      ? `count(*) filter (where ${wall('')} <> ${at} or ${wall("- interval '1 hour'")} = ${at} or ${wall("+ interval '1 hour'")} = ${at})`
      : `0 * count($1::text)`
  const cost = `${columnOf('u', usage.cost)}::numeric`
  const { rows } = await tx.query<Record<string, string>>(
    `select (${doubtful})::text as "times that the zone has twice or never",
            (count(*) filter (where ${cost} = 99.99999999))::text as "costs at the ceiling of the column, 99.99999999",
            (count(*) filter (where ${cost} = 0 and ${columnOf('u', usage.input)} + ${columnOf('u', usage.output)} > 0))::text
              as "calls with tokens and a cost of zero"
     from ${tableName(shape, 'usage_logs')} u`,
    [zone],
  )
  return rows[0] ?? {}
}

/** Labels that lead to no binding: dangling ids, and names that nobody bound. */
async function unresolvedAliases(tx: Tx, shape: LlmringShape): Promise<Record<string, string>> {
  const { usage, aliases } = shape
  const figures: Record<string, string> = {}
  if (usage.aliasId !== undefined && aliases?.id !== undefined) {
    const { rows } = await tx.query<{ n: bigint }>(
      `select count(*) as n from ${tableName(shape, 'usage_logs')} u where ${columnOf('u', usage.aliasId)} is not null
       and not exists (select from ${tableName(shape, 'aliases')} a where ${columnOf('a', aliases.id)} = ${columnOf('u', usage.aliasId)})`,
    )
    figures['rows whose alias_id leads nowhere, kept without an alias'] = String(rows[0]?.n)
  }
  if (usage.alias !== undefined && aliases !== undefined && !aliases.ownerIsProject) {
    const { from, header, alias, profile } = usageRows(shape)
    const { rows } = await tx.query<{ n: bigint }>(
      `select count(*) as n from ${from} where ${unlessBlank(alias)} is not null and not exists (
         select from ${tableName(shape, 'aliases')} a where ${textOf('a', aliases.owner)} = ${header}
           and ${textOf('a', aliases.alias)} = ${alias}
           and coalesce(${textOf('a', aliases.profile)}, 'default') = coalesce(${profile}, 'default'))`,
    )
    figures['rows whose alias has no binding, kept with their label'] = String(rows[0]?.n)
  }
  return figures
}

/** Of what a receipt is in the source: it must stay the same to the last byte until the end. */
export async function receiptsDigest(tx: Tx, shape: LlmringShape): Promise<{ count: string; digest: string }> {
  const { receipts } = shape
  if (receipts === undefined) return { count: '0', digest: 'none' }
  const members = [receipts.receiptId, receipts.signature, receipts.at, receipts.tokens, receipts.cost, receipts.model]
  const { rows } = await tx.query<{ count: string; digest: string | null }>(
    `select count(*)::text as count, md5(string_agg(concat_ws('|', ${members.map((one) => textOf('u', one)).join(', ')}), E'\\n'
              order by ${textOf('u', receipts.receiptId)} collate "C")) as digest
     from ${tableName(shape, 'receipts')} u`,
  )
  return { count: rows[0]?.count ?? '0', digest: rows[0]?.digest ?? 'none' }
}

async function countOthers(tx: Tx, shape: LlmringShape): Promise<{ table: string; rows: bigint }[]> {
  const counted: { table: string; rows: bigint }[] = []
  for (const table of [...shape.others, ...shape.syncTables]) {
    const { rows } = await tx.query<{ n: bigint }>(`select count(*) as n from ${tableName(shape, table)}`)
    counted.push({ table, rows: rows[0]?.n ?? 0n })
  }
  return counted
}
