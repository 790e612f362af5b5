import type { Db } from '#db/pool.ts'
import { onSnapshot, requirePhase } from './import-run.ts'
import { BRIDGE, countUnfilled, withShortLock } from './llmring-expand.ts'
import type { LlmringContext } from './llmring-import.ts'
import { type LlmringShape, recogniseLlmring, tableName } from './llmring-shape.ts'
import { digestOfBindings, readBindings } from './lockfile-export.ts'
import { ImportRefused } from './report.ts'
import { quoteName, readCatalog } from './source-database.ts'

/**
 * Drops what the old server resolved aliases with, for good. Throws ImportRefused unless it is in place, switched, verified, filled and
 * exported. Running it again changes nothing.
 */
export async function contractLlmring(context: LlmringContext, dropIsAllowed: boolean): Promise<void> {
  const { target, source, shape, run, report } = context
  if (!source.isTarget)
    throw new ImportRefused(
      'contract is for an import in place: the source is another database, which an import only reads',
    )
  const before = await aliasStorage(target, source.db, shape)
  if (before.theirs > 0) {
    if (!dropIsAllowed)
      throw new ImportRefused(
        `contract drops these for good, and only a backup brings them back: ${doomedNames(shape).join(', ')}. If all of them are llmring's, ` +
          'add --drop-alias-storage and --i-have-a-backup',
      )
    await requireReady(context)
    await dropAliasStorage(target, shape)
    await target.query(
      'update import_run set contracted_at = coalesce(contracted_at, clock_timestamp()) where name = $1',
      [run.name],
    )
    report.note('This was the point of no return: the old server cannot run on this schema any more.')
  }
  const after = await aliasStorage(
    target,
    source.db,
    recogniseLlmring(await readCatalog(source.db, shape.catalog.schema)),
  )
  report.figure('tables, columns and foreign keys that resolved aliases', before.theirs)
  report.check('tables, columns and foreign keys that resolve aliases, in the source', 0, after.theirs)
  report.check('tables, columns and foreign keys that resolve aliases, in Fluxgate', 0, after.ours)
}

/** How many things in either schema hold or resolve aliases. A label on a record is none. */
export async function aliasStorage(
  ours: Db,
  theirs: Db,
  shape: LlmringShape,
): Promise<{ ours: number; theirs: number }> {
  return {
    ours: await countStorage(ours, 'fluxgate', []),
    theirs: await countStorage(theirs, shape.catalog.schema, ['alias']),
  }
}

async function countStorage(db: Db, schema: string, columns: readonly string[]): Promise<number> {
  const { rows } = await db.query<{ n: bigint }>(
    `select (select count(*) from information_schema.tables
             where table_schema = $1 and (table_name ~ '(^|_)alias(es)?$' or table_name ~ '(^|_)alias_sync' or table_name ~ '(^|_)sync(_|$)'))
          + (select count(*) from information_schema.columns
             where table_schema = $1 and (column_name = 'alias_id' or (column_name = any ($2) and table_name = 'usage_logs')
                                          or (column_name ~ '(^|_)sync(ed)?(_|$)' and table_name in ('usage_logs', 'projects', 'receipts'))))
          + (select count(*) from pg_constraint k join pg_class t on t.oid = k.confrelid join pg_class f on f.oid = k.conrelid
             join pg_namespace s on s.oid = f.relnamespace
             where k.contype = 'f' and s.nspname = $1 and t.relname = 'aliases')
          + (select count(*) from pg_proc p join pg_namespace s on s.oid = p.pronamespace where s.nspname = $1 and p.proname = $3) as n`,
    [schema, columns, BRIDGE],
  )
  return Number(rows[0]?.n ?? 0n)
}

async function requireReady({ target, source, shape, run }: LlmringContext): Promise<void> {
  await requirePhase(target, run.name, 'contract', 'expand')
  await requirePhase(target, run.name, 'contract', 'verify')
  if (run.servingSince === null) throw new ImportRefused('contract needs switch, which has not been run: run it first')
  if (shape.usage.aliasName === undefined || (await countUnfilled(source.db, shape)) !== '0')
    throw new ImportRefused('rows of usage_logs have an alias and no alias_name: run expand again')
  const bindings = await onSnapshot(source.db, (tx) => readBindings(tx, shape))
  const { rows } = await target.query<{ report: string }>(
    `select report from import_phase where import = $1 and phase = 'plan'`,
    [run.name],
  )
  const figures = (JSON.parse(rows[0]?.report ?? '{"figures":[]}') as { figures: { name: string; value: string }[] })
    .figures
  const exported = figures.find(({ name }) => name === 'sha256 of the exported bindings')?.value
  if (bindings.length > 0 && exported !== digestOfBindings(bindings))
    throw new ImportRefused(
      `the ${bindings.length} alias bindings of the source are not exported as they are now: run plan with --lockfiles DIR once more`,
    )
}

/** Columns by their tables. What is called so is taken for llmring's, also where other programs share the schema. */
function doomedColumns({ catalog, syncTables }: LlmringShape): { table: string; column: string }[] {
  return [...catalog.tables].flatMap(([table, columns]) =>
    table === 'aliases' || syncTables.includes(table)
      ? []
      : [...columns.keys()]
          .filter(
            (column) =>
              column === 'alias_id' ||
              (table === 'usage_logs' && column === 'alias') ||
              (/(^|_)sync(ed)?(_|$)/.test(column) && ['usage_logs', 'projects', 'receipts'].includes(table)),
          )
          .map((column) => ({ table, column })),
  )
}

function doomedNames(shape: LlmringShape): string[] {
  const tables = ['aliases', ...shape.syncTables].filter((table) => shape.catalog.tables.has(table))
  return [
    ...tables.map((table) => `table ${table}`),
    ...doomedColumns(shape).map(({ table, column }) => `column ${table}.${column}`),
  ]
}

async function dropAliasStorage(target: Db, shape: LlmringShape): Promise<void> {
  const usage = tableName(shape, 'usage_logs')
  await withShortLock(target, async (tx) => {
    await tx.query(`drop trigger if exists ${BRIDGE} on ${usage}`)
    await tx.query(`drop function if exists ${quoteName(shape.catalog.schema)}.${BRIDGE}()`)
    for (const { table, name } of shape.catalog.foreignKeys.filter(({ toTable }) => toTable === 'aliases'))
      await tx.query(`alter table ${tableName(shape, table)} drop constraint if exists ${quoteName(name)}`)
    for (const { table, column } of doomedColumns(shape))
      await tx.query(`alter table ${tableName(shape, table)} drop column ${quoteName(column)}`)
    for (const table of shape.syncTables) await tx.query(`drop table ${tableName(shape, table)}`)
    await tx.query(`drop table if exists ${tableName(shape, 'aliases')}`)
  })
}
