import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

// The catalogue of the database is the proof: an alias is a text beside a record, and nothing knows what it stands for.

let database: TestDatabase
before(async () => {
  database = await createTestDatabase()
})
after(() => database.close())

async function ask<Row>(sql: string): Promise<Row[]> {
  const { rows } = await database.db.query(sql)
  return rows as Row[]
}

test('no table, view, sequence, type or function is about aliases', async () => {
  assert.deepEqual(
    await ask(`
      select 'relation' as kind, relname as name from pg_class where relnamespace = 'fluxgate'::regnamespace and relname ~* 'alias|sync'
      union all
      select 'routine', proname from pg_proc where pronamespace = 'fluxgate'::regnamespace and proname ~* 'alias|sync'
      union all
      select 'type', typname from pg_type where typnamespace = 'fluxgate'::regnamespace and typname ~* 'alias|sync'
      union all
      select 'trigger', tgname from pg_trigger where not tgisinternal and tgname ~* 'alias|sync'`),
    [],
  )
})

test('every column with an alias is a text named alias_name, beside a record of usage', async () => {
  const columns = await ask<{ table: string; column: string; type: string }>(`
    select table_name as table, column_name as column, data_type as type from information_schema.columns
    where table_schema = 'fluxgate' and column_name ~* 'alias|sync' order by 1`)
  assert(columns.length >= 3)
  for (const { table, column, type } of columns) {
    assert.deepEqual([column, type], ['alias_name', 'text'], table)
    const labelled = await ask(`
      select 1 from information_schema.columns
      where table_schema = 'fluxgate' and table_name = '${table}' and column_name in ('project_id', 'wallet_id')`)
    assert(labelled.length > 0, `${table} belongs to a project or its wallet`)
  }
})

test('no key, unique rule, foreign key or default involves an alias', async () => {
  assert.deepEqual(
    await ask(`
      select c.conrelid::regclass::text as table, c.conname as name
      from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
      where c.connamespace = 'fluxgate'::regnamespace and a.attname = 'alias_name' and c.contype <> 'c' and c.contype <> 'n'`),
    [],
  )
  assert.deepEqual(
    await ask(`
      select i.indexrelid::regclass::text as index
      from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
      join pg_class t on t.oid = i.indrelid
      where t.relnamespace = 'fluxgate'::regnamespace and a.attname = 'alias_name' and i.indisunique`),
    [],
  )
  assert.deepEqual(
    await ask(`
      select table_name from information_schema.columns
      where table_schema = 'fluxgate' and column_name = 'alias_name' and column_default is not null`),
    [],
  )
})

test('no function looks anything up by an alias', async () => {
  const routines = await ask<{ name: string; body: string }>(`
    select proname as name, prosrc as body from pg_proc where pronamespace = 'fluxgate'::regnamespace and prosrc ~* 'alias'
      -- A budget for a label counts the calls that carry it: nothing is found by way of the label.
      and proname <> 'take_budget'`)
  for (const { name, body } of routines) {
    const where = [...body.matchAll(/\b(?:where|on|using|join)\b[^;]*?\balias\w*\s*(?:=|in\b|is not distinct)/gi)]
    assert.deepEqual(where.map(String), [], name)
  }
})
