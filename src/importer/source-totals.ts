import type { Tx } from '#db/pool.ts'
import type { LlmringShape } from './llmring-shape.ts'
import { unlessBlank, usageRows } from './llmring-sql.ts'

/** Sums over the usage, as decimal texts. Costs are dollars. */
export type Totals = Record<TotalName, string>
type TotalName = (typeof totalNames)[number]
export const totalNames = [
  'rows',
  'sum(cost)',
  'sum(input_tokens)',
  'sum(output_tokens)',
  'rows with an alias',
  'checksum',
] as const

/** Of the rows of the source, but for `without`, whose ids are texts. */
export async function sourceTotals(
  tx: Tx,
  shape: LlmringShape,
  zone: string,
  without: readonly string[] = [],
): Promise<Totals> {
  const sql = usageRows(shape)
  const { rows } = await tx.query<Totals>(
    `select ${totalsOf(shape, { ...sql, cost: `nullif(${sql.cost}, 'NaN')` })} from ${sql.from}
     where $1::text is not null and not (${sql.id}::text = any ($2::text[]))`,
    [zone, without],
  )
  return withZeros(rows[0])
}

/** Of the rows that are here: what is in use and what is in quarantine together. */
export async function importedTotals(
  tx: Tx,
  name: string,
  shape: LlmringShape,
): Promise<Totals & { quarantined: string }> {
  const { rows } = await tx.query<Totals & { quarantined: string }>(
    `select ${totalsOf(shape, { id: 'id', input: 'tin', output: 'tout', cost: 'cost', model: 'model', alias: 'alias' })},
            (count(*) filter (where quarantined))::text as quarantined
     from (
       select id::text as id, input_tokens as tin, output_tokens as tout, reported_cost as cost, model, alias_name as alias,
              false as quarantined
       from reported_log where imported_from = $1
       union all
       select source_id, input_tokens, output_tokens, cost, row::json ->> 'model', row::json ->> 'alias', true
       from import_quarantine where import = $1 and relation = 'usage_logs') u`,
    [name],
  )
  return { ...withZeros(rows[0]), quarantined: rows[0]?.quarantined ?? '0' }
}

/**
 * The checksum is the sum of one number for each row, so it does not depend on their order. It is over what no repair changes; ids
 * are part of it where they stay the same.
 */
function totalsOf(
  shape: LlmringShape,
  sql: { id: string; input: string; output: string; cost: string; model: string; alias: string },
): string {
  const whole = (expression: string) => `trim_scale(${expression}::numeric)`
  const id = shape.usage.id.type === 'uuid' ? `${sql.id}::text` : `''`
  const line = `concat_ws('|', ${sql.model}, ${whole(sql.input)}, ${whole(sql.output)}, round(${sql.cost}, 12), ${id})`
  return `count(*)::text as rows, trim_scale(sum(${sql.cost}))::text as "sum(cost)", sum(${whole(sql.input)})::text as "sum(input_tokens)",
    sum(${whole(sql.output)})::text as "sum(output_tokens)",
    (count(*) filter (where ${unlessBlank(sql.alias)} is not null))::text as "rows with an alias",
    sum(('x' || substr(md5(${line}), 1, 15))::bit(60)::bigint)::text as checksum`
}

function withZeros(row: Totals | undefined): Totals {
  return Object.fromEntries(totalNames.map((name) => [name, row?.[name] ?? '0'])) as Totals
}
