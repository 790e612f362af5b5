import type { Switches } from './switches.ts'

/**
 * What a call truly used, in the simulator's tokens. `cached`, `audioPrompt` and what was written to a cache are parts of
 * `prompt`, `reasoning` of `completion`.
 */
export interface TrueUsage {
  prompt: number
  cached: number
  cacheWrite5m: number
  cacheWrite1h: number
  audioPrompt: number
  completion: number
  reasoning: number
  /** To be spoken. */
  characters: number
  /** Listened to, in whole seconds. */
  seconds: number
}

export const NO_USAGE: TrueUsage = Object.freeze({
  prompt: 0,
  cached: 0,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  audioPrompt: 0,
  completion: 0,
  reasoning: 0,
  characters: 0,
  seconds: 0,
})

/** More tokens than any model ever wrote: what an upstream with a broken counter might claim. */
const ABSURD = 1_000_000_000_000

/** What an upstream says that it used: the truth, or the lie that `mode` asks for. */
export function claimedUsage(usage: TrueUsage, mode: Switches['usage']): TrueUsage {
  switch (mode) {
    case 'zero':
      return NO_USAGE
    case 'negative':
      return { ...usage, completion: -1 - usage.completion, seconds: -1 - usage.seconds }
    case 'fractional':
      return { ...usage, completion: usage.completion + 0.5, seconds: usage.seconds + 0.5 }
    case 'absurd':
      return { ...usage, completion: ABSURD, seconds: ABSURD }
    case 'inconsistent':
      return { ...usage, cached: usage.prompt + 1, reasoning: usage.completion + 1 }
    default:
      return usage
  }
}

/** The prompt of a request as the switches have it, otherwise as it was counted. */
export function promptUsage(promptTokens: number, sim: Switches): TrueUsage {
  const usage: TrueUsage = {
    prompt: sim.prompt_tokens ?? promptTokens,
    cached: 0,
    cacheWrite5m: 0,
    cacheWrite1h: 0,
    audioPrompt: 0,
    completion: 0,
    reasoning: 0,
    characters: 0,
    seconds: 0,
  }
  if (
    sim.cached_tokens === undefined &&
    sim.cache_write_tokens === undefined &&
    sim.cache_write_1h_tokens === undefined
  )
    return usage
  usage.cached = Math.min(sim.cached_tokens ?? 0, usage.prompt)
  usage.cacheWrite5m = Math.min(sim.cache_write_tokens ?? 0, usage.prompt - usage.cached)
  usage.cacheWrite1h = Math.min(sim.cache_write_1h_tokens ?? 0, usage.prompt - usage.cached - usage.cacheWrite5m)
  return usage
}
