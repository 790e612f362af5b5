import {
  completePrice,
  PICO_PER_UNIT_MAX,
  type Price,
  type PriceLines,
  parseLines,
} from '../../../src/billing/price.ts'
import { isUsageKind, type UsageKind } from '../../../src/billing/usage.ts'
import { parseDecimal } from '../../../src/lib/decimal.ts'

const PLACES_MAX = 6

/** Names of the registry for the price of each kind, in dollars per million units; the first that is there counts. */
const rowNames: Readonly<Record<UsageKind, readonly string[]>> = {
  input: ['dollars_per_million_tokens_input'],
  cache_read: ['dollars_per_million_tokens_cache_read', 'dollars_per_million_tokens_cached_input'],
  cache_write_5m: ['dollars_per_million_tokens_cache_write_5m'],
  cache_write_1h: ['dollars_per_million_tokens_cache_write_1h'],
  output: ['dollars_per_million_tokens_output'],
  reasoning: ['dollars_per_million_tokens_output_thinking'],
  audio_input: ['dollars_per_million_tokens_audio_input'],
  audio_output: ['dollars_per_million_tokens_audio_output'],
  characters: ['dollars_per_million_characters'],
  seconds: ['dollars_per_million_seconds'],
  calls: ['dollars_per_million_calls'],
}

/**
 * The price of one model, from its row of a registry (`dollars_per_million_tokens_…`) or its entry of a price book (`lines`). Undefined
 * for a row without any price. Throws TypeError for a price that is none, or finer than a pico-dollar per unit.
 */
export function priceOf(row: unknown): Price | undefined {
  if (!isObject(row)) throw new TypeError('the entry of a model must be an object')
  return row.lines === undefined ? fromRegistry(row) : fromBook(row)
}

function fromBook({ lines, longContext }: Record<string, unknown>): Price {
  if (longContext === undefined) return completePrice({ lines: parseLines(lines) })
  if (!isObject(longContext)) throw new TypeError('longContext must be an object')
  return completePrice({
    lines: parseLines(lines),
    longContext: { aboveTokens: threshold(longContext.aboveTokens), lines: parseLines(longContext.lines) },
  })
}

function fromRegistry(row: Record<string, unknown>): Price | undefined {
  const lines = readLines(row, '')
  const long = readLines(row, '_long_context')
  if (Object.keys(lines).length === 0) return undefined
  const above = row.long_context_threshold_tokens
  if (row.supports_long_context_pricing === false || isAbsent(above) || Object.keys(long).length === 0)
    return completePrice({ lines })
  return completePrice({ lines, longContext: { aboveTokens: threshold(above), lines: long } })
}

function readLines(row: Record<string, unknown>, suffix: string): PriceLines {
  const lines: Partial<Record<UsageKind, bigint>> = {}
  for (const [kind, names] of Object.entries(rowNames)) {
    const name = names.map((given) => given + suffix).find((given) => !isAbsent(row[given]))
    if (name !== undefined && isUsageKind(kind)) lines[kind] = picoPerUnit(name, row[name])
  }
  return lines
}

/** A dollar per million units is a million pico-dollars per unit. Read from the decimal digits: no float arithmetic. */
function picoPerUnit(name: string, value: unknown): bigint {
  const pico =
    typeof value === 'number' || typeof value === 'string' ? parseDecimal(plainDecimal(value), PLACES_MAX) : undefined
  if (pico === undefined || pico > PICO_PER_UNIT_MAX)
    throw new TypeError(`${name} is not a price of at most ${PLACES_MAX} places: ${String(value).slice(0, 40)}`)
  return pico
}

/** A number without an exponent: JavaScript writes 0.0000001 as 1e-7. */
function plainDecimal(value: number | string): string {
  const text = String(value)
  const [, digits, places] = /^(\d(?:\.\d+)?)e-(\d+)$/.exec(text) ?? []
  return digits === undefined ? text : `0.${'0'.repeat(Number(places) - 1)}${digits.replace('.', '')}`
}

function threshold(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw new TypeError('the threshold of a long-context price must be a whole number of tokens')
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
