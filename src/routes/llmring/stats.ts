import { Type } from 'typebox'
import { periodKinds } from '#domain/usage/civil-days.ts'
import { statsView } from '#domain/usage/stats-view.ts'
import type { UsageStats } from '#domain/usage/usage-stats.ts'
import { usageProject } from '#routes/credentials.ts'
import type { HttpInstance } from '#routes/http-instance.ts'
import { llmringAnswers } from './schemas.ts'
import { readUsageQuery, usageQueryMembers } from './usage-query.ts'

export interface StatsDeps {
  usageStats: UsageStats
}

const Count = Type.Integer({ minimum: 0 })
const Dollars = Type.String({ pattern: '^\\d+\\.\\d{9}$', description: 'Dollars, exact.' })
const Nanos = Type.String({ pattern: '^(0|[1-9]\\d*)$', description: 'Nano-dollars.' })

const exactMembers = {
  input_tokens: Count,
  output_tokens: Count,
  cost_nanousd: Nanos,
  unpriced: Type.Integer({
    minimum: 0,
    description: 'Calls whose cost is not known: they are counted, but not in the cost.',
  }),
}
const TotalsBody = Type.Object({ requests: Count, cost: Dollars, ...exactMembers })
const Groups = Type.Record(Type.String(), TotalsBody)
const DateText = Type.String({ format: 'date' })

const StatsBody = Type.Object({
  summary: Type.Object({
    total_requests: Count,
    total_cost: Dollars,
    total_tokens: Count,
    unique_models: Count,
    unique_origins: Count,
    ...exactMembers,
  }),
  by_day: Type.Array(Type.Object({ date: DateText, ...TotalsBody.properties, top_model: Type.String() }), {
    description: 'Days of the time zone with usage, newest first.',
  }),
  by_period: Type.Array(
    Type.Object({
      period: Type.String({ description: '`2026-11-22`, `2026-W47` or `2026-11`.' }),
      first_date: DateText,
      last_date: DateText,
      ...TotalsBody.properties,
      top_model: Type.String(),
    }),
    { description: 'The same by `group_by`.' },
  ),
  by_model: Groups,
  by_origin: Type.Record(Type.String(), Type.Object({ requests: Count, cost: Type.Number(), ...exactMembers })),
  by_alias: Groups,
  by_profile: Groups,
  by_provider: Groups,
  by_project: Groups,
  by_key: Groups,
  by_source: Groups,
  unlabelled: Type.Record(Type.String(), TotalsBody, {
    description: 'By name of a grouping, calls that carry no such label.',
  }),
  other: Type.Record(Type.String(), Type.Object({ members: Count, ...TotalsBody.properties }), {
    description: 'By name of a grouping, the sum of its members beyond the thousand that cost the most.',
  }),
  range: Type.Object({
    start: Type.String({ format: 'date-time' }),
    end: Type.String({ format: 'date-time' }),
    tz: Type.String(),
    group_by: Type.String(),
  }),
})

export function statsRoutes(app: HttpInstance, deps: StatsDeps) {
  app.get(
    '/api/v1/stats',
    {
      config: { scope: 'read', operator: true },
      schema: {
        summary: 'Usage and its cost, by everything that calls carry',
        description:
          'Every grouping, with its entry in `unlabelled` and in `other`, sums to the summary. A range is widened to whole ' +
          'quarter hours, and `range` says what was looked at.',
        querystring: Type.Object({
          ...usageQueryMembers,
          group_by: Type.Optional(
            Type.Enum(periodKinds, {
              description: 'What `by_period` goes by: days, ISO weeks, or months. Default day.',
            }),
          ),
        }),
        response: llmringAnswers({ 200: StatsBody }, 400, 401, 403, 422, 503),
      },
    },
    async (request) => {
      const { filter, range, zone } = readUsageQuery(request.query, usageProject(request))
      const asked = { zone, groupBy: request.query.group_by ?? 'day' }
      return statsView(await deps.usageStats({ filter, range, ...asked }), asked)
    },
  )
}
