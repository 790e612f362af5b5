import { assert } from '#lib/assert.ts'
import { isUsageKind, promptTokens, TOKENS_PER_REQUEST_MAX, type Usage, type UsageKind, usageKinds } from './usage.ts'

/**
 * Pico-dollars per unit: $3 per million tokens is 3_000_000 per token, and one nano-dollar is 1_000.
 * A line of 0 is an explicit price; a missing line is no price at all.
 */
export type PriceLines = Readonly<Partial<Record<UsageKind, bigint>>>

/** With more than `aboveTokens` prompt tokens the long lines replace the base lines for the whole request. */
export interface Price {
  readonly lines: PriceLines
  readonly longContext?: { readonly aboveTokens: number; readonly lines: PriceLines }
}

const PICO_PER_NANO = 1_000n

/** No single request is held or charged for more than $1,000; the ledger has the same bound. */
export const REQUEST_NANOS_MAX = 1_000_000_000_000n

/** $1,000 for one token, second or call: above it a price is a typing error. */
const PICO_PER_UNIT_MAX = 1_000_000_000_000_000n

/** A kind without a line of its own is charged like this one. Kinds that are not listed must be priced by name. */
const fallbackKinds: readonly (readonly [kind: UsageKind, like: UsageKind])[] = [
  ['cache_read', 'input'],
  ['cache_write_5m', 'input'],
  ['cache_write_1h', 'input'],
  ['reasoning', 'output'],
]

/** A call used something that its price does not list. Never free, so never ignored. */
export class UnpricedUsageError extends Error {
  override readonly name = 'UnpricedUsageError'
  readonly kinds: readonly UsageKind[]

  constructor(kinds: readonly UsageKind[]) {
    super(`no price for ${kinds.join(', ')}`)
    this.kinds = kinds
  }
}

/**
 * Applies the fallback table once, when a price is compiled, so that the hot path only looks lines up. The long tier
 * falls back within itself first and then to the base tier. Completing twice changes nothing.
 */
export function completePrice(price: Price): Price {
  const lines = withFallbacks(price.lines)
  if (price.longContext === undefined) return { lines }
  const { aboveTokens } = price.longContext
  assert(Number.isSafeInteger(aboveTokens) && aboveTokens > 0, 'a long-context tier starts above a whole token count')
  return {
    lines,
    longContext: { aboveTokens, lines: ordered({ ...lines, ...withFallbacks(price.longContext.lines) }) },
  }
}

/** The lines that apply to this usage: the tier is chosen by all prompt tokens, cached or not. */
export function priceLines(price: Price, usage: Usage): PriceLines {
  const long = price.longContext
  return long !== undefined && promptTokens(usage) > long.aboveTokens ? long.lines : price.lines
}

/** The exact charge in nano-dollars: one sum in pico-dollars, one rounding, upward. Throws UnpricedUsageError. */
export function chargeNanos(usage: Usage, lines: PriceLines): bigint {
  let pico = 0n
  let unpriced: UsageKind[] | undefined
  for (const kind of usageKinds) {
    const units = usage[kind]
    if (units === undefined || units === 0) continue
    assert(Number.isSafeInteger(units) && units > 0, 'usage is counted in whole units')
    const line = lines[kind]
    if (line === undefined) {
      unpriced ??= []
      unpriced.push(kind)
    } else if (line !== 0n) {
      pico += BigInt(units) * line
    }
  }
  if (unpriced !== undefined) throw new UnpricedUsageError(unpriced)
  return ceilToNanos(pico)
}

/** Which of these kinds the lines do not list. Ask at admission, so that a settlement never meets an unpriced kind. */
export function unpricedKinds(lines: PriceLines, kinds: readonly UsageKind[]): UsageKind[] {
  return kinds.filter((kind) => lines[kind] === undefined)
}

/** What a request can consume at most. Audio has its own lines and counts only when the request involves it. */
export interface PromptBound {
  readonly promptTokensMax: number
  readonly audioInput?: boolean
  readonly audioOutput?: boolean
}

export interface TokenBound extends PromptBound {
  readonly completionTokensMax: number
}

/**
 * What a hold must cover so that no split of these tokens over kinds and tiers charges more. Not capped: compare with
 * REQUEST_NANOS_MAX. Throws UnpricedUsageError when a bounded kind has no price.
 */
export function upperBoundNanos(bound: TokenBound, price: Price): bigint {
  const completion = tokenCount(bound.completionTokensMax)
  let pico = 0n
  for (const tier of possibleTiers(bound, price)) {
    const tierPico = tier.promptPico + (completion === 0n ? 0n : completion * dearestOutput(tier.lines, bound))
    if (tierPico > pico) pico = tierPico
  }
  return ceilToNanos(pico)
}

/**
 * How many output tokens a hold of this size covers after the prompt: the inverse of upperBoundNanos. 0 when it does
 * not even cover the prompt, at most TOKENS_PER_REQUEST_MAX when output is free.
 */
export function completionTokensCovered(nanos: bigint, bound: PromptBound, price: Price): number {
  let covered = BigInt(TOKENS_PER_REQUEST_MAX)
  for (const tier of possibleTiers(bound, price)) {
    const left = nanos * PICO_PER_NANO - tier.promptPico
    if (left < 0n) return 0
    const dearest = dearestOutput(tier.lines, bound)
    if (dearest !== 0n && left / dearest < covered) covered = left / dearest
  }
  return Number(covered)
}

/** Guards the door of the ledger: an amount outside 0 … REQUEST_NANOS_MAX is our bug. */
export function assertRequestNanos(nanos: bigint): bigint {
  assert(nanos >= 0n, 'a request is never charged a negative amount')
  assert(nanos <= REQUEST_NANOS_MAX, 'a request is never charged more than REQUEST_NANOS_MAX')
  return nanos
}

/** Lines as JSON carries them: decimal strings, in the order of usageKinds. */
export function encodeLines(lines: PriceLines): Partial<Record<UsageKind, string>> {
  const encoded: Partial<Record<UsageKind, string>> = {}
  for (const kind of usageKinds) {
    const line = lines[kind]
    if (line !== undefined) encoded[kind] = line.toString()
  }
  return encoded
}

/** Price lines that cannot be read, with everything that is wrong about them. */
export class PriceLinesError extends Error {
  override readonly name = 'PriceLinesError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('; '))
    this.problems = problems
  }
}

/** Reads what encodeLines wrote: known kinds, canonical decimal strings, nothing else. Throws PriceLinesError. */
export function parseLines(value: unknown): PriceLines {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PriceLinesError(['price lines are not an object'])
  }
  const problems: string[] = []
  const lines: Partial<Record<UsageKind, bigint>> = {}
  for (const [kind, text] of Object.entries(value)) {
    if (!isUsageKind(kind)) problems.push(`${kind} is not a usage kind`)
    else if (typeof text !== 'string' || !/^(?:0|[1-9][0-9]{0,15})$/.test(text)) {
      problems.push(`${kind} is not a decimal string of pico-dollars`)
    } else if (BigInt(text) > PICO_PER_UNIT_MAX) problems.push(`${kind} costs more than $1,000 per unit`)
    else lines[kind] = BigInt(text)
  }
  if (problems.length > 0) throw new PriceLinesError(problems)
  return ordered(lines)
}

const textPromptKinds = ['input', 'cache_read', 'cache_write_5m', 'cache_write_1h'] as const
const textOutputKinds = ['output', 'reasoning'] as const

/** The tiers that this prompt may fall into, each with the most that a prompt in it can cost. */
function possibleTiers(bound: PromptBound, price: Price): { lines: PriceLines; promptPico: bigint }[] {
  const prompt = tokenCount(bound.promptTokensMax)
  const long = price.longContext
  if (long === undefined || bound.promptTokensMax <= long.aboveTokens) return [tier(price.lines, prompt, bound)]
  return [tier(price.lines, BigInt(long.aboveTokens), bound), tier(long.lines, prompt, bound)]
}

function tier(lines: PriceLines, prompt: bigint, bound: PromptBound): { lines: PriceLines; promptPico: bigint } {
  if (prompt === 0n) return { lines, promptPico: 0n }
  const dearest = dearestOf(lines, textPromptKinds, bound.audioInput === true ? 'audio_input' : undefined)
  return { lines, promptPico: prompt * dearest }
}

function dearestOutput(lines: PriceLines, bound: PromptBound): bigint {
  return dearestOf(lines, textOutputKinds, bound.audioOutput === true ? 'audio_output' : undefined)
}

/** The first kind and the extra one must be priced; the others are alternatives that a completed price always has. */
function dearestOf(lines: PriceLines, kinds: readonly [UsageKind, ...UsageKind[]], extra?: UsageKind): bigint {
  const required = extra === undefined ? [kinds[0]] : [kinds[0], extra]
  const missing = unpricedKinds(lines, required)
  if (missing.length > 0) throw new UnpricedUsageError(missing)
  let dearest = 0n
  for (const kind of extra === undefined ? kinds : [...kinds, extra]) {
    const line = lines[kind]
    if (line !== undefined && line > dearest) dearest = line
  }
  return dearest
}

function withFallbacks(lines: PriceLines): PriceLines {
  const completed: Partial<Record<UsageKind, bigint>> = { ...lines }
  for (const [kind, like] of fallbackKinds) {
    const line = completed[kind] ?? completed[like]
    if (line !== undefined) completed[kind] = line
  }
  return ordered(completed)
}

/** One property order for all lines, so that the hot path sees few object shapes and JSON is deterministic. */
function ordered(lines: PriceLines): PriceLines {
  const result: Partial<Record<UsageKind, bigint>> = {}
  for (const kind of usageKinds) {
    const line = lines[kind]
    if (line === undefined) continue
    assert(line >= 0n && line <= PICO_PER_UNIT_MAX, 'a price line lies between 0 and $1,000 per unit')
    result[kind] = line
  }
  return result
}

function tokenCount(tokens: number): bigint {
  assert(Number.isSafeInteger(tokens) && tokens >= 0, 'a token bound is a whole number')
  return BigInt(tokens)
}

function ceilToNanos(pico: bigint): bigint {
  return (pico + PICO_PER_NANO - 1n) / PICO_PER_NANO
}
