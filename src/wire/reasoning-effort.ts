import type { Effort } from './neutral.ts'

/** The smallest budget that is taken where reasoning is measured in tokens. */
export const BUDGET_TOKENS_MIN = 1_024

const budgets: Readonly<Record<Effort, number>> = {
  none: 0,
  minimal: BUDGET_TOKENS_MIN,
  low: BUDGET_TOKENS_MIN,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
  max: 65_536,
}

/** Tokens of reasoning for an effort, where a protocol asks for them. */
export function budgetOfEffort(effort: Effort): number {
  return budgets[effort]
}

/** The effort that spends about as much as a budget, of those that all reasoning models know. */
export function effortOfBudget(tokens: number): Effort {
  if (tokens <= 0) return 'none'
  if (tokens < 4_096) return 'low'
  return tokens < 16_384 ? 'medium' : 'high'
}
