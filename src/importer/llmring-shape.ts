import { ImportRefused } from './report.ts'
import { type Catalog, type Column, quoteName } from './source-database.ts'

/** A column of the source that plays a part, by what it is called there. */
export interface Found {
  column: string
  type: string
}

/** Where everything is that an import reads. What is undefined is not there in this state. */
export interface LlmringShape {
  /** Which state of llmring-server made it. */
  state: 'PRE' | 'B' | 'SEED' | 'OCT or NOV' | 'HEAD'
  catalog: Catalog
  usage: Parts<'id' | 'model' | 'input' | 'output' | 'cost' | 'at', OptionalOfUsage> & Owner
  aliases: (Parts<'owner' | 'alias' | 'model', 'id' | 'profile' | 'metadata'> & { ownerIsProject: boolean }) | undefined
  projects: Parts<'id', 'name'> | undefined
  keys: Parts<'id', 'project' | 'raw' | 'hash' | 'revoked' | 'active' | 'expires'> | undefined
  receipts:
    | (Parts<'id' | 'receiptId' | 'signature' | 'at' | 'tokens' | 'cost' | 'model', OptionalOfReceipt> & Owner)
    | undefined
  receiptLogs: boolean
  conversations: (Parts<'id' | 'at', 'title' | 'alias' | 'updated'> & Owner) | undefined
  messages: Parts<'id' | 'conversation' | 'role' | 'at', 'content'> | undefined
  /** Tables that only the removed alias service used. */
  syncTables: string[]
  /** Tables that are not carried over. */
  others: string[]
}

type OptionalOfUsage =
  | 'provider'
  | 'cached'
  | 'latency'
  | 'origin'
  | 'idAtOrigin'
  | 'metadata'
  | 'alias'
  | 'aliasName'
  | 'aliasId'
  | 'profile'
  | 'conversation'
type OptionalOfReceipt = 'alias' | 'aliasId' | 'profile' | 'provider' | 'lockDigest' | 'type'

type Parts<Needed extends string, Optional extends string> = Record<Needed, Found> & Partial<Record<Optional, Found>>

interface Owner {
  /** The header itself. */
  header?: Found
  /** Refers to a row of `keys`. */
  key?: Found
  project?: Found
}

const text = ['varchar', 'text', 'bpchar', 'citext', 'name']
const whole = ['int2', 'int4', 'int8']
const number = [...whole, 'numeric', 'float4', 'float8']
const time = ['timestamp', 'timestamptz']
const json = ['jsonb', 'json', ...text]
const id = ['uuid', ...whole, ...text]

type Candidates = Record<string, readonly [names: readonly string[], types: readonly string[]]>

const candidates = {
  usage: {
    id: [['id'], id],
    model: [['model', 'model_used', 'model_name'], text],
    provider: [['provider'], text],
    input: [
      ['input_tokens', 'prompt_tokens'],
      [...whole, 'numeric'],
    ],
    output: [
      ['output_tokens', 'completion_tokens'],
      [...whole, 'numeric'],
    ],
    cached: [
      ['cached_input_tokens', 'cached_tokens'],
      [...whole, 'numeric'],
    ],
    cost: [['cost', 'total_cost', 'cost_usd'], number],
    latency: [['latency_ms'], [...whole, 'numeric']],
    origin: [['origin'], text],
    idAtOrigin: [['id_at_origin', 'request_id'], text],
    metadata: [['metadata'], json],
    at: [['created_at', 'logged_at', 'timestamp'], time],
    alias: [['alias'], text],
    aliasName: [['alias_name'], text],
    aliasId: [['alias_id'], id],
    profile: [['profile'], text],
    conversation: [['conversation_id'], ['uuid']],
  },
  aliases: {
    id: [['id'], id],
    owner: [['project_id', 'api_key_id', 'project_key'], id],
    profile: [['profile'], text],
    alias: [['alias', 'alias_name', 'name'], text],
    model: [['model', 'target', 'model_ref'], text],
    metadata: [['metadata'], json],
  },
  projects: { id: [['id'], id], name: [['name', 'project_name', 'slug'], text] },
  keys: {
    id: [['id'], id],
    project: [['project_id'], id],
    raw: [['key', 'api_key', 'key_value', 'secret', 'token', 'value'], text],
    hash: [
      ['key_hash', 'hash', 'hashed_key', 'api_key_hash', 'key_sha256'],
      [...text, 'bytea'],
    ],
    revoked: [['revoked_at'], time],
    active: [['is_active', 'active', 'enabled'], ['bool']],
    expires: [['expires_at'], time],
  },
  receipts: {
    id: [['id'], id],
    receiptId: [['receipt_id'], text],
    signature: [['signature'], text],
    at: [['receipt_timestamp', 'timestamp'], time],
    tokens: [['tokens'], ['jsonb', 'json']],
    cost: [['cost'], ['jsonb', 'json']],
    model: [['model'], text],
    alias: [['alias'], text],
    aliasId: [['alias_id'], id],
    profile: [['profile'], text],
    provider: [['provider'], text],
    lockDigest: [['lock_digest'], text],
    type: [['receipt_type'], text],
  },
  conversations: {
    id: [['id'], ['uuid']],
    at: [['created_at'], time],
    title: [['title'], text],
    alias: [['model_alias'], text],
    updated: [['updated_at'], time],
  },
  messages: {
    id: [['id'], ['uuid']],
    conversation: [['conversation_id'], ['uuid']],
    role: [['role'], text],
    content: [['content'], text],
    at: [['timestamp', 'created_at'], time],
  },
} satisfies Record<string, Candidates>

const needed: Record<keyof typeof candidates, readonly string[]> = {
  usage: ['id', 'model', 'input', 'output', 'cost', 'at'],
  aliases: ['owner', 'alias', 'model'],
  projects: ['id'],
  keys: ['id'],
  receipts: ['id', 'receiptId', 'signature', 'at', 'tokens', 'cost', 'model'],
  conversations: ['id', 'at'],
  messages: ['id', 'conversation', 'role', 'at'],
}

const read = ['usage_logs', 'aliases', 'projects', 'api_keys', 'receipts', 'receipt_logs', 'conversations', 'messages']
const bookkeeping = ['schema_migrations']

/**
 * Recognises the state of llmring-server that a schema was left in, by its tables and columns. Throws ImportRefused with
 * everything that was found when it is none.
 */
export function recogniseLlmring(catalog: Catalog): LlmringShape {
  const problems: string[] = []
  const part = (table: string, kind: keyof typeof candidates) => {
    const columns = catalog.tables.get(table)
    if (columns === undefined) return undefined
    const { found, missing } = findColumns(columns, candidates[kind], needed[kind])
    for (const one of missing) problems.push(`${table} has no column for its ${one}`)
    return found
  }
  if (!catalog.tables.has('usage_logs')) problems.push('there is no table usage_logs')
  const projects = part('projects', 'projects') as LlmringShape['projects']
  const keys = part('api_keys', 'keys') as LlmringShape['keys']
  const owned = (table: string) => ownerColumns(catalog, table, projects !== undefined, keys !== undefined)
  const usage = { ...part('usage_logs', 'usage'), ...owned('usage_logs') } as LlmringShape['usage']
  const aliases = part('aliases', 'aliases') as LlmringShape['aliases']
  const receipts = part('receipts', 'receipts')
  const conversations = part('conversations', 'conversations')
  const state = stateOf(catalog)
  if (
    catalog.tables.has('usage_logs') &&
    usage.header === undefined &&
    usage.key === undefined &&
    usage.project === undefined
  )
    problems.push('usage_logs has no column for who made a call')
  if (usage.aliasId !== undefined && usage.aliasName === undefined && aliases?.id === undefined)
    problems.push('usage_logs.alias_id leads to no table aliases with an id')
  if (state === undefined) problems.push('the tables are those of no state of llmring-server that is known')
  if (problems.length > 0 || state === undefined) throw unknownShape(catalog, problems)
  const syncTables = [...catalog.tables.keys()].filter((table) => /(^|_)sync(_|$)/.test(table))
  return {
    state,
    catalog,
    usage,
    aliases: aliases && { ...aliases, ownerIsProject: projects !== undefined },
    projects,
    keys,
    receipts: receipts && ({ ...receipts, ...owned('receipts') } as LlmringShape['receipts']),
    receiptLogs: catalog.tables.has('receipt_logs'),
    conversations: conversations && ({ ...conversations, ...owned('conversations') } as LlmringShape['conversations']),
    messages: part('messages', 'messages') as LlmringShape['messages'],
    syncTables,
    others: [...catalog.tables.keys()].filter(
      (table) => !read.includes(table) && !syncTables.includes(table) && !bookkeeping.includes(table),
    ),
  }
}

function stateOf({ tables }: Catalog): LlmringShape['state'] | undefined {
  const usage = tables.get('usage_logs')
  if (usage === undefined) return undefined
  if (tables.has('projects') || tables.has('api_keys') || usage.has('alias_id')) return 'B'
  if (tables.has('aliases')) return 'PRE'
  if (tables.has('conversations')) return tables.has('receipts') ? 'OCT or NOV' : 'HEAD'
  return tables.has('receipts') ? 'SEED' : undefined
}

/** Who made a call stands in the row as the raw header, as a reference to a key, or as a project. */
function ownerColumns(catalog: Catalog, table: string, hasProjects: boolean, hasKeys: boolean): Owner {
  const columns = catalog.tables.get(table)
  const owner: Owner = {}
  for (const name of ['api_key_id', 'api_key', 'project_key', 'key_id']) {
    const column = columns?.get(name)
    // A receipt's key_id is the key that signed it, and its project_key is what `expand` has added.
    if (column === undefined || (table === 'receipts' && (name === 'key_id' || name === 'project_key'))) continue
    const refers = catalog.foreignKeys.some(
      (one) => one.table === table && one.toTable === 'api_keys' && one.columns.includes(name),
    )
    const isText = text.includes(column.type)
    if (hasKeys && (refers || !isText)) owner.key ??= { column: name, type: column.type }
    else if (isText) owner.header ??= { column: name, type: column.type }
  }
  const project = columns?.get('project_id')
  if (project !== undefined) {
    const found = { column: 'project_id', type: project.type }
    if (text.includes(project.type) && !hasProjects) owner.header ??= found
    else owner.project = found
  }
  return owner
}

function findColumns(columns: ReadonlyMap<string, Column>, wanted: Candidates, mustHave: readonly string[]) {
  const found: Record<string, Found> = {}
  for (const [role, [names, types]] of Object.entries(wanted)) {
    const column = names.find((name) => types.includes(columns.get(name)?.type ?? ''))
    if (column !== undefined) found[role] = { column, type: columns.get(column)?.type ?? '' }
  }
  return { found, missing: mustHave.filter((role) => found[role] === undefined) }
}

function unknownShape(catalog: Catalog, problems: string[]): ImportRefused {
  const tables = [...catalog.tables].map(
    ([table, columns]) => `  ${table}(${[...columns].map(([name, { type }]) => `${name} ${type}`).join(', ')})`,
  )
  return new ImportRefused(
    `the schema '${catalog.schema}' is not one of llmring-server: ${problems.join('; ')}. Found:\n${tables.join('\n')}`,
  )
}

/** `"llmring"."usage_logs"` */
export function tableName(shape: { catalog: Catalog }, table: string): string {
  return `${quoteName(shape.catalog.schema)}.${quoteName(table)}`
}
