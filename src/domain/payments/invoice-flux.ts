import type { InvoiceLine, Price } from './provider.ts'

/** How long the Flux of a period outlives it: a renewal is paid some time after the period has begun. */
const GRACE_MS = 3 * 86_400_000

/** What an invoice of a subscription is worth. */
export interface InvoiceFlux {
  /** Nano-dollars; below zero where more of a period is given back than is bought. */
  nanos: bigint
  expiresAt: Date
  /** How much of what is left from before is carried over: 0 where no whole period begins. */
  rolloverNanos: bigint
}

/**
 * The Flux of an invoice: each line is worth its part of what a whole period of its price is worth, as its amount is a part of
 * the whole amount. A line that gives back counts against the others.
 */
export function invoiceFlux(
  lines: readonly { line: InvoiceLine; price: Price }[],
  invoice: { currency: string; fluxNanousd: bigint; now: Date },
): InvoiceFlux {
  let nanos = 0n
  let rolloverNanos = 0n
  let end = 0
  for (const { line, price } of lines) {
    const whole = (price.flux ?? 0n) * invoice.fluxNanousd
    const unit = price.amounts[invoice.currency] ?? 0n
    if (unit > 0n) nanos += (whole * line.amount) / unit
    else if (!line.proration) nanos += whole * line.quantity
    if (!line.proration && price.flux !== undefined) rolloverNanos += price.rolloverFlux * invoice.fluxNanousd
    if (line.amount >= 0n) end = Math.max(end, line.periodEnd.getTime())
  }
  return { nanos, rolloverNanos, expiresAt: new Date(Math.max(end, invoice.now.getTime()) + GRACE_MS) }
}
