import { type Price, priceTerms, UnpricedUsageError, usageNanos } from '../../../src/billing/price.ts'
import { type Usage, type UsageKind, validateUsage } from '../../../src/billing/usage.ts'
import { formatDecimal } from '../../../src/lib/decimal.ts'

export type { Price, PriceLines } from '../../../src/billing/price.ts'
export type { Usage, UsageKind } from '../../../src/billing/usage.ts'

/** llmring's words for whether a call has a cost. What is not priced has none, which is not zero. */
export type CostStatus =
  | 'priced'
  | 'no_usage'
  | 'invalid_model_format'
  | 'model_not_in_registry'
  | 'no_pricing_in_registry'

export type Cost =
  | { status: 'priced'; nanousd: bigint }
  | { status: Exclude<CostStatus, 'priced'>; unpricedKinds?: readonly UsageKind[] }

/**
 * What usage costs, to the nano-dollar, by the rule of the gateway: one sum over all kinds, rounded up once. With more prompt tokens than
 * the long-context threshold the whole request, answer included, costs the higher rates. Throws RangeError for usage that is none.
 */
export function costOf(usage: Usage | undefined, price: Price | undefined): Cost {
  if (usage === undefined) return { status: 'no_usage' }
  const check = validateUsage(usage)
  if (!check.ok) throw new RangeError(check.reason)
  if (price === undefined) return { status: 'no_pricing_in_registry' }
  try {
    return { status: 'priced', nanousd: usageNanos(usage, priceTerms(price, usage)) }
  } catch (error) {
    if (!(error instanceof UnpricedUsageError)) throw error
    return { status: 'no_pricing_in_registry', unpricedKinds: error.kinds }
  }
}

/** Nano-dollars as dollars, exact: `270000n` is `0.00027`. */
export function formatUsd(nanousd: bigint): string {
  return formatDecimal(nanousd, 9)
}
