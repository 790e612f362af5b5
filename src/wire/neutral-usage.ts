import { completionTokens, promptTokens, type Usage } from '#billing/usage.ts'
import type { NeutralUsage } from './neutral.ts'
import type { DecodedUsage } from './openai-usage.ts'

/** A vector of disjoint kinds as protocols count: totals that include their parts. Sound counts as tokens. */
export function neutralUsage(usage: Usage): NeutralUsage {
  return {
    input: promptTokens(usage),
    cacheRead: usage.cache_read ?? 0,
    cacheWrite5m: usage.cache_write_5m ?? 0,
    cacheWrite1h: usage.cache_write_1h ?? 0,
    output: completionTokens(usage),
    reasoning: usage.reasoning ?? 0,
  }
}

/** What a provider reported, for a client of another protocol; nothing where it is absent or cannot be true. */
export function reportedUsage(decoded: DecodedUsage): { usage?: NeutralUsage } {
  return decoded.outcome === 'usage' ? { usage: neutralUsage(decoded.usage) } : {}
}
