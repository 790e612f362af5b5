import { splitCost } from '#billing/llmring-profile.ts'
import type { LogEntry } from '#billing/log-entry.ts'
import { priceLines } from '#billing/price.ts'
import type { CostParts } from '#billing/summarize-entries.ts'
import type { PriceBook } from '#domain/price-book.ts'

/** The parts of a cost that this very price book set; undefined for all others. */
export function splitReported(priceBook: Pick<PriceBook, 'digest' | 'find'>) {
  return ({ provider, model, price_book, usage }: LogEntry): CostParts | undefined => {
    if (price_book !== priceBook.digest) return undefined
    const listed = priceBook.find(provider, model)
    return listed && splitCost(usage, priceLines(listed.price, usage))
  }
}
