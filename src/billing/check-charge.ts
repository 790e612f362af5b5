import { parseLines, worthNanos } from './price.ts'
import type { Receipt } from './receipt.ts'

/**
 * Recomputes what a call is worth from the usage and the price on its receipt and compares it with what was charged and
 * absorbed. A void call charges
 * nothing; every other outcome splits the full price between the customer and the operator, to the nano-dollar. Throws
 * UnpricedUsageError when the receipt has no price line for something it lists.
 */
export function checkCharge(receipt: Receipt): { ok: boolean; detail: string } {
  const { lines, minimum_nanousd, flat_nanousd } = receipt.price
  const priced = worthNanos(
    { outcome: receipt.outcome, usage: receipt.usage, usageSource: receipt.usage_source },
    {
      lines: parseLines(lines),
      ...(minimum_nanousd !== undefined && { minimum: BigInt(minimum_nanousd) }),
      ...(flat_nanousd !== undefined && { flat: BigInt(flat_nanousd) }),
    },
  )
  const charged = BigInt(receipt.charged_nanousd)
  const absorbed = BigInt(receipt.absorbed_nanousd)
  const figures = `the call is worth ${priced} nano-dollars, charged ${charged}, absorbed ${absorbed}`
  if (receipt.outcome === 'void') {
    return { ok: charged === 0n && absorbed <= priced, detail: `void: ${figures}` }
  }
  return { ok: charged + absorbed === priced, detail: `${receipt.outcome}: ${figures}` }
}
