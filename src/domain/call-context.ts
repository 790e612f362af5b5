import { encodeLines, type Price, parseLines } from '#billing/price.ts'
import type { ReceiptPrice } from '#billing/receipt.ts'

/** One upstream that may serve a call, with the price that is pinned at admission. */
export interface PricedTarget {
  provider: string
  /** As the provider knows it. */
  model: string
  price: Price
  /** Digest of the price book, and the price lines as receipts show them. */
  book: string
  encoded: { lines: ReceiptPrice['lines']; longLines?: ReceiptPrice['lines'] }
}

/** What a receipt needs and admission knows. It is stored with the hold, so that any gateway can write the receipt. */
export interface CallContext {
  account: string
  projectId: string
  keyId: string
  aliasName?: string
  profile?: string
  origin?: string
  /** As the client asked for it. */
  model: string
  stream: boolean
  targets: readonly PricedTarget[]
}

/** Prepares a target once per model: its JSON is part of every hold. */
export function pricedTarget(target: { provider: string; model: string; price: Price; book: string }): PricedTarget {
  const { price } = target
  const lines = encodeLines(price.lines)
  const encoded =
    price.longContext === undefined ? { lines } : { lines, longLines: encodeLines(price.longContext.lines) }
  const result = { ...target, encoded }
  targetJson.set(
    result,
    JSON.stringify({
      provider: target.provider,
      model: target.model,
      book: target.book,
      lines,
      ...(price.longContext && { above: price.longContext.aboveTokens, long: encoded.longLines }),
    }),
  )
  return result
}

const targetJson = new WeakMap<PricedTarget, string>()

export function encodeContext(context: CallContext): string {
  const { targets, ...rest } = context
  const parts = targets.map((target) => targetJson.get(target) ?? '')
  return `${JSON.stringify(rest).slice(0, -1)},"targets":[${parts.join(',')}]}`
}

interface StoredTarget {
  provider: string
  model: string
  book: string
  lines: Record<string, string>
  above?: number
  long?: Record<string, string>
}

/** Reads back what encodeContext wrote. */
export function decodeContext(text: string): CallContext {
  const stored = JSON.parse(text) as Omit<CallContext, 'targets'> & { targets: StoredTarget[] }
  return {
    ...stored,
    targets: stored.targets.map((target) =>
      pricedTarget({
        provider: target.provider,
        model: target.model,
        book: target.book,
        price: {
          lines: parseLines(target.lines),
          ...(target.above !== undefined &&
            target.long !== undefined && {
              longContext: { aboveTokens: target.above, lines: parseLines(target.long) },
            }),
        },
      }),
    ),
  }
}
