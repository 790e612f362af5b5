import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '#db/pool.ts'

const ROWS_PER_BATCH = 1_000
/** What one request or one pass does at most for one project; the next one goes on. */
const BATCHES_MAX = 50
const PROJECTS_MAX = 100

export interface Forgotten {
  messages: number
  /** The days that were asked for, or that the project keeps content. */
  days: number
  /** There is more to be deleted: ask again. */
  hasMore: boolean
}

/** Deletes messages of a project that are older than so many days, and the titles and prompts of what has been quiet as long. */
export async function forgetContent(db: Db, projectId: string, days: number | undefined): Promise<Forgotten> {
  const { rows } = await db.query<{ days: number; until: Date }>(
    `select coalesce($2, content_retention_days)::int as days,
            clock_timestamp() - coalesce($2, content_retention_days) * interval '1 day' as until
     from project where id = $1`,
    [projectId, days ?? null],
  )
  const { days: kept = 0, until = new Date(0) } = rows[0] ?? {}
  let messages = 0
  let hasMore = true
  for (let batch = 0; batch < BATCHES_MAX && hasMore; batch += 1) {
    // Somebody else may be at it: what they hold, they delete.
    const { rowCount } = await db.query(
      `delete from conversation_message m using (
         select conversation_id, position from conversation_message
         where project_id = $1 and at < $2 order by at limit $3 for update skip locked
       ) old where m.conversation_id = old.conversation_id and m.position = old.position`,
      [projectId, until, ROWS_PER_BATCH],
    )
    messages += rowCount ?? 0
    hasMore = (rowCount ?? 0) === ROWS_PER_BATCH
  }
  await db.query(
    `update conversation c set title = null, system_prompt = null
     from (select id from conversation where project_id = $1 and updated_at < $2 and (title is not null or system_prompt is not null)
           limit $3 for update skip locked) old
     where c.id = old.id`,
    [projectId, until, ROWS_PER_BATCH],
  )
  return { messages, days: kept, hasMore }
}

export interface ContentSweeperOptions {
  db: Db
  everyMs: number
  onForgotten: (messages: number) => void
  onError: (error: unknown) => void
}

/** Forgets content when its time is over. Any number of gateways may sweep at once. */
export function createContentSweeper(options: ContentSweeperOptions) {
  const { db } = options
  const closing = new AbortController()

  /** One pass over the projects that have something to forget. Returns how many messages were deleted. */
  async function sweep(): Promise<number> {
    const { rows } = await db.query<{ id: string }>(
      `select p.id from project p
       where least((select min(m.at) from conversation_message m where m.project_id = p.id),
                   (select min(c.updated_at) from conversation c
                    where c.project_id = p.id and (c.title is not null or c.system_prompt is not null)))
             < now() - p.content_retention_days * interval '1 day'
       order by p.id limit $1`,
      [PROJECTS_MAX],
    )
    let messages = 0
    for (const { id } of rows) {
      if (closing.signal.aborted) break
      messages += (await forgetContent(db, id, undefined)).messages
    }
    if (messages > 0) options.onForgotten(messages)
    return messages
  }

  const sweeping = (async () => {
    while (!closing.signal.aborted) {
      await sweep().catch((error: unknown) => {
        if (!closing.signal.aborted) options.onError(error)
      })
      await delay(options.everyMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
    }
  })()

  return {
    sweep,

    async close(): Promise<void> {
      closing.abort()
      await sweeping
    },
  }
}
