import type { Db } from '#db/pool.ts'
import { AppError } from '#src/errors.ts'

export const EVENTS_PAGE_MAX = 100

/** Something that operators are told of. */
export interface OperatorEvent {
  id: string
  type: string
  at: Date
  /** JSON. */
  data: string
}

export function createEventList({ db }: { db: Db }) {
  return {
    /** The newest first; `after` is the id that the page before ended with. Throws AppError not_found. */
    async list(page: {
      type?: string | undefined
      after?: string | undefined
      limit: number
    }): Promise<{ events: OperatorEvent[]; hasMore: boolean }> {
      const [, after = null] = /^evt_([0-9a-f]{32})$/.exec(page.after ?? '') ?? []
      if (page.after !== undefined && after === null)
        throw new AppError('body_invalid', { message: "'after' is not the id of an event.", param: 'after' })
      const { rows } = await db.query<OperatorEvent>(
        `select id, type, at, data from operator_event
         where ($1::text is null or type = $1)
           and ($2::uuid is null or (at, id) < (select at, id from operator_event where id = $2))
         order by at desc, id desc limit $3`,
        [page.type ?? null, after, page.limit + 1],
      )
      return { events: rows.slice(0, page.limit), hasMore: rows.length > page.limit }
    },
  }
}

export type EventList = ReturnType<typeof createEventList>
