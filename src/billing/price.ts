import { assert } from '#lib/assert.ts'
import type { Outcome } from './outcome.ts'
import {
  completionTokens,
  isUsageKind,
  promptTokens,
  TOKENS_PER_REQUEST_MAX,
  type Usage,
  type UsageKind,
  type UsageSource,
  usageKinds,
} from './usage.ts'

/**
 * Pico-dollars per unit: $3 per million tokens is 3_000_000 per token, and one nano-dollar is 1_000.
 * A line of 0 is an explicit price; a missing line is no price at all.
 */
export type PriceLines = Readonly<Partial<Record<UsageKind, bigint>>>

/** The lines that apply to a call, and what stands above them. A receipt states exactly these. */
export interface PriceTerms {
  readonly lines: PriceLines
  /** Nano-dollars: the least that a call with any usage is worth. */
  readonly minimum?: bigint
  /** Nano-dollars: what a complete call is worth when nobody knows its usage. */
  readonly flat?: bigint
}

/** With more than `aboveTokens` prompt tokens the long lines replace the base lines for the whole request. */
export interface Price extends PriceTerms {
  readonly longContext?: { readonly aboveTokens: number; readonly lines: PriceLines }
}

/** How a call ended, as far as its worth depends on it. */
export interface EndedUsage {
  readonly outcome: Outcome
  readonly usage: Usage
  readonly usageSource: UsageSource
}

const PICO_PER_NANO = 1_000n

/** No single request is held or charged for more than $1,000; the ledger has the same bound. */
export const REQUEST_NANOS_MAX = 1_000_000_000_000n

/** $1,000 for one token, second or call: above it a price is a typing error. */
export const PICO_PER_UNIT_MAX = 1_000_000_000_000_000n

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
  const { minimum, flat } = price
  const above = {
    ...(minimum !== undefined && { minimum: assertRequestNanos(minimum) }),
    ...(flat !== undefined && { flat: assertRequestNanos(flat) }),
  }
  if (price.longContext === undefined) return { lines, ...above }
  const { aboveTokens } = price.longContext
  assert(Number.isSafeInteger(aboveTokens) && aboveTokens > 0, 'a long-context tier starts above a whole token count')
  return {
    lines,
    ...above,
    longContext: { aboveTokens, lines: ordered({ ...lines, ...withFallbacks(price.longContext.lines) }) },
  }
}

/** The lines that apply to this usage: the tier is chosen by all prompt tokens, cached or not. */
export function priceLines(price: Price, usage: Usage): PriceLines {
  const long = price.longContext
  return long !== undefined && promptTokens(usage) > long.aboveTokens ? long.lines : price.lines
}

/** The same with what stands above the lines. */
export function priceTerms(price: Price, usage: Usage): PriceTerms {
  const lines = priceLines(price, usage)
  return lines === price.lines ? price : { ...price, lines }
}

/** The exact price of usage in nano-dollars: one sum in pico-dollars, one rounding, upward. Throws UnpricedUsageError. */
export function chargeNanos(usage: Usage, lines: PriceLines): bigint {
  return ceilToNanos(picoOf(usage, lines))
}

/**
 * What known usage is worth in nano-dollars: the sum of its lines, rounded up once, but no less than the minimum when
 * anything was used. Throws UnpricedUsageError.
 */
export function usageNanos(usage: Usage, { lines, minimum }: PriceTerms): bigint {
  const sum = chargeNanos(usage, lines)
  return minimum !== undefined && sum < minimum && hasUnits(usage) ? minimum : sum
}

/**
 * What an ended call is worth in nano-dollars. The flat price stands for usage that the provider of a complete answer did
 * not tell and nobody could count. A call that was cut short is worth what was used by our own count, even when that is a
 * bound: leaving early must not make a call cheaper. Throws UnpricedUsageError.
 */
export function worthNanos(end: EndedUsage, terms: PriceTerms): bigint {
  const unknown = end.usageSource === 'estimated' || end.usageSource === 'none'
  if (terms.flat !== undefined && unknown && end.outcome === 'complete') return terms.flat
  return usageNanos(end.usage, terms)
}

/** Which of these kinds the lines do not list. Ask at admission, so that a settlement never meets an unpriced kind. */
export function unpricedKinds(lines: PriceLines, kinds: readonly UsageKind[]): UsageKind[] {
  return kinds.filter((kind) => lines[kind] === undefined)
}

/**
 * What a request can consume at most before it is answered. Audio tokens have their own lines and count only when the
 * request involves them; what is not named is not used.
 */
export interface PromptBound {
  readonly promptTokensMax: number
  readonly audioInput?: boolean
  readonly audioOutput?: boolean
  readonly charactersMax?: number
  readonly secondsMax?: number
  readonly callsMax?: number
}

export interface TokenBound extends PromptBound {
  readonly completionTokensMax: number
}

/**
 * What a hold must cover so that no split of these tokens over kinds and tiers charges more. Not capped: compare with
 * REQUEST_NANOS_MAX. Throws UnpricedUsageError when a bounded kind has no price.
 */
export function upperBoundNanos(bound: TokenBound, price: Price): bigint {
  return boundNanos(boundUnits(bound), unitCount(bound.completionTokensMax), price)
}

/**
 * The same for a usage vector whose units are the most that can be used: characters to be spoken, seconds to be heard, or
 * tokens of which only the kinds that are named need a price.
 */
export function upperBoundOf(usage: Usage, price: Price): bigint {
  const named = (kinds: readonly UsageKind[]) => kinds.some((kind) => (usage[kind] ?? 0) > 0)
  const promptKinds: UsageKind[] = []
  if (named(textPromptKinds)) promptKinds.push('input')
  if (named(['audio_input'])) promptKinds.push('audio_input')
  const completionKinds: UsageKind[] = []
  if (named(textOutputKinds)) completionKinds.push('output')
  if (named(['audio_output'])) completionKinds.push('audio_output')
  const { characters = 0, seconds = 0, calls = 0 } = usage
  const bound = {
    promptTokens: promptTokens(usage),
    promptKinds,
    completionKinds,
    others: { characters, seconds, calls },
  }
  return boundNanos(bound, unitCount(completionTokens(usage)), price)
}

/**
 * How many output tokens a hold of this size covers after the prompt: the inverse of upperBoundNanos. 0 when it does
 * not even cover the prompt, the minimum or the flat price, at most TOKENS_PER_REQUEST_MAX when output is free.
 */
export function completionTokensCovered(nanos: bigint, bound: PromptBound, price: Price): number {
  if (nanos < (price.minimum ?? 0n) || nanos < (price.flat ?? 0n)) return 0
  const units = boundUnits(bound)
  let covered = BigInt(TOKENS_PER_REQUEST_MAX)
  for (const tier of possibleTiers(units, price)) {
    const left = nanos * PICO_PER_NANO - tier.promptPico
    if (left < 0n) return 0
    const dearest = dearestOf(tier.lines, units.completionKinds)
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

/** A bound by what has to be priced: kinds that fall back to a listed one are alternatives of it. */
interface BoundUnits {
  readonly promptTokens: number
  readonly promptKinds: readonly UsageKind[]
  readonly completionKinds: readonly UsageKind[]
  /** Units that are no tokens; none of them stands in for another. */
  readonly others: Usage
}

function boundUnits(bound: PromptBound): BoundUnits {
  const { promptTokensMax, charactersMax = 0, secondsMax = 0, callsMax = 0 } = bound
  return {
    promptTokens: promptTokensMax,
    promptKinds: bound.audioInput === true ? ['input', 'audio_input'] : ['input'],
    completionKinds: bound.audioOutput === true ? ['output', 'audio_output'] : ['output'],
    others: { characters: charactersMax, seconds: secondsMax, calls: callsMax },
  }
}

function boundNanos(bound: BoundUnits, completion: bigint, price: Price): bigint {
  let pico = 0n
  for (const tier of possibleTiers(bound, price)) {
    const tierPico =
      tier.promptPico + (completion === 0n ? 0n : completion * dearestOf(tier.lines, bound.completionKinds))
    if (tierPico > pico) pico = tierPico
  }
  const any = completion > 0n || bound.promptTokens > 0 || hasUnits(bound.others)
  return largest(ceilToNanos(pico), any ? price.minimum : undefined, price.flat)
}

/** The tiers that this prompt may fall into, each with the most that a prompt in it can cost. */
function possibleTiers(bound: BoundUnits, price: Price): { lines: PriceLines; promptPico: bigint }[] {
  const prompt = unitCount(bound.promptTokens)
  const long = price.longContext
  if (long === undefined || bound.promptTokens <= long.aboveTokens) return [tier(price.lines, prompt, bound)]
  return [tier(price.lines, BigInt(long.aboveTokens), bound), tier(long.lines, prompt, bound)]
}

function tier(lines: PriceLines, prompt: bigint, bound: BoundUnits): { lines: PriceLines; promptPico: bigint } {
  const promptPico = picoOf(bound.others, lines)
  return { lines, promptPico: prompt === 0n ? promptPico : promptPico + prompt * dearestOf(lines, bound.promptKinds) }
}

/** The dearest of these kinds, which must be priced, and of their alternatives, which a completed price always has. */
function dearestOf(lines: PriceLines, kinds: readonly UsageKind[]): bigint {
  const missing = unpricedKinds(lines, kinds)
  if (missing.length > 0) throw new UnpricedUsageError(missing)
  let dearest = 0n
  for (const kind of kinds) dearest = largest(dearest, lines[kind])
  for (const [kind, like] of fallbackKinds) if (kinds.includes(like)) dearest = largest(dearest, lines[kind])
  return dearest
}

function picoOf(usage: Usage, lines: PriceLines): bigint {
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
  return pico
}

function hasUnits(usage: Usage): boolean {
  return usageKinds.some((kind) => (usage[kind] ?? 0) !== 0)
}

function largest(first: bigint, ...others: readonly (bigint | undefined)[]): bigint {
  return others.reduce<bigint>((most, value) => (value !== undefined && value > most ? value : most), first)
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

function unitCount(units: number): bigint {
  assert(Number.isSafeInteger(units) && units >= 0, 'a bound is a whole number of units')
  return BigInt(units)
}

function ceilToNanos(pico: bigint): bigint {
  return (pico + PICO_PER_NANO - 1n) / PICO_PER_NANO
}
