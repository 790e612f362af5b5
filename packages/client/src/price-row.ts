import {
  completePrice,
  PICO_PER_UNIT_MAX,
  type Price,
  type PriceLines,
  parseLines,
} from '../../../src/billing/price.ts'
import { isUsageKind, type UsageKind } from '../../../src/billing/usage.ts'
import { parseDecimal } from '../../../src/lib/decimal.ts'

const PLACES_MAX = 12

const MILLION = 1_000_000n

/** Names of the registry for the price of each kind, in dollars; the first that is there counts. And for how many units it is. */
const rowNames: Readonly<Record<UsageKind, readonly [names: readonly string[], units: bigint]>> = {
  input: [['dollars_per_million_tokens_input'], MILLION],
  cache_read: [['dollars_per_million_tokens_cache_read', 'dollars_per_million_tokens_cached_input'], MILLION],
  cache_write_5m: [['dollars_per_million_tokens_cache_write_5m'], MILLION],
  cache_write_1h: [['dollars_per_million_tokens_cache_write_1h'], MILLION],
  output: [['dollars_per_million_tokens_output'], MILLION],
  reasoning: [['dollars_per_million_tokens_output_thinking'], MILLION],
  audio_input: [['dollars_per_million_tokens_audio_input'], MILLION],
  audio_output: [['dollars_per_million_tokens_audio_output'], MILLION],
  characters: [['dollars_per_million_characters'], MILLION],
  seconds: [['dollars_per_second'], 1n],
  calls: [['dollars_per_call'], 1n],
}

/**
 * The price of one model, from its row of a registry (the exact `picousd_per_unit` of a gateway, or `dollars_per_million_tokens_…`) or its
 * entry of a price book (`lines`). Undefined for a row without any price. Throws TypeError for a price that is none, or finer than a
 * pico-dollar per unit.
 */
export function priceOf(row: unknown): Price | undefined {
  if (!isObject(row)) throw new TypeError('the entry of a model must be an object')
  return row.lines === undefined ? fromRegistry(row) : fromBook(row)
}

function fromBook({ lines, longContext }: Record<string, unknown>): Price {
  if (longContext === undefined) return tiers(parseLines(lines), undefined, undefined)
  if (!isObject(longContext)) throw new TypeError('longContext must be an object')
  return tiers(parseLines(lines), longContext.aboveTokens, parseLines(longContext.lines))
}

function fromRegistry(row: Record<string, unknown>): Price | undefined {
  const { picousd_per_unit, picousd_per_unit_long_context, long_context_threshold_tokens: above } = row
  if (picousd_per_unit !== undefined) {
    const long = picousd_per_unit_long_context
    return tiers(parseLines(picousd_per_unit), above, long === undefined ? undefined : parseLines(long))
  }
  const lines = readLines(row, '')
  const long = row.supports_long_context_pricing === false ? {} : readLines(row, '_long_context')
  return Object.keys(lines).length === 0 ? undefined : tiers(lines, above, long)
}

function tiers(lines: PriceLines, above: unknown, long: PriceLines | undefined): Price {
  if (isAbsent(above) || long === undefined || Object.keys(long).length === 0) return completePrice({ lines })
  if (typeof above !== 'number' || !Number.isSafeInteger(above) || above <= 0)
    throw new TypeError('the threshold of a long-context price must be a whole number of tokens')
  return completePrice({ lines, longContext: { aboveTokens: above, lines: long } })
}

function readLines(row: Record<string, unknown>, suffix: string): PriceLines {
  const lines: Partial<Record<UsageKind, bigint>> = {}
  for (const [kind, [names, units]] of Object.entries(rowNames)) {
    const name = names.map((given) => given + suffix).find((given) => !isAbsent(row[given]))
    if (name !== undefined && isUsageKind(kind)) lines[kind] = picoPerUnit(name, row[name], units)
  }
  return lines
}

/** A dollar is 10¹² pico-dollars. Read from the decimal digits: no float arithmetic. */
function picoPerUnit(name: string, value: unknown, units: bigint): bigint {
  const isText = typeof value === 'number' || typeof value === 'string'
  const pico = isText ? parseDecimal(plainDecimal(value), PLACES_MAX) : undefined
  if (pico === undefined || pico % units !== 0n || pico / units > PICO_PER_UNIT_MAX)
    throw new TypeError(`${name} is not a price in whole pico-dollars a unit: ${String(value).slice(0, 40)}`)
  return pico / units
}

/** A number without an exponent: JavaScript writes 0.0000001 as 1e-7. */
function plainDecimal(value: number | string): string {
  const text = String(value)
  const [, digits, places] = /^(\d(?:\.\d+)?)e-(\d+)$/.exec(text) ?? []
  return digits === undefined ? text : `0.${'0'.repeat(Number(places) - 1)}${digits.replace('.', '')}`
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
