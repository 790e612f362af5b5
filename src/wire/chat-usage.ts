import type { JsonObject } from './json-values.ts'
import type { NeutralUsage } from './neutral.ts'

/** OpenAI's usage object for what another protocol reported. */
export function chatUsageObject(usage: NeutralUsage): JsonObject {
  const { input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning } = usage
  const written = cacheWrite5m + cacheWrite1h
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cacheRead, ...(written > 0 && { cache_write_tokens: written }) },
    completion_tokens_details: { reasoning_tokens: reasoning },
  }
}
