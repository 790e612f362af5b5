/** Where a record comes from: a call through the gateway, or a client's report of a call that did not pass it. */
export const usageOrigins = { gateway: 1, reported: 2 } as const
export type UsageOrigin = keyof typeof usageOrigins
export const usageOriginNames = Object.keys(usageOrigins) as UsageOrigin[]

/** Whose usage, and which of it. What is undefined is not asked about. */
export interface UsageFilter {
  /** Undefined for every project: the operator's view. */
  projectId: string | undefined
  source?: UsageOrigin | undefined
  alias?: string | undefined
  /** What served the call; where that is not known, what was asked for. */
  model?: string | undefined
  origin?: string | undefined
  profile?: string | undefined
  provider?: string | undefined
  keyId?: string | undefined
}

/** Conditions of a statement and the values of its parameters, in their order. */
export function createConditions() {
  const values: unknown[] = []
  return {
    values,
    /** The placeholder of one more value. */
    add(value: unknown): string {
      values.push(value)
      return `$${values.length}`
    },
  }
}

export type Conditions = ReturnType<typeof createConditions>

/** Whether a filter asks for more than a project and a source. */
export function hasLabels(filter: UsageFilter): boolean {
  const { alias, model, origin, profile, provider, keyId } = filter
  return [alias, model, origin, profile, provider, keyId].some((label) => label !== undefined)
}

/** The conditions of a filter on `usage_series s`. */
export function seriesConditions(filter: UsageFilter, { add }: Conditions): string {
  const all = labelConditions(filter, 's', 'coalesce(s.model_used, s.model)', add)
  if (filter.source !== undefined) all.unshift(`s.source = ${usageOrigins[filter.source]}`)
  if (filter.projectId !== undefined) all.unshift(`s.project_id = ${add(filter.projectId)}`)
  return all.length === 0 ? 'true' : all.join(' and ')
}

/** The labels of a filter on a table of records. */
export function recordConditions(filter: UsageFilter, source: UsageOrigin, conditions: Conditions): string {
  const model = source === 'gateway' ? 'coalesce(l.model_used, l.model)' : 'l.model'
  return labelConditions(filter, 'l', model, conditions.add)
    .map((condition) => ` and ${condition}`)
    .join('')
}

function labelConditions(filter: UsageFilter, table: 's' | 'l', model: string, add: Conditions['add']): string[] {
  const { alias, origin, profile, provider, keyId } = filter
  return [
    [`${table}.alias_name`, alias],
    [model, filter.model],
    [`${table}.origin`, origin],
    [`${table}.profile`, profile],
    [`${table}.provider`, provider],
    [`${table}.key_id`, keyId],
  ].flatMap(([column, value]) => (value === undefined ? [] : [`${column} = ${add(value)}`]))
}
