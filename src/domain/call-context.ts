import { encodeLines, type Price, parseLines } from '#billing/price.ts'
import type { ReceiptPrice } from '#billing/receipt.ts'

/** One upstream that may serve a call, with the price that is pinned at admission. */
export interface PricedTarget {
  provider: string
  /** As the provider knows it. */
  model: string
  /** The operator's own id of it, where it comes from the router config. */
  upstream?: string
  /** Wire protocol that it is spoken to in. */
  protocol?: string
  price: Price
  /** Digest of the price book. */
  book: string
  /** The price as receipts show it: `long` with the lines of the long-context tier. */
  encoded: { base: ReceiptPrice; long?: ReceiptPrice }
}

/** What a receipt needs and admission knows. It is stored with the hold, so that any gateway can write the receipt. */
export interface CallContext {
  account: string
  projectId: string
  keyId: string
  /** Who calls, where that is known; budgets look at it. */
  userId?: string
  /** The client's own; budgets look at them, and nothing else. */
  tags?: readonly string[]
  aliasName?: string
  profile?: string
  lockDigest?: string
  origin?: string
  /** As the client asked for it. */
  model: string
  stream: boolean
  /** Version of the router config that the call was routed by. */
  configVersion?: number
  targets: readonly PricedTarget[]
}

/** Prepares a target once per model: its JSON is part of every hold. */
export function pricedTarget(target: Omit<PricedTarget, 'encoded'>): PricedTarget {
  const { price, ...names } = target
  const base: ReceiptPrice = {
    book: target.book,
    lines: encodeLines(price.lines),
    ...(price.minimum !== undefined && { minimum_nanousd: price.minimum.toString() }),
    ...(price.flat !== undefined && { flat_nanousd: price.flat.toString() }),
  }
  const long = price.longContext && { ...base, lines: encodeLines(price.longContext.lines) }
  const result = { ...target, encoded: { base, ...(long && { long }) } }
  const stored: StoredTarget = {
    ...names,
    lines: base.lines,
    ...(price.longContext && long && { above: price.longContext.aboveTokens, long: long.lines }),
    ...(base.minimum_nanousd !== undefined && { minimum: base.minimum_nanousd }),
    ...(base.flat_nanousd !== undefined && { flat: base.flat_nanousd }),
  }
  targetJson.set(result, JSON.stringify(stored))
  return result
}

const targetJson = new WeakMap<PricedTarget, string>()

export function encodeContext(context: CallContext): string {
  const {
    account,
    projectId,
    keyId,
    userId,
    tags,
    aliasName,
    profile,
    lockDigest,
    origin,
    model,
    stream,
    configVersion,
  } = context
  // Each by its name: a copy of whatever else there is takes four times as long. What is undefined is left out.
  const rest: Record<Exclude<keyof CallContext, 'targets'>, unknown> = {
    account,
    projectId,
    keyId,
    userId,
    tags,
    aliasName,
    profile,
    lockDigest,
    origin,
    model,
    stream,
    configVersion,
  }
  let targets = ''
  for (const target of context.targets) targets += `${targets === '' ? '' : ','}${targetJson.get(target) ?? ''}`
  return `${JSON.stringify(rest).slice(0, -1)},"targets":[${targets}]}`
}

interface StoredTarget extends Omit<PricedTarget, 'price' | 'encoded'> {
  lines: ReceiptPrice['lines']
  above?: number
  long?: ReceiptPrice['lines']
  minimum?: string
  flat?: string
}

/** Reads back what encodeContext wrote. */
export function decodeContext(text: string): CallContext {
  const stored = JSON.parse(text) as Omit<CallContext, 'targets'> & { targets: StoredTarget[] }
  return { ...stored, targets: stored.targets.map(decodeTarget) }
}

function decodeTarget(stored: StoredTarget): PricedTarget {
  const { lines, above, long, minimum, flat, ...names } = stored
  return pricedTarget({
    ...names,
    price: {
      lines: parseLines(lines),
      ...(above !== undefined &&
        long !== undefined && { longContext: { aboveTokens: above, lines: parseLines(long) } }),
      ...(minimum !== undefined && { minimum: BigInt(minimum) }),
      ...(flat !== undefined && { flat: BigInt(flat) }),
    },
  })
}
