import { hash } from 'node:crypto'
import { textArray } from '#db/array-literal.ts'
import type { Db, Tx } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { dashedUuid, uuidv7Hex } from '#lib/ids.ts'
import type { ContentLevel } from './content-level.ts'

export const MESSAGES_MAX = 2_000

/** A message as clients tell it. What is unknown here is any JSON value. */
export interface NewMessage {
  role: string
  content?: unknown
  toolCalls?: unknown
  toolResults?: unknown
  metadata?: unknown
  inputTokens?: number | undefined
  outputTokens?: number | undefined
}

export interface Message {
  id: string
  conversationId: string
  role: string
  /** JSON, here and below; null where it is not kept. */
  content: string | null
  toolCalls: string | null
  toolResults: string | null
  metadata: string
  contentHash: Buffer | null
  inputTokens: bigint | null
  outputTokens: bigint | null
  at: Date
}

const columns = `m.id, m.conversation_id as "conversationId", m.role, m.content, m.tool_calls as "toolCalls",
  m.tool_results as "toolResults", m.metadata, m.content_hash as "contentHash", m.input_tokens as "inputTokens",
  m.output_tokens as "outputTokens", m.at`

/** Adds messages at the end of a conversation of this project, in their order. Returns what is kept of them. */
export async function insertMessages(
  tx: Db | Tx,
  to: { conversationId: string; projectId: string; level: ContentLevel },
  messages: readonly NewMessage[],
): Promise<Message[]> {
  assert(messages.length <= MESSAGES_MAX, 'the messages of one request are bounded')
  if (to.level === 'none' || messages.length === 0) return []
  const isFull = to.level === 'full'
  const json = (of: (message: NewMessage) => unknown) =>
    textArray(messages, (message) => {
      const value = isFull ? of(message) : undefined
      return value === undefined || value === null ? null : JSON.stringify(value)
    })
  const count = (of: (message: NewMessage) => number | undefined) =>
    textArray(messages, (message) => of(message)?.toString() ?? null)
  const { rows } = await tx.query<Message>(
    `with c as (
       update conversation set message_count = message_count + cardinality($3::uuid[]),
         input_tokens = input_tokens + (select coalesce(sum(n), 0) from unnest($10::bigint[]) as o(n)),
         output_tokens = output_tokens + (select coalesce(sum(n), 0) from unnest($11::bigint[]) as o(n)),
         updated_at = clock_timestamp(), last_message_at = clock_timestamp()
       where id = $1 and project_id = $2 returning *
     )
     insert into conversation_message as m (conversation_id, position, id, wallet_id, project_id, role, content, tool_calls,
                                            tool_results, metadata, content_hash, input_tokens, output_tokens, at)
     select c.id, c.message_count - cardinality($3::uuid[]) + o.n, o.id, c.wallet_id, c.project_id, o.role, o.content, o.calls,
            o.results, coalesce(o.metadata, '{}'), decode(o.hash, 'hex'), o.tin, o.tout, c.updated_at
     from c, unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[])
               with ordinality as o(id, role, content, calls, results, metadata, hash, tin, tout, n)
     order by o.n
     returning ${columns}`,
    [
      to.conversationId,
      to.projectId,
      textArray(messages, () => dashedUuid(uuidv7Hex())),
      textArray(messages, ({ role }) => role),
      json(({ content }) => content),
      json(({ toolCalls }) => toolCalls),
      json(({ toolResults }) => toolResults),
      json(({ metadata }) => metadata),
      textArray(messages, ({ content }) => (isFull && typeof content === 'string' ? hash('sha256', content) : null)),
      count(({ inputTokens }) => inputTokens),
      count(({ outputTokens }) => outputTokens),
    ],
  )
  return rows
}

/** What is kept of a conversation, oldest first. */
export async function readMessages(
  db: Db,
  of: { conversationId: string; projectId: string },
  page: { limit: number; offset: number },
): Promise<Message[]> {
  const { rows } = await db.query<Message>(
    `select ${columns} from conversation_message m where m.conversation_id = $1 and m.project_id = $2
     order by m.position limit $3 offset $4`,
    [of.conversationId, of.projectId, page.limit, page.offset],
  )
  return rows
}
