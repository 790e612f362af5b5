import { type Db, type Tx, transaction } from '#db/pool.ts'
import type { Reporter } from '#domain/usage/stored-usage.ts'
import { assert } from '#lib/assert.ts'
import { dashedUuid, uuidv7Hex } from '#lib/ids.ts'
import { AppError } from '#src/errors.ts'
import { type ContentLevel, lowerLevel } from './content-level.ts'
import { insertMessages, type Message, type NewMessage, readMessages } from './messages.ts'
import { forgetContent } from './retention.ts'

export interface Conversation {
  id: string
  projectId: string
  keyId: string
  title: string | null
  systemPrompt: string | null
  aliasName: string | null
  temperature: number
  maxTokens: bigint | null
  messageCount: bigint
  inputTokens: bigint
  outputTokens: bigint
  /** Of all calls that named it, as far as their cost is known. */
  costNanos: bigint
  createdAt: Date
  updatedAt: Date
  lastMessageAt: Date | null
}

/** What a client says of a conversation; title and prompt are content. */
export interface ConversationWords {
  title?: string | undefined
  systemPrompt?: string | undefined
  aliasName?: string | undefined
  temperature?: number | undefined
  maxTokens?: number | undefined
}

const columns = `c.id, c.project_id as "projectId", c.key_id as "keyId", c.title, c.system_prompt as "systemPrompt",
  c.alias_name as "aliasName", c.temperature, c.max_tokens as "maxTokens", c.message_count as "messageCount",
  c.input_tokens as "inputTokens", c.output_tokens as "outputTokens", c.created_at as "createdAt", c.updated_at as "updatedAt",
  c.last_message_at as "lastMessageAt",
  coalesce((select sum(r.cost) from reported_log r where r.project_id = c.project_id and r.conversation_id = c.id), 0)::bigint
  + coalesce((select r.cost from conversation_call x join reported_log r on r.id = x.call_id
              where x.conversation_id = c.id and r.conversation_id is distinct from c.id), 0) as "costNanos"`

/** Conversations of a project. What is said in them is kept as far as the project asks for it. */
export function createConversations(deps: { db: Db }) {
  const { db } = deps

  async function get(projectId: string, id: string): Promise<Conversation> {
    const { rows } = await db.query<Conversation>(
      `select ${columns} from conversation c where c.id = $1 and c.project_id = $2`,
      [id, projectId],
    )
    return found(rows[0])
  }

  return {
    /** Throws AppError not_found, as all below. */
    get,

    async create(reporter: Reporter, words: ConversationWords): Promise<Conversation> {
      const id = dashedUuid(uuidv7Hex())
      await insertConversation(db, reporter, id, words)
      return get(reporter.projectId, id)
    },

    /** The one that changed last first. */
    async list(projectId: string, page: { limit: number; offset: number }): Promise<Conversation[]> {
      const { rows } = await db.query<Conversation>(
        `select ${columns} from conversation c where c.project_id = $1 order by c.updated_at desc, c.id desc limit $2 offset $3`,
        [projectId, page.limit, page.offset],
      )
      return rows
    },

    /** Changes what is told; the rest stays. */
    async update(projectId: string, id: string, words: ConversationWords): Promise<Conversation> {
      const { rowCount } = await db.query(
        `update conversation c set
           title = case when p.content_logging = 'full' then coalesce(nullif($3, ''), c.title) end,
           system_prompt = case when p.content_logging = 'full' then coalesce($4, c.system_prompt) end,
           alias_name = coalesce($5, c.alias_name), temperature = coalesce($6, c.temperature),
           max_tokens = coalesce($7, c.max_tokens), updated_at = clock_timestamp()
         from project p where c.id = $1 and c.project_id = $2 and p.id = c.project_id`,
        [id, projectId, ...wordValues(words)],
      )
      if (rowCount === 0) found(undefined)
      return get(projectId, id)
    },

    async messages(projectId: string, id: string, page: { limit: number; offset: number }): Promise<Message[]> {
      const { rows } = await db.query('select from conversation where id = $1 and project_id = $2', [id, projectId])
      found(rows[0])
      return readMessages(db, { conversationId: id, projectId }, page)
    },

    /** Adds messages as far as the project and the client want them kept; returns those. */
    async addMessages(
      projectId: string,
      id: string,
      messages: readonly NewMessage[],
      asked: ContentLevel,
    ): Promise<Message[]> {
      return transaction(db, async (tx) => {
        const { rows } = await tx.query<{ level: ContentLevel }>(
          `select p.content_logging as level from conversation c join project p on p.id = c.project_id
           where c.id = $1 and c.project_id = $2`,
          [id, projectId],
        )
        const level = lowerLevel(found(rows[0]).level, asked)
        return insertMessages(tx, { conversationId: id, projectId, level }, messages)
      })
    },

    /** Deletes what was said longer ago than so many days, or than the project keeps it. */
    forget: (projectId: string, days: number | undefined) => forgetContent(db, projectId, days),
  }
}

export type Conversations = ReturnType<typeof createConversations>

/** Returns what the project keeps. */
export async function insertConversation(
  db: Db | Tx,
  reporter: Reporter,
  id: string,
  words: ConversationWords,
): Promise<ContentLevel> {
  const { rows } = await db.query<{ level: ContentLevel }>(
    `with p as (select content_logging as level from project where id = $3),
          c as (
       insert into conversation (id, wallet_id, project_id, key_id, title, system_prompt, alias_name, temperature, max_tokens)
       select $1, $2, $3, $4, case when p.level = 'full' then nullif($5, '') end, case when p.level = 'full' then $6 end, $7,
              coalesce($8, 0.7), $9 from p
     )
     select level from p`,
    [id, reporter.walletId, reporter.projectId, reporter.keyId, ...wordValues(words)],
  )
  const [project] = rows
  assert(project !== undefined, 'a key belongs to a project')
  return project.level
}

function wordValues({ title, systemPrompt, aliasName, temperature, maxTokens }: ConversationWords) {
  return [title, systemPrompt, aliasName, temperature, maxTokens].map((value) => value ?? null)
}

function found<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new AppError('not_found', { message: 'Conversation not found' })
  return row
}
