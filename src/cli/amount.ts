import { formatDecimal, parseDecimal } from '#lib/decimal.ts'
import { UsageError } from './command.ts'

const USD_DIGITS = 9 // One dollar is 10^9 nano-dollars.

/** The options of a command that takes an amount. */
export const amountOptions = { usd: { type: 'string' }, nanousd: { type: 'string' } } as const

/** Nano-dollars from `--usd 5.25` or `--nanousd 5250000000`, exactly; undefined without either. Throws UsageError. */
export function readAmount(values: { usd?: string; nanousd?: string }): bigint | undefined {
  const { usd, nanousd } = values
  if (usd !== undefined && nanousd !== undefined) throw new UsageError('give --usd or --nanousd, not both')
  if (usd !== undefined) return positive(parseDecimal(usd, USD_DIGITS), '--usd', 'a decimal with at most nine places')
  if (nanousd !== undefined) return positive(parseDecimal(nanousd, 0), '--nanousd', 'a whole number')
  return undefined
}

/** For people: `$5.25`. */
export function formatUsd(nanos: bigint): string {
  return `$${formatDecimal(nanos, USD_DIGITS)}`
}

function positive(value: bigint | undefined, option: string, expected: string): bigint {
  if (value === undefined || value === 0n) throw new UsageError(`${option} must be ${expected}, above zero`)
  return value
}
