import { type Db, type Tx, transaction } from '#db/pool.ts'
import type { PriceBook } from '#domain/price-book.ts'
import type { RecordedUsage } from '#domain/usage/record-usage.ts'
import { type Reporter, type Stored, storedColumns, type UsageRow } from '#domain/usage/stored-usage.ts'
import type { UsageReport } from '#domain/usage/usage-report.ts'
import { writeUsage } from '#domain/usage/write-usage.ts'
import { assert } from '#lib/assert.ts'
import { dashedUuid, uuidv7Hex } from '#lib/ids.ts'
import { type ContentLevel, lowerLevel } from './content-level.ts'
import { insertConversation } from './conversations.ts'
import { insertMessages, type NewMessage } from './messages.ts'

/** A call that a client reports with what was said. */
export interface ConversationReport {
  report: UsageReport
  title: string
  messages: readonly NewMessage[]
  /** The usage of this call was reported before, and was given this id. */
  logId: string | undefined
  level: ContentLevel
}

export interface LoggedConversation extends RecordedUsage {
  conversationId: string
  /** Of the answer; null where messages are not kept. */
  messageId: string | null
}

const noHash = Buffer.alloc(0)

/**
 * Records a call together with its conversation, in one commit. The call counts once: when its usage was reported before
 * under `logId` that record is taken, and a report of its usage that comes later finds this one.
 */
export function createConversationLog(deps: { db: Db; priceBook: () => PriceBook }) {
  return async (reporter: Reporter, call: ConversationReport): Promise<LoggedConversation> => {
    const conversationId = dashedUuid(uuidv7Hex())
    const { projectId } = reporter
    return transaction(deps.db, async (tx) => {
      const { aliasName } = call.report
      const words = { title: call.title, aliasName: aliasName ?? undefined }
      const kept = await insertConversation(tx, reporter, conversationId, words)
      const level = lowerLevel(kept, call.level)
      const stored = await insertMessages(tx, { conversationId, projectId, level }, call.messages)
      // Last, because rows of the roll-up are held until the commit.
      const usage =
        (await attachReported(tx, reporter, conversationId, call)) ??
        (await recordWith(tx, reporter, conversationId, call.report, deps.priceBook()))
      const { logId, occurredAt, costNanos, costStatus, isNew } = usage
      const messageId = stored.at(-1)?.id ?? null
      return { conversationId, messageId, logId, occurredAt, costNanos, costStatus, isReplay: !isNew }
    })
  }
}

export type ConversationLog = ReturnType<typeof createConversationLog>

async function recordWith(
  tx: Tx,
  reporter: Reporter,
  conversationId: string,
  report: UsageReport,
  book: PriceBook,
): Promise<Stored> {
  const row: UsageRow = { id: dashedUuid(uuidv7Hex()), bodyHash: noHash, report: { ...report, conversationId } }
  const written = new Map<string, Stored>()
  await writeUsage(tx, reporter, [row], book, written)
  const stored = written.get(row.id)
  assert(stored !== undefined, 'a fresh id is recorded')
  await tx.query(
    'insert into conversation_call (conversation_id, call_id, project_id, key_id) values ($1, $2, $3, $4)',
    [...[conversationId, row.id, reporter.projectId, reporter.keyId]],
  )
  return stored
}

/**
 * Undefined when there is no such record of this project, or when it says something else. One that has a conversation already
 * keeps that one, and is not counted again: a client that got no answer sends the same once more.
 */
async function attachReported(
  tx: Tx,
  reporter: Reporter,
  conversationId: string,
  { logId, report }: ConversationReport,
): Promise<Stored | undefined> {
  if (logId === undefined) return undefined
  const { rows } = await tx.query<Stored>(
    `with said as (
       select r.id, r.project_id, r.body_hash from reported_log r
       where r.id = $1 and r.project_id = $2
         and (r.provider, r.model, r.input_tokens, r.output_tokens) = ($5, $6, $7, $8)
     ), call as (
       insert into conversation_call (conversation_id, call_id, project_id, key_id, claimed_by, claim_hash)
       select $3, id, project_id, $4, id, body_hash from said
       on conflict do nothing
     )
     select ${storedColumns} from said join reported_log l on l.id = said.id`,
    [
      ...[logId, reporter.projectId, conversationId, reporter.keyId],
      ...[report.provider, report.model, report.inputTokens, report.outputTokens],
    ],
  )
  const [found] = rows
  return found === undefined ? undefined : { ...found, isNew: false }
}
