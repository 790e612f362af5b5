import type { Switches } from './switches.ts'
import { claimedUsage, type TrueUsage } from './usage.ts'

/** OpenAI's usage object of a response: the counts of chat under other names. */
export function responsesUsage(usage: TrueUsage, mode: Switches['usage']): Record<string, unknown> {
  const { prompt, cached, cacheWrite5m, cacheWrite1h, completion, reasoning } = claimedUsage(usage, mode)
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: cacheWrite5m + cacheWrite1h },
    output_tokens: completion,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: prompt + completion,
  }
}
