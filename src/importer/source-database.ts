import { randomBytes } from 'node:crypto'
import { createPool, type Db } from '#db/pool.ts'
import { ImportRefused } from './report.ts'

export interface Column {
  /** PostgreSQL's own name of the type: `uuid`, `int4`, `varchar`, `timestamp`. */
  type: string
  nullable: boolean
}

interface ForeignKey {
  name: string
  table: string
  columns: string[]
  toTable: string
}

/** What a role may see of one schema. */
export interface Catalog {
  schema: string
  tables: ReadonlyMap<string, ReadonlyMap<string, Column>>
  foreignKeys: readonly ForeignKey[]
}

export interface SourceDatabase {
  db: Db
  /** The source and the target are one database: theirs and ours are schemas beside each other. */
  isTarget: boolean
  /** JSON: where it is. */
  identity: string
}

const SOURCE_CONNECTIONS = 2

/** Opens the source for `work`: another database, or the target's own when there is no URL. */
export async function withSource<T>(
  target: Db,
  where: { url: string | undefined; schema: string },
  work: (source: SourceDatabase) => Promise<T>,
): Promise<T> {
  const { url, schema } = where
  if (url === undefined) return work({ db: target, isTarget: true, identity: await identify(target, schema) })
  const db = createPool({ connection: { connectionString: url }, poolMax: SOURCE_CONNECTIONS }, () => undefined)
  try {
    return await work({ db, isTarget: await isSameDatabase(target, db), identity: await identify(db, schema) })
  } finally {
    await db.end()
  }
}

async function identify(db: Db, schema: string): Promise<string> {
  const { rows } = await db.query<{ database: string; server: string | null }>(
    `select current_database() as database,
            case when has_function_privilege('pg_control_system()', 'execute')
                 then (select system_identifier::text from pg_control_system()) end as server`,
  )
  return JSON.stringify({ server: rows[0]?.server ?? null, database: rows[0]?.database, schema })
}

/** A lock that one of them takes is seen by the other only in the same database of the same server. */
async function isSameDatabase(target: Db, source: Db): Promise<boolean> {
  const holder = await target.connect()
  const [high, low] = [randomBytes(4).readInt32BE(), randomBytes(4).readInt32BE()]
  try {
    await holder.query('select pg_advisory_lock($1::int, $2::int)', [high, low])
    const { rows } = await source.query<{ same: boolean }>(
      `select exists (
         select from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()
         where l.locktype = 'advisory' and l.classid::bigint = $1::bigint and l.objid::bigint = $2::bigint and l.granted) as same`,
      [String(high >>> 0), String(low >>> 0)],
    )
    await holder.query('select pg_advisory_unlock($1::int, $2::int)', [high, low])
    return rows[0]?.same === true
  } finally {
    holder.release()
  }
}

/** Reads the catalogue of one schema. Throws ImportRefused when there is no such schema, or nothing in it. */
export async function readCatalog(db: Db, schema: string): Promise<Catalog> {
  const { rows } = await db.query<{ table: string; column: string; type: string; nullable: boolean }>(
    `select c.table_name as table, c.column_name as column, c.udt_name as type, c.is_nullable = 'YES' as nullable
     from information_schema.columns c
     join information_schema.tables t on t.table_schema = c.table_schema and t.table_name = c.table_name
     where c.table_schema = $1 and t.table_type = 'BASE TABLE'
     order by c.table_name, c.ordinal_position`,
    [schema],
  )
  if (rows.length === 0) {
    const { rows: schemas } = await db.query<{ name: string }>(
      `select distinct table_schema as name from information_schema.tables
       where table_schema not in ('pg_catalog', 'information_schema') order by 1 limit 20`,
    )
    const found = schemas.map(({ name }) => name).join(', ') || 'none'
    throw new ImportRefused(
      `the source has no table in the schema '${schema}' that its role may see; schemas with tables: ${found}. Name it with --schema`,
    )
  }
  const { rows: keys } = await db.query<{ name: string; table: string; columns: string[]; toTable: string }>(
    `select k.conname as name, f.relname as table, t.relname as "toTable",
            array(select a.attname::text from unnest(k.conkey) with ordinality as c(num, n)
                  join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.num order by c.n) as columns
     from pg_constraint k join pg_class f on f.oid = k.conrelid join pg_class t on t.oid = k.confrelid
     join pg_namespace s on s.oid = f.relnamespace
     where k.contype = 'f' and s.nspname = $1 order by 2, 1`,
    [schema],
  )
  const tables = new Map<string, Map<string, Column>>()
  for (const { table, column, type, nullable } of rows) {
    const columns = tables.get(table) ?? new Map<string, Column>()
    columns.set(column, { type, nullable })
    tables.set(table, columns)
  }
  return { schema, tables, foreignKeys: keys }
}

/** A name as SQL takes it. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Throws ImportRefused for a zone that the source's server does not know. */
export async function requireTimeZone(db: Db, zone: string): Promise<void> {
  const { rows } = await db.query<{ known: boolean }>(
    'select exists (select from pg_timezone_names where name = $1) as known',
    [zone],
  )
  if (rows[0]?.known !== true)
    throw new ImportRefused(`'${zone}' is no time zone that the source knows, as in UTC or Europe/Madrid`)
}
