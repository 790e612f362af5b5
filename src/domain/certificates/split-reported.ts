import { splitCost } from '#billing/llmring-profile.ts'
import type { LogEntry } from '#billing/log-entry.ts'
import { priceLines } from '#billing/price.ts'
import type { CostParts } from '#billing/summarize-entries.ts'
import type { PriceBook } from '#domain/price-book.ts'
import { findEntry } from '#domain/usage/price-report.ts'

/** The parts of a cost that the price book of today set; undefined for all others. */
export function splitReported(current: () => PriceBook) {
  return ({ provider, model, price_book, usage }: LogEntry): CostParts | undefined => {
    const priceBook = current()
    if (price_book !== priceBook.digest) return undefined
    const listed = findEntry(priceBook, provider, model)
    return listed && splitCost(usage, priceLines(listed.price, usage))
  }
}
