import type { MessagesModelTraits } from './anthropic-model-traits.ts'
import type { JsonObject } from './json-values.ts'
import type { Lose } from './losses.ts'
import type { Effort, NeutralRequest } from './neutral.ts'
import { BUDGET_TOKENS_MIN, budgetOfEffort, effortOfBudget } from './reasoning-effort.ts'

/** Of the whole answer, so that something is left for what the client sees. */
const BUDGET_SHARE_MAX = 0.8

export interface ThinkingPlan {
  /** As in `thinking`; absent leaves it to the model. */
  thinking?: JsonObject
  /** As in `output_config.effort`. */
  effort?: string
}

/** Why a request cannot be thought about, where something else in it forbids that. */
export interface ThinkingObstacles {
  /** A tool must be called, or the last message is to be continued. */
  forbidden: string | undefined
  /** A model with a budget must see the thinking that led to the tool calls whose results it is given now. */
  unsigned: boolean
}

/** How much the model is told to think: within what it takes, and below the limit of the answer. */
export function planThinking(
  reasoning: NeutralRequest['reasoning'],
  maxTokens: number,
  traits: MessagesModelTraits,
  obstacles: ThinkingObstacles,
  lose: Lose,
): ThinkingPlan {
  const { effort, budgetTokens, summary } = reasoning ?? {}
  if (effort === undefined && budgetTokens === undefined) return {}
  if (effort === 'none') return withoutThinking(traits, lose)
  if (traits.thinking === 'none') {
    lose('reasoning', 'this model does not reason')
    return {}
  }
  const display = summary === true ? { display: 'summarized' } : {}
  if (traits.thinking === 'effort') {
    const plan = { effort: encodeEffort(effort ?? effortOfBudget(budgetTokens ?? 0), traits, lose) }
    if (obstacles.forbidden === undefined) return { thinking: { type: 'adaptive', ...display }, ...plan }
    lose('reasoning', obstacles.forbidden)
    return plan
  }
  const obstacle =
    obstacles.forbidden ??
    (obstacles.unsigned ? 'there is no reasoning: that of the turn before it has not come back' : undefined) ??
    (maxTokens <= BUDGET_TOKENS_MIN
      ? `there is no reasoning in an answer of at most ${BUDGET_TOKENS_MIN} tokens`
      : undefined)
  if (obstacle !== undefined) {
    lose('reasoning', obstacle)
    return {}
  }
  const asked = budgetTokens ?? budgetOfEffort(effort ?? 'medium')
  const budget = Math.max(BUDGET_TOKENS_MIN, Math.min(asked, Math.floor(maxTokens * BUDGET_SHARE_MAX)))
  if (budget !== asked) lose('reasoning', `reasoning is limited to ${budget} tokens`)
  return { thinking: { type: 'enabled', budget_tokens: budget, ...display } }
}

function withoutThinking(traits: MessagesModelTraits, lose: Lose): ThinkingPlan {
  if (traits.thinking === 'none') return {}
  if (traits.thinkingOff) return { thinking: { type: 'disabled' } }
  lose('reasoning', 'this model cannot be told not to reason, only to do so little')
  return { effort: 'low' }
}

function encodeEffort(effort: Effort, traits: MessagesModelTraits, lose: Lose): string {
  if (effort === 'minimal') return 'low'
  if (traits.effortsAboveHigh || (effort !== 'xhigh' && effort !== 'max')) return effort
  lose('reasoning', 'this model knows no effort above high')
  return 'high'
}
