import { ImportRefused } from './report.ts'
import { type Catalog, quoteName } from './source-database.ts'

/** AIRI's tables of money and usage, all of which must be there. */
export interface AiriShape {
  state: 'AIRI'
  schema: string
  /** Types of the columns whose times may or may not have a zone. */
  hasZone: (table: string, column: string) => boolean
}

const needed: Record<string, readonly string[]> = {
  user_flux: ['user_id', 'flux', 'updated_at', 'deleted_at'],
  flux_transaction: [
    'id',
    'user_id',
    'type',
    'amount',
    'balance_before',
    'balance_after',
    'request_id',
    'description',
    'metadata',
    'created_at',
  ],
  llm_request_log: [
    'id',
    'user_id',
    'model',
    'status',
    'duration_ms',
    'flux_consumed',
    'prompt_tokens',
    'completion_tokens',
    'created_at',
  ],
}

/** Throws ImportRefused with everything that is missing. */
export function recogniseAiri({ schema, tables }: Catalog): AiriShape {
  const missing = Object.entries(needed).flatMap(([table, columns]) => {
    const found = tables.get(table)
    if (found === undefined) return [`there is no table ${table}`]
    return columns.filter((column) => !found.has(column)).map((column) => `${table} has no column ${column}`)
  })
  if (missing.length > 0)
    throw new ImportRefused(
      `the schema '${schema}' is not one of AIRI: ${missing.join('; ')}. Found the tables ${[...tables.keys()].join(', ')}`,
    )
  return { state: 'AIRI', schema, hasZone: (table, column) => tables.get(table)?.get(column)?.type === 'timestamptz' }
}

/** `"public"."user_flux"` */
export function airiTable(shape: AiriShape, table: string): string {
  return `${quoteName(shape.schema)}.${quoteName(table)}`
}

/** A time as text with its zone; those without are read as the zone in `$1`. */
export function airiTime(shape: AiriShape, table: string, column: string): string {
  return shape.hasZone(table, column)
    ? `(case when $1::text is not null then ${column} end)::text`
    : `(${column} at time zone $1::text)::text`
}

/** What a transaction changed: its amount is always positive, and types that came later say it by the balances alone. */
export const FLUX_CHANGE = `case when type = 'debit' then -amount when type in ('credit', 'initial', 'promo') then amount
  else balance_after - balance_before end`
