import { type Found, type LlmringShape, tableName } from './llmring-shape.ts'
import { quoteName } from './source-database.ts'

/** White space of ASCII, which makes a label blank here as in `isBlank`. */
const BLANKS = `E' \\t\\n\\r\\f\\v'`

/** `u."alias"`, or null where the source has no such column. */
export function columnOf(table: string, found: Found | undefined): string {
  return found === undefined ? 'null' : `${table}.${quoteName(found.column)}`
}

export function textOf(table: string, found: Found | undefined): string {
  return found === undefined ? 'null::text' : `${columnOf(table, found)}::text`
}

/** Null for what is empty or only white space; else the text as it is. */
export function unlessBlank(expression: string): string {
  return `case when btrim(${expression}, ${BLANKS}) <> '' then ${expression} end`
}

/** A moment, with times without a zone read as the zone in parameter `$zone`. */
export function momentOf(table: string, found: Found, zone: string): string {
  const column = columnOf(table, found)
  // The parameter stands in both, because a statement must use all that it is given.
  return found.type === 'timestamp'
    ? `(${column} at time zone ${zone})`
    : `(case when ${zone} is not null then ${column} end)`
}

/**
 * The SQL of one table with an owner: its FROM, and expressions for the owner's project and header in the source. `u` is the
 * table, `k` the key that it names.
 */
export function ownedRows(shape: LlmringShape, table: 'usage_logs' | 'receipts' | 'conversations') {
  const part = { usage_logs: shape.usage, receipts: shape.receipts, conversations: shape.conversations }[table]
  const { keys } = shape
  let from = `${tableName(shape, table)} u`
  const on =
    keys === undefined
      ? undefined
      : part?.key !== undefined
        ? `k.${quoteName(keys.id.column)}::text = ${textOf('u', part.key)}`
        : part?.header !== undefined && keys.raw !== undefined
          ? `${textOf('k', keys.raw)} = ${textOf('u', part.header)}`
          : undefined
  if (on !== undefined) from += ` left join ${tableName(shape, 'api_keys')} k on ${on}`
  const throughKey = (found: Found | undefined) => (on === undefined ? 'null::text' : textOf('k', found))
  const project = `coalesce(${textOf('u', part?.project)}, ${throughKey(keys?.project)})`
  const header = unlessBlank(`coalesce(${textOf('u', part?.header)}, ${throughKey(keys?.raw)})`)
  const keyHash = keys?.hash === undefined || on === undefined ? 'null::text' : hashOf(keys.hash)
  return {
    from,
    project,
    header,
    keyHash,
    /** `project`, `key` or `none`, and what the owner is called in the source. */
    ownerKind: `case when ${project} is not null then 'project' when ${header} is not null then 'key' else 'none' end`,
    owner: `coalesce(${project}, ${header}, '')`,
  }
}

/** A stored hash of a key as lower-case hex, whatever type holds it. */
export function hashOf(found: Found): string {
  return found.type === 'bytea' ? `encode(${columnOf('k', found)}, 'hex')` : `lower(${textOf('k', found)})`
}

/** Everything of a row of usage_logs that is kept, each as text. `$1` is the time zone. */
export function usageRows(shape: LlmringShape) {
  const { usage, aliases } = shape
  const rows = ownedRows(shape, 'usage_logs')
  const byId = usage.aliasId !== undefined && aliases?.id !== undefined
  const from = byId
    ? `${rows.from} left join ${tableName(shape, 'aliases')} a on ${columnOf('a', aliases.id)} = ${columnOf('u', usage.aliasId)}`
    : rows.from
  const aliasOf = (found: Found | undefined) => (byId ? textOf('a', found) : 'null::text')
  const alias = `coalesce(${unlessBlank(textOf('u', usage.aliasName))}, ${textOf('u', usage.alias)}, ${aliasOf(aliases?.alias)})`
  const profile = `coalesce(${textOf('u', usage.profile)}, ${aliasOf(aliases?.profile)})`
  const at = momentOf('u', usage.at, '$1::text')
  return {
    ...rows,
    from,
    id: columnOf('u', usage.id),
    idType: usage.id.type,
    alias,
    profile,
    at,
    input: columnOf('u', usage.input),
    output: columnOf('u', usage.output),
    cost: `${columnOf('u', usage.cost)}::numeric`,
    model: textOf('u', usage.model),
    select: `${textOf('u', usage.id)} as id, ${rows.ownerKind} as "ownerKind", ${rows.owner} as owner, ${rows.header} as header,
      ${rows.keyHash} as "keyHash", ${textOf('u', usage.model)} as model, ${textOf('u', usage.provider)} as provider,
      ${textOf('u', usage.input)} as input, ${textOf('u', usage.output)} as output, ${textOf('u', usage.cached)} as cached,
      ${columnOf('u', usage.cost)}::numeric::text as cost, ${textOf('u', usage.latency)} as latency, ${textOf('u', usage.origin)} as origin,
      ${textOf('u', usage.idAtOrigin)} as "idAtOrigin", ${textOf('u', usage.metadata)} as metadata, ${at}::text as at,
      ${alias} as alias, ${profile} as profile, ${textOf('u', usage.conversation)} as "conversationId"`,
  }
}
