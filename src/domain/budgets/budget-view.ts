import type { Budget } from './budgets.ts'

export function budgetView(budget: Budget) {
  const left = budget.limitNanos - budget.spentNanos - budget.heldNanos
  return {
    object: 'budget' as const,
    id: `bud_${budget.id}`,
    name: budget.name,
    key_id: budget.keyId,
    user_id: budget.userId,
    model: budget.model,
    alias: budget.alias,
    tag: budget.tag,
    limit_nanousd: budget.limitNanos.toString(),
    spent_nanousd: budget.spentNanos.toString(),
    held_nanousd: budget.heldNanos.toString(),
    remaining_nanousd: (left > 0n ? left : 0n).toString(),
    period: budget.period,
    time_zone: budget.timeZone,
    period_start: budget.periodStart?.toISOString() ?? null,
    period_end: budget.periodEnd?.toISOString() ?? null,
    warn_percent: budget.warnPercent,
    active: budget.active,
    created_at: budget.createdAt.toISOString(),
    updated_at: budget.updatedAt.toISOString(),
  }
}
