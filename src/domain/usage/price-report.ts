import { priceTerms, UnpricedUsageError, usageNanos } from '#billing/price.ts'
import type { Usage } from '#billing/usage.ts'
import type { PriceBook, PriceBookEntry } from '#domain/price-book.ts'

/** $1,000,000: above it a price or a count is wrong, and sums could run over. */
const COST_NANOS_MAX = 1_000_000_000_000_000n

/** The names of llmring where it has some. */
type CostStatus = 'priced' | 'no_usage' | 'model_not_in_registry' | 'no_pricing_in_registry' | 'cost_out_of_range'

export interface ReportedCost {
  /** Null is not known, which is not nothing. */
  costNanos: bigint | null
  status: CostStatus
}

/** llmring's names of providers that the price book calls otherwise. */
const bookProviders: Readonly<Record<string, string>> = { google: 'gemini' }

/** What a call costs by the price book, by the rules that calls through the gateway are charged by. */
export function priceReport(
  book: PriceBook,
  { provider, model, usage }: { provider: string; model: string; usage: Usage },
): ReportedCost {
  const entry = findEntry(book, provider, model)
  if (entry === undefined) return { costNanos: null, status: 'model_not_in_registry' }
  if (Object.keys(usage).length === 0) return { costNanos: null, status: 'no_usage' }
  try {
    const costNanos = usageNanos(usage, priceTerms(entry.price, usage))
    if (costNanos > COST_NANOS_MAX) return { costNanos: null, status: 'cost_out_of_range' }
    return { costNanos, status: 'priced' }
  } catch (error) {
    if (error instanceof UnpricedUsageError) return { costNanos: null, status: 'no_pricing_in_registry' }
    throw error
  }
}

/** By the model's name, or by `provider:model` or `provider/model` of the same provider. Another provider is never guessed. */
export function findEntry(book: PriceBook, provider: string, model: string): PriceBookEntry | undefined {
  const known = bookProvider(provider)
  const split = /^([^:/]+)[:/](.+)$/su.exec(model)
  if (split?.[1] !== undefined && bookProvider(split[1]) === known) {
    const bare = book.find(known, split[2] ?? '')
    if (bare !== undefined) return bare
  }
  return book.find(known, model)
}

function bookProvider(name: string): string {
  const lower = name.toLowerCase()
  return Object.hasOwn(bookProviders, lower) ? (bookProviders[lower] ?? lower) : lower
}
