/**
 * What a call consumed, as a disjoint vector: no unit is counted under two kinds.
 * `input` excludes cached and audio tokens, `output` excludes reasoning and audio tokens.
 */
export const usageKinds = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'reasoning',
  'audio_input',
  'audio_output',
  'characters',
  'seconds',
  'calls',
] as const

export type UsageKind = (typeof usageKinds)[number]

/** Whole units per kind: tokens, characters, seconds or calls. An absent kind is zero. */
export type Usage = Readonly<Partial<Record<UsageKind, number>>>

/** Who says so: the provider, our own tokenizer, a bound, or nobody. Zero and unknown are different. */
export const usageSources = ['provider', 'counted', 'estimated', 'none'] as const
export type UsageSource = (typeof usageSources)[number]

export const promptKinds = ['input', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'audio_input'] as const
export const completionKinds = ['output', 'reasoning', 'audio_output'] as const

/** Tokens of the prompt, cached or not. */
export function promptTokens(usage: Usage): number {
  return promptKinds.reduce((sum, kind) => sum + (usage[kind] ?? 0), 0)
}

/** Tokens of the answer, visible or not. */
export function completionTokens(usage: Usage): number {
  return completionKinds.reduce((sum, kind) => sum + (usage[kind] ?? 0), 0)
}

/** Plausible maxima of one request. Anything above them is a fault of the reporter, not a consumption. */
export interface UsageLimits {
  /** All token kinds together. */
  readonly tokens: number
  readonly characters: number
  readonly seconds: number
  readonly calls: number
}

/** The longest context on the market is near 10 million tokens; ten times that is never an honest count. */
export const TOKENS_PER_REQUEST_MAX = 100_000_000

export const usageLimits: UsageLimits = {
  tokens: TOKENS_PER_REQUEST_MAX,
  characters: 100_000_000,
  seconds: 7 * 86_400,
  calls: 10_000,
}

export type UsageCheck = { ok: true } | { ok: false; reason: string }

const valid: UsageCheck = { ok: true }

/** Usage is input from strangers: whole, non-negative, known kinds, and no more than one request can consume. */
export function validateUsage(usage: Usage, limits: UsageLimits = usageLimits): UsageCheck {
  for (const kind of Object.keys(usage)) {
    if (!isUsageKind(kind)) return { ok: false, reason: `${kind} is not a usage kind` }
  }
  for (const kind of usageKinds) {
    const units = usage[kind]
    if (units === undefined) continue
    if (!Number.isSafeInteger(units) || units < 0) {
      return { ok: false, reason: `${kind} is not a whole number of units: ${String(units)}` }
    }
    const limit = kind === 'characters' || kind === 'seconds' || kind === 'calls' ? limits[kind] : limits.tokens
    if (units > limit) return { ok: false, reason: `${kind} is more than one request can consume: ${units}` }
  }
  const tokens = promptTokens(usage) + completionTokens(usage)
  if (tokens > limits.tokens) return { ok: false, reason: `tokens are more than one request can consume: ${tokens}` }
  return valid
}

/** The most that one call can use by what is known of its request. */
export interface UsageBound {
  /** By the bytes of the request, as its hold reckons. */
  readonly promptTokensMax: number
  /** Of all answers together: the limit that was sent upstream, or the model's own. */
  readonly completionTokensMax: number
  readonly charactersMax?: number
  readonly secondsMax?: number
}

/**
 * A report may be this many times its bound. The bounds are upper ones already: a prompt has no more tokens than bytes,
 * and an answer stops at its limit. Above them stands honestly what a provider adds by itself, such as the wording of tools
 * and rounding to a billed minimum. What is meant to be caught is wrong by its nature and not by some per cent: characters for
 * tokens, the sum over a connection, figures of somebody else's call.
 */
export const USAGE_TOLERANCE = 2

/** What a provider may add to any call, however small: control tokens, and the shortest audio that is billed. */
const TOKENS_ADDED_MAX = 256
const SECONDS_ADDED_MAX = 60

/** Not every provider stops its model from reasoning at the limit of the answer; few let it reason longer than this. */
const REASONING_TOKENS_ADDED_MAX = 65_536

/** Whether a report is possible for this one call, beyond being possible at all. Kinds that have no bound are not judged. */
export function usageWithin(usage: Usage, bound: UsageBound): UsageCheck {
  const reasoning = usage.reasoning ?? 0
  const answer = completionTokens(usage) - reasoning
  const { promptTokensMax, completionTokensMax, charactersMax, secondsMax } = bound
  for (const [name, units, max, added] of [
    ['prompt tokens', promptTokens(usage), promptTokensMax, TOKENS_ADDED_MAX],
    ['completion tokens', answer, completionTokensMax, TOKENS_ADDED_MAX],
    ['reasoning tokens', reasoning, completionTokensMax, REASONING_TOKENS_ADDED_MAX],
    ['characters', usage.characters ?? 0, charactersMax, 0],
    ['seconds', usage.seconds ?? 0, secondsMax, SECONDS_ADDED_MAX],
  ] as const) {
    if (max !== undefined && units > USAGE_TOLERANCE * max + added) {
      return { ok: false, reason: `${units} ${name} are more than this call can use` }
    }
  }
  return valid
}

export function isUsageKind(name: string): name is UsageKind {
  return (usageKinds as readonly string[]).includes(name)
}
