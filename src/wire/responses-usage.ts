import type { Usage } from '#billing/usage.ts'
import { isObject, type JsonObject } from './json-values.ts'
import type { NeutralUsage } from './neutral.ts'
import { neutralUsage } from './neutral-usage.ts'
import { type DecodedUsage, decodeOpenaiUsage } from './openai-usage.ts'

/**
 * Reads the usage of a response into disjoint kinds. Its counts are those of chat under other names: input includes what
 * was cached, output includes reasoning.
 */
export function decodeResponsesUsage(value: unknown): DecodedUsage {
  if (!isObject(value)) return decodeOpenaiUsage(value)
  const { input_tokens, output_tokens, input_tokens_details, output_tokens_details, ...rest } = value
  const decoded = decodeOpenaiUsage({
    ...rest,
    ...(input_tokens !== undefined && { prompt_tokens: input_tokens }),
    ...(output_tokens !== undefined && { completion_tokens: output_tokens }),
    ...(input_tokens_details !== undefined && { prompt_tokens_details: input_tokens_details }),
    ...(output_tokens_details !== undefined && { completion_tokens_details: output_tokens_details }),
  })
  if (decoded.outcome !== 'impossible' || input_tokens === undefined) return decoded
  return {
    outcome: 'impossible',
    reason: decoded.reason.replace('prompt_tokens', 'input_tokens').replace('completion_tokens', 'output_tokens'),
  }
}

/** The usage object of a response for a vector of ours. */
export function encodeResponsesUsage(usage: Usage): JsonObject {
  return usageObject(neutralUsage(usage))
}

/** The usage object of a response for what another protocol reported. */
export function usageObject(usage: NeutralUsage): JsonObject {
  return {
    input_tokens: usage.input,
    input_tokens_details: {
      cached_tokens: usage.cacheRead,
      cache_write_tokens: usage.cacheWrite5m + usage.cacheWrite1h,
    },
    output_tokens: usage.output,
    output_tokens_details: { reasoning_tokens: usage.reasoning },
    total_tokens: usage.input + usage.output,
  }
}
