import type { Db } from '#db/pool.ts'
import { assert } from '#lib/assert.ts'
import { findBuckets, type LogBucket } from './log-buckets.ts'
import type { LogCursor } from './log-cursor.ts'
import { entryColumns, type LogEntry, type LogRow, logColumns, toLogEntry } from './log-entry.ts'
import { microsToText, type TimeRange } from './time-range.ts'
import {
  createConditions,
  hasLabels,
  recordConditions,
  type UsageFilter,
  type UsageOrigin,
  usageOriginNames,
  usageOrigins,
} from './usage-filter.ts'

/** The longest page that anything reads at once. */
const LOG_PAGE_MAX = 10_000
/** Counting off costs what it skips; a cursor does not. */
export const LOG_OFFSET_MAX = 10_000

export interface LogQuery {
  filter: UsageFilter
  /** A UUID. Only what was reported can belong to a conversation. */
  conversationId?: string | undefined
  range: TimeRange
  /** False where `range.to` is only the present: what clients with a fast clock reported is then shown too. */
  hasEnd: boolean
}

export interface LogPage {
  entries: LogEntry[]
  /** Where the next page begins; undefined at the end. */
  next: LogCursor | undefined
}

/**
 * Calls and reports in one list, newest first: by time, then by id. With a cursor every entry that was there at the first
 * page is met exactly once, whatever is added meanwhile. What a page takes depends on its length, not on how many entries
 * there are, filtered or not.
 */
export function createUsageLog(deps: { db: Db }) {
  const { db } = deps
  return {
    async page(
      query: LogQuery,
      place: { limit: number; offset?: number | undefined; after?: LogCursor | undefined },
    ): Promise<LogPage> {
      const { limit, offset = 0, after } = place
      assert(limit >= 1 && limit <= LOG_PAGE_MAX, 'a page has 1 to LOG_PAGE_MAX entries')
      assert(offset >= 0 && offset <= LOG_OFFSET_MAX, 'no more than LOG_OFFSET_MAX entries are counted off')
      const from = after?.from ?? microsToText(query.range.from)
      const window = { from, to: query.hasEnd ? microsToText(query.range.to) : undefined, after }
      const needed = offset + limit + 1 // One more says whether there is another page.
      const buckets = needsBuckets(query) ? await findBuckets(db, query.filter, window, needed) : undefined
      const { text, values } = pageStatement(query, window, { needed, offset, shown: limit + 1, buckets })
      const { rows } = await db.query<LogRow>(text, values)
      const entries = rows.slice(0, limit).map(toLogEntry)
      const last = entries.at(-1)
      const isMore = rows.length > limit && last !== undefined
      return { entries, next: isMore ? { occurredAt: last.occurredAt, id: last.id, from } : undefined }
    },
  }
}

export type UsageLog = ReturnType<typeof createUsageLog>

/** What a page looks at: from a time up to another, and only what is older than the entry before it. */
export interface LogWindow {
  from: string
  to: string | undefined
  after: LogCursor | undefined
}

/**
 * The indexes of both tables begin with the project and go on with the time. That serves the entries of a project in their
 * order; for a label, or for all projects, the roll-ups say first in which quarter hours there is something to be found.
 */
function needsBuckets({ filter, conversationId }: LogQuery): boolean {
  return conversationId === undefined && (filter.projectId === undefined || hasLabels(filter))
}

/** Both tables' own first entries, merged. */
function pageStatement(
  query: LogQuery,
  window: LogWindow,
  page: { needed: number; offset: number; shown: number; buckets: readonly LogBucket[] | undefined },
) {
  const { filter, conversationId } = query
  const conditions = createConditions()
  const { add, values } = conditions
  const needed = add(page.needed)
  const from = add(window.from)
  const to = window.to === undefined ? undefined : add(window.to)
  const after = window.after && ([add(window.after.occurredAt), add(window.after.id)] as const)
  const project = page.buckets === undefined && filter.projectId !== undefined ? add(filter.projectId) : undefined
  const conversation = conversationId === undefined ? undefined : add(conversationId)

  const branch = (source: UsageOrigin) => {
    const table = source === 'gateway' ? 'request_log' : 'reported_log'
    const [at, id] = source === 'gateway' ? ['l.settled_at', 'l.request_id'] : ['l.occurred_at', 'l.id']
    const where = [
      `${at} >= ${from}::timestamptz`,
      ...(to === undefined ? [] : [`${at} < ${to}::timestamptz`]),
      ...(after === undefined ? [] : [`(${at}, ${id}) < (${after[0]}::timestamptz, ${after[1]}::uuid)`]),
      ...(project === undefined ? [] : [`l.project_id = ${project}`]),
      ...(conversation === undefined ? [] : [`l.conversation_id = ${conversation}::uuid`]),
    ].join(' and ')
    const labels = recordConditions(filter, source, conditions)
    const order = `order by ${at} desc, ${id} desc limit ${needed}`
    if (page.buckets === undefined)
      return `(select ${logColumns[source]} from ${table} l where ${where}${labels} ${order})`
    const own = page.buckets.filter((bucket) => bucket.source === usageOrigins[source])
    const buckets = `unnest(${add(own.map(({ bucket }) => bucket))}::timestamptz[], ${add(own.map(({ projectId }) => projectId))}::text[]) as b(bucket, project_id)`
    const within = `${at} >= b.bucket and ${at} < b.bucket + interval '15 minutes' and ${where}${labels}`
    const found = (owner: string) =>
      `select f.* from ${buckets}, lateral (select ${logColumns[source]} from ${table} l where ${owner} and ${within} ${order}) f`
    const nobodys = own.some(({ projectId }) => projectId === null)
    return `(${found('l.project_id = b.project_id')}${nobodys ? ` union all ${found('b.project_id is null and l.project_id is null')}` : ''})`
  }

  const sources = usageOriginNames.filter(
    (source) =>
      (filter.source === undefined || filter.source === source) &&
      (source === 'reported' || conversation === undefined),
  )
  const branches = sources.map(branch)
  // A conversation is of reported calls, so no table is left where only calls of the gateway are asked for.
  if (branches.length === 0) return { text: 'select 1 where false', values: [] }
  const text = `
    select ${entryColumns}
    from (select * from (${branches.join(' union all ')}) e order by e.at desc, e.id desc offset ${add(page.offset)} limit ${add(page.shown)}) e
    left join certified_log c on c.log_id = e.id and e.source = 2
    order by e.at desc, e.id desc`
  return { text, values }
}
