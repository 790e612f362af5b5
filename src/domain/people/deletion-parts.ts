import type { Db, Tx } from '#db/pool.ts'
import { endMemberships } from '#domain/members/members.ts'

const ROWS_PER_BATCH = 1_000

/** Who leaves, and what they leave: null where they never had a wallet. */
export interface Leaver {
  userId: string
  projectId: string | null
}

/** Ends everything that a person can do: keys, memberships, spending. Calls that were admitted before come to their end. */
export async function endAccess(tx: Tx, { userId, projectId }: Leaver): Promise<void> {
  await endMemberships(tx, userId)
  // Changes of keys wait for each other from this statement on, so keys are locked before wallets, here as everywhere.
  await tx.query(
    `update api_key set revoked_at = coalesce(revoked_at, clock_timestamp()), name = 'deleted'
     where (user_id = $1 or project_id = $2) and (revoked_at is null or name <> 'deleted')`,
    [userId, projectId],
  )
  await tx.query(
    `update wallet set frozen = true, version = version + 1
     where not frozen and id = (select wallet_id from project where id = $1)`,
    [projectId],
  )
}

/** Erases what was said in conversations, and the answers kept for repeated calls. Usage and receipts stay. */
export async function eraseContent(db: Db, projectId: string): Promise<void> {
  await db.query(`update project set content_logging = 'none' where id = $1 and content_logging <> 'none'`, [projectId])
  await inBatches(
    db,
    `delete from conversation_message m using (
       select conversation_id, position from conversation_message where project_id = $1 limit $2
     ) old where m.conversation_id = old.conversation_id and m.position = old.position`,
    projectId,
  )
  await inBatches(
    db,
    `update conversation c set title = null, system_prompt = null from (
       select id from conversation where project_id = $1 and (title is not null or system_prompt is not null) limit $2
     ) old where c.id = old.id`,
    projectId,
  )
  await db.query(
    `delete from stored_outcome o using request_log l
     where l.request_id = o.request_id and l.wallet_id = (select wallet_id from project where id = $1)`,
    [projectId],
  )
}

async function inBatches(db: Db, statement: string, projectId: string): Promise<void> {
  for (;;) {
    const { rowCount } = await db.query(statement, [projectId, ROWS_PER_BATCH])
    if ((rowCount ?? 0) < ROWS_PER_BATCH) return
  }
}
