import type { Db } from '#db/pool.ts'
import { type CivilDays, civilDays, type PeriodKind } from './civil-days.ts'
import { type TimeRange, wholeBuckets } from './time-range.ts'
import { createConditions, seriesConditions, type UsageFilter } from './usage-filter.ts'

/** A group with more members shows those that cost the most, and the sum of the rest. */
const GROUP_MEMBERS_MAX = 1_000
const HOUR_MS = 3_600_000

export interface UsageTotals {
  requests: number
  inputTokens: number
  outputTokens: number
  /** Nano-dollars: charges of the gateway, and for reported usage what the price book says. */
  costNanos: bigint
  /** Calls among `requests` whose cost is not known: they are no part of the cost. */
  unpriced: number
}

export const groupings = ['model', 'provider', 'source', 'origin', 'alias', 'profile', 'project', 'key'] as const
export type Grouping = (typeof groupings)[number]

/** One grouping: its members and what is in none of them. All of it together is the summary. */
export interface UsageGroup {
  /** The dearest first. */
  members: { name: string; totals: UsageTotals }[]
  /** Calls that carry no such label. */
  unlabelled: UsageTotals | undefined
  /** What does not stand among the members because there are too many of them. */
  rest: (UsageTotals & { members: number }) | undefined
}

/** `index` is that of a day or a period of UsageReport.days. */
interface UsageSpan {
  index: number
  totals: UsageTotals
  /** The model with the most calls. */
  topModel: string
}

export interface UsageReport {
  /** What was looked at: whole quarter hours. */
  range: TimeRange
  days: CivilDays
  summary: UsageTotals
  groups: Record<Grouping, UsageGroup>
  /** Those with usage, newest first. */
  byDay: UsageSpan[]
  byPeriod: UsageSpan[]
}

export interface StatsQuery {
  filter: UsageFilter
  range: TimeRange
  zone: string
  groupBy: PeriodKind
}

/** Usage by everything that it carries, from the roll-ups: what it takes does not grow with the number of calls. */
export function createUsageStats(deps: { db: Db }) {
  return async (query: StatsQuery): Promise<UsageReport> => {
    const range = wholeBuckets(query.range)
    const fromMs = Number(range.from / 1_000n)
    const toMs = Number(range.to / 1_000n)
    const days = civilDays({ fromMs, toMs }, query.zone, query.groupBy)
    // It only ever moves on, so what it says stays true; told in the statement, it would keep the planner from seeing how
    // much there is to read.
    const { rows: fold } = await deps.db.query<{ until: Date }>('select until from usage_fold')
    const foldedMs = fold[0]?.until.getTime() ?? 0
    const { text, values } = statsStatement(query.filter, { fromMs, toMs, foldedMs }, days)
    const { rows } = await deps.db.query<StatsRow>(text, values)
    return { range, days, ...collect(rows) }
  }
}

export type UsageStats = ReturnType<typeof createUsageStats>

// Days and periods come as numbers, and those that are summed over as nulls, so the label of a set is its only column.
const columns: Readonly<Record<Grouping | 'day' | 'period', string>> = {
  day: 'day',
  period: 'period',
  model: 'model',
  provider: 'provider',
  source: 'source',
  origin: 'origin',
  alias: 'alias_name',
  profile: 'profile',
  project: 'project_id',
  key: 'key_id',
}
const sets = Object.keys(columns) as (keyof typeof columns)[]

/** What grouping() says of each set: a bit for every column that is summed over, the last column's the lowest. */
const setNumbers = new Map(sets.map((set, index) => [(1 << sets.length) - 1 - (1 << (sets.length - 1 - index)), set]))

interface StatsRow extends Sums {
  grp: number
  label: string | null
  members: bigint | null
  top: string | null
}

/** PostgreSQL adds integers up to numbers of any length. */
interface Sums {
  calls: string
  tokensIn: string
  tokensOut: string
  cost: string
  unpriced: string
}

const sums = ['calls', 'tokens_in', 'tokens_out', 'cost', 'unpriced']
  .map((name) => `sum(${name}) as ${name}`)
  .join(', ')

/**
 * One statement, so that everything is of one moment. It reads each cell of the roll-up once and makes it a cell of a day;
 * there are few of those, whatever the number of calls, and the groups are made of them.
 */
function statsStatement(
  filter: UsageFilter,
  range: { fromMs: number; toMs: number; foldedMs: number },
  days: CivilDays,
) {
  const conditions = createConditions()
  const { add, values } = conditions
  const from = add(new Date(range.fromMs))
  const to = add(new Date(range.toMs))
  const hours = wholeHours(range, days)
  const firstHour = add(new Date(hours.fromMs))
  const lastHour = add(new Date(hours.toMs))
  const starts = add(days.startsMs.map((ms) => new Date(ms)))
  const periods = add(days.periodOf)
  const series = seriesConditions(filter, conditions)
  // The key of the roll-up begins with the wallet; of all wallets its buckets have an index of their own.
  const wallets =
    filter.projectId === undefined ? '' : 'and wallet_id = any (array(select distinct wallet_id from series))'
  const part = (table: string, time: string, first: string, end: string) =>
    `select series, ${time} as bucket, calls, input_tokens, output_tokens, charged, cost, unpriced
        from ${table} where ${time} >= ${first}::timestamptz and ${time} < ${end}::timestamptz ${wallets}`
  const names = sets.map((set) => columns[set])
  const spans = [...setNumbers].flatMap(([number, set]) => (set === 'day' || set === 'period' ? [number] : []))
  const text = `
    with series as materialized (
      select s.id, s.wallet_id, s.project_id, s.key_id, s.source, s.provider, coalesce(s.model_used, s.model) as model,
             s.alias_name, s.profile, s.origin
      from usage_series s where ${series}
    ), cells as materialized (
      select u.series, width_bucket(u.bucket, ${starts}::timestamptz[]) as day, sum(u.calls) as calls,
             sum(u.input_tokens) as tokens_in, sum(u.output_tokens) as tokens_out,
             sum(case s.source when 1 then u.charged else u.cost end) as cost, sum(u.unpriced) as unpriced
      from (
        ${part('usage_15m', 'bucket', from, firstHour)}
        union all ${part('usage_1h', 'hour', firstHour, lastHour)}
        union all ${part('usage_15m', 'bucket', lastHour, to)}
      ) u join series s on s.id = u.series
      group by 1, 2
    ), labelled as materialized (
      select c.*, (${periods}::int[])[c.day] as period, s.model, s.provider, s.source, s.origin, s.alias_name, s.profile,
             s.project_id, s.key_id
      from cells c join series s on s.id = c.series
    ), totals as (
      select grouping(${names}) as grp, coalesce(${names.map((name) => `${name}::text`)}) as label, ${sums}
      from labelled group by grouping sets ((), ${names.map((name) => `(${name})`)})
    ), ranked as (
      select *, case when label is null or grp in (${spans}) then 0
                     else row_number() over (partition by grp, label is null order by cost desc, calls desc, label collate "C")
                end as rank
      from totals
    ), tops as (
      select grp, label, model from (
        select grp, label, model,
               row_number() over (partition by grp, label order by calls desc, cost desc, model collate "C") as rank
        from (select grouping(day, period) as grp, coalesce(day, period) as label, model, sum(calls) as calls, sum(cost) as cost
              from labelled group by grouping sets ((day, model), (period, model))) m) r
      where rank = 1
    )
    select r.grp, r.label, r.members, r.calls, r.tokens_in as "tokensIn", r.tokens_out as "tokensOut", r.cost, r.unpriced, t.model as top
    from (
      select grp, label, null::bigint as members, rank, calls, tokens_in, tokens_out, cost, unpriced
      from ranked where rank <= ${GROUP_MEMBERS_MAX}
      union all
      select grp, null, count(*), null, ${sums} from ranked where rank > ${GROUP_MEMBERS_MAX} group by grp
    ) r
    left join tops t on r.grp in (${spans}) and t.label::text = r.label and t.grp = case r.grp when ${spans[0]} then 1 else 2 end
    order by r.grp, r.rank`
  return { text, values }
}

/** Of a zone whose days begin with an hour of UTC, the hours that lie wholly in the range and are folded; of others none. */
function wholeHours(range: { fromMs: number; toMs: number; foldedMs: number }, days: CivilDays) {
  const { fromMs, toMs, foldedMs } = range
  const isByHours = days.startsMs.every((ms) => ms % HOUR_MS === 0)
  const first = Math.ceil(fromMs / HOUR_MS) * HOUR_MS
  const last = Math.min(Math.floor(toMs / HOUR_MS) * HOUR_MS, foldedMs)
  return isByHours && first < last ? { fromMs: first, toMs: last } : { fromMs, toMs: fromMs }
}

const nothing: UsageTotals = { requests: 0, inputTokens: 0, outputTokens: 0, costNanos: 0n, unpriced: 0 }

function collect(rows: StatsRow[]): Pick<UsageReport, 'summary' | 'groups' | 'byDay' | 'byPeriod'> {
  const report: ReturnType<typeof collect> = {
    summary: nothing,
    groups: Object.fromEntries(
      groupings.map((name) => [name, { members: [], unlabelled: undefined, rest: undefined }]),
    ) as unknown as Record<Grouping, UsageGroup>,
    byDay: [],
    byPeriod: [],
  }
  for (const row of rows) {
    const set = setNumbers.get(row.grp)
    const totals = totalsOf(row)
    if (set === undefined) report.summary = totals
    else if (set === 'day' || set === 'period') {
      // width_bucket counts from one, and so does an array of PostgreSQL; its elements are our own numbers.
      const index = Number(row.label) - (set === 'day' ? 1 : 0)
      report[set === 'day' ? 'byDay' : 'byPeriod'].push({ index, totals, topModel: row.top ?? '' })
    } else if (row.members !== null) report.groups[set].rest = { ...totals, members: Number(row.members) }
    else if (row.label === null) report.groups[set].unlabelled = totals
    else report.groups[set].members.push({ name: row.label, totals })
  }
  for (const spans of [report.byDay, report.byPeriod]) spans.sort((a, b) => b.index - a.index)
  return report
}

/** Sums over nothing are null. */
function totalsOf({
  calls,
  tokensIn,
  tokensOut,
  cost,
  unpriced,
}: { [Name in keyof Sums]: string | null }): UsageTotals {
  return {
    requests: Number(calls ?? 0),
    inputTokens: Number(tokensIn ?? 0),
    outputTokens: Number(tokensOut ?? 0),
    costNanos: BigInt(cost ?? 0),
    unpriced: Number(unpriced ?? 0),
  }
}
