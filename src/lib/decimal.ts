import { assert } from './assert.ts'

/**
 * Reads a plain decimal such as `12.5` as an integer of its `scale`-th decimal place. Undefined for anything else: signs,
 * exponents, white space, leading zeros, more places than `scale`.
 */
export function parseDecimal(text: string, scale: number): bigint | undefined {
  const [, whole, fraction = ''] = /^(0|[1-9][0-9]{0,18})(?:\.([0-9]+))?$/.exec(text) ?? []
  if (whole === undefined || fraction.length > scale) return undefined
  return BigInt(whole + fraction.padEnd(scale, '0'))
}

/** The inverse of parseDecimal, without trailing zeros. */
export function formatDecimal(value: bigint, scale: number): string {
  return formatFixed(value, scale).replace(/\.?0*$/, '')
}

/** The same with all its places: `0.000270000`. */
export function formatFixed(value: bigint, scale: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
  return `${value < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}.${digits.slice(digits.length - scale)}`
}

const RATIO_DIGITS_MAX = 18

/** A quotient as a decimal: exact when it ends within 18 places, else cut off there, never rounded up. */
export function formatRatio(numerator: bigint, denominator: bigint): string {
  assert(denominator > 0n, 'a ratio has a positive denominator')
  return formatDecimal((numerator * 10n ** BigInt(RATIO_DIGITS_MAX)) / denominator, RATIO_DIGITS_MAX)
}
