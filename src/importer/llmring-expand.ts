import { sqlState } from '#db/failures.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import type { LlmringContext } from './llmring-import.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { columnOf, textOf, unlessBlank } from './llmring-sql.ts'
import { ImportRefused } from './report.ts'
import { quoteName } from './source-database.ts'

/** What this phase leaves in the source, by name: `contract` takes it away again. */
export const BRIDGE = 'fluxgate_bridge_alias_name'
const INDEX = 'fluxgate_usage_alias_name'
const LABEL_CHARS_MAX = 255

const INSUFFICIENT_PRIVILEGE = '42501'
const LOCK_NOT_AVAILABLE = '55P03'
/** A change of a table waits this long for its lock, because everybody else waits behind it, and tries again so often. */
const LOCK_WAIT = '2s'
const LOCK_TRIES = 10

/**
 * Gives the source's rows their alias as a text, by columns that old servers do not see and a trigger that fills them for what those
 * servers still write. Throws ImportRefused when the role may not change the source.
 */
export async function expandLlmring(context: LlmringContext, batchRows: number): Promise<void> {
  const { source, shape, report } = context
  try {
    await addColumns(source.db, shape)
    await addBridge(source.db, shape)
    const filled = await fillAliasNames(source.db, shape, batchRows)
    await fillReceipts(source.db, shape)
    await addIndex(source.db, shape)
    report.figure('rows that got their alias_name now', filled)
  } catch (cause) {
    if (sqlState(cause) !== INSUFFICIENT_PRIVILEGE) throw cause
    throw new ImportRefused(
      `expand changes the source, and its role may not (${(cause as Error).message}). It is needed only before contract, in place: an ` +
        'import into another database goes on with backfill',
      { cause },
    )
  }
  report.check('rows with an alias and no alias_name', 0, await countUnfilled(source.db, shape))
}

/** Rows that the bridge or the batches should have filled. Text that no label can hold stays where it is. */
export async function countUnfilled(db: Db, shape: LlmringShape): Promise<string> {
  const alias = aliasOf(shape, 'u')
  if (alias === undefined) return '0'
  const { rows } = await db.query<{ n: string }>(
    `select count(*)::text as n from ${tableName(shape, 'usage_logs')} u where u.alias_name is null and ${alias} is not null`,
  )
  return rows[0]?.n ?? '0'
}

/** The alias of a row `u` by what the old server wrote: its text, or the name of the alias that it refers to. */
function aliasOf(shape: LlmringShape, row: string): string | undefined {
  const { usage, aliases } = shape
  const parts: string[] = []
  if (usage.alias !== undefined) parts.push(textOf(row, usage.alias))
  if (usage.aliasId !== undefined && aliases?.id !== undefined) parts.push(byId(shape, row, 'alias'))
  if (parts.length === 0) return undefined
  const alias = parts.length === 1 ? parts[0] : `coalesce(${parts.join(', ')})`
  return `(select ${unlessBlank('x.alias')} from (select ${alias} as alias) x where length(x.alias) <= ${LABEL_CHARS_MAX})`
}

function byId(shape: LlmringShape, row: string, part: 'alias' | 'profile'): string {
  const { usage, aliases } = shape
  return `(select ${textOf('a', aliases?.[part])} from ${tableName(shape, 'aliases')} a
           where ${columnOf('a', aliases?.id)} = ${columnOf(row, usage.aliasId)})`
}

async function addColumns(db: Db, shape: LlmringShape): Promise<void> {
  const wanted: [table: string, column: string, type: string][] = [['usage_logs', 'alias_name', 'varchar(255)']]
  if (shape.usage.profile === undefined && shape.aliases?.profile !== undefined)
    wanted.push(['usage_logs', 'profile', 'varchar(255)'])
  if (shape.receipts !== undefined)
    wanted.push(
      ['receipts', 'alias_name', 'varchar(255)'],
      ['receipts', 'model_used', 'varchar(255)'],
      ['receipts', 'project_key', 'varchar(255)'],
    )
  const missing = wanted.filter(([table, column]) => shape.catalog.tables.get(table)?.has(column) !== true)
  for (const [table, columns] of Map.groupBy(missing, ([table]) => table))
    await withShortLock(db, (tx) =>
      tx.query(
        `alter table ${tableName(shape, table)} ${columns.map(([, name, type]) => `add column if not exists ${name} ${type}`).join(', ')}`,
      ),
    )
}

async function addBridge(db: Db, shape: LlmringShape): Promise<void> {
  const alias = aliasOf(shape, 'new')
  if (alias === undefined) return
  const { usage, aliases } = shape
  const name = `${quoteName(shape.catalog.schema)}.${BRIDGE}`
  const changed = [usage.alias, usage.aliasId].flatMap((found) =>
    found === undefined
      ? []
      : [
          `(${columnOf('new', found)} is distinct from ${columnOf('old', found)} and ${columnOf('new', found)} is not null)`,
        ],
  )
  const profile =
    usage.profile === undefined && aliases?.profile !== undefined && usage.aliasId !== undefined
      ? `if new.profile is null then new.profile := ${byId(shape, 'new', 'profile')}; end if;`
      : ''
  await withShortLock(db, async (tx) => {
    await tx.query(`create or replace function ${name}() returns trigger language plpgsql as $bridge$
      begin
        if tg_op = 'UPDATE' then
          if ${changed.join(' or ')} then new.alias_name := null; end if;
        end if;
        if new.alias_name is null then new.alias_name := ${alias}; end if;
        ${profile}
        return new;
      end $bridge$`)
    const { rows } = await tx.query<{ there: boolean }>(
      `select exists (select from pg_trigger where tgname = $1 and tgrelid = $2::regclass) as there`,
      [BRIDGE, tableName(shape, 'usage_logs')],
    )
    if (rows[0]?.there !== true)
      await tx.query(
        `create trigger ${BRIDGE} before insert or update on ${tableName(shape, 'usage_logs')} for each row execute function ${name}()`,
      )
  })
}

/** What was written before the bridge, by ascending id: every batch locks few rows for a moment. */
async function fillAliasNames(db: Db, shape: LlmringShape, batchRows: number): Promise<number> {
  const alias = aliasOf(shape, 'u')
  if (alias === undefined) return 0
  const id = quoteName(shape.usage.id.column)
  const table = tableName(shape, 'usage_logs')
  const profile =
    shape.usage.profile === undefined && shape.aliases?.profile !== undefined && shape.usage.aliasId !== undefined
      ? `, profile = coalesce(u.profile, ${byId(shape, 'u', 'profile')})`
      : ''
  let filled = 0
  let last: string | null = null
  for (;;) {
    const { rows }: { rows: { last: string | null; filled: number }[] } = await db.query<{
      last: string | null
      filled: number
    }>(
      `with page as (
         select ${id} as id from ${table} where $1::text is null or ${id} > $1::${shape.usage.id.type} order by ${id} limit $2
       ), done as (
         update ${table} u set alias_name = ${alias}${profile} from page
         where u.${id} = page.id and u.alias_name is null and ${alias} is not null returning 1
       )
       select (select id::text from page order by id desc limit 1) as last, (select count(*) from done)::int as filled`,
      [last, batchRows],
    )
    filled += rows[0]?.filled ?? 0
    last = rows[0]?.last ?? null
    if (last === null) return filled
  }
}

/** Beside the signed members, which stay as they are. */
async function fillReceipts(db: Db, shape: LlmringShape): Promise<void> {
  const { receipts } = shape
  if (receipts === undefined) return
  const owner = receipts.header ?? receipts.project
  const fingerprint =
    owner === undefined ? 'null' : `left(encode(sha256(convert_to(${textOf('u', owner)}, 'UTF8')), 'hex'), 12)`
  await db.query(
    `update ${tableName(shape, 'receipts')} u set alias_name = ${unlessBlank(textOf('u', receipts.alias))}, model_used = ${columnOf('u', receipts.model)},
            project_key = ${fingerprint}
     where model_used is null`,
  )
}

/** Built while others write. One that a killed run left half-built is built again. */
async function addIndex(db: Db, shape: LlmringShape): Promise<void> {
  const { usage } = shape
  const owner = usage.project ?? usage.header ?? usage.key
  const client = await db.connect()
  let failed: Error | undefined
  try {
    await client.query(`set statement_timeout = 0; set lock_timeout = '5min'`)
    const { rows } = await client.query<{ valid: boolean }>(
      `select i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
       where c.relname = $1 and n.nspname = $2`,
      [INDEX, shape.catalog.schema],
    )
    if (rows[0]?.valid === true) return
    const schema = quoteName(shape.catalog.schema)
    if (rows[0]?.valid === false) await client.query(`drop index concurrently ${schema}.${INDEX}`)
    const columns = [
      ...(owner === undefined ? [] : [quoteName(owner.column)]),
      'alias_name',
      quoteName(usage.at.column),
    ]
    await client.query(
      `create index concurrently ${INDEX} on ${tableName(shape, 'usage_logs')} (${columns.join(', ')})`,
    )
  } catch (error) {
    failed = error as Error
    throw error
  } finally {
    // Its settings are not those of the pool: such a connection is not used again.
    client.release(failed ?? true)
  }
}

/** One change of a table that waits for its lock only shortly. */
export async function withShortLock(db: Db, work: (tx: Tx) => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await transaction(db, async (tx) => {
        await tx.query(`set local lock_timeout = '${LOCK_WAIT}'`)
        await work(tx)
      })
      return
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE || tries === LOCK_TRIES) throw error
    }
  }
}
