import type { Switches } from './switches.ts'
import { claimedUsage, type TrueUsage } from './usage.ts'

/** Anthropic's usage object: `input_tokens` without what was cached, `output_tokens` with what was thought. */
export function messagesUsage(usage: TrueUsage, mode: Switches['usage']): Record<string, unknown> {
  return render(claimedUsage(usage, mode))
}

/** As a stream begins: the prompt is known, the output a placeholder of one token. */
export function startingUsage(usage: TrueUsage): Record<string, unknown> {
  return render({ ...usage, completion: 1, reasoning: 0 })
}

function render(usage: TrueUsage): Record<string, unknown> {
  const { prompt, cached, cacheWrite5m, cacheWrite1h, completion, reasoning } = usage
  return {
    input_tokens: prompt - cached - cacheWrite5m - cacheWrite1h,
    cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
    cache_read_input_tokens: cached,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
    output_tokens: completion,
    ...(reasoning > 0 && { output_tokens_details: { thinking_tokens: reasoning } }),
    service_tier: 'standard',
  }
}
