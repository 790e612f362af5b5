import type { Db, Tx } from '#db/pool.ts'
import { type Reporter, type Stored, storedColumns, type UsageRow } from '#domain/usage/stored-usage.ts'

/** A client that reports calls side by side may name the conversation of the one for the usage of the other. */
const SAME_CALL_MINUTES = 10

/** Holds off others that report under the same idempotency keys, until the transaction ends. */
export async function lockNames(tx: Tx, rows: readonly UsageRow[]): Promise<void> {
  const names = rows.filter(({ bodyHash }) => bodyHash.length > 0).map(({ id }) => id)
  if (names.length === 0) return
  await tx.query('select pg_advisory_xact_lock(hashtextextended(name, 7)) from unnest($1::text[]) as o(name)', [
    names.sort(),
  ])
}

/** What was recorded of reports that were found to be counted with a conversation, by the ids that they would have had. */
export async function claimedBefore(db: Db | Tx, ids: readonly string[]): Promise<Map<string, Stored>> {
  const { rows } = await db.query<Stored & { claimedBy: string }>(
    `select ${storedColumns}, c.claimed_by as "claimedBy", c.claim_hash as "bodyHash"
     from conversation_call c join reported_log l on l.id = c.call_id where c.claimed_by = any ($1::uuid[])`,
    [ids],
  )
  return new Map(rows.map(({ claimedBy, ...stored }) => [claimedBy, { ...stored, isNew: false }]))
}

/**
 * Finds the conversation whose call this report is about, and notes that it came. Undefined when the report is about another
 * call: the conversation it names was not reported as a whole, or its call has been claimed, or the figures differ. The
 * conversation named is tried first, then others that the same key reported a moment ago.
 */
export async function claimConversationCall(
  tx: Tx,
  reporter: Reporter,
  { id, bodyHash, report }: UsageRow,
): Promise<Stored | undefined> {
  const before = (await claimedBefore(tx, [id])).get(id)
  if (before !== undefined) return before
  // Rows that another transaction is claiming are not waited for, so claims never wait for each other in a ring.
  const { rows } = await tx.query<Stored>(
    `with found as (
       select c.conversation_id, c.call_id from conversation_call c join reported_log r on r.id = c.call_id
       where c.project_id = $1 and c.key_id = $2 and c.claimed_by is null
         and (c.conversation_id = $3 or c.created_at > now() - $4 * interval '1 minute')
         and exists (select from conversation_call n where n.conversation_id = $3 and n.project_id = $1)
         and (r.provider, r.model, r.profile, r.input_tokens, r.output_tokens, r.cached_input_tokens) = ($5, $6, $7, $8, $9, $10)
         and r.alias_name is not distinct from $11 and r.origin is not distinct from $12
       order by c.conversation_id = $3 desc, c.created_at limit 1
       for update of c skip locked
     ), claimed as (
       update conversation_call c set claimed_by = $13, claim_hash = $14 from found f
       where c.conversation_id = f.conversation_id returning c.call_id
     )
     select ${storedColumns} from claimed join reported_log l on l.id = claimed.call_id`,
    [
      ...[reporter.projectId, reporter.keyId, report.conversationId, SAME_CALL_MINUTES],
      ...[report.provider, report.model, report.profile],
      ...[report.inputTokens, report.outputTokens, report.cachedInputTokens],
      ...[report.aliasName, report.origin, id, bodyHash],
    ],
  )
  const [found] = rows
  return found === undefined ? undefined : { ...found, bodyHash, isNew: false }
}
