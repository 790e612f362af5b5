import { chargeNanos, parseLines } from './price.ts'
import type { Receipt } from './receipt.ts'

/**
 * Recomputes the price of the usage on a receipt and compares it with what was charged and absorbed. A void call charges
 * nothing; every other outcome splits the full price between the customer and the operator, to the nano-dollar. Throws
 * UnpricedUsageError when the receipt has no price line for something it lists.
 */
export function checkCharge(receipt: Receipt): { ok: boolean; detail: string } {
  const priced = chargeNanos(receipt.usage, parseLines(receipt.price.lines))
  const charged = BigInt(receipt.charged_nanousd)
  const absorbed = BigInt(receipt.absorbed_nanousd)
  const figures = `the usage is worth ${priced} nano-dollars, charged ${charged}, absorbed ${absorbed}`
  if (receipt.outcome === 'void') {
    return { ok: charged === 0n && absorbed <= priced, detail: `void: ${figures}` }
  }
  return { ok: charged + absorbed === priced, detail: `${receipt.outcome}: ${figures}` }
}
