import { type Static, Type } from 'typebox'
import { parseTimeRange, type TimeRange } from '#domain/usage/time-range.ts'
import { type UsageFilter, usageOriginNames } from '#domain/usage/usage-filter.ts'
import { AppError } from '#src/errors.ts'
import type { Issue } from './issues.ts'
import { invalid } from './lenient-validator.ts'

const LABEL_CHARS_MAX = 255
const TIME_CHARS_MAX = 40

function label(description: string) {
  return Type.Optional(Type.String({ maxLength: LABEL_CHARS_MAX, pattern: '^[^\\u0000]*$', description }))
}

/** What /api/v1/stats and /api/v1/logs let one ask for. */
export const usageQueryMembers = {
  start_date: Type.Optional(
    Type.String({
      maxLength: TIME_CHARS_MAX,
      description: 'A date, or a date and a time. Default: 30 days before the end.',
    }),
  ),
  end_date: Type.Optional(
    Type.String({
      maxLength: TIME_CHARS_MAX,
      description: 'A date, which is included to its last moment, or a time, which is not included. Default: now.',
    }),
  ),
  tz: Type.Optional(
    Type.String({ maxLength: 64, description: 'IANA time zone of dates and of times without an offset. Default UTC.' }),
  ),
  source: Type.Optional(
    Type.Enum(usageOriginNames, { description: 'Calls through the gateway, or calls that clients reported.' }),
  ),
  alias: label('The label that the call carried.'),
  model: label('What served the call; where that is not known, what was asked for.'),
  origin: label('The program that made the call, as it says.'),
  profile: label('The profile of the lockfile.'),
  provider: label('The company whose model it was.'),
  key: label('The id of the key that made the call.'),
  project: label('The id of a project. With the admin key; a project’s own key sees its own usage.'),
}

const UsageQuery = Type.Object(usageQueryMembers)

/** Everything that such a query says. Throws AppError with status 422 for what it cannot mean. */
export function readUsageQuery(
  query: Static<typeof UsageQuery>,
  own: string | undefined,
): { filter: UsageFilter; range: TimeRange; hasEnd: boolean; zone: string } {
  if (own !== undefined && query.project !== undefined && query.project !== own)
    throw new AppError('forbidden', { message: 'This key sees the usage of its own project.' })
  const zone = query.tz ?? 'UTC'
  const parsed = parseTimeRange({ start: query.start_date, end: query.end_date, zone }, Date.now())
  if (!parsed.ok) throw invalid([queryIssue(parsed.param, `Input ${parsed.message}`, parsed.input)])
  const { source, alias, model, origin, profile, provider, key } = query
  const filter = { projectId: own ?? query.project, source, alias, model, origin, profile, provider, keyId: key }
  return { filter, range: parsed.range, hasEnd: parsed.hasEnd, zone }
}

export function queryIssue(name: string, msg: string, input: unknown): Issue {
  return { type: 'value_error', loc: ['query', name], msg, input }
}
