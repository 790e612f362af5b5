import { formatFixed } from '#lib/decimal.ts'
import type { PeriodKind } from './civil-days.ts'
import { microsToText } from './time-range.ts'
import { usageOrigins } from './usage-filter.ts'
import { type Grouping, groupings, type UsageGroup, type UsageReport, type UsageTotals } from './usage-stats.ts'

const NANO_DIGITS = 9

/**
 * Usage as llmring's clients read it: money as decimal strings of dollars, as a number in `by_origin` alone. Exact
 * nano-dollars, and what llmring does not have, stand beside it.
 */
export function statsView(report: UsageReport, asked: { zone: string; groupBy: PeriodKind }) {
  const { summary, groups, days } = report
  return {
    summary: {
      total_requests: summary.requests,
      total_cost: dollars(summary.costNanos),
      total_tokens: summary.inputTokens + summary.outputTokens,
      unique_models: countMembers(groups.model),
      unique_origins: countMembers(groups.origin),
      input_tokens: summary.inputTokens,
      output_tokens: summary.outputTokens,
      cost_nanousd: summary.costNanos.toString(),
      unpriced: summary.unpriced,
    },
    by_day: report.byDay.map(({ index, totals, topModel }) => ({
      date: days.dates[index] ?? '',
      ...totalsView(totals),
      top_model: topModel,
    })),
    by_period: report.byPeriod.map(({ index, totals, topModel }) => ({
      period: days.periods[index]?.name ?? '',
      first_date: days.periods[index]?.firstDate ?? '',
      last_date: days.periods[index]?.lastDate ?? '',
      ...totalsView(totals),
      top_model: topModel,
    })),
    by_model: membersView(groups.model),
    by_origin: Object.fromEntries(
      groups.origin.members.map(({ name, totals }) => [
        name,
        { ...totalsView(totals), cost: Number(totals.costNanos) / 1e9 },
      ]),
    ),
    by_alias: membersView(groups.alias),
    by_profile: membersView(groups.profile),
    by_provider: membersView(groups.provider),
    by_project: membersView(groups.project),
    by_key: membersView(groups.key),
    by_source: membersView({
      ...groups.source,
      members: groups.source.members.map(({ name, totals }) => ({ name: sourceNames.get(name) ?? name, totals })),
    }),
    unlabelled: byGrouping(groups, ({ unlabelled }) => unlabelled && totalsView(unlabelled)),
    other: byGrouping(groups, ({ rest }) => rest && { members: rest.members, ...totalsView(rest) }),
    range: {
      start: microsToText(report.range.from),
      end: microsToText(report.range.to),
      tz: asked.zone,
      group_by: asked.groupBy,
    },
  }
}

const sourceNames = new Map(Object.entries(usageOrigins).map(([name, number]) => [String(number), name]))

function totalsView(totals: UsageTotals) {
  return {
    requests: totals.requests,
    cost: dollars(totals.costNanos),
    input_tokens: totals.inputTokens,
    output_tokens: totals.outputTokens,
    cost_nanousd: totals.costNanos.toString(),
    unpriced: totals.unpriced,
  }
}

/** Labels are anybody's text: made from entries, an object has even `__proto__` as a member of its own. */
function membersView(group: UsageGroup): Record<string, ReturnType<typeof totalsView>> {
  return Object.fromEntries(group.members.map(({ name, totals }) => [name, totalsView(totals)]))
}

function countMembers({ members, rest }: UsageGroup): number {
  return members.length + (rest?.members ?? 0)
}

function byGrouping<View>(groups: Record<Grouping, UsageGroup>, view: (group: UsageGroup) => View | undefined) {
  return Object.fromEntries(
    groupings.flatMap((name) => {
      const shown = view(groups[name])
      return shown === undefined ? [] : [[`by_${name}`, shown] as const]
    }),
  )
}

/** All nine places, as one expects of a decimal column. */
function dollars(nanos: bigint): string {
  return formatFixed(nanos, NANO_DIGITS)
}
