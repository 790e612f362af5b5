import { hash } from 'node:crypto'
import { textArray } from '#db/array-literal.ts'
import { type Db, type Tx, transaction } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { type ImportRun, type Progress, readProgress, writeProgress } from './import-run.ts'
import { sha256 } from './llmring-owners.ts'
import { type LlmringShape, tableName } from './llmring-shape.ts'
import { columnOf, momentOf, ownedRows, textOf } from './llmring-sql.ts'
import type { Tenants } from './llmring-tenants.ts'
import { addCounts } from './report.ts'
import { insertQuarantined } from './reported-batch.ts'

export interface ConversationCopy {
  source: Db
  target: Db
  shape: LlmringShape
  run: ImportRun
  tenants: Tenants
  batchRows: number
  /** Titles, prompts and messages too. */
  withContent: boolean
}

interface Row {
  id: string
  ownerKind: string
  owner: string
  header: string | null
  createdAt: string
  /** Every column that it has. */
  whole: Record<string, unknown>
}

const ALIAS_CHARS_MAX = 255
const ROLE_CHARS_MAX = 32

/** Copies conversations that are not here yet: who, when and how much; what was said only when asked for. */
export async function copyConversations(copy: ConversationCopy): Promise<void> {
  const { shape, run } = copy
  const { conversations } = shape
  if (conversations === undefined) return
  const rows = ownedRows(shape, 'conversations')
  const id = columnOf('u', conversations.id)
  const sql = `select ${id} as id, ${rows.ownerKind} as "ownerKind", ${rows.owner} as owner, ${rows.header} as header,
      ${momentOf('u', conversations.at, '$1::text')}::text as "createdAt", to_jsonb(u) as whole
    from ${rows.from} where $2::uuid is null or ${id} > $2::uuid order by ${id} limit $3`
  await copyPages<Row>(
    copy,
    'conversations',
    { sql, values: [run.timeZone] },
    ({ id }) => id,
    (tx, page) => insertPage(tx, copy, page),
  )
  if (copy.withContent && shape.messages !== undefined) await copyMessages(copy, shape.messages)
}

async function insertPage(tx: Tx, copy: ConversationCopy, page: readonly Row[]): Promise<Record<string, number>> {
  const { run, tenants, withContent } = copy
  const owned = page.map((row) => {
    const projectId = tenants.projectOf(row.ownerKind, sha256(row.owner))
    assert(projectId !== undefined, 'every owner has a project before its rows are copied')
    const keyId = tenants.keyOf(row.header === null ? undefined : sha256(row.header).toString('hex'))
    return { ...row, projectId, keyId }
  })
  const texts = (of: (row: (typeof owned)[number]) => unknown) =>
    textArray(owned, (row) => {
      const value = of(row)
      return value === undefined || value === null ? null : String(value)
    })
  const content = (name: string) => texts(({ whole }) => (withContent ? whole[name] || null : null))
  const { rows: added } = await tx.query<{ id: string }>(
    `insert into conversation (id, wallet_id, project_id, key_id, title, system_prompt, alias_name, temperature, max_tokens, message_count,
                               input_tokens, output_tokens, created_at, updated_at, last_message_at)
     select o.id, p.wallet_id, o.project, o.key, o.title, o.prompt, o.alias, coalesce(o.temperature, 0.7), o.max_tokens, coalesce(o.messages, 0),
            coalesce(o.tin, 0), coalesce(o.tout, 0), o.created, coalesce(o.updated, o.created), o.last
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::bigint[], $9::bigint[], $10::bigint[],
                 $11::bigint[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[])
          as o(id, project, key, title, prompt, alias, temperature, max_tokens, messages, tin, tout, created, updated, last)
     join project p on p.id = o.project
     on conflict (id) do nothing returning id`,
    [
      texts((row) => row.id),
      texts((row) => row.projectId),
      texts((row) => row.keyId),
      content('title'),
      content('system_prompt'),
      texts(({ whole }) => labelOf(whole.model_alias)),
      texts(({ whole }) => within(whole.temperature, 0, 2)),
      texts(({ whole }) => within(whole.max_tokens, 1)),
      texts(({ whole }) => within(whole.message_count, 0)),
      texts(({ whole }) => within(whole.total_input_tokens, 0)),
      texts(({ whole }) => within(whole.total_output_tokens, 0)),
      texts((row) => row.createdAt),
      texts(({ whole }) => whole.updated_at),
      texts(({ whole }) => whole.last_message_at),
    ],
  )
  const { rows: taken } = await tx.query<{ id: string }>(
    `select o.id from unnest($1::uuid[], $2::text[]) as o(id, project) join conversation c on c.id = o.id
     where c.project_id <> o.project and not exists (select from import_quarantine q where q.import = $3 and q.relation = 'conversations' and q.source_id = o.id::text)`,
    [texts((row) => row.id), texts((row) => row.projectId), run.name],
  )
  await setAside(
    tx,
    run.name,
    'conversations',
    taken.map(({ id }) => ({ id, reason: 'id_taken', row: { id } })),
  )
  return { copied: added.length + taken.length }
}

interface MessageRow {
  id: string
  conversationId: string
  role: string
  at: string
  whole: Record<string, unknown>
}

/**
 * Copies what was said, in the order of each conversation. After the first pass only what is as new as the import: what the retention of a
 * project has deleted since does not come back.
 */
async function copyMessages(copy: ConversationCopy, messages: NonNullable<LlmringShape['messages']>): Promise<void> {
  const { shape, run } = copy
  const [conversation, at, id] = [messages.conversation, messages.at, messages.id].map((found) => columnOf('u', found))
  const sql = `select ${id} as id, ${conversation} as "conversationId", ${textOf('u', messages.role)} as role,
      ${momentOf('u', messages.at, '$1::text')}::text as at, to_jsonb(u) as whole
    from ${tableName(shape, 'messages')} u
    where ($2::text is null or (${conversation}, ${at}, ${id}) > (($2::json->>0)::uuid, ($2::json->>1)::${messages.at.type}, ($2::json->>2)::uuid))
      and ($4::boolean or ${momentOf('u', messages.at, '$1::text')} > $5::timestamptz)
    order by ${conversation}, ${at}, ${id} limit $3`
  const { pass } = await readProgress(copy.target, run.name, 'messages')
  const { rows } = await copy.target.query<{ since: Date }>(
    `select started_at - interval '1 day' as since from import_run where name = $1`,
    [run.name],
  )
  const place = ({ conversationId, whole, id }: MessageRow) =>
    JSON.stringify([conversationId, whole[messages.at.column], id])
  const query = { sql, values: [run.timeZone], more: [pass === 0, rows[0]?.since] }
  await copyPages<MessageRow>(copy, 'messages', query, place, (tx, page) => insertMessages(tx, run.name, page))
}

async function insertMessages(tx: Tx, name: string, page: readonly MessageRow[]): Promise<Record<string, number>> {
  const long = page.filter(({ role }) => role.length < 1 || role.length > ROLE_CHARS_MAX)
  const fitting = page.filter((row) => !long.includes(row))
  const { rows: aside } = await tx.query<{ id: string }>(
    `select o.id from unnest($1::text[]) as o(id)
     where not exists (select from import_quarantine q where q.import = $2 and q.relation = 'messages' and q.source_id = o.id)`,
    [textArray(long, ({ id }) => id), name],
  )
  const refused = long.filter(({ id }) => aside.some((one) => one.id === id))
  await setAside(
    tx,
    name,
    'messages',
    refused.map(({ id, whole }) => ({ id, reason: 'role_too_long', row: whole })),
  )
  const texts = (of: (row: MessageRow) => unknown) =>
    textArray(fitting, (row) => {
      const value = of(row)
      return value === undefined || value === null ? null : String(value)
    })
  const json = (member: string) =>
    texts(({ whole }) => (whole[member] === undefined || whole[member] === null ? null : JSON.stringify(whole[member])))
  const { rows } = await tx.query<{ id: string }>(
    `with fresh as (
       select o.*, row_number() over (partition by o.conversation order by o.n) as nth
       from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
                   $11::timestamptz[]) with ordinality
            as o(id, conversation, role, content, calls, results, metadata, hash, tin, tout, at, n)
       where not exists (select from conversation_message m where m.id = o.id)
     ), added as (
       insert into conversation_message (conversation_id, position, id, wallet_id, project_id, role, content, tool_calls, tool_results,
                                         metadata, content_hash, input_tokens, output_tokens, at)
       select c.id, coalesce((select max(m.position) from conversation_message m where m.conversation_id = c.id), 0) + f.nth, f.id, c.wallet_id,
              c.project_id, f.role, f.content, f.calls, f.results, coalesce(f.metadata, '{}'), decode(f.hash, 'hex'), f.tin, f.tout, f.at
       from fresh f join conversation c on c.id = f.conversation
       returning id, conversation_id, position
     ), counted as (
       update conversation c set message_count = greatest(c.message_count, a.last)
       from (select conversation_id, max(position) as last from added group by 1) a where c.id = a.conversation_id
     )
     select id from added`,
    [
      texts(({ id }) => id),
      texts(({ conversationId }) => conversationId),
      texts(({ role }) => role),
      json('content'),
      json('tool_calls'),
      json('tool_results'),
      json('metadata'),
      texts(({ whole }) => (typeof whole.content === 'string' ? hash('sha256', whole.content) : null)),
      texts(({ whole }) => within(whole.input_tokens, 0)),
      texts(({ whole }) => within(whole.output_tokens, 0)),
      texts(({ at }) => at),
    ],
  )
  return { copied: rows.length + refused.length }
}

/** Reads pages from where the last run stopped, and writes each with its place in one commit. `$2` is the place, `$3` the size. */
async function copyPages<Found>(
  { source, target, run, batchRows }: ConversationCopy,
  relation: string,
  query: { sql: string; values: readonly unknown[]; more?: readonly unknown[] },
  placeOf: (row: Found) => string,
  write: (tx: Tx, page: Found[]) => Promise<Record<string, number>>,
): Promise<void> {
  for (;;) {
    const from = await readProgress(target, run.name, relation)
    const { rows } = await source.query(query.sql, [...query.values, from.last, batchRows, ...(query.more ?? [])])
    const page = rows as Found[]
    const ended = page.length < batchRows
    const final = page.at(-1)
    await transaction(target, async (tx) => {
      const { copied = 0, ...counts } = await write(tx, page)
      const to: Progress = {
        pass: ended ? from.pass + 1 : from.pass,
        last: ended || final === undefined ? null : placeOf(final),
        copied: from.copied + BigInt(copied),
        counts: addCounts(from.counts, counts),
      }
      await writeProgress(tx, { name: run.name, relation, from, to })
    })
    if (ended) return
  }
}

async function setAside(
  tx: Tx,
  importName: string,
  relation: string,
  rows: readonly { id: string; reason: string; row: unknown }[],
): Promise<void> {
  const figures = { projectId: null, input: null, output: null, cost: null }
  await insertQuarantined(
    tx,
    { importName, relation },
    rows.map(({ id, reason, row }) => ({ sourceId: id, reason, row, ...figures })),
  )
}

/** A blank label is none, and so is one that is too long to be one. */
function labelOf(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' && [...value].length <= ALIAS_CHARS_MAX ? value : null
}

/** Null for what is no number of that range. */
function within(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): number | null {
  return typeof value === 'number' && value >= min && value <= max ? value : null
}
